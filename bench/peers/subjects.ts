/** What is measured: how each subject is started on a fleet's topics, and ended. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from '../../src/config.ts';
import { startChild } from '../../src/demo/children.ts';
import type { TopicNames } from '../../src/domain/topics.ts';

export interface Place {
  readonly config: Config;
  readonly topics: TopicNames;
  readonly folder: string;
  /** Of subjects that commit by the clock. */
  readonly commitIntervalMs: number;
  readonly environment: Readonly<Record<string, string>>;
}

export interface Running {
  readonly name: string;
  readonly pid: number;
  /** Where `/metrics` is served; null: nowhere. */
  readonly metricsPort: number | null;
  /** It has ended by itself. */
  exited(): boolean;
  /** The last that it wrote, in one line. */
  lastWords(): string;
  end(): Promise<unknown>;
}

export interface Subject {
  readonly name: string;
  /** For a reader who sees the name for the first time. */
  readonly what: string;
  /** It writes PaymentResults, which can be looked at. */
  readonly answers: boolean;
  /** It keeps the whole contract: also what it refuses, and why, is compared. */
  readonly isWhole: boolean;
  /** It takes messages with more than one transaction. */
  readonly takesBulk: boolean;
  /** It cannot be spread over several processes. */
  readonly oneProcess: boolean;
  /** About what it does on two cores, to say beforehand how long a measurement takes. */
  readonly eventsPerSecond: number;
  /** What this machine lacks for it; null: nothing. */
  lacking(): string | null;
  start(place: Place, processes: number): Promise<readonly Running[]>;
  startSink?(place: Place): Promise<readonly Running[]>;
}

export const fleet: Subject = {
  name: 'fleet',
  what: 'settlefleet worker, as it is',
  answers: true,
  isWhole: true,
  takesBulk: true,
  oneProcess: false,
  eventsPerSecond: 15_000,
  lacking: () => null,
  start: (place, processes) => Promise.all(Array.from({ length: processes }, (_, i) => settlefleet(place, `worker-${i}`, 'worker'))),
  startSink: async (place) => [await settlefleet(place, 'sink', 'sink')],
};

async function settlefleet(place: Place, name: string, command: string, nodeOptions: readonly string[] = []): Promise<Running> {
  const child = await startChild(`${place.config.consumerGroup}-${name}`, command, { logFile: join(place.folder, `${name}.log`), environment: place.environment, nodeOptions });
  await child.ready();
  return { name: child.name, pid: child.pid, metricsPort: child.metricsPort, exited: () => child.exited() !== null, lastWords: () => lastLines(child.logFile), end: () => child.end() };
}

/** What exactly-once costs is the difference to this one. */
export const withoutTransactions: Subject = {
  ...fleet,
  name: 'at-least-once',
  what: 'the same worker without Kafka transactions: an idempotent producer, flushed, then an ordinary offset commit',
  start: (place, processes) => Promise.all(Array.from({ length: processes }, (_, i) =>
    settlefleet(place, `worker-${i}`, 'worker', ['--import', join(import.meta.dirname, 'without-transactions', 'register.ts')]))),
};

export const ceiling: Subject = {
  name: 'ceiling',
  what: 'the same Kafka client and Kafka transactions with nothing between',
  answers: false,
  isWhole: false,
  takesBulk: true,
  oneProcess: false,
  eventsPerSecond: 25_000,
  lacking: () => null,
  start: async (place, processes) =>
    Array.from({ length: processes }, (_, i) => started(process.execPath, [join(import.meta.dirname, 'ceiling.ts')], place, `ceiling-${i}`)),
};

/** With the Kafka client's own API: what the packed bridge brings. */
function withoutBridge(subject: Subject): Subject {
  const raw = (place: Place): Place => ({ ...place, environment: { ...place.environment, KAFKA_BRIDGE: 'off' } });
  return {
    ...subject,
    name: `${subject.name}-raw`,
    what: `${subject.what}; without the packed bridge (KAFKA_BRIDGE=off)`,
    start: (place, processes) => subject.start(raw(place), processes),
    ...(subject.startSink === undefined ? {} : { startSink: (place: Place) => subject.startSink!(raw(place)) }),
  };
}

