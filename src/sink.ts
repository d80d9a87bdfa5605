/**
 * The composition root of a sink: which adapter stands behind each port, and in which order a process comes up and goes
 * down. Nothing is decided here.
 */
import packageJson from '../package.json' with { type: 'json' };
import { databaseOf, createRowStore } from './adapters/clickhouse/row-store.ts';
import { openEmbeddedSession } from './adapters/clickhouse/embedded.ts';
import { startQueryEndpoint } from './adapters/clickhouse/query-endpoint.ts';
import type { QueryEndpoint } from './adapters/clickhouse/query-endpoint.ts';
import { restrictToReading } from './adapters/clickhouse/read-session.ts';
import { operatorHandlers } from './adapters/http/operator.ts';
import { startHealthServer } from './adapters/http/server.ts';
import { statusPageHandlers } from './adapters/http/status-page.ts';
import { announceBridge, bridgeState } from './adapters/kafka/bridge/bridge.ts';
import { createDirectoryFollower } from './adapters/kafka/directory.ts';
import { createSinkLog } from './adapters/kafka/sink-log.ts';
import { sessionTimeoutMs } from './adapters/kafka/timeouts.ts';
import { createLog, logLevelAction } from './adapters/log/log.ts';
import { snapshotRegistry } from './adapters/prometheus/registry-snapshot.ts';
import { PrometheusSinkTelemetry } from './adapters/prometheus/sink-telemetry.ts';
import { createWriterSchemas } from './adapters/registry/writer-schemas.ts';
import type { Config } from './config.ts';
import { startMetricExports } from './exports.ts';
import { topicNames } from './domain/topics.ts';
import type { Log } from './ports.ts';
import { deadLetterColumns } from './sink/dead-letter-rows.ts';
import type { DirectoryEntry, SinkTable } from './sink/ports.ts';
import { resultColumns } from './sink/result-rows.ts';
import { createSink, sinkLimits } from './sink/sink.ts';

const drainDeadlineMs = 15_000;
/** After SIGTERM; a supervisor's own limit is 30 s as a rule. */
const endDeadlineMs = 25_000;
/** Sessions for those who ask: so many queries run at a time. */
const readSessions = 2;

/** Runs until `signal` is aborted; resolves when everything that was read is stored. */
export async function runSink(config: Config, signal: AbortSignal): Promise<void> {
  const log = createLog({ level: config.logLevel, fields: { process: 'sink', worker: config.workerId } });
  announceBridge(log);
  const topics = topicNames(config.topicPrefix);
  const { target, database } = databaseOf(config.clickhouseUrl);
  const telemetry = new PrometheusSinkTelemetry(() => sink.reasonsNotReady().length === 0, bridgeState().inForce);
  const schemas = createWriterSchemas({
    url: config.schemaRegistryUrl,
    directory: config.schemaCacheDir,
    log,
    telemetry,
  });
  let endpoint: QueryEndpoint | undefined;
  const store = createRowStore({
    clickhouseUrl: config.clickhouseUrl,
    sinkName: config.workerId,
    retention: { rowsDays: config.clickhouseRetentionDays, minutesDays: config.clickhouseMinutesRetentionDays },
    partitionBy: config.clickhousePartitionBy,
    layouts: {
      results: { columns: resultColumns, partitionColumn: 'result_partition', offsetColumn: 'result_offset' },
      dead_letters: { columns: deadLetterColumns, partitionColumn: 'dead_letter_partition', offsetColumn: 'dead_letter_offset' },
    },
    log,
    onPrepared: async () => {
      if (target.kind === 'embedded') endpoint ??= await serveReaders(target.path, database, log);
    },
    beforeClose: async () => {
      await endpoint?.close();
    },
  });
  const entries: DirectoryEntry[] = [];
  const directory = createDirectoryFollower({
    brokers: config.kafkaBrokers,
    clientId: config.workerId,
    topic: topics.participants,
    log,
    onEntry: (entry) => entries.push(entry),
  });
  const sink = createSink({
    kafka: createSinkLog({
      brokers: config.kafkaBrokers,
      groupId: `${config.consumerGroup}-sink`,
      clientId: config.workerId,
      topics: [topics.results, topics.deadLetter],
      sessionTimeoutMs,
      log,
    }),
    directory: { take: () => (entries.length === 0 ? [] : entries.splice(0)) },
    store,
    schemas,
    tables: new Map<string, SinkTable>([
      [topics.results, 'results'],
      [topics.deadLetter, 'dead_letters'],
    ]),
    limits: sinkLimits,
    retentionDays: config.clickhouseRetentionDays,
    clock: Date.now,
    log,
    telemetry,
  });
  const startedAt = Date.now();
  const health = await startHealthServer({
    port: config.metricsPort,
    registry: telemetry.registry,
    reasonsNotReady: () => sink.reasonsNotReady(),
    handlers: new Map([
      ...statusPageHandlers(async () => ({
        process: 'sink',
        name: config.workerId,
        group: `${config.consumerGroup}-sink`,
        version: packageJson.version,
        startedAt,
        now: Date.now(),
        state: 'running',
        reasonsNotReady: sink.reasonsNotReady(),
        logLevel: log.level,
        lanes: [],
        ...(await snapshotRegistry(telemetry.registry)),
      })),
      ...operatorHandlers({ token: config.adminToken, actions: { 'log-level': logLevelAction(log) }, log }),
    ]),
    log,
  });

  const exports = await startMetricExports('sink', config, telemetry.registry, log);

  let deadline: NodeJS.Timeout | undefined;
  const end = (): void => {
    sink.stop(drainDeadlineMs);
    schemas.close();
    deadline = setTimeout(() => {
      log.error({ afterMs: endDeadlineMs }, 'The sink did not end in time; what is not stored is read again');
      process.exit(1);
    }, endDeadlineMs);
    deadline.unref();
  };
  if (signal.aborted) end();
  signal.addEventListener('abort', end, { once: true });
  // It waits for its topic; rows do not wait for it.
  const following = directory.start();
  try {
    await sink.run();
    log.info({}, 'The sink has ended');
  } finally {
    clearTimeout(deadline);
    schemas.close();
    await directory.stop();
    await following;
    await exports.close();
    await health.close();
  }
}

async function serveReaders(path: string, database: string, log: Log): Promise<QueryEndpoint> {
  const sessions = await Promise.all(Array.from({ length: readSessions }, () => openEmbeddedSession(path)));
  for (const session of sessions) await restrictToReading(session, database);
  return startQueryEndpoint({ path, sessions, log });
}
