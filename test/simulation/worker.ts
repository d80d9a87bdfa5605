/**
 * A worker as runWorker composes it, over simulated outside systems. Fleet, lanes, stages, Kafka transactions, the fleet's
 * log and the reader are the real ones.
 */
import { createFleetLog } from '../../src/adapters/kafka/fleet-log.ts';
import { createTopicReader } from '../../src/adapters/kafka/topic-reader.ts';
import type { Directory } from '../../src/domain/participant.ts';
import type { TopicNames } from '../../src/domain/topics.ts';
import { Fleet } from '../../src/fleet.ts';
import type { FleetLimits, PartitionAccount } from '../../src/fleet.ts';
import { createPipeline } from '../../src/pipeline.ts';
import type { Claims, Log, Telemetry } from '../../src/ports.ts';
import { createDecodeStage } from '../../src/stages/decode.ts';
import { createDedupeStage } from '../../src/stages/dedupe.ts';
import { createRouteStage } from '../../src/stages/route.ts';
import { createSettleStage } from '../../src/stages/settle.ts';
import { simulatedClients } from './clients.ts';
import type { Network } from './clients.ts';
import type { Cluster } from './cluster.ts';
import { simulatedClaims, simulatedDecoder } from './ports.ts';
import type { DecoderFaults, RedisFaults } from './ports.ts';
import { SimProcess } from './world.ts';
import type { World } from './world.ts';

export const groupId = 'settlefleet';

export interface Outside {
  readonly world: World;
  readonly cluster: Cluster;
  readonly redis: Claims;
  readonly redisFaults: RedisFaults;
  readonly decoderFaults: DecoderFaults;
  readonly topics: TopicNames;
  readonly directory: () => Directory;
  readonly limits: Pick<FleetLimits, 'pollRecordsMax' | 'epochBytesMax' | 'pendingBytesMax'>;
  /** A lane's account does not come out even. */
  readonly onUnaccounted: (worker: string, account: PartitionAccount) => void;
  readonly onLog: (worker: string, level: string, fields: Readonly<Record<string, unknown>>, message: string) => void;
}

export interface SimWorker {
  readonly process: SimProcess;
  readonly network: Network;
  readonly workerId: string;
  readonly fleet: Fleet;
  /** Set when `run` came back. */
  end: 'running' | 'ended' | { readonly error: unknown };
  stopAskedAt: number | null;
}

export function startWorker(outside: Outside, workerId: string, incarnation: number): SimWorker {
  const { world, cluster, topics } = outside;
  const name = `${workerId}#${incarnation}`;
  const process = new SimProcess(world, name);
  const timing = process.timing();
  const network: Network = { lostAnswers: 0, slow: 0.02, heldFrames: 0, silentEnds: 0, refusedRecords: 0 };
  const clients = simulatedClients({ cluster, process, network });
  const tell = (level: string) => (fields: Readonly<Record<string, unknown>>, message: string) => outside.onLog(name, level, fields, message);
  const log: Log = { debug: tell('debug'), info: tell('info'), warn: tell('warn'), error: tell('error') };
  const telemetry: Telemetry = {
    consumed: () => {},
    dedupe: () => {},
    committed: () => {
      for (const account of fleet.accounts()) if (account.unaccounted !== 0) outside.onUnaccounted(name, account);
    },
    aborted: () => {},
    audited: () => {},
    windowRebuilt: () => {},
    dependency: () => {},
  };
  const shared = { brokers: 'simulated', log, timing, clients };
  const reader = createTopicReader({ ...shared, clientId: workerId });
  const fleetLog = createFleetLog({
    ...shared,
    groupId,
    workerId,
    topics,
    sessionTimeoutMs: 6_000,
    transactionTimeoutMs: 10_000,
    gatherMs: 10,
    onAborted: () => {},
    onReachable: () => {},
  });
  const claims = simulatedClaims({ world, process, server: outside.redis, faults: outside.redisFaults });
  const fleet: Fleet = new Fleet({
    log,
    fleetLog,
    reader,
    claims,
    topics,
    worker: workerId,
    timing,
    telemetry,
    limits: {
      commitIntervalMs: 100,
      gatherMs: 10,
      ...outside.limits,
      drainDeadlineMs: 10_000,
      dedupeWindowSeconds: 86_400,
    },
    createPipeline: ({ partitionCount, deadLetterPartitionCount }) =>
      createPipeline({
        monotonic: timing.monotonic,
        decodeStage: createDecodeStage({
          decoder: simulatedDecoder({ world, process, faults: outside.decoderFaults }),
          inboundTopic: topics.inbound,
        }),
        routeStage: createRouteStage({ directory: outside.directory, partitionCount }),
        dedupeStage: createDedupeStage({
          claims,
          telemetry,
          log,
          timing,
          rebuild: (partition, signal) => fleet.rebuildWindow(partition, signal),
        }),
        settleStage: createSettleStage({
          clock: timing.now,
          topics,
          partitionCount,
          deadLetterPartitionCount,
          resultSchemaId: 1,
          worker: workerId,
        }),
      }),
  });
  const worker: SimWorker = { process, network, workerId, fleet, end: 'running', stopAskedAt: null };
  world.note(`${name} starts`);
  process.after(0, () => {
    fleet.run().then(
      () => {
        worker.end = 'ended';
        world.note(`${name} has ended`);
        void reader.close();
        process.kill();
      },
      (error: unknown) => {
        worker.end = { error };
        world.note(`${name} failed: ${String(error)} ${String((error as { cause?: unknown }).cause ?? '')}`);
        process.kill();
      },
    );
  });
  return worker;
}
