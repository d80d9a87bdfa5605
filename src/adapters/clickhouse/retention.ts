/**
 * How long rows are kept, as TTL of the tables: brought to what the settings say, on full tables too. ClickHouse takes
 * expired rows away when it merges parts, so a row may be seen for some hours after its time.
 *
 * The sink leaves out what is expired when it comes (src/sink/sink.ts): rows that are gone are not stored again, wherever it
 * goes on.
 */
import type { Log } from '../../ports.ts';
import { quoted, run } from './connection.ts';
import type { ClickhouseConnection } from './connection.ts';

/** Days; 0: for ever. */
export interface Retention {
  readonly rowsDays: number;
  readonly minutesDays: number;
}

export async function applyRetention(connection: ClickhouseConnection, database: string, retention: Retention, log: Log): Promise<void> {
  const wanted: readonly (readonly [table: string, time: string, days: number])[] = [
    ['results', 'settled_at', retention.rowsDays],
    ['dead_letters', 'failed_at', retention.rowsDays],
    ['volume_minutes', 'minute', retention.minutesDays],
    ['latency_minutes', 'minute', retention.minutesDays],
  ];
  for (const [table, time, days] of wanted) {
    const ttl = days === 0 ? '' : `toDateTime(${time}) + toIntervalDay(${days})`;
    const before = await ttlOf(connection, database, table);
    if (before === ttl) continue;
    await run(connection, `ALTER TABLE ${database}.${table} ${ttl === '' ? 'REMOVE TTL' : `MODIFY TTL ${ttl}`}`);
    log.info({ table, before: before || 'for ever', now: ttl || 'for ever' }, 'The retention of a table was changed');
  }
}

async function ttlOf(connection: ClickhouseConnection, database: string, table: string): Promise<string> {
  const engine = await run(connection, `SELECT engine_full FROM system.tables WHERE database = ${quoted(database)} AND name = ${quoted(table)}`);
  return / TTL (.*?) SETTINGS /.exec(engine)?.[1] ?? '';
}
