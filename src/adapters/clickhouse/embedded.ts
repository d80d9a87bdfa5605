/**
 * The ClickHouse engine in this process (chdb), over a folder that one process at a time can hold. Its queries run on
 * libuv's threads, so the event loop goes on; only opening the folder does not.
 */
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { ChdbConnection } from 'chdb/connection';
import { ConfigurationError, OutageError } from '../../errors.ts';
import { guardRefusedCode, oneLineOf, quoted } from './connection.ts';
import type { ClickhouseConnection } from './connection.ts';

type CreateConnection = (options: { path: string }) => ChdbConnection;

/** A session of the engine. A process may have several of the same folder; settings are each session's own. */
export async function openEmbeddedSession(path: string): Promise<ClickhouseConnection> {
  const create = await loadEngine();
  const folder = resolve(path);
  try {
    await mkdir(folder, { recursive: true });
    return embeddedConnection(() => create({ path: folder }));
  } catch (error) {
    throw new OutageError(
      'clickhouse',
      `ClickHouse cannot open the folder ${folder}; one process at a time can hold it (${oneLineOf(error)}).`,
      { cause: error },
    );
  }
}

async function loadEngine(): Promise<CreateConnection> {
  try {
    const { createChdbConnection } = await import('chdb/connection');
    return createChdbConnection;
  } catch (error) {
    throw new ConfigurationError(
      'CLICKHOUSE_URL names the embedded engine (chdb:PATH), but the optional package chdb is not installed here; install it, or give the URL of a server.',
      { cause: error },
    );
  }
}

function embeddedConnection(create: () => ChdbConnection): ClickhouseConnection {
  const connection = create();
  const plainQuery = async (sql: string, format: string): Promise<Buffer> => {
    try {
      const result = await connection.chdb.queryAsync(sql, { format });
      return Buffer.from(result.bytes());
    } catch (error) {
      throw asOutage(error);
    }
  };
  return {
    async query(sql, format, signal) {
      if (signal === undefined) return plainQuery(sql, format);
      signal.throwIfAborted();
      const mark = `/* ${randomUUID()} */`;
      const end = (): void => {
        endMarkedQuery(create(), mark).catch(() => undefined);
      };
      signal.addEventListener('abort', end, { once: true });
      try {
        return await plainQuery(`${sql}\n${mark}`, format);
      } finally {
        signal.removeEventListener('abort', end);
      }
    },

    // No other process can hold the folder, so an insert of another sink cannot be under way: there is nothing to guard
    // against, and nothing to kill. (The engine does not know `input()` with rows that come along, either.)
    async insert(request) {
      try {
        await connection.chdb.rawInsert({
          table: `${request.database}.${request.table}`,
          columns: [...request.columns],
          values: request.text,
          format: 'TabSeparated',
          settings: { async_insert: 0, insert_deduplicate: 1, insert_deduplication_token: request.deduplicationToken },
        });
        return 'inserted';
      } catch (error) {
        throw asOutage(error);
      }
    },

    async pass({ sql }) {
      try {
        await connection.chdb.queryAsync(sql, { format: 'TabSeparated' });
        return 'inserted';
      } catch (error) {
        if (oneLineOf(error).startsWith(`Code: ${guardRefusedCode}.`)) return 'refused';
        throw asOutage(error);
      }
    },

    killQueries: () => Promise.resolve(),

    close: () => connection.close(),
  };
}

/**
 * The engine neither interrupts a query that was begun nor lets us name it, so a comment at its end does. It is ended from
 * another session: its own waits for it, and may be one that only reads.
 */
async function endMarkedQuery(session: ChdbConnection, mark: string): Promise<void> {
  try {
    await session.chdb.queryAsync(`KILL QUERY WHERE endsWith(query, ${quoted(mark)}) ASYNC`, { format: 'TabSeparated' });
  } finally {
    await session.close();
  }
}

function asOutage(error: unknown): Error {
  return new OutageError('clickhouse', `ClickHouse: ${oneLineOf(error)}`, { cause: error });
}
