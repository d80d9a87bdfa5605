// `./dev stack`, and the stacks that `./dev demo`, `./dev test` and `./dev bench` bring up for themselves.
//   up [NAME]                 starts the parts, prints their addresses, and ends; they stay
//   down [NAME]               ends them and removes their data
//   status                    says which stacks are up
//   run NAME -- COMMAND...    brings a stack up, runs the command on it, takes it down whatever happens
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { removeContainers, startContainers } from './containers.ts';
import { programVariables, startKafka, startPrometheus, startRedis, startRegistry } from './parts.ts';
import type { Part, PartOptions, Programs } from './parts.ts';
import { chooseFreePort } from './ports.ts';
import { endGroup, identify, isAlive } from './processes.ts';
import type { OwnProcess } from './processes.ts';
import {
  claim, logDirectory, orphanedStacks, readState, stackDirectory, stackNames, takeDown, writeState,
} from './state.ts';
import type { StackState } from './state.ts';

type Addresses = Readonly<Record<string, string>>;

const endingSignals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Progress goes to standard error: the last lines of standard output belong to the command that runs on the stack. */
function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

function down(name: string): Promise<void> {
  return takeDown(name, (project) => removeContainers(project, join(logDirectory(name), 'containers.log')));
}

function programsFromEnvironment(): Programs {
  const program = (key: keyof Programs): string => {
    const value = process.env[programVariables[key]];
    if (value === undefined || value === '') throw new Error(`${programVariables[key]} is not set: start the stack by ./dev`);
    return value;
  };
  return {
    java: [program('java')], kafkaJars: program('kafkaJars'), registryHome: program('registryHome'),
    redisServer: [program('redisServer')], prometheus: [program('prometheus')],
  };
}

/** Starts every part of a claimed stack side by side and writes its env file. The state file knows each process first. */
async function bringUp(name: string, state: StackState): Promise<Addresses> {
  const startedAtMs = Date.now();
  const directory = stackDirectory(name);
  rmSync(logDirectory(name), { recursive: true, force: true });
  mkdirSync(logDirectory(name), { recursive: true });
  const targetsDirectory = join(directory, 'targets');
  mkdirSync(targetsDirectory, { recursive: true });
  const targetsFile = join(targetsDirectory, 'targets.json');
  writeFileSync(targetsFile, '[]\n');

  const parts = process.env['STACK_ENGINE'] === 'containers'
    ? await bringUpContainers(name, state, targetsDirectory)
    : await bringUpProcesses(name, state, targetsFile);
  const addresses: Addresses = { ...parts, PROMETHEUS_TARGETS_FILE: targetsFile, STACK_DIRECTORY: directory };

  writeFileSync(join(directory, 'env'), Object.entries(addresses).map(([key, value]) => `${key}=${quoted(value)}\n`).join(''));
  say(`stack: up in ${seconds(startedAtMs)}, logs in .dev/log/${name}`);
  return addresses;
}

async function bringUpProcesses(name: string, state: StackState, targetsFile: string): Promise<Addresses> {
  const programs = programsFromEnvironment();
  const directory = stackDirectory(name);
  const taken = new Set<number>();
  const kafkaPort = await chooseFreePort({ preferred: 9092, taken });
  const controllerPort = await chooseFreePort({ taken });
  const registryPort = await chooseFreePort({ preferred: 8081, taken });
  const redisPort = await chooseFreePort({ preferred: 6379, taken });
  const prometheusPort = await chooseFreePort({ preferred: 9090, taken });

  const remember = (own: OwnProcess): void => {
    state.processes.push(own);
    if (existsSync(directory)) {
      writeState(name, state);
      return;
    }
    // Taken down while it was coming up: what started since then must not stay.
    void endGroup(own, 0);
    throw new Error(`stack ${name} was taken down`);
  };
  const optionsOf = (part: string, port: number): PartOptions => ({
    directory: join(directory, part), logFile: join(logDirectory(name), `${part}.log`), port, remember,
  });
  const announced = async (part: string, port: number, start: (options: PartOptions) => Promise<Part>): Promise<void> => {
    const startedAtMs = Date.now();
    if (!existsSync(directory)) throw new Error(`stack ${name} was taken down`);
    await start(optionsOf(part, port));
    say(`stack: ${part} on 127.0.0.1:${port}, ${seconds(startedAtMs)}`);
  };
  await Promise.all([
    announced('kafka', kafkaPort, (options) => startKafka(programs, { ...options, controllerPort, isShortLived: name === 'test' })),
    announced('registry', registryPort, (options) => startRegistry(programs, options)),
    announced('redis', redisPort, (options) => startRedis(programs, options)),
    announced('prometheus', prometheusPort, (options) => startPrometheus(programs, { ...options, targetsFile })),
  ]);
  return {
    KAFKA_BROKERS: `127.0.0.1:${kafkaPort}`,
    SCHEMA_REGISTRY_URL: `http://127.0.0.1:${registryPort}/apis/ccompat/v7`,
    REDIS_URL: `redis://127.0.0.1:${redisPort}`,
    CLICKHOUSE_URL: `chdb:${join(directory, 'clickhouse')}`,
    PROMETHEUS_URL: `http://127.0.0.1:${prometheusPort}`,
    STACK_ENGINE: 'processes',
    ...Object.fromEntries(Object.entries(programVariables).map(([key, variable]) => [variable, [programs[key as keyof Programs]].flat().join(' ')])),
  };
}

