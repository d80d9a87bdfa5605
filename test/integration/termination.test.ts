/** SIGTERM at any moment of a worker's life, under traffic: it ends with exit code 0, soon, and nothing is lost or doubled. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../until.ts';
import { Bench } from './harness/bench.ts';
import type { Sent } from './harness/bench.ts';
import { Program } from './harness/processes.ts';
import { createTraffic, sendRush } from './harness/traffic.ts';
import { compare } from './harness/truth.ts';

const partitions = 4;
/** It finishes what it began within 10 s. */
const endsWithinMs = 20_000;
const traffic = createTraffic({ seed: 715, partitions });
const sent: Sent[] = [];
let bench: Bench;
let sending = true;
let load: Promise<void>;

beforeAll(async () => {
  bench = await Bench.create('termination', { partitions, participants: traffic.participants });
  load = (async () => {
    while (sending) {
      sent.push(...(await sendRush(bench, traffic, 10)));
      await pause(200);
    }
  })();
});
afterAll(async () => {
  sending = false;
  await load;
  await bench?.close();
});

let started = 0;
function start(environment: Record<string, string> = {}): Program {
  const name = `ending-${++started}`;
  return new Program(name, ['worker'], { ...bench.environment, WORKER_ID: `${bench.group}-${name}`, ...environment });
}

async function says(program: Program, words: string): Promise<void> {
  await until(`${program.name} says ${words}`, () => {
    if (program.hasEnded) throw new Error(program.output);
    return program.stderr.includes(words);
  }, 30_000);
}

async function endsWell(program: Program): Promise<void> {
  program.signal('SIGTERM');
  const ended = await program.end(endsWithinMs);
  expect([ended.code, ended.signal], program.output).toEqual([0, null]);
}

test.each<readonly [moment: string, words: string, laterMs: number]>([
  ['it is about to join the group', '"port":', 150],
  ['it has its partitions, and restores them', 'Partitions assigned', 0],
  ['its first lane is restored, and others are not', 'The lane was restored', 0],
  ['it commits its first batches', 'The lane was restored', 137],
])('when %s', async (_moment, words, laterMs) => {
  const worker = start();
  await says(worker, words);
  await pause(laterMs);
  await endsWell(worker);
});

test('while what it has settled waits for its commit', async () => {
  const worker = start({ COMMIT_INTERVAL_MS: '20000' });
  await says(worker, 'The lane was restored');
  await pause(500);
  await endsWell(worker);
});

test('when its partitions are revoked because another joins, and at the other when it was given them', async () => {
  const first = start();
  await says(first, 'The lane was restored');
  const second = start();
  await says(first, 'Partitions revoked');
  await Promise.all([endsWell(first), says(second, 'Partitions assigned').then(() => endsWell(second))]);
});

test('after all that each transaction has its one outcome, in order', async () => {
  sending = false;
  await load;
  await bench.startWorker();
  await bench.answered(sent, 60_000);
  await bench.atRest(60_000);
  expect(sent.length).toBeGreaterThan(100);
  expect(compare({ ...bench, participants: traffic.participants, positions: bench.positions() })).toEqual([]);
});
