/** Stands before the schema registry: passes everything on, refuses connections, holds them open, or answers an error. */
import { createServer, request } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { once } from 'node:events';

export type ProxyMode = 'pass' | 'cut' | 'hold' | { readonly status: number; readonly body: string };

export class HttpProxy {
  readonly #target: URL;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  mode: ProxyMode = 'pass';
  /** Requests, and connections that were cut before one came. */
  requests = 0;

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((incoming, outgoing) => this.#serve(incoming, outgoing));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
      if (this.mode !== 'cut') return;
      this.requests++;
      socket.destroy();
    });
  }

  static async start(target: string): Promise<HttpProxy> {
    const proxy = new HttpProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  /** With the target's own path. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}${this.#target.pathname}`;
  }

  /** From now on; connections that are open end. */
  set(mode: ProxyMode): void {
    this.mode = mode;
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.set('cut');
    this.#server.close();
    await once(this.#server, 'close');
  }

  #serve(incoming: IncomingMessage, outgoing: ServerResponse): void {
    this.requests++;
    const { mode } = this;
    if (mode === 'cut') {
      incoming.socket.destroy();
      return;
    }
    if (mode === 'hold') return;
    if (mode !== 'pass') {
      outgoing.writeHead(mode.status, { 'content-type': 'application/json' }).end(mode.body);
      return;
    }
    const { hostname, port } = this.#target;
    const forwarded = request({ hostname, port, path: incoming.url, method: incoming.method, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    forwarded.on('error', () => outgoing.destroy());
    incoming.pipe(forwarded);
  }
}