async function bringUpContainers(name: string, state: StackState, targetsDirectory: string): Promise<Addresses> {
  const taken = new Set<number>();
  const ports = {
    kafka: await chooseFreePort({ preferred: 9092, taken }),
    registry: await chooseFreePort({ preferred: 8081, taken }),
    redis: await chooseFreePort({ preferred: 6379, taken }),
    clickhouse: await chooseFreePort({ preferred: 8123, taken }),
    prometheus: await chooseFreePort({ preferred: 9090, taken }),
    grafana: await chooseFreePort({ preferred: 3000, taken }),
  };
  const project = `settlefleet-${name}-${process.pid}`.toLowerCase();
  state.containerProject = project;
  writeState(name, state);
  say(`stack: starting containers as ${project}`);
  await startContainers(project, { ports, targetsDirectory, logFile: join(logDirectory(name), 'containers.log') });
  return {
    KAFKA_BROKERS: `127.0.0.1:${ports.kafka}`,
    SCHEMA_REGISTRY_URL: `http://127.0.0.1:${ports.registry}/apis/ccompat/v7`,
    REDIS_URL: `redis://127.0.0.1:${ports.redis}`,
    CLICKHOUSE_URL: `http://default:settlefleet@127.0.0.1:${ports.clickhouse}`,
    PROMETHEUS_URL: `http://127.0.0.1:${ports.prometheus}`,
    GRAFANA_URL: `http://127.0.0.1:${ports.grafana}`,
    STACK_ENGINE: 'containers',
    STACK_PROJECT: project,
  };
}

async function removeOrphans(): Promise<void> {
  for (const name of orphanedStacks()) {
    say(`stack: removing ${name}, whose owner has ended`);
    await down(name);
  }
}

/**
 * Takes the stack down at the first signal and then ends this process with the signal's own exit code; a second signal
 * changes nothing. The function given back never returns once a signal has come: what fails then fails because of it.
 */
function takeDownOnSignal(name: string): () => Promise<void> {
  let ending: Promise<never> | undefined;
  const end = async (signal: NodeJS.Signals): Promise<never> => {
    say(`stack: ${signal}, taking ${name} down`);
    try {
      await down(name);
    } catch (error) {
      fail(error);
    }
    process.exit(128 + constants.signals[signal]);
  };
  for (const signal of endingSignals) process.on(signal, () => { ending ??= end(signal); });
  return async () => { await ending; };
}

async function upCommand(name: string): Promise<number> {
  await removeOrphans();
  const present = readState(name);
  if (present !== undefined) {
    if (existsSync(join(stackDirectory(name), 'env')) && present.processes.filter((own) => own.name !== 'kafka-format').every(isAlive)) {
      say(`stack: ${name} is already up`);
      process.stdout.write(readFileSync(join(stackDirectory(name), 'env'), 'utf8'));
      return 0;
    }
    if (present.owner !== null && isAlive(present.owner)) throw new Error(`stack ${name} is being started by process ${present.owner.pid}`);
    await down(name);
  }
  const starter = identify('starter', process.pid);
  if (!claim(name, starter)) throw new Error(`stack ${name} is being started by somebody else`);
  const state: StackState = { owner: starter, processes: [], containerProject: null };
  const endIfSignalled = takeDownOnSignal(name);
  try {
    const addresses = await bringUp(name, state);
    // From here on it belongs to nobody: it stays until `down`.
    writeState(name, { ...state, owner: null });
    for (const [key, value] of Object.entries(addresses)) process.stdout.write(`${key}=${quoted(value)}\n`);
    return 0;
  } catch (error) {
    await endIfSignalled();
    await down(name);
    throw error;
  }
}

