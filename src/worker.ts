/**
 * The composition root of a worker: which adapter stands behind each port, and in which order a process comes up and goes
 * down. Nothing is decided here.
 */
import packageJson from '../package.json' with { type: 'json' };
import { PrometheusTelemetry } from './adapters/prometheus/telemetry.ts';
import { createDecoder } from './adapters/piscina/decoder.ts';
import { announceBridge, bridgeState } from './adapters/kafka/bridge/bridge.ts';
import { createDirectoryFollower } from './adapters/kafka/directory.ts';
import { createFleetLog } from './adapters/kafka/fleet-log.ts';
import { createGroupOffsets } from './adapters/kafka/group-offsets.ts';
import { createLog } from './adapters/log/log.ts';
import { operatorHandlers } from './adapters/http/operator.ts';
import type { OperatorAnswer } from './adapters/http/operator.ts';
import { logLevelAction } from './adapters/log/log.ts';
import { readTopicId } from './adapters/kafka/topic-identity.ts';
import { createTopicReader } from './adapters/kafka/topic-reader.ts';
import { sessionTimeoutMs, transactionTimeoutMs } from './adapters/kafka/timeouts.ts';
import { systemTiming } from './adapters/system/timing.ts';
import { createWriterSchemas } from './adapters/registry/writer-schemas.ts';
import { RedisClaims } from './adapters/redis/claims.ts';
import { snapshotRegistry } from './adapters/prometheus/registry-snapshot.ts';
import { spanCounter } from './adapters/prometheus/shared.ts';
import type { ClosableTracing } from './adapters/opentelemetry/tracing.ts';
import { resultSchemaId } from './adapters/registry/result-schema.ts';
import { startHealthServer } from './adapters/http/server.ts';
import { statusPageHandlers } from './adapters/http/status-page.ts';
import { readPaymentMessage } from './codec/iso20022/payment-reader.ts';
import type { Config } from './config.ts';
import { startMetricExports, tellerOf } from './exports.ts';
import { mostUsedCaps } from './domain/cap-use.ts';
import { topicNames } from './domain/topics.ts';
import { FatalError } from './errors.ts';
import { Fleet } from './fleet.ts';
import type { Duty } from './fleet.ts';
import { KafkaAudit } from './kafka-audit.ts';
import { LagWatch } from './lag-watch.ts';
import type { Dependency, Log } from './ports.ts';
import { createPipeline } from './pipeline.ts';
import { createDecodeStage } from './stages/decode.ts';
import { createDedupeStage } from './stages/dedupe.ts';
import { createRouteStage } from './stages/route.ts';
import { createSettleStage } from './stages/settle.ts';

const drainDeadlineMs = 10_000;
/** After SIGTERM; a supervisor's own limit is 30 s as a rule (Kubernetes, Docker with --stop-timeout). */
const endDeadlineMs = 25_000;
const pollRecordsMax = 2_000;
/** Records come together for a tenth of a commit interval, and never longer than this. */
const gatherMsMax = 10;
const pendingBytesMax = 24 << 20;
const epochBytesMax = 12 << 20;
const redisCheckMs = 5_000;
/** Positions that have series of their own. */
const capUsesTold = 10;

