/**
 * The demo's own processes: workers and the sink, started as a user would, each with a log file, and ended whatever
 * happens to the demo.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { childEnvironment } from '../config.ts';
import { CommandError } from '../errors.ts';

const entry = fileURLToPath(new URL('../main.ts', import.meta.url));
const readyWaitMs = 60_000;
const endWaitMs = 30_000;
const logLinesShown = 5;

export interface Child {
  readonly name: string;
  readonly metricsPort: number;
  readonly logFile: string;
  readonly pid: number;
  /** Resolves when `/readyz` says 200; throws when the process ends before, or not within a minute. */
  ready(): Promise<void>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGTERM; resolves with the exit code, or null when it had to be killed. */
  end(): Promise<number | null>;
  /** Null while it runs. */
  exited(): { readonly code: number | null; readonly signal: string | null } | null;
}

const alive = new Set<ChildProcess>();

/** Nothing that we started outlives us, however we end. */
export function killChildren(): void {
  for (const child of alive) child.kill('SIGKILL');
}

/** Starts `settlefleet <command>` with these variables beside our own. */
export async function startChild(
  name: string,
  command: string,
  options: { readonly logFile: string; readonly environment: Readonly<Record<string, string>>; readonly nodeOptions?: readonly string[] },
): Promise<Child> {
  const metricsPort = await freePort();
  const log = openSync(options.logFile, 'w');
  const child = spawn(process.execPath, ['--max-semi-space-size=8', ...(options.nodeOptions ?? []), entry, command], {
    stdio: ['ignore', log, log],
    env: childEnvironment({ WORKER_ID: name, MALLOC_ARENA_MAX: '2', ...options.environment, METRICS_PORT: String(metricsPort) }),
  });
  closeSync(log);
  alive.add(child);
  const gone = once(child, 'exit').then(() => alive.delete(child));
  const exited = (): { code: number | null; signal: string | null } | null =>
    child.exitCode === null && child.signalCode === null ? null : { code: child.exitCode, signal: child.signalCode };

  return {
    name,
    metricsPort,
    logFile: options.logFile,
    pid: child.pid ?? -1,
    exited,
    async ready() {
      const deadline = performance.now() + readyWaitMs;
      let answer = 'it did not answer';
      for (;;) {
        const end = exited();
        if (end !== null) {
          throw new CommandError(`${name} ended with ${end.signal ?? `exit code ${end.code}`}: ${lastLines(options.logFile)}`);
        }
        try {
          const response = await fetch(`http://127.0.0.1:${metricsPort}/readyz`, { signal: AbortSignal.timeout(2000) });
          if (response.ok) return;
          answer = `${response.status} ${(await response.text()).trim()}`;
        } catch {
          // Not listening yet.
        }
        if (performance.now() > deadline) {
          throw new CommandError(`${name} is not ready after ${readyWaitMs / 1000} s (${answer}); its log is ${options.logFile}.`);
        }
        await sleep(100);
      }
    },
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
    async end() {
      child.kill('SIGTERM');
      const late = sleep(endWaitMs, 'late' as const, { ref: false });
      if ((await Promise.race([gone, late])) === 'late') {
        child.kill('SIGKILL');
        await gone;
        return null;
      }
      return child.exitCode;
    },
  };
}

/** Runs one command to its end; gives what it wrote. Throws when its exit code is not 0. */
export async function runCommand(args: readonly string[], environment: Readonly<Record<string, string>>): Promise<string> {
  const child = spawn(process.execPath, [entry, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: childEnvironment(environment),
  });
  alive.add(child);
  let output = '';
  let complaint = '';
  child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
  child.stderr.on('data', (bytes: Buffer) => (complaint += bytes.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  alive.delete(child);
  if (code !== 0) throw new CommandError(`settlefleet ${args[0]} ended with exit code ${code}: ${complaint.trim()}`);
  return output;
}

function lastLines(file: string): string {
  return readFileSync(file, 'utf8').trim().split('\n').slice(-logLinesShown).join(' | ');
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
