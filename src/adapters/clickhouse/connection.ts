/**
 * ClickHouse as the sink and `settlefleet sql` see it, whether it is a server or the engine in this process: statements in,
 * text out, and rows as TabSeparated text.
 */
import type { ClickhouseTarget } from '../../config.ts';

export interface InsertRequest {
  readonly database: string;
  readonly table: string;
  readonly columns: readonly string[];
  /** Names and types of the columns, as ClickHouse writes them: `a Int32, b String`. */
  readonly structure: string;
  /** TabSeparated. */
  readonly text: Buffer;
  /** The same for each try of the same rows; ClickHouse drops the second. */
  readonly deduplicationToken: string;
  /** Begins the query's identifier, by which `killQueries` finds it. */
  readonly queryIdPrefix: string;
  /** A scalar expression that the server evaluates before it reads a row, and refuses the insert where it is true. */
  readonly refuseWhen: string;
}

/** Rows that the server itself takes from one table and gives to another. */
export interface PassRequest {
  /** INSERT INTO ... SELECT ..., whose last condition of WHERE is `guardOf`. */
  readonly sql: string;
  /** Begins the query's identifier, by which `killQueries` finds it. */
  readonly queryIdPrefix: string;
}

export interface ClickhouseConnection {
  /**
   * Runs one statement; gives its result in `format`, or in the one that the statement itself names. Aborted: it is ended
   * where it runs, too, and the call rejects.
   */
  query(sql: string, format: string, signal?: AbortSignal): Promise<Buffer>;
  /** One insert, which becomes one part or nothing. `refused`: `refuseWhen` was true. */
  insert(request: InsertRequest): Promise<'inserted' | 'refused'>;
  /** One INSERT ... SELECT. `refused`: its guard was true. */
  pass(request: PassRequest): Promise<'inserted' | 'refused'>;
  /** Ends the inserts whose identifier begins so, and returns when none of them runs any more. */
  killQueries(queryIdPrefix: string): Promise<void>;
  close(): Promise<void>;
}

/** Opens it, or throws: an `OutageError` where waiting may help, a `ConfigurationError` where it does not. */
export async function openClickhouse(target: ClickhouseTarget): Promise<ClickhouseConnection> {
  // Each is loaded only where it is used: the embedded engine alone takes half a gigabyte.
  if (target.kind === 'embedded') {
    const { openEmbeddedSession } = await import('./embedded.ts');
    return openEmbeddedSession(target.path);
  }
  const { openServer } = await import('./server.ts');
  return openServer(target.url);
}

/** Runs one statement; gives its result as text, a line for each row. */
export async function run(connection: ClickhouseConnection, sql: string, format = 'TabSeparated'): Promise<string> {
  return (await connection.query(sql, format)).toString();
}

/**
 * A condition that never leaves a row out, and refuses the whole statement where `refuseWhen` is true: a constant of the query,
 * which the server evaluates once, after the query is in its process list and before it reads rows.
 */
export function guardOf(refuseWhen: string): string {
  return `throwIf(${refuseWhen}, 'claimed by another sink') = 0`;
}

/** FUNCTION_THROW_IF_VALUE_IS_NON_ZERO: a guard was true. Source: ClickHouse, ErrorCodes.cpp. */
export const guardRefusedCode = '395';

/** A string as an SQL literal. */
export function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

/** ClickHouse's own words for an error, in one line and without the parts that only its developers need. */
export function oneLineOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const cause = error instanceof Error && error.cause instanceof Error && message === '' ? error.cause.message : message;
  return (cause || 'no reason given').replace(/\s*\n\s*/g, ' ').replace(/\s*\(version [^)]*\)/g, '').trim();
}
