/** A worker that stands still for longer than its session and its Kafka transaction live: when it wakes, it can tell nobody anything. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Bench } from './harness/bench.ts';
import type { Sent } from './harness/bench.ts';
import type { Service } from './harness/processes.ts';
import { createTraffic, sendRush } from './harness/traffic.ts';
import { compare } from './harness/truth.ts';

const traffic = createTraffic({ seed: 99, partitions: 4 });
let bench: Bench;
let first: Service;
let second: Service;

beforeAll(async () => {
  bench = await Bench.create('zombies', { participants: traffic.participants });
  first = await (await bench.startWorker()).ready();
});
afterAll(async () => {
  for (const service of bench?.services ?? []) service.signal('SIGCONT');
  await bench?.close();
});

const rush = (count: number): Promise<Sent[]> => sendRush(bench, traffic, count);

async function allIsWell(): Promise<void> {
  await bench.atRest(45_000);
  expect(compare({ ...bench, participants: traffic.participants, positions: bench.positions(), workersDied: true })).toEqual([]);
}

test('frozen in the rush, replaced, and woken: nothing is told twice', async () => {
  const sent = await rush(800);
  await bench.waitFor('some results', () => bench.results.length > 50);
  first.signal('SIGSTOP');
  second = await bench.startWorker();
  sent.push(...(await rush(300)));
  await bench.answered(sent);
  first.signal('SIGCONT');
  sent.push(...(await rush(300)));
  await bench.answered(sent);
  await allIsWell();
});

test('whoever was fenced goes on as a member or ends with a non-zero code, and the group is whole', async () => {
  await bench.waitFor('the woken worker to be ready or gone', async () => first.hasEnded || (await first.get('/readyz')).status === 200, 30_000);
  if (first.hasEnded) expect((await first.end(1)).code).not.toBe(0);
  const sent = await rush(200);
  await bench.answered(sent);
  if (first.hasEnded) first = await (await bench.startWorker()).ready();
});

test('both frozen and woken together, over the end of their sessions and Kafka transactions', async () => {
  const sent = await rush(500);
  first.signal('SIGSTOP');
  second.signal('SIGSTOP');
  sent.push(...(await rush(200)));
  await pause(12_000);
  first.signal('SIGCONT');
  second.signal('SIGCONT');
  await bench.waitFor('a worker that is ready', async () => {
    if (first.hasEnded && second.hasEnded) first = await bench.startWorker();
    const living = [first, second].filter(({ hasEnded }) => !hasEnded);
    return (await Promise.all(living.map(async (service) => (await service.get('/readyz')).status))).every((status) => status === 200);
  }, 30_000);
  await bench.answered(sent);
  await allIsWell();
});
