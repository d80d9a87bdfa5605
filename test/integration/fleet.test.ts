/** Workers that come, go and die: nothing is lost, nothing is told twice, and no redelivery is taken for a duplicate. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Bench } from './harness/bench.ts';
import type { Sent } from './harness/bench.ts';
import { message, transaction } from './harness/directory.ts';
import type { Service } from './harness/processes.ts';
import { createTraffic, sendRush } from './harness/traffic.ts';
import { compare } from './harness/truth.ts';

const partitions = 6;
const traffic = createTraffic({ seed: 20_261_123, partitions });
const settled = { debtorAgent: { bic: 'TAAKDEFFXXX' }, creditorAgent: { bic: 'TABKDEFFXXX' }, amount: '0.01' };
let bench: Bench;
let worker: Service;

beforeAll(async () => {
  bench = await Bench.create('fleet', { partitions, participants: traffic.participants });
  worker = await (await bench.startWorker()).ready();
});
afterAll(() => bench?.close());

const rush = (count: number): Promise<Sent[]> => sendRush(bench, traffic, count);

async function allIsWell(): Promise<void> {
  await bench.atRest(45_000);
  expect(compare({ ...bench, participants: traffic.participants, positions: bench.positions(), workersDied: true })).toEqual([]);
}

test('a worker that is killed in the middle is followed by another: each transaction has one outcome', async () => {
  const first = await rush(1_000);
  await bench.waitFor('some results', () => bench.results.length > 50);
  await worker.kill();
  const second = await rush(500);
  worker = await bench.startWorker();
  await bench.answered([...first, ...second]);
  await allIsWell();
});

test('a worker killed between its claims and its commit leaves no false duplicates', async () => {
  expect((await worker.terminate()).code).toBe(0);
  const slow = await (await bench.startWorker({ COMMIT_INTERVAL_MS: '20000' })).ready();
  const sent = await rush(400);
  await bench.waitFor('the claims', async () => [...(await slow.metric('settlefleet_dedupe_total')).values()].reduce((a, b) => a + b, 0) >= 300);
  await slow.kill();
  worker = await bench.startWorker();
  await bench.answered(sent);
  await allIsWell();
});

test('a resend that comes after a restart is a duplicate, and names the original', async () => {
  const payment = message(transaction(settled));
  const original = await bench.send(payment);
  await bench.outcome(original);
  expect((await worker.terminate()).code).toBe(0);
  const [resend] = await Promise.all([bench.send(payment, { partition: 3, key: null }), bench.startWorker().then((started) => (worker = started))]);
  expect(await bench.only(resend)).toMatchObject({ reasonCode: 'AM05', originalEventId: original.eventId });
});

test('positions and sequences go on where they were after a restart', async () => {
  const [before] = await bench.settle(message(transaction(settled)));
  await bench.atRest();
  const position = bench.positions().get('TAAKDEFFXXX|EUR')!;
  const highest = Math.max(...bench.results.filter(({ partition }) => partition === before!.partition).map(({ sequence }) => sequence ?? 0));
  expect((await worker.terminate()).code).toBe(0);
  worker = await bench.startWorker();
  const [after] = await bench.settle(message(transaction(settled)));
  expect(after).toMatchObject({ sequence: highest + 1, positionAfter: position - 1000n });
});

test('a second worker that joins, and the first that leaves by SIGTERM, lose and double nothing', async () => {
  const sent = await rush(600);
  const second = await bench.startWorker();
  sent.push(...(await rush(600)));
  await second.ready();
  sent.push(...(await rush(600)));
  const ended = worker.terminate();
  sent.push(...(await rush(300)));
  expect((await ended).code).toBe(0);
  worker = second;
  await bench.answered(sent);
  await allIsWell();
});

test('of three workers two die in the rush', async () => {
  const second = await (await bench.startWorker()).ready();
  const third = await (await bench.startWorker()).ready();
  const sent = await rush(800);
  await second.kill();
  sent.push(...(await rush(400)));
  await worker.kill();
  worker = third;
  sent.push(...(await rush(400)));
  await bench.answered(sent, 60_000);
  await allIsWell();
});

test('SIGTERM drains: what was started is committed, then the exit code is 0', async () => {
  const sent = await rush(300);
  const ended = await worker.terminate();
  expect(ended.code).toBe(0);
  worker = await bench.startWorker();
  await bench.answered(sent);
  await allIsWell();
});
