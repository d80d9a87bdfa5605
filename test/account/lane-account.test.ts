/** The account of a lane: what came in against what commits hold, from ends that know nothing of each other. */
import { describe, expect, it } from 'vitest';
import { packRecords } from '../../src/codec/record-batch.ts';
import type { RecordBatch } from '../../src/codec/record-batch.ts';
import { encodeRouted } from '../../src/codec/routed.ts';
import { topicNames } from '../../src/domain/topics.ts';
import { Epoch } from '../../src/epoch.ts';
import { Ledger } from '../../src/domain/ledger.ts';
import { LaneAccount } from '../../src/lane-account.ts';
import { LaneBook } from '../../src/lane-book.ts';

const topics = topicNames('payments.');
const batch = (offsets: readonly number[], topic = topics.inbound): RecordBatch =>
  packRecords(topic, 2, offsets.map((offset) => ({ key: null, value: Buffer.from('x'), offset, timestamp: 1000 + offset, headers: null })));

describe('the account of a lane', () => {
  const open = (next: number | null = 0): LaneAccount => new LaneAccount([[topics.inbound, next], [topics.routed, null]]);

  it('concludes what lies below the committed offset with what it was found to owe, markers in between or not', () => {
    const account = open();
    const first = batch([0, 1, 4]);
    account.take(first);
    account.take(batch([7]));
    account.owe(first, 5);
    expect(account.conclude(topics.inbound, 5)).toBe(5);
    expect(account.conclude(topics.inbound, 7)).toBe(0);
    expect(account.conclude(topics.inbound, 8)).toBe(1);
  });

  it('lets a batch that was passed over owe its records', () => {
    const account = open();
    account.take(batch([0, 1]));
    const second = batch([2, 3]);
    account.take(second);
    account.owe(second, 2);
    expect(account.conclude(topics.inbound, 4)).toBe(4);
  });

  it('says how many records are in flight, and since when', () => {
    const account = open();
    account.take(batch([0, 1]));
    account.take(batch([5]));
    expect([account.records(topics.inbound), account.records(topics.inbound, 2), account.oldest(topics.inbound)]).toEqual([3, 1, 1000]);
    account.conclude(topics.inbound, 2);
    expect([account.records(topics.inbound), account.oldest(topics.inbound)]).toEqual([1, 1005]);
    account.conclude(topics.inbound, 6);
    expect([account.records(topics.inbound), account.oldest(topics.inbound)]).toEqual([0, null]);
  });

  it('keeps the first batch of an assignment for the sample, with the offsets before it, and then the newest', () => {
    const account = open(3);
    for (const offsets of [[5, 6], [7], [9]]) account.take(batch(offsets));
    expect(account.sample(topics.inbound)).toEqual({ from: 3, to: 7, records: 2 });
    for (const offsets of [[10], [12, 13]]) account.take(batch(offsets));
    expect(account.sample(topics.inbound)).toEqual({ from: 11, to: 14, records: 2 });
    expect(account.sample(topics.inbound)).toBeNull();
  });

  it('remembers the widest gap', () => {
    const account = open(3);
    for (const offsets of [[5, 6], [17], [18], [20]]) account.take(batch(offsets));
    expect(account.gap(topics.inbound)).toEqual({ from: 7, to: 17 });
    expect(account.gap(topics.inbound)).toBeNull();
  });
});

describe('the account of a Kafka transaction', () => {
  const transfer = {
    event: { eventId: 'e', messageType: 'pacs.008.001.08', source: 's', messageId: null, createdAt: 0, receivedAt: 0, inboundPartition: 2, inboundOffset: 0 },
    transactionIndex: 0, instructionId: null, endToEndId: null, transactionId: null, uetr: null, debitedParticipant: 'A', creditedParticipant: 'B',
    currency: 'EUR', amount: 1n, formalRefusal: null, identity: 'x',
  };

  /** One batch of five records that owe `owed` outcomes, concluded by what `write` puts into the Kafka transaction. */
  function difference(owed: number, write: (epoch: Epoch) => void): [number, number][] {
    const book = new LaneBook({
      partition: 2,
      ledger: new Ledger(),
      standing: { inbound: 0, routed: 0, commit: 0, results: 0, chain: '0'.repeat(64) },
      topics,
      worker: 'w',
    });
    const epoch = new Epoch();
    const records = batch([0, 1, 2, 3, 4]);
    book.account.take(records);
    book.account.owe(records, owed);
    write(epoch);
    book.advance(topics.inbound, 5);
    epoch.touch(book);
    epoch.seal();
    return [...epoch.unaccounted(topics)];
  }

  const result = (epoch: Epoch, partition = 2): void => epoch.records.append(topics.results, partition, null, 'r');
  const letter = (epoch: Epoch): void => epoch.records.append(topics.deadLetter, 0, null, 'v', [{ key: 'dlq.partition', value: Buffer.from('2') }]);
  const handOver = (epoch: Epoch, count: number): void =>
    epoch.records.append(topics.routed, 0, null, encodeRouted({ from: 2, commit: 1, credits: [{ participant: 'B', currency: 'EUR', units: 1n }], transfers: new Array(count).fill(transfer) }));
  const all = (epoch: Epoch): void => {
    result(epoch);
    result(epoch);
    letter(epoch);
    handOver(epoch, 3);
  };

  it('comes out even over results, dead letters and transfers handed over', () => {
    expect(difference(6, all)).toEqual([]);
  });

  it.each<[string, number, (epoch: Epoch) => void, [number, number][]]>([
    ['a result that is missing', 7, all, [[2, 1]]],
    ['one that is too many', 5, all, [[2, -1]]],
    ['a result in another partition', 6, (epoch) => (result(epoch), result(epoch, 3), letter(epoch), handOver(epoch, 3)), [[2, 1], [3, -1]]],
    ['a transfer that is left out of those handed over', 6, (epoch) => (result(epoch), result(epoch), letter(epoch), handOver(epoch, 2)), [[2, 1]]],
    ['a dead letter that is missing', 6, (epoch) => (result(epoch), result(epoch), handOver(epoch, 3)), [[2, 1]]],
  ])('shows %s', (_what, owed, write, expected) => {
    expect(difference(owed, write)).toEqual(expected);
  });
});
