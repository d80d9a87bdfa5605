/** The broker dies, comes back, freezes: workers wait and go on, each transaction has one outcome, nothing is rejected for it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startKafka } from '../stack.ts';
import type { OwnKafka } from '../stack.ts';
import { Bench } from './harness/bench.ts';
import type { Sent } from './harness/bench.ts';
import type { Service } from './harness/processes.ts';
import { createTraffic, sendRush } from './harness/traffic.ts';
import { compare } from './harness/truth.ts';

const traffic = createTraffic({ seed: 4242, partitions: 4 });
let kafka: OwnKafka;
let bench: Bench;
let worker: Service;

beforeAll(async () => {
  kafka = await startKafka();
  bench = await Bench.create('kafka', { brokers: kafka.brokers, participants: traffic.participants });
  worker = await (await bench.startWorker()).ready();
});
afterAll(async () => {
  await bench?.close();
  await kafka?.remove();
});

const rush = (count: number): Promise<Sent[]> => sendRush(bench, traffic, count);

async function allIsWell(): Promise<void> {
  await bench.atRest(45_000);
  expect(bench.deadLetters).toEqual([]);
  expect(compare({ ...bench, participants: traffic.participants, positions: bench.positions(), workersDied: true })).toEqual([]);
}

test('a broker that is killed in the rush and comes back', async () => {
  const sent = await rush(600);
  await bench.waitFor('some results', () => bench.results.length > 20);
  await kafka.kill();
  const whileAway = rush(300);
  await bench.waitFor('readiness to end', async () => (await worker.get('/readyz')).status === 503, 30_000);
  expect((await worker.get('/healthz')).status).toBe(200);
  await kafka.start();
  sent.push(...(await whileAway));
  await bench.answered(sent, 60_000);
  expect(worker.hasEnded).toBe(false);
  await bench.waitFor('readiness', async () => (await worker.get('/readyz')).status === 200);
  await allIsWell();
});

test('a broker that is frozen for some seconds', async () => {
  const sent = await rush(300);
  kafka.signal('SIGSTOP');
  const whileFrozen = rush(300);
  await new Promise((resolve) => setTimeout(resolve, 7_000));
  kafka.signal('SIGCONT');
  sent.push(...(await whileFrozen));
  await bench.answered(sent, 60_000);
  if (worker.hasEnded) worker = await bench.startWorker();
  await allIsWell();
});

test('a broker and the worker killed together', async () => {
  const sent = await rush(500);
  await Promise.all([kafka.kill(), worker.kill()]);
  const starting = bench.startWorker();
  await kafka.start();
  worker = await starting;
  sent.push(...(await rush(100)));
  await bench.answered(sent, 60_000);
  await allIsWell();
});
