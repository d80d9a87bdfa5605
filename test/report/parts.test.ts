/** When a day's statements are whole, and how they are written, without any part of the fleet. */
import { describe, expect, it } from 'vitest';
import { judge, Marks, overcounted, readStandings } from '../../src/report/completeness.ts';
import type { PartitionStanding } from '../../src/report/completeness.ts';
import { dayEnd, makeDayReport, TooManyEntriesError } from '../../src/report/day-report.ts';
import type { DayReportOptions } from '../../src/report/day-report.ts';
import { reportCsv, reportJson, reportLines } from '../../src/report/render.ts';
import type { DayReport } from '../../src/report/render.ts';
import type { DaySums, Entry, Statement } from '../../src/report/statements.ts';
import { statementsThatDiffer } from '../../src/report/statements.ts';
import { encodeCheckpoint } from '../../src/codec/checkpoint.ts';
import { packRecords } from '../../src/codec/record-batch.ts';
import { topicNames } from '../../src/domain/topics.ts';
import type { TopicReader } from '../../src/ports.ts';

const sums = (counted: readonly number[], unbalanced: readonly string[] = []): DaySums => ({ statements: [], counted: new Map(counted.map((n, partition) => [partition, n])), unbalanced });
const standing = (partition: number, sequence: number, undecided = 0): PartitionStanding => ({ partition, sequence, undecided });

describe('a day is', () => {
  it.each([
    ['final when it is over and all is counted', sums([3, 0]), [standing(0, 3), standing(1, 0)], true, 'final', 0],
    ['final when ClickHouse is ahead of what was asked for', sums([5]), [standing(0, 3)], true, 'final', 0],
    ['interim when it is not over', sums([3]), [standing(0, 3, 7)], false, 'interim', 0],
    ['incomplete while ClickHouse is behind', sums([2]), [standing(0, 3)], true, 'incomplete', 1],
    ['incomplete while ClickHouse knows nothing of a partition', sums([3]), [standing(0, 3), standing(1, 1)], false, 'incomplete', 1],
    ['incomplete while something of it is not decided', sums([3]), [standing(0, 3, 1)], true, 'incomplete', 1],
    ['incomplete when ClickHouse counts a partition that there is not', sums([3, 1]), [standing(0, 3)], true, 'incomplete', 1],
    ['incomplete when debits are not credits', sums([3], ['EUR']), [standing(0, 3)], true, 'incomplete', 1],
  ] as const)('%s', (_, counted, standings, over, state, reasons) => {
    const verdict = judge(counted, standings, over);
    expect([verdict.state, verdict.reasons.length]).toEqual([state, reasons]);
  });

  it('not whole by what was posted before everything of it was decided', () => {
    const marks = new Marks(true);
    expect(marks.note([standing(0, 3, 2)])).toEqual([standing(0, 3, 2)]);
    expect(marks.note([standing(0, 5)])).toEqual([standing(0, 5)]);
    // What is posted from now on belongs to later days.
    expect(marks.note([standing(0, 9)])).toEqual([standing(0, 5)]);
    expect(new Marks(false).note([standing(0, 3, 2)])).toEqual([standing(0, 3, 2)]);
  });

  it('of other topics where ClickHouse counts more than was posted', () => {
    expect(overcounted(sums([4, 2]), [standing(0, 3), standing(1, 2)])).toHaveLength(1);
  });
});

