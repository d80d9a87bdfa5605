/**
 * Stands in for a ClickHouse server where none can be had: enough of its HTTP interface for our client, over the embedded
 * engine, which is the same engine. So the SQL, the guard of an insert, the deduplication and the parts are ClickHouse's
 * own; what is imitated is the wire, the process list and KILL QUERY:
 *
 *   request arrives ──▶ in the process list ──▶ guard ──▶ rows ──▶ answer
 *             └─ hold('before')           hold('within') ─┘     └─ loseAnswers
 *
 * The embedded engine does not know `input()` with rows that come along; they are put into a file instead.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { createChdbConnection } from 'chdb/connection';
import type { ChdbConnection } from 'chdb/connection';

/** What a held insert waits for. */
interface Held {
  readonly queryId: string;
  release(): void;
}

/** `feed`: before a statement that passes stored rows on to the materialized views. */
type Holding = 'before' | 'within' | 'feed' | 'nowhere';

export interface StandIn {
  readonly url: string;
  /** Inserts that arrive from now on stop at this place, until they are released. */
  hold(place: Holding): void;
  held(): readonly Held[];
  /** The next so many inserts are carried out, and their connection is cut instead of an answer. */
  loseAnswers(count: number): void;
  /** Outcome of each insert by its query's identifier, once it has one. */
  readonly outcomes: ReadonlyMap<string, 'inserted' | 'refused' | 'failed'>;
  /** Takes no connection any more and cuts those that are there. */
  goAway(): Promise<void>;
  comeBack(): Promise<void>;
  query(sql: string): Promise<string>;
  close(): Promise<void>;
}

export interface StandInOptions {
  /** Kept at the end, and gone on with at the next start; left out: one of its own, removed at the end. */
  readonly folder?: string;
  readonly port?: number;
  readonly onInsert?: (step: 'begun' | 'ended') => void;
}

export async function startStandIn(options: StandInOptions = {}): Promise<StandIn> {
  const folder = options.folder ?? await mkdtemp(join(tmpdir(), 'settlefleet-clickhouse-'));
  const path = join(folder, 'data');
  // Keeps the engine open while sessions come and go.
  const keeper = createChdbConnection({ path });
  const processes = new Map<string, Promise<void>>();
  const outcomes = new Map<string, 'inserted' | 'refused' | 'failed'>();
  const waiting = new Map<string, Held>();
  let holding: Holding = 'nowhere';
  let answersToLose = 0;
  let port = options.port ?? 0;
  let server: Server | undefined;

  const runIn = async (session: ChdbConnection, sql: string, format: string): Promise<Buffer> =>
    Buffer.from((await session.chdb.queryAsync(sql, { format })).bytes());

  const pause = async (queryId: string): Promise<void> => {
    const released = Promise.withResolvers<void>();
    waiting.set(queryId, { queryId, release: released.resolve });
    await released.promise;
    waiting.delete(queryId);
  };

  const insert = async (parameters: URLSearchParams, rows: Buffer): Promise<void> => {
    const queryId = parameters.get('query_id') ?? randomUUID();
    const file = join(folder, `${randomUUID()}.tsv`);
    const token = parameters.get('insert_deduplication_token');
    const sql = parameters.get('query')!
      .replace(/input\(('(?:[^'\\]|\\.)*')\)/, (_, structure: string) => `file('${file}', 'TabSeparated', ${structure})`)
      .replace(/ FORMAT TabSeparated$/, '');
    if (holding === 'before') await pause(queryId);
    const running = (async () => {
      const session = createChdbConnection({ path });
      try {
        await writeFile(file, rows);
        let statement = sql;
        if (holding === 'within') {
          // The server evaluates the guard when it plans the query, before it reads rows: it stops between the two.
          const where = sql.indexOf(' WHERE ');
          await runIn(session, `SELECT ${sql.slice(where + ' WHERE '.length)}`, 'TabSeparated');
          statement = sql.slice(0, where);
          await pause(queryId);
        }
        options.onInsert?.('begun');
        await runIn(session, `SET insert_deduplication_token = '${token}', async_insert = 0; ${statement}`, 'TabSeparated');
        outcomes.set(queryId, 'inserted');
      } catch (error) {
        outcomes.set(queryId, String(error).includes('Code: 395') ? 'refused' : 'failed');
        throw error;
      } finally {
        options.onInsert?.('ended');
        await session.close();
        await rm(file, { force: true });
      }
    })();
    const ended = running.catch(() => undefined);
    processes.set(queryId, ended);
    void ended.then(() => processes.delete(queryId));
    await running;
  };

  const statement = async (parameters: URLSearchParams, sql: string): Promise<Buffer> => {
    const queryId = parameters.get('query_id') ?? randomUUID();
    if (holding === 'feed' && sql.includes('results_feed')) await pause(queryId);
    const running = (async () => {
      const session = createChdbConnection({ path });
      try {
        const rows = await runIn(session, sql, parameters.get('default_format') ?? 'TabSeparated');
        outcomes.set(queryId, 'inserted');
        return rows;
      } catch (error) {
        outcomes.set(queryId, String(error).includes('Code: 395') ? 'refused' : 'failed');
        throw error;
      } finally {
        await session.close();
      }
    })();
    const ended = running.then(() => undefined, () => undefined);
    processes.set(queryId, ended);
    void ended.then(() => processes.delete(queryId));
    return running;
  };

  /** SYNC: returns when none of them runs any more. A held one is let go, as a killed one comes to its end. */
  const kill = async (sql: string): Promise<Buffer> => {
    const prefix = /startsWith\(query_id, '([^']*)'\)/.exec(sql)![1]!;
    for (const [queryId, ended] of processes) {
      if (!queryId.startsWith(prefix)) continue;
      waiting.get(queryId)?.release();
      await ended;
    }
    return Buffer.alloc(0);
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const parameters = new URL(request.url!, 'http://localhost').searchParams;
    const body = await buffer(request);
    try {
      const query = parameters.get('query');
      if (query?.startsWith('INSERT') === true && query.includes('input(')) {
        await insert(parameters, body);
        if (answersToLose > 0) {
          answersToLose--;
          response.destroy();
          return;
        }
        return void response.end();
      }
      const sql = query ?? body.toString();
      if (sql.startsWith('KILL QUERY')) return void response.end(await kill(sql));
      const database = parameters.get('database');
      response.end(await statement(parameters, (database === null ? '' : `USE ${database}; `) + sql));
    } catch (error) {
      response.writeHead(500, { 'content-type': 'text/plain' });
      response.end(error instanceof Error ? error.message : String(error));
    }
  };

  const listen = async (): Promise<void> => {
    server = createServer((request, response) => void answer(request, response).catch(() => response.destroy()));
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  };
  const goAway = async (): Promise<void> => {
    if (server === undefined) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
    server = undefined;
  };
  await listen();

  return {
    url: `http://127.0.0.1:${port}`,
    hold: (place) => (holding = place),
    held: () => [...waiting.values()],
    loseAnswers: (count) => (answersToLose = count),
    outcomes,
    goAway,
    comeBack: listen,
    query: async (sql) => (await runIn(keeper, `USE payments; ${sql}`, 'JSONEachRow')).toString(),
    async close() {
      for (const held of waiting.values()) held.release();
      await goAway();
      await Promise.all(processes.values());
      await keeper.close();
      if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}
