/** Claims last for a window: within it a resend is a duplicate, also after Redis was emptied; behind it, it is a payment. */
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRedis } from '../stack.ts';
import type { OwnRedis } from '../stack.ts';
import { Bench } from './harness/bench.ts';
import { message, participant, transaction } from './harness/directory.ts';

const windowSeconds = 6;
let redis: OwnRedis;
let bench: Bench;

beforeAll(async () => {
  redis = await startRedis();
  bench = await Bench.create('window', {
    participants: [participant('COBADEFFXXX'), participant('DEUTDEFFXXX')],
    environment: { REDIS_URL: redis.url, DEDUPE_WINDOW_SECONDS: String(windowSeconds) },
  });
  await (await bench.startWorker()).ready();
  // The first claim of a lane makes its window whole, which is not what is timed here.
  await bench.settle(message(transaction()));
});
afterAll(async () => {
  await bench?.close();
  await redis?.remove();
});

test.each([['Redis kept', false], ['Redis emptied', true]])('%s', async (_name, emptied) => {
  const payment = message(transaction());
  const [first] = await bench.settle(payment);
  const claimedAt = first!.settledAt;
  const empty = async (): Promise<void> => {
    const client = new Redis(redis.url, { lazyConnect: true });
    await client.connect();
    await client.flushall();
    client.disconnect();
  };
  if (emptied) await empty();
  const [within] = await bench.settle(payment);
  expect(within).toMatchObject({ reasonCode: 'AM05', originalEventId: first!.eventId });
  expect(within!.settledAt - claimedAt).toBeLessThan(windowSeconds * 1_000);
  await pause(claimedAt + (windowSeconds + 2) * 1_000 - Date.now());
  if (emptied) await empty();
  const [behind] = await bench.settle(payment);
  expect(behind).toMatchObject({ status: 'ACSC', originalEventId: null });
});
