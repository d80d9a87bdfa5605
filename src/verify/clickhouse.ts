/**
 * The table `results` against the topic: number and checksum of the rows block by block, and where a block differs, row by
 * row. Rows that the sink has not stored yet are no fault: it stores a partition in the order of its offsets. Nor are those
 * that are older than the table's retention.
 */
import { decodePaymentResult } from '../codec/payment-result.ts';
import { valueBytes } from '../codec/record-batch.ts';
import type { TopicNames } from '../domain/topics.ts';
import type { Clock, TopicReader } from '../ports.ts';
import { resultColumns } from '../sink/result-rows.ts';
import { keptFromMs } from '../sink/retention.ts';
import type { Findings } from './findings.ts';
import { recordsOf } from './record-stream.ts';
import { blockOffsets, differingColumns, rowChecksum, rowChecksumSql, rowText, rowTextSql } from './row-sums.ts';
import type { RowSums } from './row-sums.ts';

/** Each differing row takes a query to say in which columns; the first ones tell enough. */
const explainedMax = 20;

/** Answers one query in TabSeparated. */
export type AskClickhouse = (query: string) => Promise<string>;

export interface StoredRows {
  /** Rows in the table, for the offsets that the topic still has. */
  readonly rows: number;
  /** Rows that the sink has still to store. */
  readonly behind: number;
  /** Results of which the table has no row any more, because they are older than its retention. */
  readonly expired: number;
}

/** One for each partition. */
export async function compareWithClickhouse(options: {
  readonly topics: TopicNames;
  readonly reader: TopicReader;
  readonly ask: AskClickhouse;
  readonly clock: Clock;
  readonly sums: readonly RowSums[];
  readonly findings: Findings;
}): Promise<StoredRows[]> {
  const { ask, sums } = options;
  const highest = new Map(
    numbers(await ask('SELECT result_partition, max(result_offset) FROM results GROUP BY result_partition')).map(([partition, offset]) => [partition!, offset!]),
  );
  const ranges = sums.map((sum, partition) => ({ partition, first: sum.first, last: Math.min(sum.last, highest.get(partition) ?? -1) }));
  const within = ranges
    .filter(({ first, last }) => first >= 0 && last >= first)
    .map(({ partition, first, last }) => `(result_partition = ${partition} AND result_offset BETWEEN ${first} AND ${last})`);
  const blocks = new Map<string, { rows: number; sum: number }>();
  if (within.length > 0) {
    const answer = await ask(
      `SELECT result_partition, intDiv(result_offset, ${blockOffsets}) AS block, count(), sum(toUInt64(${rowChecksumSql})) ` +
        `FROM results WHERE ${within.join(' OR ')} GROUP BY result_partition, block`,
    );
    for (const [partition, block, rows, sum] of numbers(answer)) blocks.set(`${partition} ${block}`, { rows: rows!, sum: sum! });
  }

  const keptFrom = keptFromMs(await retentionDays(ask), options.clock());
  const stored: StoredRows[] = [];
  for (const { partition, last } of ranges) {
    let rows = 0;
    let expected = 0;
    let expired = 0;
    for (const [number, ours] of sums[partition]!.blocks) {
      const theirs = blocks.get(`${partition} ${number}`) ?? { rows: 0, sum: 0 };
      rows += theirs.rows;
      expected += ours.rows;
      if (theirs.rows === ours.rows && theirs.sum === ours.sum) continue;
      // The whole block is gone, or goes away while we look.
      if (theirs.rows === 0 && ours.newestMs < keptFrom) expired += ours.rows;
      else if (number * blockOffsets <= last) {
        const end = Math.min(last, (number + 1) * blockOffsets - 1);
        expired += await compareBlock(options, { partition, first: Math.max(number * blockOffsets, sums[partition]!.first), last: end, keptFrom });
      }
    }
    stored.push({ rows, behind: last >= sums[partition]!.last ? 0 : Math.max(0, expected - expired - rows), expired });
  }
  return stored;
}

/** Days after which rows leave the table; 0: never. The table itself says so: the sink may have been told otherwise than we. */
async function retentionDays(ask: AskClickhouse): Promise<number> {
  const engine = await ask("SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'results'");
  return Number(/ TTL toDateTime\(settled_at\) \+ toIntervalDay\((\d+)\) /.exec(engine)?.[1] ?? 0);
}

/** Gives the number of results without a row that are older than the retention. */
async function compareBlock(
  { topics, reader, ask, findings }: Parameters<typeof compareWithClickhouse>[0],
  { partition, first: from, last, keptFrom }: { readonly partition: number; readonly first: number; readonly last: number; readonly keptFrom: number },
): Promise<number> {
  let expired = 0;
  const theirs = numbers(
    await ask(`SELECT result_offset, ${rowChecksumSql} FROM results WHERE result_partition = ${partition} AND result_offset BETWEEN ${from} AND ${last} ORDER BY result_offset`),
  );
  const say = (offset: number, message: string): void => findings.add('clickhouse', topics.results, partition, offset, message);
  let at = 0;
  let differing = 0;
  for await (const batch of recordsOf(reader, { topic: topics.results, partition, from })) {
    for (let row = 0; row < batch.count; row++) {
      const offset = batch.offsets[row]!;
      if (offset > last) break;
      const value = valueBytes(batch, row);
      if (value === null) continue;
      for (; at < theirs.length && theirs[at]![0]! < offset; at++) say(theirs[at]![0]!, 'ClickHouse has a row for this offset, the topic has no result there');
      const result = decodePaymentResult(value);
      if (theirs[at]?.[0] !== offset) {
        if (result.settledAt < keptFrom) expired++;
        else say(offset, 'ClickHouse has no row for this result');
        continue;
      }
      if (theirs[at]![1] !== rowChecksum(result) && ++differing > explainedMax) say(offset, 'the row in ClickHouse differs from this result');
      else if (theirs[at]![1] !== rowChecksum(result)) {
        const [text] = texts(await ask(`SELECT hex(${rowTextSql}) FROM results WHERE result_partition = ${partition} AND result_offset = ${offset} LIMIT 1`));
        const columns = differingColumns(rowText(result), Buffer.from(text ?? '', 'hex').toString('utf8'), resultColumns);
        say(offset, `the row in ClickHouse differs from this result in ${columns.join(', ')}`);
      }
      for (at++; theirs[at]?.[0] === offset; at++) say(offset, 'ClickHouse has this result more than once');
    }
    if (batch.offsets[batch.count - 1]! >= last) break;
  }
  for (; at < theirs.length; at++) say(theirs[at]![0]!, 'ClickHouse has a row for this offset, the topic has no result there');
  return expired;
}

function texts(answer: string): string[] {
  return answer.split('\n').filter(Boolean);
}

function numbers(answer: string): number[][] {
  return texts(answer).map((line) => line.split('\t').map(Number));
}
