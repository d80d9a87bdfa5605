/** A backlog that is larger than what a worker holds at a time: it is worked off in order, also when the worker dies in its middle. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Bench } from './harness/bench.ts';
import { createTraffic } from './harness/traffic.ts';
import { compare } from './harness/truth.ts';

const events = 12_000;
const traffic = createTraffic({ seed: 31, partitions: 3, participants: 60 });
let bench: Bench;

beforeAll(async () => {
  bench = await Bench.create('backlog', { partitions: 3, participants: traffic.participants });
});
afterAll(() => bench?.close());

test('events that lay there before any worker, one that dies over them, and two that finish', async () => {
  for (let sent = 0; sent < events; sent += 2_000) {
    await Promise.all(Array.from({ length: 2_000 }, () => {
      const { message: spec, sending } = traffic.next();
      return bench.send(spec, { ...sending, source: 'x'.repeat(3_000) });
    }));
  }
  const first = await bench.startWorker();
  await bench.waitFor('the first results', () => bench.results.length > 500);
  await first.kill();
  await Promise.all([bench.startWorker(), bench.startWorker()]);
  const wanted = (): boolean => bench.sent.every(({ eventId, message: spec }) => {
    const results = bench.resultsOf(eventId);
    return results[0]?.transactionIndex === -1 || results.length === spec!.transactions.length;
  });
  await bench.waitFor('all results', wanted, 90_000);
  await bench.atRest(60_000);
  expect(compare({ ...bench, participants: traffic.participants, positions: bench.positions(), workersDied: true })).toEqual([]);
}, 180_000);
