/** The load generator and the reader as whoever measures sees them. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { FromGenerator, FromReader, LoadRun, LoadStart } from './messages.ts';

type Of<Message extends { kind: string }, Kind extends string> = Extract<Message, { kind: Kind }>;

export class LoadProcess<From extends { kind: string }, To extends object> {
  readonly #child: ChildProcess;
  readonly #name: string;
  #onMessage: (message: From) => void = () => undefined;

  private constructor(name: string, child: ChildProcess) {
    this.#name = name;
    this.#child = child;
    child.on('message', (message: From) => this.#onMessage(message));
  }

  static start<From extends { kind: string }, To extends object>(file: string): LoadProcess<From, To> {
    const child = fork(join(import.meta.dirname, file), [], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { ...process.env, UV_THREADPOOL_SIZE: '8' }, execArgv: ['--max-semi-space-size=8'],
    });
    return new LoadProcess<From, To>(file, child);
  }

  /** Whom messages go to from now on. */
  listen(onMessage: (message: From) => void): void {
    this.#onMessage = onMessage;
  }

  tell(message: To): void {
    this.#child.send(message);
  }

  /** The next message of this kind; others go to `others` meanwhile. Throws when the process ends, or not in time. */
  async next<Kind extends From['kind']>(kind: Kind, boundMs: number, others: (message: From) => void = () => undefined): Promise<Of<From, Kind>> {
    let timer: NodeJS.Timeout | undefined;
    let ended: (() => void) | undefined;
    try {
      return await new Promise<Of<From, Kind>>((resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`${this.#name} did not say "${kind}" within ${boundMs / 1000} s`)), boundMs);
        ended = () => reject(new Error(`${this.#name} ended by itself`));
        this.#child.once('exit', ended);
        this.#onMessage = (message) => (message.kind === kind ? resolve(message as Of<From, Kind>) : others(message));
      });
    } finally {
      clearTimeout(timer);
      if (ended !== undefined) this.#child.off('exit', ended);
      this.#onMessage = others;
    }
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}

export type Generator = LoadProcess<FromGenerator, { kind: 'start'; start: LoadStart } | { kind: 'run'; run: LoadRun } | { kind: 'stop' }>;
export type ResultReader = LoadProcess<FromReader, { kind: 'start'; start: LoadStart } | { kind: 'run'; run: LoadRun } | { kind: 'collect' }>;