describe('how far Kafka is', () => {
  const topics = topicNames('x.');
  const end = Date.UTC(2026, 10, 23);
  const checkpoint = encodeCheckpoint({ commit: 7, inbound: 2, routed: 1, sequence: 5, results: 5, first: null, chain: '0'.repeat(64), worker: 'w' });
  const readerOf = (inbound: readonly { offset: number; timestamp: number }[], high: number): TopicReader => {
    const records = { [topics.inbound]: inbound.map((one) => ({ ...one, value: '' })), [topics.checkpoints]: [{ offset: 0, timestamp: end, value: checkpoint }], [topics.routed]: [] }
    const of = (topic: string) => records[topic] ?? [];
    const highOf = (topic: string) => (topic === topics.inbound ? high : of(topic).length);
    return {
      async readToEnd({ topic, partition, from }, onBatch) {
        const wanted = of(topic).filter(({ offset }) => offset >= (from ?? 0)).map((one) => ({ ...one, key: null, value: Buffer.from(one.value), headers: null }));
        if (wanted.length > 0) await onBatch(packRecords(topic, partition, wanted));
        return highOf(topic);
      },
      offsetAt: async (topic, _, time) => of(topic).find(({ timestamp }) => timestamp >= time)?.offset ?? highOf(topic),
      watermarks: async (topic) => ({ low: 0, high: highOf(topic) }),
    };
  };
  it.each([
    ['counts what came before the end of the day and is not decided', [{ offset: 1, timestamp: end - 3 }, { offset: 2, timestamp: end - 2 }, { offset: 4, timestamp: end - 1 }, { offset: 5, timestamp: end }], 6, 2],
    ['counts no marker of a Kafka transaction', [{ offset: 1, timestamp: end - 3 }], 3, 0],
    ['counts nothing that came later', [{ offset: 1, timestamp: end - 3 }, { offset: 2, timestamp: end }], 3, 0],
  ] as const)('%s', async (_, inbound, high, undecided) => {
    expect(await readStandings({ reader: readerOf(inbound, high), topics, partitions: 1, dayEndMs: end })).toEqual([standing(0, 5, undecided)]);
  });
});

describe('the report waits', () => {
  const day = '2026-11-22';
  /** ClickHouse counts one more debit at each look. */
  function slowSink(options: { readonly waitMs: number; readonly entriesMax?: number }): DayReportOptions & { looks: number; waited: string[][] } {
    let now = dayEnd(day) + 1000;
    const made = {
      looks: 0,
      waited: [] as string[][],
      day, filter: { participant: null, currency: null }, withEntries: options.entriesMax !== undefined, entriesMax: options.entriesMax ?? 1,
      ask: async () => {
        made.looks++;
        return [
          { of_participant: 'A', of_currency: 'EUR', of_partition: 0, all_participants: 0, all_currencies: 0, opening: '1.00000', debit_count_text: '2', debits_text: '2.00000', credit_count_text: '0', credits_text: '0', counted: '0', difference: '0' },
          { of_participant: '', of_currency: '', of_partition: 0, all_participants: 1, all_currencies: 1, opening: '0', debit_count_text: '0', debits_text: '0', credit_count_text: '0', credits_text: '0', counted: String(made.looks), difference: '0' },
        ].map((row) => JSON.stringify(row)).join('\n');
      },
      standings: async () => [standing(0, 3)],
      waitMs: options.waitMs,
      timing: { now: () => now, monotonic: () => now, sleep: async (ms: number) => void (now += ms) },
      onWait: (reasons: readonly string[]) => void made.waited.push([...reasons]),
    };
    return made;
  }

  it('until the sink has stored what was posted, and says so once', async () => {
    const options = slowSink({ waitMs: 10_000 });
    expect(await makeDayReport(options)).toMatchObject({ state: 'final', reasons: [], statements: [{ participant: 'A', opening: 100_000n, closing: -100_000n }] });
    expect([options.looks, options.waited.length]).toEqual([3, 1]);
  });

  it('no longer than it may, and then says what is missing', async () => {
    const made = await makeDayReport(slowSink({ waitMs: 500 }));
    expect(made).toMatchObject({ state: 'incomplete', reasons: [expect.stringContaining('ClickHouse counts 2 debits, 3 are posted')] });
    expect(reportLines(made)[1]).toMatch(/^INCOMPLETE/);
  });

  it('for no Kafka that is left out, and says that', async () => {
    const made = await makeDayReport({ ...slowSink({ waitMs: 0 }), standings: null });
    expect(made.state).toBe('unchecked');
    expect(reportLines(made)[1]).toMatch(/^UNCHECKED/);
  });

  it('and refuses more entries than it can hold', async () => {
    await expect(makeDayReport(slowSink({ waitMs: 10_000, entriesMax: 1 }))).rejects.toThrow(TooManyEntriesError);
  });
});

