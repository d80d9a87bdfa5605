// The real parts of the stack as processes of this machine: how each is started, and when it counts as up.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';
import { httpAnswers, kafkaAnswers, redisAnswers, waitUntil } from './conditions.ts';
import { startProcess } from './processes.ts';
import type { OwnProcess, Standing } from './processes.ts';

const repositoryRoot = join(import.meta.dirname, '..', '..', '..');
const templates = join(import.meta.dirname, '..', 'components');
/** Seconds on a machine of one's own; minutes where others keep all its cores busy. */
const startBoundMs = 300_000;

/** Where the programs are. `./dev` finds or installs them and says so in the environment. */
export interface Programs {
  readonly java: Program;
  readonly kafkaJars: string;
  readonly registryHome: string;
  readonly redisServer: Program;
  readonly prometheus: Program;
}

/** The environment variables that carry `Programs`, from `./dev` to the stack and on to the tests. */
export const programVariables: Readonly<Record<keyof Programs, string>> = {
  java: 'STACK_JAVA',
  kafkaJars: 'STACK_KAFKA_JARS',
  registryHome: 'STACK_REGISTRY_HOME',
  redisServer: 'STACK_REDIS_SERVER',
  prometheus: 'STACK_PROMETHEUS',
};

/** Called with each process the moment it exists, before anything is awaited: whoever cleans up must know it. */
export type Remember = (own: OwnProcess) => void;

export interface PartOptions {
  readonly directory: string;
  readonly logFile: string;
  readonly port: number;
  readonly remember: Remember;
  /** `apart` by default: a stack outlives the process that starts it. */
  readonly standing?: Standing;
}

/** A command with what always stands before its arguments, e.g. `java`, or `docker run ... java`. */
export type Program = readonly [string, ...string[]];

/** A running part: whom to signal, and what to listen to for its end. */
export interface Part {
  readonly own: OwnProcess;
  readonly child: ChildProcess;
}

export interface KafkaNodeOptions extends PartOptions {
  readonly controllerPort: number;
  readonly heapMegabytes?: number;
  /** For nodes that live some minutes, in which nobody measures: compiled quickly rather than well. */
  readonly isShortLived?: boolean;
  /** Of a cluster of several nodes, the same for all of them; left out, a cluster of its own. */
  readonly clusterId?: string;
  /** Properties that stand behind those of kafka.properties, and so win. */
  readonly properties?: Readonly<Record<string, string>>;
}

/** One Kafka node with an empty log, or with the one that `directory` already holds. Answers when it returns. */
export async function startKafka(programs: { java: Program; kafkaJars: string }, options: KafkaNodeOptions): Promise<Part> {
  const data = join(options.directory, 'data');
  const configuration = join(options.directory, 'server.properties');
  mkdirSync(options.directory, { recursive: true });
  writeFileSync(configuration, fill('kafka.properties', {
    BROKER_PORT: String(options.port),
    CONTROLLER_PORT: String(options.controllerPort),
    DATA_DIRECTORY: data,
  }) + Object.entries(options.properties ?? {}).map(([name, value]) => `${name}=${value}\n`).join(''));
  const java = (name: string, args: readonly string[]): Part => {
    const started = startProcess(name, programs.java, {
      args: [`-Dlog4j2.configurationFile=${join(templates, 'log4j2.properties')}`, '-cp', join(programs.kafkaJars, '*'), ...args],
      logFile: options.logFile, standing: options.standing ?? 'apart',
    });
    options.remember(started.own);
    return started;
  };
  if (!existsSync(join(data, 'meta.properties'))) {
    const clusterId = options.clusterId ?? newClusterId();
    const format = java('kafka-format', [
      '-Xshare:auto', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC',
      'kafka.tools.StorageTool', 'format', '--cluster-id', clusterId, '--config', configuration,
    ]);
    await succeeds(format.child, 'kafka storage format', options.logFile);
  }
  const broker = java('kafka', [
    `-Xmx${options.heapMegabytes ?? 1024}m`, '-XX:+UseSerialGC', ...(options.isShortLived === true ? ['-XX:TieredStopAtLevel=1'] : []), '-Djava.awt.headless=true', 'kafka.Kafka', configuration,
  ]);
  await untilUp('kafka', () => kafkaAnswers(options.port), broker.child, options.logFile);
  return broker;
}

