/** A TCP proxy before Redis, which can cut a reply in its middle, swallow one, or hold everything. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';

/** What becomes of the next reply: all of it but its first bytes is lost with the connection, or it is lost alone. */
export type ReplyFault = { readonly kind: 'cutAfter'; readonly bytes: number } | { readonly kind: 'swallow' };

export class RedisProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: number;
  #fault: ReplyFault | undefined;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((client) => this.#join(client));
  }

  static async start(target: number): Promise<RedisProxy> {
    const proxy = new RedisProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy is not listening');
    return `redis://127.0.0.1:${address.port}`;
  }

  /** New connections go to another server; those there are end, as when an address moves. */
  pointTo(port: number): void {
    this.#target = port;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Applied once, to the next bytes that a server sends. */
  spoilNextReply(fault: ReplyFault): void {
    this.#fault = fault;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(client: Socket): void {
    const server = connect(this.#target, '127.0.0.1');
    for (const [socket, other] of [[client, server], [server, client]] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    client.on('data', (bytes) => server.write(bytes));
    server.on('data', (bytes) => {
      const fault = this.#fault;
      this.#fault = undefined;
      if (fault === undefined) client.write(bytes);
      else if (fault.kind === 'cutAfter') client.end(bytes.subarray(0, fault.bytes), () => client.destroy());
    });
  }
}
