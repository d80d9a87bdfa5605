/**
 * A ClickHouse server, over its HTTP interface.
 */
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer as bufferOf } from 'node:stream/consumers';
import { createClient, ClickHouseError, ClickHouseLogLevel } from '@clickhouse/client';
import type { ClickHouseSettings } from '@clickhouse/client';
import { OutageError } from '../../errors.ts';
import { guardOf, guardRefusedCode, oneLineOf, quoted } from './connection.ts';
import type { ClickhouseConnection, InsertRequest } from './connection.ts';

const requestTimeoutMs = 30_000;

/**
 * What makes an insert one block, and so one part: rows are collected up to these sizes, which no block of ours reaches,
 * and nothing is parsed in parallel or put aside to be inserted later with others.
 */
const oneBlock: ClickHouseSettings = {
  async_insert: 0,
  insert_deduplicate: 1,
  max_insert_threads: '1',
  max_insert_block_size: '1048576',
  min_insert_block_size_rows: '1048576',
  min_insert_block_size_bytes: '268435456',
  input_format_parallel_parsing: 0,
};

/** Names without a database are looked up in `database`, which must exist then. */
export function openServer(url: string, database?: string): ClickhouseConnection {
  const client = createClient({
    url,
    ...(database === undefined ? {} : { database }),
    application: 'settlefleet',
    request_timeout: requestTimeoutMs,
    max_open_connections: 8,
    log: { level: ClickHouseLogLevel.OFF },
  });

  const query = async (sql: string, format: string, signal?: AbortSignal): Promise<Buffer> => {
    const queryId = randomUUID();
    try {
      const { stream } = await client.exec({
        query: sql,
        query_id: queryId,
        ...(signal === undefined ? {} : { abort_signal: signal }),
        clickhouse_settings: { default_format: format, wait_end_of_query: 1 } as ClickHouseSettings,
      });
      return await bufferOf(stream);
    } catch (error) {
      // The server goes on with a query whose asker has gone.
      if (signal?.aborted) await query(`KILL QUERY WHERE query_id = ${quoted(queryId)} ASYNC`, 'TabSeparated');
      throw asOutage(error);
    }
  };

  return {
    query,

    async insert(request) {
      try {
        const { stream } = await client.exec({
          query: insertStatement(request),
          values: Readable.from([request.text], { objectMode: false }),
          query_id: `${request.queryIdPrefix}${randomUUID()}`,
          clickhouse_settings: { ...oneBlock, insert_deduplication_token: request.deduplicationToken },
        });
        // The answer is read to its end: an error may come in its last bytes.
        await bufferOf(stream);
        return 'inserted';
      } catch (error) {
        if (error instanceof ClickHouseError && error.code === guardRefusedCode) return 'refused';
        throw asOutage(error);
      }
    },

    async pass(request) {
      try {
        const { stream } = await client.exec({
          query: request.sql,
          query_id: `${request.queryIdPrefix}${randomUUID()}`,
          clickhouse_settings: { wait_end_of_query: 1 },
        });
        await bufferOf(stream);
        return 'inserted';
      } catch (error) {
        if (error instanceof ClickHouseError && error.code === guardRefusedCode) return 'refused';
        throw asOutage(error);
      }
    },

    async killQueries(queryIdPrefix) {
      await query(`KILL QUERY WHERE startsWith(query_id, ${quoted(queryIdPrefix)}) SYNC`, 'TabSeparated');
    },

    close: () => client.close(),
  };
}

/** `input()` stands for the rows that follow. */
function insertStatement(request: InsertRequest): string {
  const into = `${request.database}.${request.table}`;
  const columns = request.columns.join(', ');
  return (
    `INSERT INTO ${into} (${columns}) ` +
    `SELECT ${columns} FROM input(${quoted(request.structure)}) ` +
    `WHERE ${guardOf(request.refuseWhen)} FORMAT TabSeparated`
  );
}

function asOutage(error: unknown): Error {
  return new OutageError('clickhouse', `ClickHouse: ${oneLineOf(error)}`, { cause: error });
}
