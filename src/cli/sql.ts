/**
 * `settlefleet sql`: one query, its result on standard output. A server is asked directly. The embedded engine is asked
 * through the sink that holds its folder; where no sink runs, the folder is opened here, for reading.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { CommandError, OutageError } from '../errors.ts';
import type { DefineCommand } from './program.ts';

/** A sink that has just opened the folder answers a moment later. */
const openPatienceMs = 10_000;
const openRetryMs = 250;

export const defineSqlCommand: DefineCommand = (program, settings) => {
  program
    .command('sql')
    .argument('[query]', 'one query that reads; without it, standard input is read')
    .option('--format <name>', "one of ClickHouse's formats (default: PrettyCompact on a terminal, else TabSeparated)")
    .description('ask ClickHouse, also while the sink runs')
    .action(async (query: string | undefined, options: { readonly format?: string }) => {
      const format = options.format ?? (process.stdout.isTTY ? 'PrettyCompact' : 'TabSeparated');
      const answer = await askClickhouse(settings(), query ?? (await text(process.stdin)), format);
      if (!process.stdout.write(answer)) await once(process.stdout, 'drain');
    });
};

/** One query that reads, wherever the data is held at this moment. */
export async function askClickhouse(config: Config, query: string, format: string): Promise<Buffer> {
  const { refusalOf } = await import('../adapters/clickhouse/statement.ts');
  const refusal = refusalOf(query);
  if (refusal !== null) throw new CommandError(refusal);
  if (!/^\w{1,64}$/.test(format)) throw new CommandError(`${JSON.stringify(format)} is no format of ClickHouse.`);
  const { databaseOf } = await import('../adapters/clickhouse/row-store.ts');
  const { target, database } = databaseOf(config.clickhouseUrl);
  if (target.kind === 'embedded') return askEmbedded(target.path, database, query, format);

  const { openServer } = await import('../adapters/clickhouse/server.ts');
  const server = openServer(target.url, database);
  try {
    return await server.query(query, format);
  } finally {
    await server.close();
  }
}

async function askEmbedded(path: string, database: string, query: string, format: string): Promise<Buffer> {
  const { askEndpoint } = await import('../adapters/clickhouse/query-endpoint.ts');
  const deadline = Date.now() + openPatienceMs;
  for (;;) {
    const answer = await askEndpoint(path, query, format);
    if (answer !== null) return answer;
    if (!existsSync(join(resolve(path), 'store'))) {
      throw new CommandError(`There is no ClickHouse data in ${resolve(path)} yet: the sink makes it when it first runs.`);
    }
    try {
      return await readHere(path, database, query, format);
    } catch (error) {
      if (!(error instanceof FolderHeldError) || Date.now() > deadline) throw error;
      await sleep(openRetryMs);
    }
  }
}

/** Another process has the folder and does not answer queries (yet). */
class FolderHeldError extends CommandError {}

async function readHere(path: string, database: string, query: string, format: string): Promise<Buffer> {
  const { openEmbeddedSession } = await import('../adapters/clickhouse/embedded.ts');
  const { restrictToReading } = await import('../adapters/clickhouse/read-session.ts');
  const session = await openEmbeddedSession(path).catch((error: unknown) => {
    if (error instanceof OutageError) throw new FolderHeldError(error.message);
    throw error;
  });
  try {
    await restrictToReading(session, database);
    return await session.query(query, format);
  } finally {
    await session.close();
  }
}