async function downCommand(name: string): Promise<number> {
  if (readState(name) === undefined) {
    say(`stack: ${name} is not up`);
    return 0;
  }
  const startedAtMs = Date.now();
  await down(name);
  say(`stack: ${name} is down, ${seconds(startedAtMs)}`);
  return 0;
}

function statusCommand(): number {
  const names = stackNames();
  if (names.length === 0) say('stack: none is up');
  for (const name of names) {
    const state = readState(name);
    if (state === undefined) continue;
    const parts = state.processes.filter((own) => own.name !== 'kafka-format')
      .map((own) => `${own.name} ${isAlive(own) ? `pid ${own.pid}` : 'gone'}`);
    if (state.containerProject !== null) parts.push(`containers ${state.containerProject}`);
    process.stdout.write(`${name}: ${parts.join(', ')}\n`);
  }
  return 0;
}

/** Brings a stack up for one command. Whatever ends the command, or us, the stack goes down. */
async function runCommand(wanted: string, command: readonly string[]): Promise<number> {
  const [program, ...args] = command;
  if (program === undefined) throw new Error('run NAME -- COMMAND...: the command is missing');
  await removeOrphans();
  const owner = identify('owner', process.pid);
  const name = claim(wanted, owner) ? wanted : `${wanted}-${process.pid}`;
  if (name !== wanted && !claim(name, owner)) throw new Error(`stack ${name} is held by somebody else`);
  const state: StackState = { owner, processes: [], containerProject: null };

  const dismissWatcher = startWatcher(name);
  let interruptedBy: NodeJS.Signals | undefined;
  let commandPid: number | undefined;
  let interruptWait: (error: Error) => void = () => undefined;
  const interrupted = new Promise<never>((_, reject) => { interruptWait = reject; });
  interrupted.catch(() => undefined);
  for (const signal of endingSignals) {
    process.on(signal, () => {
      interruptedBy ??= signal;
      if (commandPid === undefined) interruptWait(new Error(`interrupted by ${signal}`));
      else signalGroup(commandPid, signal);
    });
  }

  try {
    const addresses = await Promise.race([bringUp(name, state), interrupted]);
    const child = spawn(program, args, { detached: true, stdio: 'inherit', env: { ...process.env, ...addresses } });
    const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    if (child.pid !== undefined) {
      commandPid = child.pid;
      state.processes.push(identify('command', child.pid));
      writeState(name, state);
    }
    if (interruptedBy !== undefined && commandPid !== undefined) signalGroup(commandPid, interruptedBy);
    const [code, signal] = await exited;
    if (interruptedBy !== undefined) return 128 + constants.signals[interruptedBy];
    return code ?? 128 + constants.signals[signal ?? 'SIGKILL'];
  } catch (error) {
    if (interruptedBy === undefined) throw error;
    return 128 + constants.signals[interruptedBy];
  } finally {
    await down(name);
    dismissWatcher();
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It ended a moment ago, which is what the signal was for.
  }
}

/**
 * A small shell that reads from a pipe whose other end is ours. When we end without having dismissed it (SIGKILL),
 * the pipe closes and it takes the stack down in our place.
 */
function startWatcher(name: string): () => void {
  mkdirSync(logDirectory('watcher'), { recursive: true });
  const log = openSync(join(logDirectory('watcher'), `${name}.log`), 'a');
  const watcher = spawn('sh', [
    '-c', 'read -r answer; [ "$answer" = done ] || exec "$0" "$@"', process.execPath, import.meta.filename, 'down', name,
  ], { detached: true, stdio: ['pipe', log, log] });
  watcher.on('error', () => undefined);
  watcher.stdin?.on('error', () => undefined);
  watcher.unref();
  return () => { watcher.stdin?.end('done\n'); };
}

function quoted(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}

function seconds(sinceMs: number): string {
  return `${((Date.now() - sinceMs) / 1000).toFixed(1)} s`;
}

function fail(error: unknown): void {
  say(`stack: ${error instanceof Error ? error.message : String(error)}`);
}

async function main(args: readonly string[]): Promise<number> {
  const [verb, name = 'stack', separator, ...command] = args;
  if (!/^[a-z][a-z0-9-]*$/.test(name) || name === 'log') throw new Error(`"${name}" is no name for a stack: small letters, digits and dashes`);
  if (verb === 'up') return upCommand(name);
  if (verb === 'down') return downCommand(name);
  if (verb === 'status') return statusCommand();
  if (verb === 'run' && separator === '--') return runCommand(name, command);
  say('usage: ./dev stack up [NAME] | down [NAME] | status');
  return 2;
}

try {
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  fail(error);
  process.exit(1);
}
