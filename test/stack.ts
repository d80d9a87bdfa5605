/**
 * How integration tests reach real parts: the stack that `./dev test` brings up, and parts of a test's own that it may
 * kill, freeze and empty without harm to the others.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import {
  newClusterId, programVariables, startKafka as startKafkaNode, startPrometheus as startPrometheusServer, startRedis as startRedisServer,
} from '../scripts/dev/stack/parts.ts';
import type { Part, Program } from '../scripts/dev/stack/parts.ts';
import { chooseFreePort } from '../scripts/dev/stack/ports.ts';
import { isAlive } from '../scripts/dev/stack/processes.ts';
import type { OwnProcess } from '../scripts/dev/stack/processes.ts';

export interface StackEnvironment {
  /** `host:port` of the broker, as KAFKA_BROKERS takes it. */
  readonly kafkaBrokers: string;
  /** With the path of Confluent's API. */
  readonly schemaRegistryUrl: string;
  readonly redisUrl: string;
  /** Held by one process at a time where it is chdb; a test that wants its own uses a directory of its own. */
  readonly clickhouseUrl: string;
  readonly prometheusUrl: string;
  /** Where Prometheus looks, each second, for what to scrape: `[{ "targets": ["127.0.0.1:9464"], "labels": {} }]`. */
  readonly prometheusTargetsFile: string;
}

function variable(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '') {
    throw new Error(`${name} is not set: this test needs real parts, run it by \`./dev test\` (or \`./dev stack up\` and its env file)`);
  }
  return value;
}

/** The addresses of the running stack. Throws, naming the variable, where there is none. */
export function stackEnvironment(): StackEnvironment {
  return {
    kafkaBrokers: variable('KAFKA_BROKERS'),
    schemaRegistryUrl: variable('SCHEMA_REGISTRY_URL'),
    redisUrl: variable('REDIS_URL'),
    clickhouseUrl: variable('CLICKHOUSE_URL'),
    prometheusUrl: variable('PROMETHEUS_URL'),
    prometheusTargetsFile: variable('PROMETHEUS_TARGETS_FILE'),
  };
}

/** A part that belongs to one test. Its port stays the same over any number of kills and starts. */
export interface OwnPart {
  readonly port: number;
  /** SIGSTOP freezes it with its connections open, SIGCONT lets it go on. */
  signal(signal: NodeJS.Signals): void;
  /** SIGKILL; returns when it is gone. What it had on disk stays. */
  kill(): Promise<void>;
  /** SIGTERM; returns when it has ended. */
  stop(): Promise<void>;
  /** Starts it again after a kill or a stop; returns when it answers. */
  start(): Promise<void>;
  /** Ends it and removes what it had on disk. To be called in every case, e.g. in `afterAll`. */
  remove(): Promise<void>;
}

export interface OwnRedis extends OwnPart {
  /** `redis://127.0.0.1:port`. Comes back empty after a kill. */
  readonly url: string;
}

export interface OwnKafka extends OwnPart {
  /** `127.0.0.1:port`. Comes back with its topics after a kill. */
  readonly brokers: string;
}

/** A Redis of the test's own. `args` are options of redis-server, e.g. `['--maxmemory', '10mb']`. */
export async function startRedis(options: { port?: number; args?: readonly string[] } = {}): Promise<OwnRedis> {
  const port = options.port ?? await chooseFreePort();
  const part = await startOwnPart('redis', port, (directory, labels) => startRedisServer(
    { redisServer: program('redis:7.4', variableOr('redisServer', 'redis-server'), directory, labels) },
    { ...partOptions('redis', directory, port), args: options.args ?? [] },
  ));
  return { ...part, url: `redis://127.0.0.1:${port}` };
}

/** A Kafka node of the test's own, broker and controller; up in about five seconds, 256 MiB of heap. `properties` stand in its server.properties. */
export async function startKafka(options: { port?: number; properties?: Readonly<Record<string, string>> } = {}): Promise<OwnKafka> {
  const port = options.port ?? await chooseFreePort();
  const controllerPort = await chooseFreePort({ taken: new Set([port]) });
  const part = await startOwnPart('kafka', port, (directory, labels) => startKafkaNode(
    {
      java: program('apache/kafka:4.1.0', variableOr('java', 'java'), directory, labels),
      kafkaJars: variableOr('kafkaJars', '/opt/kafka/libs'),
    },
    { ...partOptions('kafka', directory, port), controllerPort, heapMegabytes: 256, isShortLived: true, properties: options.properties ?? {} },
  ));
  return { ...part, brokers: `127.0.0.1:${port}` };
}

export interface OwnBroker extends OwnKafka {
  readonly nodeId: number;
}

/**
 * Three Kafka nodes of the test's own, each broker and controller, whose topics survive the loss of one: replication 3, of
 * which 2 must have what is acknowledged. `advertisedPorts`: where clients of the second listener are told to go, e.g.
 * through a proxy; `listenerPorts` says where that listener really is.
 */
