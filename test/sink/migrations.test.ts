/**
 * From the tables of the first version, with rows in them, to today's: over the real engine, whoever migrates, however often,
 * and wherever it is cut off.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ClickhouseConnection } from '../../src/adapters/clickhouse/connection.ts';
import { run } from '../../src/adapters/clickhouse/connection.ts';
import { openEmbeddedSession } from '../../src/adapters/clickhouse/embedded.ts';
import { migrate } from '../../src/adapters/clickhouse/migrations.ts';
import { readPartitioning } from '../../src/adapters/clickhouse/partitioning.ts';
import { applyRetention } from '../../src/adapters/clickhouse/retention.ts';
import { fedTables, ViewFeed } from '../../src/adapters/clickhouse/view-feed.ts';
import { ConfigurationError, FatalError, OutageError } from '../../src/errors.ts';
import { until } from '../until.ts';
import { insertResults, noDifferences, parseRows, quiet, sampleResult, viewDifferencesQuery } from './support.ts';

const sessions: ClickhouseConnection[] = [];
let folder: string;
let clickhouse: ClickhouseConnection;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'settlefleet-migrations-'));
  clickhouse = await open();
});

afterEach(async () => {
  for (const session of sessions.splice(0)) await session.close();
  await rm(folder, { recursive: true, force: true });
});

async function open(): Promise<ClickhouseConnection> {
  const session = await openEmbeddedSession(folder);
  sessions.push(session);
  return session;
}

/** Rows as the sink of that version stored them: `count` of each of two partitions, in blocks. */
async function fill(from: number, count: number): Promise<void> {
  for (const partition of [0, 1]) {
    const results = Array.from({ length: count }, (_, i) => sampleResult(from + i, partition));
    await insertResults(clickhouse, partition, from * 2, results);
  }
}

async function feed(session = clickhouse): Promise<void> {
  const views = new ViewFeed(session, 'payments');
  await views.learn([0, 1]);
  for (const partition of [0, 1]) {
    const [highest] = await numbers(`SELECT max(result_offset) FROM payments.results WHERE result_partition = ${partition}`);
    const fed = await views.feed({ partition, storedOffset: highest!, refuseWhen: '0', queryIdPrefix: 'test' });
    expect(fed).toBe(highest);
  }
}

async function numbers(sql: string): Promise<number[]> {
  return (await run(clickhouse, sql)).trim().split(/\s/).map(Number);
}

async function differences(): Promise<unknown> {
  await run(clickhouse, 'USE payments');
  return parseRows(await run(clickhouse, viewDifferencesQuery, 'JSONEachRow'))[0];
}

const tables = "SELECT name, engine, create_table_query FROM system.tables WHERE database = 'payments' ORDER BY name";

describe('the migrations', () => {
  it('bring a database that the first version filled to what a new one is, and its views hold every row of it', async () => {
    await migrate(clickhouse, 'payments', quiet, { upTo: 1 });
    await fill(0, 700);
    await migrate(clickhouse, 'payments', quiet);
    // The sink goes on storing before the views are filled.
    await fill(700, 40);
    await feed();
    expect(await numbers('SELECT count() FROM payments.results')).toEqual([1480]);
    expect(await differences()).toEqual(noDifferences);

    const upgraded = await run(clickhouse, tables);
    await run(clickhouse, 'DROP DATABASE payments SYNC');
    await migrate(clickhouse, 'payments', quiet);
    const withoutPlaces = (text: string): string => text.replace(/UUID \\'[^']*\\'/g, '');
    expect(withoutPlaces(upgraded)).toBe(withoutPlaces(await run(clickhouse, tables)));
  });

  it('give each table, view and column a comment', async () => {
    await migrate(clickhouse, 'payments', quiet);
    expect(await run(clickhouse, "SELECT name FROM system.tables WHERE database = 'payments' AND comment = ''")).toBe('');
    expect(await run(clickhouse, "SELECT table, name FROM system.columns WHERE database = 'payments' AND comment = ''")).toBe('');
  });

  it('may be applied by two sinks at once, and again', async () => {
    const other = await open();
    await Promise.all([migrate(clickhouse, 'payments', quiet), migrate(other, 'payments', quiet)]);
    await migrate(other, 'payments', quiet);
    expect(await numbers('SELECT uniqExact(version) = max(version) FROM payments.schema_migrations')).toEqual([1]);
    await fill(0, 50);
    await feed();
    expect(await differences()).toEqual(noDifferences);
  });

  it('come to their end when they were cut off behind any statement', async () => {
    await migrate(clickhouse, 'payments', quiet, { upTo: 1 });
    await fill(0, 30);
    for (let statements = 1; ; statements++) {
      const ended = await migrate(cutOffAfter(clickhouse, statements), 'payments', quiet).then(() => true, (error: unknown) => {
        if (!(error instanceof OutageError)) throw error;
        return false;
      });
      if (ended) break;
    }
    await feed();
    expect(await differences()).toEqual(noDifferences);
  });

  it('are refused where a newer version has been, in words that name both', async () => {
    await migrate(clickhouse, 'payments', quiet);
    await expect(migrate(clickhouse, 'payments', quiet, { upTo: 4 })).rejects.toThrow(FatalError);
    await expect(migrate(clickhouse, 'payments', quiet, { upTo: 4 })).rejects.toThrow(/was brought to version \d+ by a newer settlefleet; this one knows up to 004-participants\.sql/);
  });
});

