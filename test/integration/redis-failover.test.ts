/**
 * The way to Redis, and which Redis answers: failed over to a replica that lost the last writes, a replica that takes none, one
 * that still loads, slow, cut in the middle of replies, and replies that come to the wrong request. Under traffic, nothing is
 * settled twice, lost or called a duplicate for it (contract section 3).
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RedisServer } from '../adapters/redis-server.ts';
import { Bench } from './harness/bench.ts';
import type { Sent } from './harness/bench.ts';
import { message, transaction } from './harness/directory.ts';
import type { Service } from './harness/processes.ts';
import { TcpProxy } from './harness/tcp-proxy.ts';
import { createTraffic, sendRush } from './harness/traffic.ts';
import { compare } from './harness/truth.ts';

/** Microseconds a key when it loads its file: some hundred claims then take it seconds, in which it answers LOADING. */
const slowLoading = ['--key-load-delay', '4000', '--loading-process-events-interval-bytes', '1024'];

const traffic = createTraffic({ seed: 78, partitions: 4 });
const simple = () => message(transaction({ debtorAgent: { bic: 'TAAKDEFF' }, creditorAgent: { bic: 'TABKDEFF' }, amount: '0.01' }));
const rush = (count: number): Promise<Sent[]> => sendRush(bench, traffic, count);
let master: RedisServer;
let replica: RedisServer;
/** What the worker knows as Redis. */
let proxy: TcpProxy;
/** Between the replica and its master. */
let link: TcpProxy;
let bench: Bench;
let worker: Service;

beforeAll(async () => {
  [master, replica] = await Promise.all([RedisServer.start(...slowLoading), RedisServer.start()]);
  proxy = await TcpProxy.start(master.port);
  link = await TcpProxy.start(master.port);
  bench = await Bench.create('redis-failover', { participants: traffic.participants, environment: { REDIS_URL: `redis://127.0.0.1:${proxy.port}` } });
  worker = await (await bench.startWorker()).ready();
});
afterAll(async () => {
  await bench?.close();
  await Promise.all([proxy?.stop(), link?.stop()]);
  await Promise.all([master?.stop(), replica?.stop()]);
});

async function allIsWell(): Promise<void> {
  await bench.atRest();
  expect(bench.deadLetters).toEqual([]);
  expect(compare({ ...bench, participants: traffic.participants, positions: bench.positions(), workersDied: true })).toEqual([]);
}

const readinessSays = (words: RegExp): Promise<void> => bench.waitFor(`readiness to say ${words}`, async () => {
  const { status, body } = await worker.get('/readyz');
  return status === 503 && words.test(body);
});

test('replies cut in their middle, again and again, and replies that are lost so that the next comes to the wrong request', async () => {
  const sent: Sent[] = [];
  for (const bytes of [0, 1, 30, 60, 'all', 90, 150, 400, 'all'] as const) {
    proxy.takeStruck();
    proxy.spoilNextReply(bytes === 'all' ? { kind: 'swallow' } : { kind: 'cutAfter', bytes });
    sent.push(...(await rush(60)));
    await bench.waitFor('a reply to be struck', () => proxy.takeStruck().connections > 0);
  }
  await bench.answered(sent);
  await allIsWell();
});

test('slow: everything is answered, only later', async () => {
  proxy.set(250);
  const sent = await rush(300);
  await bench.answered(sent);
  expect(proxy.takeStruck().bytes).toBeGreaterThan(1_000);
  proxy.set('pass');
  await allIsWell();
});

test('while a window is rebuilt, readiness, a metric and the log say how far it is', async () => {
  await master.command('FLUSHALL');
  proxy.set(1_000);
  const sent = await rush(60);
  await readinessSays(/partition \d waits for its window of claims: \d+% read from the results, \d+ claims/);
  await bench.waitFor('the metric to show progress', async () => [...(await worker.metric('settlefleet_window_rebuild_ratio')).values()].some((ratio) => ratio > 0));
  await bench.waitFor('the log to show progress', () => /"percent":\d+[^\n]*Rebuilding the window of claims/.test(worker.stdout + worker.stderr));
  proxy.set('pass');
  await bench.answered(sent);
  await bench.waitFor('readiness', async () => (await worker.get('/readyz')).status === 200);
  expect((await worker.metric('settlefleet_window_rebuild_ratio')).size).toBe(0);
  await allIsWell();
});

test('restarted and still loading its file: nothing is decided until it has', async () => {
  await master.command('SAVE');
  await master.kill();
  const running = master.run();
  const sent = await rush(100);
  await readinessSays(/redis: .*LOADING/);
  await running;
  await bench.answered(sent);
  await allIsWell();
});

test('the address moves to a replica that takes no writes: nothing is decided until it moves back', async () => {
  await replica.follow(master, link.port);
  proxy.pointTo(replica.port);
  const sent = await rush(100);
  await readinessSays(/redis: .*replica/);
  expect(sent.filter(({ eventId }) => bench.resultsOf(eventId).some(({ reasonCode, status }) => status === 'ACSC' || reasonCode === 'AM05'))).toEqual([]);
  proxy.pointTo(master.port);
  await bench.answered(sent);
  await allIsWell();
});

test('failed over to a replica that lost the last writes: what was settled since is a duplicate, and its original is named', async () => {
  await replica.follow(master, link.port);
  link.set('hold');
  const lost = await Promise.all(Array.from({ length: 50 }, () => bench.send(simple())));
  for (const event of lost) await bench.only(event);
  const sent = await rush(200);
  expect(Number(await replica.command('DBSIZE'))).toBeLessThanOrEqual(Number(await master.command('DBSIZE')) - 50);
  await replica.command('REPLICAOF', 'NO', 'ONE');
  proxy.pointTo(replica.port);
  await master.kill();
  const resent = await Promise.all(lost.map((event) => bench.send(event.message!, { partition: 1 })));
  sent.push(...(await rush(200)));
  await bench.answered(sent);
  for (const [index, event] of resent.entries()) expect(await bench.only(event)).toMatchObject({ reasonCode: 'AM05', originalEventId: lost[index]!.eventId });
  await allIsWell();
});