export async function startKafkaCluster(options: { advertisedPorts: readonly number[]; listenerPorts: readonly number[] }): Promise<OwnBroker[]> {
  const taken = new Set([...options.advertisedPorts, ...options.listenerPorts]);
  const choose = (count: number): Promise<number[]> => Promise.all(Array.from({ length: count }, () => chooseFreePort({ taken })));
  const [ports, controllerPorts] = [await choose(3), await choose(3)];
  const clusterId = newClusterId();
  return Promise.all(ports.map(async (port, index) => {
    const nodeId = index + 1;
    const part = await startOwnPart(`kafka-${nodeId}`, port, (directory, labels) => startKafkaNode(
      { java: program('apache/kafka:4.1.0', variableOr('java', 'java'), directory, labels), kafkaJars: variableOr('kafkaJars', '/opt/kafka/libs') },
      {
        ...partOptions('kafka', directory, port), controllerPort: controllerPorts[index]!, heapMegabytes: 192, isShortLived: true, clusterId,
        properties: {
          'node.id': String(nodeId),
          'controller.quorum.voters': controllerPorts.map((at, i) => `${i + 1}@127.0.0.1:${at}`).join(','),
          listeners: `BROKER://127.0.0.1:${port},FLEET://127.0.0.1:${options.listenerPorts[index]},CONTROLLER://127.0.0.1:${controllerPorts[index]}`,
          'advertised.listeners': `BROKER://127.0.0.1:${port},FLEET://127.0.0.1:${options.advertisedPorts[index]}`,
          'listener.security.protocol.map': 'BROKER:PLAINTEXT,FLEET:PLAINTEXT,CONTROLLER:PLAINTEXT',
          'offsets.topic.replication.factor': '3',
          'transaction.state.log.replication.factor': '3',
          'transaction.state.log.min.isr': '2',
          'default.replication.factor': '3',
          'min.insync.replicas': '2',
          // A broker that was killed is noticed in seconds, so that a run of minutes sees many.
          'broker.session.timeout.ms': '4000',
          'broker.heartbeat.interval.ms': '1000',
          'replica.lag.time.max.ms': '6000',
        },
      },
    ));
    return { ...part, brokers: `127.0.0.1:${port}`, nodeId };
  }));
}

export interface OwnPrometheus extends OwnPart {
  readonly url: string;
}

/**
 * A Prometheus of the test's own that scrapes these, each `host:port`, every second: one that sees no other fleet. `rules`:
 * what it evaluates in place of grafana/rules.
 */
export async function startPrometheus(options: { targets: readonly string[]; rules?: string }): Promise<OwnPrometheus> {
  const port = await chooseFreePort();
  const part = await startOwnPart('prometheus', port, (directory, labels) => {
    const targetsFile = join(directory, 'targets.json');
    writeFileSync(targetsFile, JSON.stringify([{ targets: options.targets, labels: {} }]));
    return startPrometheusServer(
      { prometheus: program('prom/prometheus:v3.5.0', variableOr('prometheus', 'prometheus'), directory, labels) },
      { ...partOptions('prometheus', directory, port), targetsFile, ...rulesIn(directory, options.rules) },
    );
  });
  return { ...part, url: `http://127.0.0.1:${port}` };
}

function rulesIn(directory: string, rules: string | undefined): { rulesDirectory?: string } {
  if (rules === undefined) return {};
  const rulesDirectory = join(directory, 'rules');
  mkdirSync(rulesDirectory, { recursive: true });
  writeFileSync(join(rulesDirectory, 'rules.yml'), rules);
  return { rulesDirectory };
}

function partOptions(name: string, directory: string, port: number) {
  return { directory, port, logFile: join(directory, `${name}.log`), remember: (own: OwnProcess) => void started.push(own), standing: 'beside' as const };
}

/** Killed when this process ends, whatever ends it but SIGKILL: nobody else knows them, and one that is frozen hears no other signal. */
const started: OwnProcess[] = [];
process.on('exit', () => {
  for (const own of started) if (isAlive(own)) process.kill(own.pid, 'SIGKILL');
});

const inContainers = (): boolean => variable('STACK_ENGINE') === 'containers';

function variableOr(key: keyof typeof programVariables, inContainer: string): string {
  return inContainers() ? inContainer : variable(programVariables[key]);
}

/** The program itself, or the same program in a container that shares this machine's network and the two directories. */
function program(image: string, command: string, directory: string, label: string): Program {
  if (!inContainers()) return [command];
  const { uid, gid } = userInfo();
  const repository = join(import.meta.dirname, '..');
  return [
    'docker', 'run', '--rm', '--init', '--network', 'host', '--user', `${uid}:${gid}`,
    '--label', `settlefleet.stack=${variable('STACK_PROJECT')}`, '--label', label,
    '--volume', `${directory}:${directory}`, '--volume', `${repository}:${repository}:ro`,
    '--entrypoint', command, image,
  ];
}

async function startOwnPart(
  name: string, port: number, start: (directory: string, label: string) => Promise<Part>,
): Promise<OwnPart> {
  // Beside the stack's own data, so that it goes away with the stack when a test is killed before it can tidy up.
  const directory = mkdtempSync(join(process.env['STACK_DIRECTORY'] || tmpdir(), `settlefleet-${name}-`));
  const label = `settlefleet.part=${name}-${process.pid}-${port}`;
  let running: Part | undefined = await start(directory, label);

  const signal = (sent: NodeJS.Signals): void => {
    if (running === undefined || running.child.exitCode !== null || running.child.signalCode !== null) return;
    if (!inContainers()) {
      running.child.kill(sent);
      return;
    }
    const ids = execFileSync('docker', ['ps', '--quiet', '--filter', `label=${label}`], { encoding: 'utf8' }).split('\n').filter(Boolean);
    if (ids.length > 0) execFileSync('docker', ['kill', '--signal', sent, ...ids]);
  };
  const end = async (by: 'SIGKILL' | 'SIGTERM'): Promise<void> => {
    if (running === undefined) return;
    const { child } = running;
    if (child.exitCode === null && child.signalCode === null) {
      child.ref();
      const gone = once(child, 'exit');
      signal(by);
      await gone;
    }
    running = undefined;
  };
  const kill = (): Promise<void> => end('SIGKILL');
  return {
    port,
    signal,
    kill,
    stop: () => end('SIGTERM'),
    start: async () => {
      if (running !== undefined) throw new Error(`${name} on port ${port} is running: kill it before it is started again`);
      running = await start(directory, label);
    },
    remove: async () => {
      await kill();
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