/** Runs until `signal` is aborted; resolves when everything that was begun is committed. */
export async function runWorker(config: Config, signal: AbortSignal): Promise<void> {
  const { workerId } = config;
  const log = createLog({ level: config.logLevel, fields: { process: 'worker', worker: workerId } });
  announceBridge(log);
  const topics = topicNames(config.topicPrefix);
  const { now: clock, monotonic } = systemTiming;
  const gatherMs = Math.max(1, Math.min(gatherMsMax, Math.round(config.commitIntervalMs / 10)));

  let schemaId = 0;
  let resultsTopicId = '';

  // The fleet and what watches it need each other: the watchers ask only once everything stands.
  const telemetry = new WatchedTelemetry({
    lag: () => lagWatch.read(),
    accounts: () => fleet.accounts().map((account) => ({ ...account, unaccounted: account.unaccounted + audit.offsetsOutside(account.partition) })),
    lanes: () => fleet.lanes().map(({ state }) => state),
    isReady: () => reasonsNotReady().length === 0,
    bytes: () => fleet.bytes(),
    kafkaBridge: bridgeState().inForce,
    rebuilds: () => fleet.rebuilds(),
    decoder: () => ({ threads: config.parserThreads, busySeconds: decoder.busySeconds() }),
    capUse: () => mostUsedCaps(fleet.positions(), directory.current(), capUsesTold),
  });
  const reader = createTopicReader({ brokers: config.kafkaBrokers, clientId: workerId, log, onReachable: (reachable) => telemetry.dependency('kafka', reachable) });
  const directory = createDirectoryFollower({
    brokers: config.kafkaBrokers,
    clientId: workerId,
    topic: topics.participants,
    log,
  });
  const claims = new RedisClaims({
    url: config.redisUrl,
    // With the topic's id, so that claims on results that were deleted since are not met again.
    namespace: () => `${config.consumerGroup} ${topics.results} ${resultsTopicId}`,
    windowSeconds: config.dedupeWindowSeconds,
    clock,
  });
  const schemas = createWriterSchemas({
    url: config.schemaRegistryUrl,
    directory: config.schemaCacheDir,
    log,
    telemetry,
  });
  const decoder = createDecoder({
    threads: config.parserThreads,
    schemas,
    maxEventBytes: config.maxEventBytes,
    log,
    readMessage: readPaymentMessage,
  });
  const fleetLog = createFleetLog({
    brokers: config.kafkaBrokers,
    groupId: config.consumerGroup,
    workerId,
    topics,
    sessionTimeoutMs,
    transactionTimeoutMs,
    gatherMs,
    log,
    onAborted: () => telemetry.aborted(),
    onReachable: (reachable) => telemetry.dependency('kafka', reachable),
  });
  const tracing = await startTracing(config, telemetry, log);
  const fleet: Fleet = new Fleet({
    log,
    fleetLog,
    reader,
    claims,
    topics,
    worker: workerId,
    timing: systemTiming,
    telemetry,
    tracing,
    limits: {
      commitIntervalMs: config.commitIntervalMs,
      pollRecordsMax,
      gatherMs,
      pendingBytesMax,
      epochBytesMax,
      drainDeadlineMs,
      dedupeWindowSeconds: config.dedupeWindowSeconds,
    },
    createPipeline: ({ partitionCount, deadLetterPartitionCount }) =>
      createPipeline({
        monotonic,
        decodeStage: createDecodeStage({ decoder, inboundTopic: topics.inbound }),
        routeStage: createRouteStage({ directory: () => directory.current(), partitionCount }),
        dedupeStage: createDedupeStage({
          claims,
          telemetry,
          log,
          timing: systemTiming,
          rebuild: (partition, laneSignal) => fleet.rebuildWindow(partition, laneSignal),
        }),
        settleStage: createSettleStage({
          clock,
          topics,
          partitionCount,
          deadLetterPartitionCount,
          resultSchemaId: schemaId,
          worker: workerId,
        }),
      }),
  });
  const lagWatch: LagWatch = new LagWatch({ fleet, reader, topics, timing: systemTiming });
  // Not stable offsets: under load there is hardly a moment without a Kafka transaction that is about to set them.
  const group = createGroupOffsets({ brokers: config.kafkaBrokers, clientId: `${workerId}-audit`, groupId: config.consumerGroup, stable: false });
  const audit: KafkaAudit = new KafkaAudit({ fleet, reader, group, topics, timing: systemTiming, telemetry, log });

  const waitingFor = new Set(['the schema of results (registry)', 'the directory (kafka)']);
  const reasonsNotReady = (): string[] => [
    ...Array.from(waitingFor, (what) => `waiting for ${what}`),
    ...telemetry.reasonsNotReady(),
    ...fleet.reasonsNotReady(),
  ];
  const startedAt = clock();
  const told = (duty: Duty) => (): OperatorAnswer => {
    fleet.ask(duty);
    return { done: { state: fleet.dutyState() } };
  };
  const health = await startHealthServer({
    port: config.metricsPort,
    registry: telemetry.registry,
    reasonsNotReady,
    handlers: new Map([
      ...statusPageHandlers(async () => ({
        process: 'worker',
        name: workerId,
        group: config.consumerGroup,
        version: packageJson.version,
        startedAt,
        now: clock(),
        state: fleet.dutyState(),
        reasonsNotReady: reasonsNotReady(),
        logLevel: log.level,
        lanes: fleet.lanes(),
        ...(await snapshotRegistry(telemetry.registry)),
      })),
      ...operatorHandlers({
        token: config.adminToken,
        actions: { pause: told('pause'), drain: told('drain'), resume: told('run'), 'log-level': logLevelAction(log) },
        log,
      }),
    ]),
    log,
  });

  const exports = await startMetricExports('worker', config, telemetry.registry, log);

  const ending = endInTime(signal, log, () => fleet.reasonsNotReady());
  signal.addEventListener('abort', () => fleet.stop(), { once: true });
  const watching = new AbortController();
  try {
    schemaId = await resultSchemaId({ url: config.schemaRegistryUrl, prefix: config.topicPrefix, log, telemetry, signal });
    waitingFor.delete('the schema of results (registry)');
    resultsTopicId = await readTopicId({ brokers: config.kafkaBrokers, clientId: workerId, topic: topics.results, log, signal });
    watchRedis(claims, telemetry, signal);
    await directory.start();
    waitingFor.delete('the directory (kafka)');
    const watchers = [lagWatch.run(watching.signal), audit.run(watching.signal)];
    if (!signal.aborted) await fleet.run();
    watching.abort();
    await Promise.all(watchers);
  } catch (error) {
    // Asked to end while it still waited for something: nothing was begun.
    if (!signal.aborted || error instanceof FatalError) throw error;
  } finally {
    watching.abort();
    schemas.close();
    await decoder.close();
    await claims.close();
    await directory.stop();
    await reader.close();
    await group.close();
    await Promise.all([tracing?.close(), exports.close()]);
    await health.close();
    ending.done();
    log.info({}, 'The worker has ended');
  }
}

