// What a stack keeps on disk under .dev/<name>: who owns it, which processes are its, and how to reach it.
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { endGroup, isAlive } from './processes.ts';
import type { OwnProcess } from './processes.ts';

const repositoryRoot = join(import.meta.dirname, '..', '..', '..');
export const devDirectory = join(repositoryRoot, '.dev');

/** A command that runs on the stack gets this long to drain (the fleet's own hard limit is below it). */
const commandGraceMs = 20_000;

export interface StackState {
  /** The process for which the stack was brought up; null for `stack up`, which outlives its caller. */
  owner: OwnProcess | null;
  processes: OwnProcess[];
  /** The project's name, where the parts are containers. */
  containerProject: string | null;
}

export function stackDirectory(name: string): string {
  return join(devDirectory, name);
}

export function logDirectory(name: string): string {
  return join(devDirectory, 'log', name);
}

function stateFile(name: string): string {
  return join(stackDirectory(name), 'state.json');
}

export function readState(name: string): StackState | undefined {
  try {
    return JSON.parse(readFileSync(stateFile(name), 'utf8')) as StackState;
  } catch {
    return undefined;
  }
}

/** Replaced whole, never half written: a crash in the middle must not hide a running process. */
export function writeState(name: string, state: StackState): void {
  const fresh = `${stateFile(name)}.new`;
  writeFileSync(fresh, JSON.stringify(state, null, 2));
  renameSync(fresh, stateFile(name));
}

/** Takes the name for this owner. False where another holds it. */
export function claim(name: string, owner: OwnProcess | null): boolean {
  mkdirSync(stackDirectory(name), { recursive: true });
  try {
    const state: StackState = { owner, processes: [], containerProject: null };
    writeFileSync(stateFile(name), JSON.stringify(state), { flag: 'wx' });
    return true;
  } catch {
    return false;
  }
}

export function stackNames(): string[] {
  if (!existsSync(devDirectory)) return [];
  return readdirSync(devDirectory).filter((name) => existsSync(stateFile(name)));
}

/** Stacks whose owner died without taking them down (SIGKILL, a machine that went off). */
export function orphanedStacks(): string[] {
  return stackNames().filter((name) => {
    const owner = readState(name)?.owner;
    return owner !== undefined && owner !== null && !isAlive(owner);
  });
}

/** Ends everything that the stack started, the command first, and removes its data. The logs stay. */
export async function takeDown(name: string, removeContainers: (project: string) => Promise<void>): Promise<void> {
  const state = readState(name);
  if (state !== undefined) {
    const commands = state.processes.filter((own) => own.name === 'command');
    const parts = state.processes.filter((own) => own.name !== 'command');
    await Promise.all(commands.map((own) => endGroup(own, commandGraceMs)));
    // The data goes away with the parts, so there is nothing for them to save.
    await Promise.all(parts.map((own) => endGroup(own, 0)));
    if (state.containerProject !== null) await removeContainers(state.containerProject);
  }
  rmSync(stackDirectory(name), { recursive: true, force: true, maxRetries: 5 });
}
