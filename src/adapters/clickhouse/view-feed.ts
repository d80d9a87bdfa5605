/**
 * Passes stored rows on to the materialized views (schemas/clickhouse/003-materialized-views.sql says why they do not hang on
 * the table itself). Each view holds the offsets that it has counted; what it lacks is read from `results` and given to it, in
 * the order of the offsets, so that whatever a crash leaves of a step is a whole beginning of it, for each view its own.
 *
 * Only who has claimed a partition feeds its rows, under the guard of that claim: the rows of one partition are never given
 * by two. A view that a migration adds to a full database holds nothing, and is fed from the first row on.
 */
import { guardOf, run } from './connection.ts';
import type { ClickhouseConnection } from './connection.ts';

/** The tables that materialized views fill from `results_feed`. */
export const fedTables = ['volume_minutes', 'latency_minutes', 'statement_days'] as const;

/** Rows in a step: what was stored meanwhile does not wait long for a view that is being filled. */
const stepRowsMax = 200_000;

const columns =
  'transaction_index, source, status, debited_participant, credited_participant, currency, amount, ' +
  'created_at, received_at, settled_at, result_partition, result_offset';

/** Rows in the order of their offsets, block after block, nothing side by side, nothing taken for a repetition. */
const inOrder = 'max_threads = 1, max_insert_threads = 1, parallel_view_processing = 0, async_insert = 0, insert_deduplicate = 0';

export interface FeedRequest {
  readonly partition: number;
  /** The highest offset that is stored. */
  readonly storedOffset: number;
  readonly refuseWhen: string;
  readonly queryIdPrefix: string;
}

export class ViewFeed {
  readonly #connection: ClickhouseConnection;
  readonly #database: string;
  /** For each partition, the highest offset that each of the tables holds. */
  readonly #fed = new Map<number, readonly number[]>();

  constructor(connection: ClickhouseConnection, database: string) {
    this.#connection = connection;
    this.#database = database;
  }

  /** Looks up how far the views are, for partitions that nobody else can feed any more. */
  async learn(partitions: readonly number[]): Promise<void> {
    if (partitions.length === 0) return;
    const known = await Promise.all(fedTables.map((table) => this.#offsetsOf(table, partitions)));
    for (const partition of partitions) this.#fed.set(partition, known.map((offsets) => offsets.get(partition) ?? -1));
  }

  /** One step: gives the offset up to which all views hold everything, or says that the partition is no longer ours. */
  async feed(request: FeedRequest): Promise<number | 'fenced'> {
    const { partition, storedOffset } = request;
    const fed = this.#fed.get(partition);
    if (fed === undefined) throw new Error(`Partition ${partition} was fed before it was claimed.`);
    const from = Math.min(...fed);
    if (from >= storedOffset) return from;
    const to = storedOffset - from <= stepRowsMax ? storedOffset : await this.#endOfStep(partition, from, storedOffset);
    const outcome = await this.#connection.pass({
      sql:
        `INSERT INTO ${this.#database}.results_feed (${columns}, views) ` +
        `SELECT ${columns}, arrayFilter((view, fed) -> result_offset > fed, [${fedTables.map((table) => `'${table}'`).join(', ')}], ` +
        `[${fed.join(', ')}]::Array(Int64)) AS views FROM ${this.#database}.results ` +
        `WHERE result_partition = ${partition} AND result_offset > ${from} AND result_offset <= ${to} AND ${guardOf(request.refuseWhen)} ` +
        `ORDER BY result_partition, result_offset SETTINGS ${inOrder}`,
      queryIdPrefix: request.queryIdPrefix,
    });
    if (outcome === 'refused') return 'fenced';
    this.#fed.set(partition, fed.map((offset) => Math.max(offset, to)));
    return to;
  }

  async #offsetsOf(table: string, partitions: readonly number[]): Promise<ReadonlyMap<number, number>> {
    const rows = await run(this.#connection, `SELECT result_partition, max(last_offset) FROM ${this.#database}.${table} ` +
        `WHERE result_partition IN (${partitions.join(', ')}) GROUP BY result_partition`,
    );
    return new Map(rows.split('\n').filter(Boolean).map((row) => row.split('\t').map(Number) as [number, number]));
  }

  /** Offsets have holes: the step ends at the offset of its last row. */
  async #endOfStep(partition: number, from: number, storedOffset: number): Promise<number> {
    const [row] = (
      await run(this.#connection, `SELECT count(), max(result_offset) FROM (SELECT result_offset FROM ${this.#database}.results ` +
          `WHERE result_partition = ${partition} AND result_offset > ${from} AND result_offset <= ${storedOffset} ` +
          `ORDER BY result_partition, result_offset LIMIT ${stepRowsMax})`,
      )
    ).split('\n');
    const [count = 0, last = 0] = (row ?? '').split('\t').map(Number);
    return count < stepRowsMax ? storedOffset : last;
  }
}
