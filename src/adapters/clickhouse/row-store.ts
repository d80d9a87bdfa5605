/**
 * The tables that the sink fills. ClickHouse itself remembers how far it is, and who may write.
 *
 * What makes a row appear once, whoever dies, sleeps or answers late:
 *
 * 1. A claim is a row in `sink_claims` with a higher epoch. Every insert carries a guard that the server evaluates: an
 *    insert under any claim but the newest is refused as a whole.
 * 2. The guard is evaluated after the insert stands in the server's process list. So once a claim is stored, an older
 *    insert either meets it and is refused, or is in the list already: the claimer kills those, and waits for their end.
 * 3. Only then the claimer reads the highest stored offset. From then on nobody else can change it.
 * 4. An insert whose outcome is unknown is never sent again under its claim: the partition is claimed anew, which also
 *    fences our own request that may still be under way, and the highest offset is read again.
 *
 * The same guard and the same kill hold for the statements that pass stored rows on to the materialized views.
 *
 * A block is one insert of one partition, within one period where the table is cut by time, and becomes one part, so the highest offset says all. The deduplication token is a
 * second line: the same block sent twice counts once, in views over the table too.
 */
import { randomUUID } from 'node:crypto';
import { clickhouseTarget } from '../../config.ts';
import type { ClickhouseTarget } from '../../config.ts';
import { ConfigurationError, OutageError } from '../../errors.ts';
import type { Log } from '../../ports.ts';
import { ForeignRowsError } from '../../sink/ports.ts';
import type { PartitionClaim, Period, RowStore, SinkTable, SourceTopic } from '../../sink/ports.ts';
import { openClickhouse, quoted, run } from './connection.ts';
import type { ClickhouseConnection } from './connection.ts';
import { migrate } from './migrations.ts';
import { addDirectoryEntries } from './participants-history.ts';
import { readPartitioning } from './partitioning.ts';
import { applyRetention } from './retention.ts';
import type { Retention } from './retention.ts';
import { ViewFeed } from './view-feed.ts';

export const defaultDatabase = 'payments';

/** Columns of a table in the order of its rows, and which of them place a row in Kafka. */
export interface TableLayout {
  readonly columns: readonly string[];
  readonly partitionColumn: string;
  readonly offsetColumn: string;
}

export interface RowStoreOptions {
  readonly clickhouseUrl: string;
  readonly sinkName: string;
  readonly retention: Retention;
  /** How a table of results is cut that is made now; null: not at all, and one that is there is taken as it is. */
  readonly partitionBy: Period | null;
  readonly layouts: Readonly<Record<SinkTable, TableLayout>>;
  readonly log: Log;
  /** Called when ClickHouse is open and up to date, and before it is closed: for others in this process who use it. */
  readonly onPrepared?: () => Promise<void>;
  readonly beforeClose?: () => Promise<void>;
}

