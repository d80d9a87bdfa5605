/** The comparison of the accounts with what Kafka says, by ports that can be made to say anything. */
import { describe, expect, it } from 'vitest';
import { packRecords } from '../../src/codec/record-batch.ts';
import { Ledger } from '../../src/domain/ledger.ts';
import { topicNames } from '../../src/domain/topics.ts';
import type { Fleet } from '../../src/fleet.ts';
import { KafkaAudit } from '../../src/kafka-audit.ts';
import { LaneBook } from '../../src/lane-book.ts';
import type { Log, Telemetry, Timing, TopicReader } from '../../src/ports.ts';

const topics = topicNames('payments.');
const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const timing: Timing = { now: () => 0, monotonic: () => 0, sleep: async () => {} };

/** One lane that took records at these offsets of the inbound topic, from 10 on; Kafka as it is said to be. */
function look(kafka: { taken: readonly number[]; there: readonly number[]; low?: number; committed?: number }) {
  const book = new LaneBook({
    partition: 0,
    ledger: new Ledger(),
    standing: { inbound: 10, routed: 0, commit: 1, results: 0, chain: '0'.repeat(64) },
    topics,
    worker: 'w',
  });
  const batchOf = (offsets: readonly number[]) =>
    packRecords(topics.inbound, 0, offsets.map((offset) => ({ key: null, value: null, offset, timestamp: 0, headers: null })));
  book.account.take(batchOf(kafka.taken));
  const found: { outcomes: number; found: string }[] = [];
  const fleet = {
    lanes: () => [{ partition: 0, state: 'running' }],
    runningBook: () => book,
    noteUnaccounted: (_partition: number, outcomes: number, what: string) => found.push({ outcomes, found: what }),
  } as unknown as Fleet;
  const low = kafka.low ?? 0;
  const reader: TopicReader = {
    async readToEnd(place, onBatch) {
      await onBatch(batchOf(kafka.there.filter((offset) => offset >= Math.max(low, place.from ?? 0))));
      return 100;
    },
    offsetAt: async () => 0,
    watermarks: async () => ({ low, high: 100 }),
  };
  const group = { committed: async () => [kafka.committed ?? 10, 0] };
  const audit = new KafkaAudit({ fleet, reader, group, topics, timing, telemetry: {} as Telemetry, log: quiet });
  const round = (): Promise<void> => audit.look(new AbortController().signal);
  return { round, audit, found };
}

describe('the comparison with Kafka', () => {
  it('finds nothing where every record was taken, markers and newer records beside them or not', async () => {
    const { round, audit, found } = look({ taken: [11, 14, 15], there: [11, 14, 15, 17, 18] });
    await round();
    expect(found).toEqual([]);
    expect(audit.offsetsOutside(0)).toBe(0);
  });

  it('finds a record that was not taken, before a batch and in it', async () => {
    for (const taken of [[12, 13], [11, 13]]) {
      const { round, found } = look({ taken, there: [11, 12, 13, 14] });
      await round();
      expect(found.map(({ outcomes }) => outcomes)).toEqual([1]);
    }
  });

  it('finds what was deleted before it was read', async () => {
    const { round, found } = look({ taken: [25, 26], there: [11, 25, 26], low: 20 });
    await round();
    expect(found).toEqual([{ outcomes: 10, found: 'offsets 10 to 19 of payments.inbound were deleted before they were read' }]);
  });

  it.each([
    ['behind what the lane has committed', 7, 3],
    ['beyond what it has concluded', 12, 2],
  ])("finds the group's committed offset %s, once it stays there", async (_where, committed, offsets) => {
    const { round, audit } = look({ taken: [11], there: [11], committed });
    await round();
    expect(audit.offsetsOutside(0)).toBe(0);
    await round();
    expect(audit.offsetsOutside(0)).toBe(offsets);
  });
});
