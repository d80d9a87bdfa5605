/**
 * Whether the table `results` is cut by month or by day, which is said when it is made and holds from then on: a table of
 * ClickHouse is never partitioned anew. The table itself says how it is; the setting only says how a new one is made, and is
 * held against the table afterwards.
 */
import { ConfigurationError } from '../../errors.ts';
import { periods } from '../../sink/ports.ts';
import type { Period } from '../../sink/ports.ts';
import { quoted, run } from './connection.ts';
import type { ClickhouseConnection } from './connection.ts';

const keys: Readonly<Record<Period, string>> = { none: '', month: 'toYYYYMM(settled_at)', day: 'toYYYYMMDD(settled_at)' };

/** The statement that makes `results`, with the partitions that are wanted; any other statement as it is. */
export function partitioned(statement: string, database: string, period: Period): string {
  if (period === 'none' || !statement.startsWith(`CREATE TABLE IF NOT EXISTS ${database}.results\n`)) return statement;
  return statement.replace('ENGINE = MergeTree\n', `ENGINE = MergeTree\nPARTITION BY ${keys[period]}\n`);
}

/** How the table is cut. Throws `ConfigurationError` where it is not as wanted (null: as it is), or in a way that the sink does not know. */
export async function readPartitioning(connection: ClickhouseConnection, database: string, wanted: Period | null): Promise<Period> {
  const key = (await run(connection, `SELECT partition_key FROM system.tables WHERE database = ${quoted(database)} AND name = 'results'`)).trim();
  const period = periods.find((one) => keys[one] === key);
  if (period === undefined) {
    throw new ConfigurationError(`The table ${database}.results is partitioned by ${key}; expected nothing, ${keys.month} or ${keys.day}: a block of the sink would be cut into several parts.`);
  }
  if (wanted !== null && wanted !== period) {
    throw new ConfigurationError(
      `CLICKHOUSE_PARTITION_BY is ${wanted}, but the table ${database}.results was made with ${period}: leave it unset, or copy the table (docs/analytics.md says how).`,
    );
  }
  return period;
}