/** Null where the settings want no traces; nothing of it is loaded then. */
async function startTracing(config: Config, telemetry: PrometheusTelemetry, log: Log): Promise<ClosableTracing | null> {
  const { traces } = config.telemetry;
  if (traces === null) return null;
  const { createTracing } = await import('./adapters/opentelemetry/tracing.ts');
  return createTracing({
    settings: traces,
    teller: tellerOf('worker', config),
    consumerGroup: config.consumerGroup,
    routedTopic: topicNames(config.topicPrefix).routed,
    onSpans: spanCounter(telemetry.registry),
    log,
  });
}

/** Ends the process the hard way when it does not end by itself, and says what was left. */
function endInTime(
  signal: AbortSignal,
  log: Log,
  left: () => readonly string[],
): { done(): void } {
  let timer: NodeJS.Timeout | undefined;
  signal.addEventListener(
    'abort',
    () => {
      timer = setTimeout(() => {
        log.error({ left: left() }, 'The worker could not end in time: what was not committed is read again by the next owner');
        process.exit(1);
      }, endDeadlineMs);
    },
    { once: true },
  );
  return { done: () => clearTimeout(timer) };
}

/** Remembers which dependencies did not answer when they were last needed. */
class WatchedTelemetry extends PrometheusTelemetry {
  readonly #down = new Map<Dependency, string>([['redis', 'not asked yet']]);

  override dependency(dependency: Dependency, up: boolean, reason = 'does not answer'): void {
    super.dependency(dependency, up);
    if (up) this.#down.delete(dependency);
    else this.#down.set(dependency, reason);
  }

  reasonsNotReady(): string[] {
    return Array.from(this.#down, ([dependency, reason]) => `${dependency}: ${reason}`);
  }
}

/** Redis is asked now and then, so that readiness and the gauge know of an outage before a payment does. */
function watchRedis(claims: RedisClaims, telemetry: WatchedTelemetry, signal: AbortSignal): void {
  const ask = async (): Promise<void> => {
    try {
      await claims.check();
      telemetry.dependency('redis', true);
    } catch (error) {
      telemetry.dependency('redis', false, error instanceof Error ? error.message : String(error));
    }
  };
  let asking: Promise<void> = ask();
  const timer = setInterval(() => {
    asking = asking.then(ask);
  }, redisCheckMs);
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  timer.unref();
}