const streamsFolder = join(import.meta.dirname, 'kafka-streams');
const streamsJars = join(streamsFolder, 'target', 'jars');

export const streams: Subject = {
  name: 'streams',
  what: 'Kafka Streams 4.1, exactly_once_v2, as an expert would write it',
  answers: true,
  isWhole: false,
  takesBulk: false,
  oneProcess: false,
  eventsPerSecond: 12_000,
  lacking() {
    const java = process.env['STACK_JAVA'] ?? '';
    if (!existsSync(join(dirname(java), 'javac'))) return 'a JDK (javac) beside the stack\'s Java';
    return spawnSync('mvn', ['--version']).status === 0 ? null : 'Maven';
  },
  async start(place, processes) {
    const java = process.env['STACK_JAVA']!;
    const source = join(streamsFolder, 'src', 'main', 'java', 'SettlementPeer.java');
    const built = join(streamsFolder, 'target', 'classes', 'SettlementPeer.class');
    if (!existsSync(streamsJars) || !existsSync(built) || statSync(built).mtimeMs < statSync(source).mtimeMs) {
      const building = spawnSync('mvn', ['-B', '-q', '-f', join(streamsFolder, 'pom.xml'), 'package'], { encoding: 'utf8', env: { ...process.env, JAVA_HOME: dirname(dirname(java)) } });
      if (building.status !== 0) throw new Error(`the Kafka Streams peer could not be built\n${building.stdout}${building.stderr}`);
    }
    const classpath = `${join(streamsFolder, 'target', 'classes')}:${join(streamsJars, '*')}`;
    return Array.from({ length: processes }, (_, i) => {
      const state = join(place.folder, `streams-${i}`);
      mkdirSync(state);
      return started(java, ['-Xms512m', '-Xmx512m', '-XX:+UseParallelGC', '-cp', classpath, 'SettlementPeer', state], place, `streams-${i}`);
    });
  },
};

export const plain: Subject = {
  name: 'plain',
  what: 'the plain Node way: KafkaJS-like API, fast-xml-parser a message a task in Piscina, SET NX a payment, a Kafka transaction a batch',
  answers: true,
  isWhole: false,
  takesBulk: true,
  oneProcess: true,
  eventsPerSecond: 1_500,
  lacking: () => null,
  start: async (place) => [started(process.execPath, [join(import.meta.dirname, 'plain', 'main.ts')], place, 'plain')],
};

const all: Readonly<Record<string, Subject>> = {
  fleet, streams, plain, ceiling, 'at-least-once': withoutTransactions, 'fleet-raw': withoutBridge(fleet), 'ceiling-raw': withoutBridge(ceiling),
};
export const subjectNames = Object.keys(all);

export function subjectsOf(names: readonly string[]): Subject[] {
  return names.map((name) => all[name]!);
}

function started(program: string, args: readonly string[], { config, topics, folder, commitIntervalMs, environment }: Place, name: string): Running {
  const log = openSync(join(folder, `${name}.log`), 'w');
  const child = spawn(program, [...args], {
    stdio: ['ignore', log, log],
    env: {
      ...process.env, KAFKA_BROKERS: config.kafkaBrokers, GROUP: config.consumerGroup, PROCESS: name,
      INBOUND: topics.inbound, RESULTS: topics.results, DEAD_LETTER: topics.deadLetter, CREDITS: topics.routed, POSITIONS: topics.positions, REDIS_URL: config.redisUrl, SCHEMA_REGISTRY_URL: config.schemaRegistryUrl, TOPIC_PREFIX: config.topicPrefix, COMMIT_INTERVAL_MS: String(commitIntervalMs),
      KAFKA_BRIDGE: environment['KAFKA_BRIDGE'] ?? '',
    },
  });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  return {
    name,
    pid: child.pid!,
    metricsPort: null,
    exited: () => child.exitCode !== null || child.signalCode !== null,
    lastWords: () => lastLines(join(folder, `${name}.log`)),
    async end() {
      const gone = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : Promise.resolve();
      child.kill('SIGTERM');
      const hard = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await gone;
      clearTimeout(hard);
      process.off('exit', kill);
    },
  };
}

function lastLines(file: string): string {
  return readFileSync(file, 'utf8').trim().split('\n').slice(-5).join(' | ').slice(-1_000);
}
