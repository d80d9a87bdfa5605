/** Redis emptied, gone, frozen or replaced: nothing is settled twice, lost, rejected or dead-lettered for it (contract section 3). */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRedis } from '../stack.ts';
import type { OwnRedis } from '../stack.ts';
import { Bench } from './harness/bench.ts';
import type { Sent } from './harness/bench.ts';
import { message, transaction } from './harness/directory.ts';
import type { Service } from './harness/processes.ts';
import { createTraffic, sendRush } from './harness/traffic.ts';
import { compare } from './harness/truth.ts';

const traffic = createTraffic({ seed: 77, partitions: 4 });
const simple = () => message(transaction({ debtorAgent: { bic: 'TAAKDEFF' }, creditorAgent: { bic: 'TABKDEFF' }, amount: '0.01' }));
let redis: OwnRedis;
let bench: Bench;
let worker: Service;

beforeAll(async () => {
  redis = await startRedis();
  bench = await Bench.create('redis', { participants: traffic.participants, environment: { REDIS_URL: redis.url } });
  worker = await (await bench.startWorker()).ready();
});
afterAll(async () => {
  await bench?.close();
  await redis?.remove();
});

async function withRedis<T>(use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(redis.url, { lazyConnect: true });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await use(client);
  } finally {
    client.disconnect();
  }
}

const flushAll = (): Promise<unknown> => withRedis((client) => client.flushall());

const rush = (count: number): Promise<Sent[]> => sendRush(bench, traffic, count);

async function allIsWell(): Promise<void> {
  await bench.atRest();
  expect(bench.deadLetters).toEqual([]);
  expect(compare({ ...bench, participants: traffic.participants, positions: bench.positions(), workersDied: true })).toEqual([]);
}

test('emptied in the middle, again and again', async () => {
  const sent: Sent[] = [];
  for (let round = 0; round < 5; round++) {
    sent.push(...(await rush(300)));
    await flushAll();
  }
  await bench.answered(sent);
  await allIsWell();
});

test('emptied at rest: what was settled before is a duplicate, and its original is named', async () => {
  const payment = simple();
  const original = await bench.send(payment);
  await bench.outcome(original);
  await flushAll();
  expect(await bench.only(await bench.send(payment, { partition: 1 }))).toMatchObject({ reasonCode: 'AM05', originalEventId: original.eventId });
});

test('emptied while there was no worker: what was settled before is a duplicate', async () => {
  const payment = simple();
  const original = await bench.send(payment);
  await bench.outcome(original);
  expect((await worker.terminate()).code).toBe(0);
  await flushAll();
  const resend = await bench.send(payment);
  worker = await bench.startWorker();
  expect(await bench.only(resend)).toMatchObject({ reasonCode: 'AM05', originalEventId: original.eventId });
});

test('away: nothing is decided, the worker says so and lives; back and empty: all goes on by itself', async () => {
  const before = simple();
  const original = await bench.send(before);
  await bench.outcome(original);
  await redis.kill();
  const resend = await bench.send(before);
  const sent = await rush(300);
  await bench.waitFor('readiness to name Redis', async () => {
    const { status, body } = await worker.get('/readyz');
    return status === 503 && /redis/i.test(body);
  }, 15_000);
  expect((await worker.get('/healthz')).status).toBe(200);
  expect(worker.hasEnded).toBe(false);
  expect(bench.resultsOf(resend.eventId)).toEqual([]);
  expect(bench.deadLetters).toEqual([]);
  await redis.start();
  await bench.answered(sent);
  expect(await bench.only(resend)).toMatchObject({ reasonCode: 'AM05', originalEventId: original.eventId });
  await bench.waitFor('readiness', async () => (await worker.get('/readyz')).status === 200);
  await allIsWell();
});

test('frozen for some seconds with its connections open', async () => {
  const sent = await rush(200);
  redis.signal('SIGSTOP');
  sent.push(...(await rush(200)));
  await bench.waitFor('readiness to name Redis', async () => (await worker.get('/readyz')).status === 503, 15_000);
  redis.signal('SIGCONT');
  await bench.answered(sent);
  await allIsWell();
});

test('killed in the rush, with the worker killed after it', async () => {
  const sent = await rush(300);
  await redis.kill();
  sent.push(...(await rush(200)));
  await worker.kill();
  worker = await bench.startWorker();
  sent.push(...(await rush(100)));
  await redis.start();
  await bench.answered(sent);
  await allIsWell();
});

test('full: nothing is decided until there is room again', async () => {
  const setMemory = (bytes: string): Promise<unknown> => withRedis((client) => client.config('SET', 'maxmemory', bytes));
  await withRedis((client) => client.config('SET', 'maxmemory-policy', 'noeviction'));
  await setMemory('1');
  const sent = await rush(100);
  await bench.waitFor('readiness to name Redis', async () => (await worker.get('/readyz')).status === 503, 20_000);
  await setMemory('0');
  await bench.answered(sent);
  await allIsWell();
});

test('restarted from an older state, as by a failover that lost the last writes: what was settled since is a duplicate', async () => {
  await bench.settle(simple());
  const kept = await withRedis(async (client) => Promise.all((await client.keysBuffer('*')).map(async (key) => (
    { key, dump: await client.dumpBuffer(key), ttl: Math.max(0, await client.pttl(key)) }
  ))));
  const lost = await Promise.all(Array.from({ length: 50 }, () => bench.send(simple())));
  for (const event of lost) await bench.only(event);
  await redis.kill();
  await redis.start();
  await withRedis(async (client) => {
    for (const { key, dump, ttl } of kept) await client.restore(key, ttl, dump, 'REPLACE');
  });
  await Promise.all(lost.map(async (event) => {
    expect(await bench.only(await bench.send(event.message!, { partition: 1 }))).toMatchObject({ reasonCode: 'AM05', originalEventId: event.eventId });
  }));
  await allIsWell();
});

test('away when a worker is told to end: it ends in time, and nothing is lost', async () => {
  await redis.kill();
  const sent = await rush(100);
  const ended = await worker.terminate(30_000);
  expect(ended.code).toBe(0);
  await redis.start();
  worker = await bench.startWorker();
  await bench.answered(sent);
  await allIsWell();
});
