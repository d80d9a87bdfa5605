/**
 * `settlefleet sql`: one query, its result on standard output; on a terminal and without a query, a shell. A server is asked
 * directly. The embedded engine is asked through the sink that holds its folder; where no sink runs, the folder is opened
 * here, for reading, for as long as the query runs.
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
    .argument('[query]', 'one query that reads; without it, standard input is read, or a shell begins on a terminal')
    .option('--format <name>', "one of ClickHouse's formats (default: PrettyCompact on a terminal, else TabSeparated)")
    .description('ask ClickHouse, also while the sink runs')
    .action(async (query: string | undefined, options: { readonly format?: string }) => {
      const format = options.format ?? (process.stdout.isTTY ? 'PrettyCompact' : 'TabSeparated');
      requireFormatName(format);
      if (query === undefined && process.stdin.isTTY && process.stdout.isTTY) return runShell(settings(), format);
      const question = query ?? (await text(process.stdin));
      if (process.stdout.isTTY) await refuseBinary(question, format);
      const answer = await askClickhouse(settings(), question, format);
      if (!process.stdout.write(process.stdout.isTTY ? forTerminal(answer) : answer)) await once(process.stdout, 'drain');
    });
};

async function runShell(config: Config, format: string): Promise<void> {
  const { historyFile } = await import('../config.ts');
  const { startShell } = await import('./sql-shell.ts');
  await startShell({
    ask: (query, wanted, signal) => askClickhouse(config, query, wanted, signal),
    input: process.stdin,
    output: process.stdout,
    width: () => process.stdout.columns,
    format,
    historyFile: historyFile(),
  });
}

/** Formats whose bytes say nothing to a person, and may turn a terminal upside down. */
const binaryFormats = /^(?:Parquet\w*|Arrow\w*|ORC|Native|Buffers|RowBinary\w*|Avro\w*|BSONEachRow|MsgPack|Npy|Null|Protobuf\w*|CapnProto|RawBLOB|MySQLWire|PostgreSQLWire|ODBCDriver2)$/i;

/** Throws where the answer would be bytes for a machine. `format` holds where the query names none itself. */
export async function refuseBinary(query: string, format: string): Promise<void> {
  const { formatNamed } = await import('../adapters/clickhouse/statement.ts');
  const named = formatNamed(query) ?? format;
  if (!binaryFormats.test(named)) return;
  throw new CommandError(`${named} is not for a terminal: write it to a file with settlefleet sql --format ${named} "QUERY" > FILE.`);
}

function requireFormatName(format: string): void {
  if (!/^\w{1,64}$/.test(format)) throw new CommandError(`${JSON.stringify(format)} is no format of ClickHouse.`);
}

/** What strangers wrote into their payments must not command the terminal. */
export function forTerminal(answer: Buffer): string {
  return answer.toString().replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '?');
}

/** One query that reads, wherever the data is held at this moment. */
export async function askClickhouse(config: Config, query: string, format: string, signal?: AbortSignal): Promise<Buffer> {
  const { refusalOf } = await import('../adapters/clickhouse/statement.ts');
  const refusal = refusalOf(query);
  if (refusal !== null) throw new CommandError(refusal);
  requireFormatName(format);
  const { databaseOf } = await import('../adapters/clickhouse/row-store.ts');
  const { target, database } = databaseOf(config.clickhouseUrl);
  if (target.kind === 'embedded') return askEmbedded(target.path, database, { query, format, signal });

  const { openServer } = await import('../adapters/clickhouse/server.ts');
  const server = openServer(target.url, database);
  try {
    return await server.query(query, format, signal);
  } finally {
    await server.close();
  }
}

interface Question {
  readonly query: string;
  readonly format: string;
  readonly signal: AbortSignal | undefined;
}

async function askEmbedded(path: string, database: string, question: Question): Promise<Buffer> {
  const { askEndpoint } = await import('../adapters/clickhouse/query-endpoint.ts');
  const deadline = Date.now() + openPatienceMs;
  for (;;) {
    const answer = await askEndpoint(path, question.query, question.format, question.signal);
    if (answer !== null) return answer;
    if (!existsSync(join(resolve(path), 'store'))) {
      throw new CommandError(`There is no ClickHouse data in ${resolve(path)} yet: the sink makes it when it first runs.`);
    }
    try {
      return await readHere(path, database, question);
    } catch (error) {
      if (!(error instanceof FolderHeldError) || Date.now() > deadline || question.signal?.aborted) throw error;
      await sleep(openRetryMs);
    }
  }
}

/** Another process has the folder and does not answer queries (yet). */
class FolderHeldError extends CommandError {}

async function readHere(path: string, database: string, { query, format, signal }: Question): Promise<Buffer> {
  const { openEmbeddedSession } = await import('../adapters/clickhouse/embedded.ts');
  const { restrictToReading } = await import('../adapters/clickhouse/read-session.ts');
  const session = await openEmbeddedSession(path).catch((error: unknown) => {
    if (error instanceof OutageError) throw new FolderHeldError(error.message);
    throw error;
  });
  try {
    await restrictToReading(session, database);
    return await session.query(query, format, signal);
  } finally {
    await session.close();
  }
}