describe('statements', () => {
  const one: Statement = { participant: 'COBADEFFXXX', currency: 'EUR', opening: -150_000n, debitCount: 1, debits: 1_234_567_890_123_456_789_000n, creditCount: 1, credits: 1n, closing: -1_234_567_890_123_456_938_999n };
  const entry: Entry = {
    participant: 'COBADEFFXXX', currency: 'EUR', side: 'debit', amount: one.debits, settledAt: '2026-11-22T08:00:00.001Z', counterparty: 'DEUTDEFFXXX', positionAfter: -5n, endToEndId: 'a,"b"\u001b',
    transactionId: null, uetr: null, messageType: 'pacs.008.001.08', source: 's', eventId: 'e', transactionIndex: 0, resultPartition: 1, resultOffset: 7,
  };
  const credit: Entry = { ...entry, side: 'credit', amount: 1n, positionAfter: null };
  const report: DayReport = { day: '2026-11-22', state: 'final', reasons: [], createdAt: '2026-11-23T00:00:01.000Z', statements: [one], entries: [entry, credit] };

  it('are exact, whatever their size', () => {
    expect(reportCsv({ ...report, entries: null })).toEqual([
      'day,state,participant,currency,opening,debit_count,debits,credit_count,credits,closing',
      '2026-11-22,final,COBADEFFXXX,EUR,-1.50,1,12345678901234567.89,1,0.00001,-12345678901234569.38999',
    ]);
    expect(reportJson(report)).toMatchObject({
      state: 'final', timeZone: 'UTC', from: '2026-11-22T00:00:00.000Z', to: '2026-11-23T00:00:00.000Z',
      statements: [{ id: '2026-11-22/COBADEFFXXX/EUR', opening: { code: 'OPBD', amount: '-1.50' }, closing: { code: 'CLBD' }, entries: [{ indicator: 'DBIT', positionAfter: '-0.00005' }, { indicator: 'CRDT', positionAfter: null }] }],
    });
  });

  it('have the decimals of their currency', () => {
    const [, ...lines] = reportCsv({ ...report, entries: null, statements: ['JPY', 'EUR', 'KWD'].map((currency) => ({ ...one, currency, opening: 0n, closing: -300_000n })) });
    expect(lines.map((line) => line.split(',')).map((cells) => [cells[3], cells[4], cells.at(-1)])).toEqual([['JPY', '0', '-3'], ['EUR', '0.00', '-3.00'], ['KWD', '0.000', '-3.000']]);
  });

  it('quote what CSV must quote, and show a person no control characters', () => {
    expect(reportCsv(report)[1]).toContain(',"a,""b""\u001b",');
    expect(reportLines(report).join('\n')).toContain('a,"b"?');
  });

  it('close with ITBD where they are not final', () => {
    for (const state of ['interim', 'incomplete', 'unchecked'] as const) expect(reportJson({ ...report, state })).toMatchObject({ statements: [{ closing: { code: 'ITBD' } }] });
  });

  it('are held against their entries, in count and in amount', () => {
    expect(statementsThatDiffer([one], [entry, credit])).toEqual([]);
    expect(statementsThatDiffer([one], [entry])).toEqual([one]);
    expect(statementsThatDiffer([one], [entry, { ...credit, amount: 2n }])).toEqual([one]);
    expect(statementsThatDiffer([{ ...one, currency: 'USD' }], [entry, credit])).toHaveLength(1);
  });
});
