/**
 * `settlefleet pause | resume | drain | loglevel`: an operator's word to one running process, over the port that serves its
 * metrics. Each returns when it is so, or says that it is not yet.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { logLevels } from '../config.ts';
import { CommandError } from '../errors.ts';
import { print } from './console.ts';
import type { DefineCommand } from './program.ts';

const requestTimeoutMs = 5000;
/** A worker's own deadline for finishing what it began is 10 s; a commit may have to wait for Kafka beyond that. */
const settledWithinMs = 30_000;
const askEveryMs = 100;

interface Status {
  readonly name: string;
  readonly state: string;
}

export const defineOperatorCommands: DefineCommand = (program, settings) => {
  const word = (name: string, description: string, wanted: string, meaning: string): void => {
    program
      .command(name)
      .option('--url <url>', 'of the worker (default: METRICS_PORT on this machine)')
      .description(description)
      .action(async (options: { readonly url?: string }) => {
        const url = addressOf(settings(), options.url);
        await tellProcess(settings(), url, name, '');
        print(`${(await untilState(url, wanted)).name} is ${wanted}: ${meaning}.`);
      });
  };
  word('pause', 'hold reading in a worker; it keeps its partitions, and is not ready', 'paused', 'what was begun is committed, the partitions are kept, nothing is read');
  word('drain', 'let a worker finish, commit and leave the group; it stays alive, and is not ready', 'drained', 'everything is committed, and the group has its partitions back');
  word('resume', 'let a worker that was paused or drained go on', 'running', 'it reads, or waits for the group to give it partitions');
  program
    .command('loglevel')
    .argument('<level>', `one of ${logLevels.join(', ')}`)
    .option('--url <url>', 'of the process (default: METRICS_PORT on this machine)')
    .description('change the log level of a running worker or sink, until it ends')
    .action(async (level: string, options: { readonly url?: string }) => {
      const url = addressOf(settings(), options.url);
      const { logLevel } = await tellProcess(settings(), url, 'log-level', level);
      print(`${url} logs at level ${logLevel} from now on.`);
    });
};

function addressOf(config: Config, given: string | undefined): string {
  if (given !== undefined) {
    if (!URL.canParse(given) || !/^https?:$/.test(new URL(given).protocol)) throw new CommandError(`--url ${given} is no http:// address.`);
    return given.replace(/\/+$/, '');
  }
  if (config.metricsPort === 0) throw new CommandError('METRICS_PORT is 0, so where the process listens is not known: give --url.');
  return `http://127.0.0.1:${config.metricsPort}`;
}

async function tellProcess(config: Config, url: string, word: string, argument: string): Promise<Readonly<Record<string, string>>> {
  const response = await ask(`${url}/admin/${word}`, {
    method: 'POST',
    body: argument,
    headers: config.adminToken === null ? {} : { authorization: `Bearer ${config.adminToken}` },
  });
  if (response.status === 404) throw new CommandError(`The process at ${url} does not know "${word}".`);
  const answer = (await response.json()) as Record<string, string>;
  if (response.status !== 200) throw new CommandError(`The process at ${url} refuses: ${answer['refused'] ?? response.status}.`);
  return answer;
}

async function untilState(url: string, wanted: string): Promise<Status> {
  const deadline = performance.now() + settledWithinMs;
  for (;;) {
    const status = (await (await ask(`${url}/status`, {})).json()) as Status;
    if (status.state === wanted) return status;
    if (performance.now() > deadline) {
      throw new CommandError(`${status.name} is still ${status.state} after ${settledWithinMs / 1000} s; it goes on, see ${url}/readyz.`);
    }
    await sleep(askEveryMs);
  }
}

async function ask(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, signal: AbortSignal.timeout(requestTimeoutMs) });
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    throw new CommandError(`No process answers at ${new URL(url).origin}: ${cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)}.`);
  }
}
