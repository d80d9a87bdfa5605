/** The benchmarks over the real stack, in a form too short to say anything about speed: that they run, and that they judge. */
import { expect, test } from 'vitest';
import { measureDrain } from '../../bench/drain-round.ts';
import { boundsDefault } from '../../bench/load/judge.ts';
import { openLoadSession } from '../../bench/load/session.ts';
import { fleet } from '../../bench/peers/subjects.ts';
import { openWorld } from '../../bench/world.ts';
import { stackEnvironment } from '../stack.ts';

const world = { subject: 'smoke', seed: 11, participants: 20, partitions: 4, transactions: 1, commitIntervalMs: 100, moulds: 64 };
stackEnvironment();

test('a drain answers every event rightly, with many transactions a message', async () => {
  const figures = await measureDrain(fleet, { ...world, events: 200, warm: 200, transactions: 3, workers: 1, sink: false });
  expect(figures.faults).toEqual([]);
  expect(figures.events / figures.seconds).toBeGreaterThan(0);
  expect(figures.cpu.subject).toBeGreaterThan(0);
  expect(figures.memoryMegabytes).toBeGreaterThan(50);
}, 120_000);

test('an open load is sent to its last event, answered, and measured from the intended times', async () => {
  const session = await openLoadSession(fleet, { ...world, warm: 0, workers: 1 });
  try {
    // A busy machine may be late; what is looked at here is that nothing is lost between the three processes.
    const figures = await session.load({ rate: 200, seconds: 2, warmSeconds: 0.5, bounds: { ...boundsDefault, p99MsMax: 60_000, lateMsMax: 60_000, lagSecondsMax: 60, giveUpLagSeconds: 60 } });
    expect(figures.verdict).toEqual({ kind: 'sustained' });
    expect(figures).toMatchObject({ rate: 200, sent: 500, unanswered: 0 });
    expect(figures.p50Ms).toBeGreaterThan(0);
    expect(figures.p999Ms).toBeGreaterThanOrEqual(figures.p99Ms);
    expect(figures.mostMs).toBeGreaterThanOrEqual(figures.p999Ms);
    expect(figures.cpu.generator).toBeGreaterThan(0);
    expect(await session.faults()).toEqual([]);
  } finally {
    await session.close();
  }
}, 120_000);

test('events without an answer are found', async () => {
  const lonely = await openWorld(world);
  try {
    await lonely.publish(0, 5);
    expect(await lonely.faults(5, true)).toContainEqual('0 events with results and 0 dead letters for 5 events');
    await expect(lonely.drained(200)).rejects.toThrow('5 events are left');
  } finally {
    await lonely.close();
  }
});
