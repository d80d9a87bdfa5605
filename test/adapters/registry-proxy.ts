/** Stands before the real registry and, for as long as it is told, answers in its place or not at all. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

export type RegistryFault =
  /** The real registry answers. */
  | 'none'
  | 'refuses'
  | 'is silent'
  | 'status 500'
  /** What a proxy or a wrong path answers: not the registry's own "no such schema". */
  | 'bare 404'
  | 'not JSON';

export class RegistryProxy {
  fault: RegistryFault = 'none';
  /** Paths asked for, as they came. */
  readonly asked: string[] = [];
  readonly #target: string;
  readonly #server = createServer((request, response) => {
    this.asked.push(request.url ?? '');
    if (this.fault === 'is silent') return;
    if (this.fault === 'refuses') return void response.destroy();
    if (this.fault === 'status 500') return void response.writeHead(500, { 'content-type': 'application/json' }).end('{"error_code":50001}');
    if (this.fault === 'bare 404') return void response.writeHead(404, { 'content-type': 'application/json' }).end('{"error_code":404,"message":"HTTP 404 Not Found"}');
    if (this.fault === 'not JSON') return void response.writeHead(200).end('<html>Sign in</html>');
    const { method = 'GET' } = request;
    const headers = { 'content-type': 'application/json' };
    buffer(request)
      .then((body) => fetch(`${this.#target}${request.url ?? ''}`, { method, headers, ...(method === 'GET' ? {} : { body }) }))
      .then(async (answer) => response.writeHead(answer.status, headers).end(await answer.text()))
      .catch(() => response.destroy());
  });

  constructor(target: string) {
    this.#target = target.replace(/\/+$/, '');
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
