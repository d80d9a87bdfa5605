/**
 * Brings a database to the version of this checkout: the files under schemas/clickhouse, in the order of their numbers,
 * each once. ClickHouse has no lock that two sinks could share, so every statement can be run again, also at the same time, and
 * a file that was cut off in the middle is run again whole. No file moves rows: what a new materialized view lacks is given to
 * it by the sinks, partition by partition, under their claims (view-feed.ts).
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { FatalError } from '../../errors.ts';
import type { Log } from '../../ports.ts';
import type { Period } from '../../sink/ports.ts';
import { quoted, run } from './connection.ts';
import type { ClickhouseConnection } from './connection.ts';
import { partitioned } from './partitioning.ts';

const folder = new URL('../../../schemas/clickhouse/', import.meta.url);
/** The name that the files give the database. */
const databaseInFiles = 'payments';

interface Migration {
  readonly version: number;
  readonly name: string;
  readonly statements: readonly string[];
  readonly checksum: string;
}

/** `upTo`: the last version that is applied; for a test that begins with an old one. `period`: of a table `results` that is made now. */
export async function migrate(
  connection: ClickhouseConnection,
  database: string,
  log: Log,
  { upTo = Infinity, period = 'none' }: { readonly upTo?: number; readonly period?: Period } = {},
): Promise<void> {
  const migrations = (await readMigrations(database, period)).filter(({ version }) => version <= upTo);
  await run(connection, `CREATE DATABASE IF NOT EXISTS ${database}`);
  await run(connection, `CREATE TABLE IF NOT EXISTS ${database}.schema_migrations ` +
      '(version UInt32, name String, checksum String, applied_at DateTime64(3, \'UTC\') DEFAULT now64(3)) ' +
      "ENGINE = MergeTree ORDER BY version COMMENT 'Which files of schemas/clickhouse were applied. Kept by the sink.'",
  );
  const applied = await appliedChecksums(connection, database);
  const [newest, known] = [Math.max(0, ...applied.keys()), migrations.at(-1)!];
  if (newest > known.version) {
    throw new FatalError(
      `The database ${database} was brought to version ${newest} by a newer settlefleet; this one knows up to ${known.name}: run that version, or another database.`,
    );
  }
  for (const migration of migrations) {
    const known = applied.get(migration.version);
    if (known === undefined) {
      for (const statement of migration.statements) await run(connection, statement);
      await run(connection, `INSERT INTO ${database}.schema_migrations (version, name, checksum) ` +
          `VALUES (${migration.version}, ${quoted(migration.name)}, ${quoted(migration.checksum)})`,
      );
      log.info({ migration: migration.name, database }, 'ClickHouse schema brought up to date');
    } else if (!known.has(migration.checksum)) {
      throw new FatalError(
        `schemas/clickhouse/${migration.name} was changed after it was applied to ${database}; expected a new file with the next number.`,
      );
    }
  }
}

async function appliedChecksums(connection: ClickhouseConnection, database: string): Promise<Map<number, Set<string>>> {
  const applied = new Map<number, Set<string>>();
  const rows = await run(connection, `SELECT version, checksum FROM ${database}.schema_migrations`);
  for (const row of rows.split('\n')) {
    const [version, checksum] = row.split('\t');
    if (version === undefined || checksum === undefined) continue;
    const known = applied.get(Number(version)) ?? new Set();
    applied.set(Number(version), known.add(checksum));
  }
  return applied;
}

async function readMigrations(database: string, period: Period): Promise<readonly Migration[]> {
  const names = (await readdir(folder)).filter((name) => /^\d{3}-.*\.sql$/.test(name)).sort();
  if (names.length === 0) throw new FatalError('There are no migrations under schemas/clickhouse.');
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(new URL(name, folder), 'utf8');
      return {
        version: Number(name.slice(0, 3)),
        name,
        statements: statementsOf(text, database).map((statement) => partitioned(statement, database, period)),
        checksum: createHash('sha256').update(text).digest('hex'),
      };
    }),
  );
}

/** Statements end with a semicolon at the end of a line. */
function statementsOf(text: string, database: string): readonly string[] {
  return text
    .replace(/^--.*$/gm, '')
    .split(/;[ \t]*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
    .map((statement) =>
      statement
        .replaceAll(`${databaseInFiles}.`, `${database}.`)
        .replace(`DATABASE IF NOT EXISTS ${databaseInFiles}`, `DATABASE IF NOT EXISTS ${database}`),
    );
}