describe('partitions by time', () => {
  const key = (): Promise<string> => run(clickhouse, "SELECT partition_key FROM system.tables WHERE database = 'payments' AND name = 'results'");

  it.each([['month', 'toYYYYMM(settled_at)'], ['day', 'toYYYYMMDD(settled_at)']] as const)('are made by %s with the table, and taken as they are from then on', async (period, expected) => {
    await migrate(clickhouse, 'payments', quiet, { period });
    await migrate(clickhouse, 'payments', quiet);
    expect((await key()).trim()).toBe(expected);
    expect(await readPartitioning(clickhouse, 'payments', null)).toBe(period);
    expect(await readPartitioning(clickhouse, 'payments', period)).toBe(period);
    await expect(readPartitioning(clickhouse, 'payments', 'none')).rejects.toThrow(`CLICKHOUSE_PARTITION_BY is none, but the table payments.results was made with ${period}`);
    if (period === 'month') return;
    // Times that a table holds at its ends, too: a border that nobody knew would cut a block.
    await fill(0, 30);
    await feed();
    expect(await differences()).toEqual(noDifferences);
    await applyRetention(clickhouse, 'payments', { rowsDays: 3650, minutesDays: 0 }, quiet);
    expect(await numbers('SELECT count() FROM payments.results')).toEqual([60]);
  });

  it('are refused on a table that was made without, and where the sink does not know them', async () => {
    await migrate(clickhouse, 'payments', quiet);
    expect(await readPartitioning(clickhouse, 'payments', null)).toBe('none');
    await expect(readPartitioning(clickhouse, 'payments', 'month')).rejects.toThrow(ConfigurationError);
    await run(clickhouse, 'DROP TABLE payments.results SYNC');
    await run(clickhouse, 'CREATE TABLE payments.results (source String, settled_at DateTime64(3)) ENGINE = MergeTree PARTITION BY source ORDER BY source');
    await expect(readPartitioning(clickhouse, 'payments', null)).rejects.toThrow('is partitioned by source');
  });

  it('are given to a full table by the statements of docs/analytics.md, while no sink runs', async () => {
    await migrate(clickhouse, 'payments', quiet);
    await fill(0, 60);
    await feed();
    const page = await readFile(join(import.meta.dirname, '../../docs/analytics.md'), 'utf8');
    const statements = /(?:^    .*\n)*^    EXCHANGE TABLES [\s\S]*?(?=\n\S)/m.exec(page)![0].replace(/^    /gm, '').split(/;$/m).map((one) => one.trim()).filter(Boolean);
    expect(statements).toHaveLength(4);
    const before = await run(clickhouse, 'SELECT * FROM payments.results ORDER BY result_partition, result_offset');
    for (const statement of statements) await run(clickhouse, statement);
    expect(await readPartitioning(clickhouse, 'payments', 'month')).toBe('month');
    expect(await run(clickhouse, 'SELECT * FROM payments.results ORDER BY result_partition, result_offset')).toBe(before);
    await fill(60, 40);
    await feed();
    expect(await differences()).toEqual(noDifferences);
    expect(await run(clickhouse, "SELECT name FROM system.columns WHERE database = 'payments' AND comment = ''")).toBe('');
    expect(await run(clickhouse, "SELECT create_table_query FROM system.tables WHERE database = 'payments' AND name = 'results'")).toMatch(
      /INDEX uetr_index .*PARTITION BY toYYYYMM\(settled_at\).*non_replicated_deduplication_window = 10000.*fsync_after_insert = 1.*COMMENT/s,
    );
  });
});

