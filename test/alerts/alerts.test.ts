/**
 * Some of the alerts, fired by a real fleet that is struck, in a real Prometheus. `./dev alerts` fires the others, and takes
 * minutes.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { StruckFleet } from './struck-fleet.ts';

let fleet: StruckFleet;

beforeAll(async () => {
  fleet = await StruckFleet.start({ workers: 1, sink: false });
});
afterAll(() => fleet?.close());

test('a Redis that comes back empty, and a fleet without a sink', async () => {
  await fleet.send(20);
  await fleet.redis.kill();
  await fleet.redis.start();
  await fleet.send(20);
  await fleet.fired(['RedisForgot', 'NoSinkIsScraped'], 30_000);
});

test('a sender that breaks its messages', async () => {
  expect(await fleet.firing()).not.toContain('ManyDeadLetters');
  await fleet.sendGarbage(60);
  await fleet.fired(['ManyDeadLetters'], 20_000);
});

test('no worker, and then one that finds that events were deleted before they were read', async () => {
  await fleet.bench.atRest();
  expect(await fleet.firing()).not.toContain('NoWorkerIsScraped');
  await fleet.endWorkers();
  await fleet.fired(['NoWorkerIsScraped'], 20_000);
  const value = fleet.anEvent();
  const places = [];
  for (let i = 0; i < 6; i++) places.push(await fleet.bench.sendValue(value, { partition: 1, key: 'x' }));
  await fleet.deleteRecords(1, places[4]!.offset);
  await fleet.startWorkers();
  await fleet.fired(['EventsAreUnaccountedFor'], 20_000);
  await fleet.quiet(['NoWorkerIsScraped'], 10_000);
});
