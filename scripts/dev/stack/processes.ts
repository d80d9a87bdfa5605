// Starts processes that outlive their starter, remembers them in a file, and ends exactly those again.
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** A process that we started. A pid alone may belong to another by now; with its start time it cannot. */
export interface OwnProcess {
  readonly name: string;
  readonly pid: number;
  readonly startedAt: string;
}

/** When the process started, in whatever unit the system has (compared, never read); undefined when it is gone. */
export function startTimeOf(pid: number): string | undefined {
  if (process.platform === 'linux') {
    const fields = statusFields(String(pid));
    return fields === undefined || fields[0] === 'Z' ? undefined : fields[19];
  }
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || undefined;
  } catch {
    return undefined;
  }
}

/** The fields of /proc/PID/stat from the third (the state) on; undefined when there is no such process. */
function statusFields(pid: string): string[] | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the command's name in parentheses and may hold spaces and parentheses of its own.
    return status.slice(status.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

export function isAlive(own: OwnProcess): boolean {
  return startTimeOf(own.pid) === own.startedAt;
}

export function identify(name: string, pid: number): OwnProcess {
  return { name, pid, startedAt: startTimeOf(pid) ?? 'gone' };
}

/** How a process stands to its starter: `apart` outlives it in a group of its own, `beside` gets its group's signals. */
export type Standing = 'apart' | 'beside';

/** Starts a process with its output in a log. Apart from us, a Ctrl-C meant for us does not reach it first. */
export function startProcess(
  name: string,
  program: readonly [string, ...string[]],
  options: {
    args: readonly string[]; logFile: string; standing: Standing;
    environment?: Record<string, string>; directory?: string;
  },
): { own: OwnProcess; child: ChildProcess } {
  const [command, ...prefix] = program;
  mkdirSync(dirname(options.logFile), { recursive: true });
  const log = openSync(options.logFile, 'a');
  const child = spawn(command, [...prefix, ...options.args], {
    detached: options.standing === 'apart',
    stdio: ['ignore', log, log],
    env: { ...process.env, ...options.environment },
    ...(options.directory === undefined ? {} : { cwd: options.directory }),
  });
  closeSync(log);
  // Without a listener a command that does not exist would throw out of nowhere; whoever awaits the part reports it.
  child.on('error', () => undefined);
  child.unref();
  return { own: identify(name, child.pid ?? -1), child };
}

function signalGroup(own: OwnProcess, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-own.pid, signal);
    return true;
  } catch {
    return false;
  }
}

/**
 * Ends a process and all that it started in its group: asked first where it is given a grace time, then killed.
 * The group is ours only as long as its leader is, or as long as the leader's pid is not used anew.
 */
export async function endGroup(own: OwnProcess, graceMs: number): Promise<void> {
  if (own.pid <= 1) return;
  const present = startTimeOf(own.pid);
  if (present !== undefined && present !== own.startedAt) return;
  if (graceMs > 0 && signalGroup(own, 'SIGTERM')) await untilGroupEnds(own, graceMs);
  if (signalGroup(own, 'SIGKILL')) await untilGroupEnds(own, 5_000);
}

async function untilGroupEnds(own: OwnProcess, boundMs: number): Promise<void> {
  const deadline = Date.now() + boundMs;
  while (Date.now() < deadline && groupHasMembers(own)) await delay(20);
}

/** A member that has ended and waits to be reaped is none: on a machine without a real init it may wait for ever. */
function groupHasMembers(own: OwnProcess): boolean {
  if (process.platform !== 'linux') return signalGroup(own, 0);
  return readdirSync('/proc').some((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    const [state, , group] = statusFields(entry) ?? [];
    return group === String(own.pid) && state !== 'Z';
  });
}