export function newClusterId(): string {
  return randomBytes(16).toString('base64url').replace(/^-/, 'A');
}

/** The Apicurio registry, in memory. */
export async function startRegistry(
  programs: { java: Program; registryHome: string }, options: PartOptions,
): Promise<Part> {
  mkdirSync(options.directory, { recursive: true });
  const jar = readdirSync(programs.registryHome).find((name) => name.endsWith('-runner.jar'));
  if (jar === undefined) throw new Error(`no *-runner.jar in ${programs.registryHome}`);
  const part = startProcess('registry', programs.java, {
    args: ['-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-jar', join(programs.registryHome, jar)],
    environment: { QUARKUS_HTTP_PORT: String(options.port), QUARKUS_HTTP_HOST: '127.0.0.1' },
    logFile: options.logFile, standing: options.standing ?? 'apart',
    directory: options.directory,
  });
  options.remember(part.own);
  await untilUp('registry', () => httpAnswers(`http://127.0.0.1:${options.port}/apis/ccompat/v7/subjects`), part.child, options.logFile);
  return part;
}

/** Redis without persistence; `args` go to its command line behind ours, so they win. */
export async function startRedis(
  programs: { redisServer: Program }, options: PartOptions & { args?: readonly string[] },
): Promise<Part> {
  mkdirSync(options.directory, { recursive: true });
  const part = startProcess('redis', programs.redisServer, {
    args: [
      '--port', String(options.port), '--bind', '127.0.0.1', '--dir', options.directory,
      '--save', '', '--appendonly', 'no', ...(options.args ?? []),
    ],
    logFile: options.logFile, standing: options.standing ?? 'apart',
  });
  options.remember(part.own);
  await untilUp('redis', () => redisAnswers(options.port), part.child, options.logFile);
  return part;
}

/** Prometheus, reading its targets from a file that is looked at every second. */
export async function startPrometheus(
  programs: { prometheus: Program }, options: PartOptions & { targetsFile: string; rulesDirectory?: string },
): Promise<Part> {
  mkdirSync(options.directory, { recursive: true });
  const configuration = join(options.directory, 'prometheus.yml');
  writeFileSync(configuration, fill('prometheus.yml', {
    TARGETS_FILE: options.targetsFile,
    RULES_DIRECTORY: options.rulesDirectory ?? join(repositoryRoot, 'grafana', 'rules'),
  }));
  const part = startProcess('prometheus', programs.prometheus, {
    args: [
      `--config.file=${configuration}`, `--storage.tsdb.path=${join(options.directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${options.port}`, '--log.level=warn',
    ],
    logFile: options.logFile, standing: options.standing ?? 'apart',
    directory: options.directory,
  });
  options.remember(part.own);
  await untilUp('prometheus', () => httpAnswers(`http://127.0.0.1:${options.port}/-/ready`), part.child, options.logFile);
  return part;
}

function fill(template: string, values: Readonly<Record<string, string>>): string {
  return readFileSync(join(templates, template), 'utf8').replace(/@([A-Z_]+)@/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`${template} asks for ${name}, which nobody gave`);
    return value;
  });
}

function untilUp(
  name: string, condition: () => Promise<boolean>, child: ChildProcess, logFile: string,
): Promise<void> {
  let ended: string | undefined;
  child.once('error', (error) => { ended = error.message; });
  child.once('exit', (code, signal) => { ended = `ended with ${signal ?? `code ${code}`}, its log is ${logFile}`; });
  return waitUntil(name, condition, { boundMs: startBoundMs, giveUp: () => ended });
}

async function succeeds(child: ChildProcess, what: string, logFile: string): Promise<void> {
  child.ref();
  const [code] = await once(child, 'exit') as [number | null];
  if (code !== 0) throw new Error(`${what} ended with code ${code}, its log is ${logFile}`);
}
