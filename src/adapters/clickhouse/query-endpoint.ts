/**
 * The embedded engine for others on this machine: one process can hold its folder, so the sink, which does, answers SQL on
 * loopback. Where, is said in `endpoint.json` in that folder, readable by its owner, with a token that each question must
 * bring: a file left behind by a dead sink then leads nowhere, even when another process has got its port.
 */
import { randomUUID, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join, resolve } from 'node:path';
import { OutageError } from '../../errors.ts';
import type { Log } from '../../ports.ts';
import type { ClickhouseConnection } from './connection.ts';
import { refusalOf } from './statement.ts';

const fileName = 'endpoint.json';
const tokenHeader = 'x-settlefleet-token';
const formatHeader = 'x-settlefleet-format';
const queryBytesMax = 1 << 20;
/** One query runs at a time in a session; so many wait. */
const waitingMax = 16;
const askTimeoutMs = 90_000;

interface EndpointFile {
  readonly pid: number;
  readonly port: number;
  readonly token: string;
}

export interface QueryEndpoint {
  readonly port: number;
  close(): Promise<void>;
}

/** Serves the sessions, each of which must be restricted to reading already. */
export async function startQueryEndpoint(options: {
  readonly path: string;
  readonly sessions: readonly ClickhouseConnection[];
  readonly log: Log;
}): Promise<QueryEndpoint> {
  const { log } = options;
  const file = join(resolve(options.path), fileName);
  const token = randomUUID();
  const free = [...options.sessions];
  const waiting: ((session: ClickhouseConnection) => void)[] = [];

  const take = async (): Promise<ClickhouseConnection> => {
    const session = free.pop();
    if (session !== undefined) return session;
    return new Promise((resolveSession) => waiting.push(resolveSession));
  };
  const giveBack = (session: ClickhouseConnection): void => {
    const next = waiting.shift();
    if (next === undefined) free.push(session);
    else next(session);
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (!sameToken(request.headers[tokenHeader], token)) return send(response, 403, 'The token is not that of this sink.');
    if (request.method !== 'POST') return send(response, 405, 'Expected POST with the query as body.');
    const query = await bodyOf(request);
    if (query === null) return send(response, 413, `The query is longer than ${queryBytesMax} bytes.`);
    const refusal = refusalOf(query);
    if (refusal !== null) return send(response, 400, refusal);
    const format = request.headers[formatHeader];
    if (typeof format !== 'string' || !/^\w{1,64}$/.test(format)) return send(response, 400, 'The format is not a name.');
    if (waiting.length >= waitingMax) return send(response, 503, 'Too many queries are waiting.');
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const session = await take();
    try {
      if (!gone.signal.aborted) send(response, 200, await session.query(query, format, gone.signal));
    } catch (error) {
      send(response, 400, error instanceof Error ? error.message : String(error));
    } finally {
      giveBack(session);
    }
  };

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      log.warn({ error: String(error) }, 'A query could not be answered');
      response.destroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const content: EndpointFile = { pid: process.pid, port, token };
  // In one step, so that nobody reads half of it.
  await writeFile(`${file}.new`, `${JSON.stringify(content)}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  log.info({ port }, 'SQL is answered on loopback (settlefleet sql)');

  return {
    port,
    async close() {
      await rm(file, { force: true });
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/**
 * Asks the sink that holds the folder. Null when none answers; throws `OutageError` with ClickHouse's words. Aborted: the
 * sink sees that nobody waits any more, and ends the query.
 */
export async function askEndpoint(path: string, query: string, format: string, signal?: AbortSignal): Promise<Buffer | null> {
  const endpoint = await readEndpointFile(path);
  if (endpoint === null) return null;
  let response: Response;
  try {
    response = await fetch(`http://127.0.0.1:${endpoint.port}/`, {
      method: 'POST',
      headers: { [tokenHeader]: endpoint.token, [formatHeader]: format },
      body: query,
      signal: AbortSignal.any([AbortSignal.timeout(askTimeoutMs), ...(signal === undefined ? [] : [signal])]),
    });
  } catch (error) {
    if (signal?.aborted) throw new OutageError('clickhouse', 'The query was cancelled.', { cause: error });
    if (error instanceof DOMException && error.name === 'TimeoutError') {
      throw new OutageError('clickhouse', `The sink (process ${endpoint.pid}) did not answer within ${askTimeoutMs / 1000} s.`);
    }
    // A file of a sink that was killed.
    return null;
  }
  const body = Buffer.from(await response.arrayBuffer());
  if (response.status === 200) return body;
  if (response.status === 403 || response.status === 404) return null;
  throw new OutageError('clickhouse', body.toString());
}

async function readEndpointFile(path: string): Promise<EndpointFile | null> {
  try {
    const content: unknown = JSON.parse(await readFile(join(resolve(path), fileName), 'utf8'));
    const { pid, port, token } = content as Partial<EndpointFile>;
    return typeof pid === 'number' && typeof port === 'number' && typeof token === 'string' ? { pid, port, token } : null;
  } catch {
    // There is none, or it is not ours: then nobody is asked.
    return null;
  }
}

function sameToken(given: string | string[] | undefined, token: string): boolean {
  if (typeof given !== 'string' || given.length !== token.length) return false;
  return timingSafeEqual(Buffer.from(given), Buffer.from(token));
}

async function bodyOf(request: IncomingMessage): Promise<string | null> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > queryBytesMax) return null;
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

function send(response: ServerResponse, status: number, body: string | Buffer): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