describe('the materialized views', () => {
  it('are fed by another sink from where each of them stands, when one was cut off between two of them', async () => {
    await migrate(clickhouse, 'payments', quiet);
    await fill(0, 300);
    await feed();
    await fill(300, 300);
    // As a kill leaves it: one of the views has taken the rows, the others have not.
    await run(clickhouse, 'INSERT INTO payments.results_feed SELECT transaction_index, source, status, debited_participant, credited_participant, currency, amount, ' +
        "created_at, received_at, settled_at, result_partition, result_offset, ['latency_minutes'] FROM payments.results WHERE result_partition = 0 AND result_offset >= 600",
    );
    await feed();
    expect(await differences()).toEqual(noDifferences);
    await feed();
    expect(await differences()).toEqual(noDifferences);
  });

  it('count the same rows when parts are merged', async () => {
    await migrate(clickhouse, 'payments', quiet);
    for (const from of [0, 100, 200]) {
      await fill(from, 100);
      await feed();
    }
    for (const table of fedTables) await run(clickhouse, `OPTIMIZE TABLE payments.${table} FINAL`);
    expect(await differences()).toEqual(noDifferences);
    await feed();
    expect(await differences()).toEqual(noDifferences);
  });
});

describe('the retention', () => {
  const dayMs = 86_400_000;
  const ttls = "SELECT name, extract(engine_full, ' TTL (.*?) SETTINGS') FROM system.tables WHERE database = 'payments' AND engine_full LIKE '% TTL %' ORDER BY name";

  it('is set on full tables and changed and taken away again; rows past it go, and the views keep what they counted', async () => {
    await migrate(clickhouse, 'payments', quiet);
    await fill(0, 100);
    const young = Array.from({ length: 10 }, (_, i) => ({ ...sampleResult(i, 0), settledAt: Date.now() - dayMs }));
    await insertResults(clickhouse, 0, 1000, young);
    await feed();
    const counted = await run(clickhouse, 'SELECT sum(transactions) FROM payments.volume_minutes');

    await applyRetention(clickhouse, 'payments', { rowsDays: 3, minutesDays: 0 }, quiet);
    expect(await run(clickhouse, ttls)).toBe('dead_letters\ttoDateTime(failed_at) + toIntervalDay(3)\nresults\ttoDateTime(settled_at) + toIntervalDay(3)\n');
    await run(clickhouse, 'OPTIMIZE TABLE payments.results FINAL');
    await until('what is past it is gone', async () => (await numbers('SELECT count() FROM payments.results'))[0] === 10, 20_000);
    expect(await run(clickhouse, 'SELECT sum(transactions) FROM payments.volume_minutes')).toBe(counted);

    await applyRetention(clickhouse, 'payments', { rowsDays: 30, minutesDays: 400 }, quiet);
    expect((await run(clickhouse, ttls)).split('\n').filter(Boolean)).toHaveLength(4);
    await applyRetention(clickhouse, 'payments', { rowsDays: 0, minutesDays: 0 }, quiet);
    expect(await run(clickhouse, ttls)).toBe('');
  });
});

/** A connection that breaks for good behind so many statements. */
function cutOffAfter(connection: ClickhouseConnection, statements: number): ClickhouseConnection {
  let left = statements;
  return {
    ...connection,
    async query(sql, format) {
      if (left-- <= 0) throw new OutageError('clickhouse', 'cut off');
      return connection.query(sql, format);
    },
  };
}
