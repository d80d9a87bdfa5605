/** What is measured: how each subject is started on a fleet's topics, and ended. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from '../../src/config.ts';
import { startChild } from '../../src/demo/children.ts';
import type { TopicNames } from '../../src/domain/topics.ts';

export interface Place {
  readonly config: Config;
  readonly topics: TopicNames;
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
}

export interface Running {
  readonly pid: number;
  end(): Promise<unknown>;
}

export interface Subject {
  readonly name: string;
  /** It writes PaymentResults, which can be looked at. */
  readonly answers: boolean;
  /** What this machine lacks for it; null: nothing. */
  lacking(): string | null;
  start(place: Place, processes: number): Promise<readonly Running[]>;
  startSink?(place: Place): Promise<readonly Running[]>;
}

export const fleet: Subject = {
  name: 'fleet',
  answers: true,
  lacking: () => null,
  start: (place, processes) => Promise.all(Array.from({ length: processes }, (_, i) => settlefleet(place, `worker-${i}`, 'worker'))),
  startSink: async (place) => [await settlefleet(place, 'sink', 'sink')],
};

async function settlefleet(place: Place, name: string, command: string): Promise<Running> {
  const child = await startChild(`${place.config.consumerGroup}-${name}`, command, { logFile: join(place.folder, `${name}.log`), environment: place.environment });
  await child.ready();
  return child;
}

export const ceiling: Subject = {
  name: 'ceiling',
  answers: false,
  lacking: () => null,
  start: async (place, processes) =>
    Array.from({ length: processes }, (_, i) => started(process.execPath, [join(import.meta.dirname, 'ceiling.ts')], place, `ceiling-${i}`)),
};

const streamsFolder = join(import.meta.dirname, 'kafka-streams');
const streamsJars = join(streamsFolder, 'target', 'jars');

export const streams: Subject = {
  name: 'streams',
  answers: true,
  lacking() {
    const java = process.env['STACK_JAVA'] ?? '';
    if (!existsSync(join(dirname(java), 'javac'))) return 'a JDK (javac) beside the stack\'s Java';
    return spawnSync('mvn', ['--version']).status === 0 ? null : 'Maven';
  },
  async start(place, processes) {
    const java = process.env['STACK_JAVA']!;
    if (!existsSync(streamsJars)) {
      const built = spawnSync('mvn', ['-B', '-q', '-f', join(streamsFolder, 'pom.xml'), 'package'], { encoding: 'utf8', env: { ...process.env, JAVA_HOME: dirname(dirname(java)) } });
      if (built.status !== 0) throw new Error(`the Kafka Streams peer could not be built\n${built.stdout}${built.stderr}`);
    }
    const classpath = `${join(streamsFolder, 'target', 'classes')}:${join(streamsJars, '*')}`;
    return Array.from({ length: processes }, (_, i) => {
      const state = join(place.folder, `streams-${i}`);
      mkdirSync(state);
      return started(java, ['-Xms512m', '-Xmx512m', '-XX:+UseParallelGC', '-cp', classpath, 'SettlementPeer', state], place, `streams-${i}`);
    });
  },
};

function started(program: string, args: readonly string[], { config, topics, folder }: Place, name: string): Running {
  const log = openSync(join(folder, `${name}.log`), 'w');
  const child = spawn(program, [...args], {
    stdio: ['ignore', log, log],
    env: {
      ...process.env, KAFKA_BROKERS: config.kafkaBrokers, GROUP: config.consumerGroup, PROCESS: name,
      INBOUND: topics.inbound, RESULTS: topics.results, DEAD_LETTER: topics.deadLetter, CREDITS: topics.routed, TOPIC_PREFIX: config.topicPrefix,
    },
  });
  process.once('exit', () => child.kill('SIGKILL'));
  return {
    pid: child.pid!,
    async end() {
      const gone = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : Promise.resolve();
      child.kill('SIGTERM');
      const hard = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await gone;
      clearTimeout(hard);
    },
  };
}
