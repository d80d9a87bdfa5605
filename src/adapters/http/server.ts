/**
 * The small server that each process of ours has beside its work: `/metrics` for Prometheus, `/healthz` for a supervisor,
 * `/readyz` for whoever sends traffic (contract section 8). Answers come from memory, so a scrape holds nothing up.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';

import { ConfigurationError } from '../../errors.ts';
import type { Log } from '../../ports.ts';

/** Answers one path; what it throws becomes a 500 and a log line. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

export interface HealthServerOptions {
  /** METRICS_PORT; 0: any free port. */
  readonly port: number;
  readonly registry: { readonly contentType: string; metrics(): Promise<string> };
  /** Why the process is not ready, one line each; empty when it is. Must answer at once. */
  readonly reasonsNotReady: () => readonly string[];
  /** Other paths, e.g. `/sql`; they see every method and may wait. */
  readonly handlers?: ReadonlyMap<string, Handler>;
  readonly log: Log;
}

export interface HealthServer {
  readonly port: number;
  /** Takes no new connections, lets answers under way end, then resolves. */
  close(): Promise<void>;
}

/** How long an answer under way may take once the server closes. */
const closeDeadlineMs = 2_000;

/** Listens on all addresses. Throws `ConfigurationError` naming METRICS_PORT when it cannot. */
export async function startHealthServer(options: HealthServerOptions): Promise<HealthServer> {
  const { log } = options;
  const handlers = new Map<string, Handler>([...(options.handlers ?? []), ...ownHandlers(options)]);
  const underWay = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    underWay.add(response);
    response.once('close', () => underWay.delete(response));
    answer(handlers, request, response).catch((error: unknown) => {
      log.error({ path: pathOf(request), error: String(error) }, 'A request could not be answered');
      if (response.headersSent) response.destroy();
      else send(response, 500, 'the answer could not be made\n');
    });
  });
  const port = await listen(server, options.port);
  server.on('error', (error) => log.error({ error: error.message }, 'The HTTP server has an error'));
  log.info({ port }, 'Metrics and health are served');
  return { port, close: () => close(server, underWay) };
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port);
  try {
    await once(server, 'listening');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') {
      throw new ConfigurationError(`METRICS_PORT ${port} is taken by another process, expected a free port (0: any)`);
    }
    throw new ConfigurationError(`METRICS_PORT ${port} cannot be listened on: ${message}`);
  }
  const address = server.address();
  return address !== null && typeof address === 'object' ? address.port : port;
}

async function close(server: Server, underWay: ReadonlySet<ServerResponse>): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  // Node ends idle connections now, but would keep those that become idle later.
  for (const response of underWay) if (!response.headersSent) response.setHeader('connection', 'close');
  const timer = setTimeout(() => server.closeAllConnections(), closeDeadlineMs);
  await closed;
  clearTimeout(timer);
}

function ownHandlers({ registry, reasonsNotReady }: HealthServerOptions): [string, Handler][] {
  return [
    ['/metrics', readOnly(async (response) => send(response, 200, await registry.metrics(), registry.contentType))],
    ['/healthz', readOnly((response) => send(response, 200, 'alive\n'))],
    [
      '/readyz',
      readOnly((response) => {
        const reasons = reasonsNotReady();
        if (reasons.length === 0) send(response, 200, 'ready\n');
        else send(response, 503, `${reasons.join('\n')}\n`);
      }),
    ],
  ];
}

/** Takes GET and HEAD only. */
export function readOnly(handler: (response: ServerResponse) => void | Promise<void>): Handler {
  return async (request, response) => {
    if (request.method === 'GET' || request.method === 'HEAD') return handler(response);
    response.setHeader('allow', 'GET, HEAD');
    send(response, 405, 'expected GET or HEAD\n');
  };
}

async function answer(
  handlers: ReadonlyMap<string, Handler>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const handler = handlers.get(pathOf(request));
  if (handler !== undefined) return handler(request, response);
  send(response, 404, `nothing here, expected one of: ${[...handlers.keys()].join(' ')}\n`);
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '').split('?', 1)[0]!;
}

/** Node leaves out the body of an answer to HEAD by itself. */
export function send(response: ServerResponse, status: number, body: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