export function createRowStore(options: RowStoreOptions): RowStore {
  const { layouts, log } = options;
  const { target, database } = databaseOf(options.clickhouseUrl);
  let connection: ClickhouseConnection | undefined;
  let views: ViewFeed | undefined;
  let prepared = false;
  let resultsPeriod: Period = 'none';
  const structures = new Map<SinkTable, string>();
  const topicIds = new Map<SinkTable, string>();

  const open = (): ClickhouseConnection => {
    if (connection === undefined || !prepared) throw new OutageError('clickhouse', 'ClickHouse is not open yet.');
    return connection;
  };

  const readStructure = async (opened: ClickhouseConnection, table: SinkTable): Promise<string> => {
    const rows = await run(opened, `SELECT name, type FROM system.columns WHERE database = ${quoted(database)} AND table = ${quoted(table)}`,
      'JSONCompactEachRow',
    );
    const types = new Map(rows.split('\n').filter(Boolean).map((row) => JSON.parse(row) as [string, string]));
    return layouts[table].columns
      .map((column) => {
        const type = types.get(column);
        if (type === undefined) throw new OutageError('clickhouse', `The table ${database}.${table} has no column ${column}.`);
        return `${column} ${type}`;
      })
      .join(', ');
  };

  /** No claim at all is not ours either: somebody has emptied the table. */
  const claimIsNotNewest = ({ table, partition, claim }: PartitionClaim): string =>
    `ifNull((SELECT argMax(claim, (epoch, claim)) FROM ${database}.sink_claims ` +
    `WHERE table_name = ${quoted(table)} AND partition = ${partition}) != ${quoted(claim)}, 1)`;

  const queryIdPrefix = (table: SinkTable, partition: number): string =>
    `settlefleet-sink/${database}/${table}/${partition}/`;

  return {
    async prepare() {
      if (prepared) return;
      connection ??= await openClickhouse(target);
      await migrate(connection, database, log, { period: options.partitionBy ?? 'none' });
      resultsPeriod = await readPartitioning(connection, database, options.partitionBy);
      await applyRetention(connection, database, options.retention, log);
      views = new ViewFeed(connection, database);
      for (const table of Object.keys(layouts) as SinkTable[]) structures.set(table, await readStructure(connection, table));
      prepared = true;
      await options.onPrepared?.();
    },

    async claim(table, source, partitions) {
      if (partitions.length === 0) return [];
      const clickhouse = open();
      const claim = `${options.sinkName} ${randomUUID()}`;
      const list = partitions.join(', ');
      const { partitionColumn, offsetColumn } = layouts[table];
      await refuseForeignRows(clickhouse, database, { table, partitionColumn, partitions: list }, source);
      topicIds.set(table, source.id);
      const claims = `${database}.sink_claims`;
      await run(clickhouse, `INSERT INTO ${claims} (table_name, partition, epoch, claim, topic, topic_id) SETTINGS async_insert = 0 ` +
          `SELECT ${quoted(table)}, wanted.p, known.newest + 1, ${quoted(claim)}, ${quoted(source.name)}, ${quoted(source.id)} ` +
          `FROM (SELECT arrayJoin([${list}]::Array(Int32)) AS p) AS wanted ` +
          `LEFT JOIN (SELECT partition, max(epoch) AS newest FROM ${claims} WHERE table_name = ${quoted(table)} GROUP BY partition) AS known ` +
          'ON wanted.p = known.partition',
      );
      for (const partition of partitions) await clickhouse.killQueries(queryIdPrefix(table, partition));

      const held = await run(clickhouse, `SELECT partition FROM ${claims} WHERE table_name = ${quoted(table)} AND partition IN (${list}) ` +
          `GROUP BY partition HAVING argMax(claim, (epoch, claim)) = ${quoted(claim)}`,
      );
      const stored = await run(clickhouse, `SELECT ${partitionColumn}, max(${offsetColumn}) FROM ${database}.${table} ` +
          `WHERE ${partitionColumn} IN (${list}) GROUP BY ${partitionColumn}`,
      );
      if (table === 'results') await views!.learn(partitions);
      const storedOffsets = new Map(numberRows(stored).map(([partition, offset]) => [partition!, offset!]));
      return numberRows(held).map(
        ([partition]): PartitionClaim => ({
          table,
          partition: partition!,
          claim,
          storedOffset: storedOffsets.get(partition!) ?? null,
          period: table === 'results' ? resultsPeriod : 'none',
        }),
      );
    },

    async insert(block, claim) {
      const outcome = await open().insert({
        database,
        table: block.table,
        columns: layouts[block.table].columns,
        structure: structures.get(block.table)!,
        text: block.text,
        deduplicationToken: `${block.topic}-${topicIds.get(block.table)}-${block.partition}-${block.firstOffset}-${block.lastOffset}`,
        queryIdPrefix: queryIdPrefix(block.table, block.partition),
        refuseWhen: claimIsNotNewest(claim),
      });
      return outcome === 'inserted' ? 'stored' : 'fenced';
    },

    async feedViews(claim, storedOffset) {
      open();
      return views!.feed({
        partition: claim.partition,
        storedOffset,
        refuseWhen: claimIsNotNewest(claim),
        queryIdPrefix: queryIdPrefix(claim.table, claim.partition),
      });
    },

    addDirectoryEntries: (entries) => addDirectoryEntries(open(), database, entries),

    async close() {
      prepared = false;
      await options.beforeClose?.();
      await connection?.close();
      connection = undefined;
    },
  };
}

/** Rows of another topic would share partitions and offsets with ours, and nobody could tell them apart. */
async function refuseForeignRows(
  clickhouse: ClickhouseConnection,
  database: string,
  claimed: { readonly table: SinkTable; readonly partitionColumn: string; readonly partitions: string },
  source: SourceTopic,
): Promise<void> {
  const { table, partitionColumn, partitions } = claimed;
  // Where rows have expired, what was counted of them is still there.
  const holders = table === 'results' ? [table, 'latency_minutes', 'statement_days'] : [table];
  const foreign = await run(clickhouse, 'SELECT argMax(topic, (epoch, claim)) AS last_topic, argMax(topic_id, (epoch, claim)) AS last_id ' +
      `FROM ${database}.sink_claims WHERE table_name = ${quoted(table)} AND partition IN ` +
      `(${holders.map((holder) => `SELECT DISTINCT ${partitionColumn} FROM ${database}.${holder} WHERE ${partitionColumn} IN (${partitions})`).join(' UNION ALL ')}) ` +
      `GROUP BY partition HAVING last_topic != ${quoted(source.name)} ` +
      `OR (last_id != ${quoted(source.id)} AND last_id != '' AND ${quoted(source.id)} != '') LIMIT 1`,
  );
  const [topic, id] = foreign.trim().split('\t');
  if (topic === undefined || topic === '') return;
  throw new ForeignRowsError(
    `The table ${database}.${table} holds rows of the topic ${topic} (${id || 'without an identifier'}), not of ${source.name} ` +
      `(${source.id || 'without an identifier'}): give another database by CLICKHOUSE_URL, or empty this one.`,
  );
}

/** The database that a URL names, else the contract's. */
export function databaseOf(clickhouseUrl: string): { readonly target: ClickhouseTarget; readonly database: string } {
  const target = clickhouseTarget({ clickhouseUrl });
  if (target.kind === 'embedded') return { target, database: defaultDatabase };
  const url = new URL(target.url);
  const database = url.searchParams.get('database') || url.pathname.slice(1) || defaultDatabase;
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(database)) {
    throw new ConfigurationError(
      `CLICKHOUSE_URL names the database ${JSON.stringify(database)}, but it must be 1 to 64 letters, digits and underscores, not a digit first.`,
    );
  }
  // The connection begins outside the database, which may not exist yet.
  url.searchParams.delete('database');
  url.pathname = '/';
  return { target: { kind: 'server', url: url.href }, database };
}

function numberRows(text: string): readonly (readonly number[])[] {
  return text.split('\n').filter(Boolean).map((row) => row.split('\t').map(Number));
}
