/**
 * Runs `settlefleet` as a user does: a process of its own, over the running stack, with topics of the test's own.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { vi } from 'vitest';
import { runCommandLine } from '../../src/cli/program.ts';
import { stackEnvironment } from '../stack.ts';

const entry = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs, with these variables beside those of the test. */
export function start(args: readonly string[], variables: Readonly<Record<string, string>> = {}) {
  return spawn(process.execPath, [entry, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...variables },
    timeout: 90_000,
  });
}

/** The same, to its end. */
export async function run(args: readonly string[], variables: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const child = start(args, variables);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()));
  child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/** The same in this process: for what ends before anything is connected. */
export async function runHere(args: readonly string[], variables: Readonly<Record<string, string>> = {}): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((stdout += String(text)), true)),
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((stderr += String(text)), true)),
  ];
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
  try {
    const code = await runCommandLine(args);
    return { code, stdout, stderr };
  } finally {
    vi.unstubAllEnvs();
    for (const spy of spies) spy.mockRestore();
  }
}

export interface Workplace {
  readonly brokers: string;
  readonly prefix: string;
  /** `settlefleet` with this prefix. */
  readonly settlefleet: (...args: readonly string[]) => Promise<Ended>;
}

/** Topics under a prefix that nobody else has. */
export function workplace(name: string): Workplace {
  const { kafkaBrokers } = stackEnvironment();
  const prefix = `${name}-${process.pid}-${Date.now()}.`;
  return {
    brokers: kafkaBrokers,
    prefix,
    settlefleet: (...args) => run(args, { TOPIC_PREFIX: prefix }),
  };
}
