/** How far the group is behind, in records and in time, by ports that can be made to say anything. */
import { describe, expect, it } from 'vitest';
import { packRecords } from '../../src/codec/record-batch.ts';
import { topicNames } from '../../src/domain/topics.ts';
import type { Fleet } from '../../src/fleet.ts';
import { LagWatch } from '../../src/lag-watch.ts';
import type { TopicReader } from '../../src/ports.ts';

const topics = topicNames('payments.');

/** The inbound topic from offset 10 to 100, with records put at times equal to their offsets; it is 1000 now. */
async function lagOf(lane: { committed: () => number | null | undefined; taken?: number; recordAt?: number }) {
  const fleet = {
    lanes: () => [{ partition: 0, state: 'running' }],
    committedPosition: (topic: string) => (topic === topics.inbound ? lane.committed() : 0),
    runningBook: () => ({ account: { oldest: (topic: string) => (topic === topics.inbound ? (lane.taken ?? null) : null) } }),
  } as unknown as Fleet;
  const reader = {
    watermarks: async (topic: string) => (topic === topics.inbound ? { low: 10, high: 100 } : { low: 0, high: 0 }),
    async readToEnd(_place: unknown, onBatch: (batch: ReturnType<typeof packRecords>) => void) {
      if (lane.recordAt !== undefined) onBatch(packRecords(topics.inbound, 0, [{ key: null, value: null, offset: lane.recordAt, timestamp: lane.recordAt, headers: null }]));
      return 100;
    },
  } as unknown as TopicReader;
  const ending = new AbortController();
  const watch = new LagWatch({ fleet, reader, topics, timing: { now: () => 1000, monotonic: () => 0, sleep: async () => ending.abort() } });
  await watch.run(ending.signal);
  return watch.read().filter(({ topic }) => topic === topics.inbound).map(({ records, ageMs }) => ({ records, ageMs }));
}

describe('the lag of a partition', () => {
  it('is as old as the oldest record that was taken and is not committed', async () => {
    expect(await lagOf({ committed: () => 40, taken: 700 })).toEqual([{ records: 60, ageMs: 300 }]);
  });

  it('is looked up in Kafka where nothing was taken, and has no age where only markers are left', async () => {
    expect(await lagOf({ committed: () => 40, recordAt: 45 })).toEqual([{ records: 60, ageMs: 955 }]);
    expect(await lagOf({ committed: () => 99 })).toEqual([{ records: 1, ageMs: 0 }]);
  });

  it('begins at the oldest record where nothing was ever committed', async () => {
    expect(await lagOf({ committed: () => null, recordAt: 10 })).toEqual([{ records: 90, ageMs: 990 }]);
  });

  it('is not told while a lane does not know what is committed', async () => {
    expect(await lagOf({ committed: () => undefined, recordAt: 10 })).toEqual([]);
  });

  it('forgets the age of a record that was committed since', async () => {
    let asked = 0;
    expect(await lagOf({ committed: () => (++asked === 1 ? 40 : 99), recordAt: 45 })).toEqual([{ records: 1, ageMs: 0 }]);
  });

  it('is never negative', async () => {
    expect(await lagOf({ committed: () => 104 })).toEqual([{ records: 0, ageMs: 0 }]);
  });
});
