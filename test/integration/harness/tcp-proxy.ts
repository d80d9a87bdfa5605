/** A TCP proxy before a part: it refuses, cuts, slows and holds connections, and spoils a reply. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';

/** What becomes of the next reply: all of it but its first bytes is lost with the connection, or it is lost alone. */
export type ReplyFault = { readonly kind: 'cutAfter'; readonly bytes: number } | { readonly kind: 'swallow' };

/**
 * `refuse`: connections end, and new ones end at once. `hold`: connections stay open, and what is sent arrives when the
 * mode changes. Milliseconds: everything arrives so much later, in both directions.
 */
export type Flow = 'pass' | 'refuse' | 'hold' | number;

/** What a fault met: one that met nothing was none. */
export interface Struck {
  readonly connections: number;
  readonly bytes: number;
}

export class TcpProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #directions = new Set<Direction>();
  #target: number;
  #flow: Flow = 'pass';
  #fault: ReplyFault | undefined;
  #struckConnections = 0;
  #struckBytes = 0;

  protected constructor(target: number) {
    this.#target = target;
    this.#server = createServer((client) => this.#join(client));
  }

  static async start(target: number, port = 0): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    await proxy.listen(port);
    return proxy;
  }

  protected async listen(port: number): Promise<void> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy is not listening');
    return address.port;
  }

  get flow(): Flow {
    return this.#flow;
  }

  /** New connections go to another server; those there are end, as when an address moves. */
  pointTo(port: number): void {
    this.#target = port;
    this.cut();
  }

  /** Ends every connection. */
  cut(): void {
    this.#struckConnections += Math.ceil(this.#sockets.size / 2);
    for (const socket of this.#sockets) socket.destroy();
  }

  /** From now on, until the next. */
  set(flow: Flow): void {
    this.#flow = flow;
    if (flow === 'refuse') this.cut();
    else for (const direction of this.#directions) direction.pump();
  }

  /** Applied once, to the next bytes that a server sends. */
  spoilNextReply(fault: ReplyFault): void {
    this.#fault = fault;
  }

  /** What was struck since this was last asked. */
  takeStruck(): Struck {
    const struck = { connections: this.#struckConnections, bytes: this.#struckBytes };
    this.#struckConnections = this.#struckBytes = 0;
    return struck;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(client: Socket): void {
    if (this.#flow === 'refuse') {
      this.#struckConnections++;
      client.on('error', () => undefined);
      client.destroy();
      return;
    }
    const server = connect(this.#target, '127.0.0.1');
    const forth = new Direction(server, () => this.#flow);
    const back = new Direction(client, () => this.#flow);
    for (const [socket, other] of [[client, server], [server, client]] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        this.#directions.delete(forth);
        this.#directions.delete(back);
        other.destroy();
      });
    }
    this.#directions.add(forth).add(back);
    const through = (direction: Direction) => (bytes: Buffer): void => {
      if (direction.push(bytes) === 'later') this.#struckBytes += bytes.length;
    };
    this.passOn({ client, server, toServer: through(forth), toClient: through(back) });
  }

  /** Hands on what either side sends. */
  protected passOn({ client, server, toServer, toClient }: Connection): void {
    client.on('data', toServer);
    server.on('data', (bytes: Buffer) => {
      const fault = this.#fault;
      if (fault === undefined) return toClient(bytes);
      this.#fault = undefined;
      this.#struckConnections++;
      if (fault.kind === 'cutAfter') client.end(bytes.subarray(0, fault.bytes), () => client.destroy());
    });
  }
}

export interface Connection {
  readonly client: Socket;
  readonly server: Socket;
  readonly toServer: (bytes: Buffer) => void;
  readonly toClient: (bytes: Buffer) => void;
}

/** One way of a connection. What waits is never overtaken. */
class Direction {
  readonly #to: Socket;
  readonly #flow: () => Flow;
  readonly #waiting: { readonly since: number; readonly bytes: Buffer }[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(to: Socket, flow: () => Flow) {
    this.#to = to;
    this.#flow = flow;
  }

  push(bytes: Buffer): 'now' | 'later' {
    const flow = this.#flow();
    if (this.#waiting.length === 0 && (flow === 'pass' || flow === 'refuse')) {
      this.#to.write(bytes);
      return 'now';
    }
    this.#waiting.push({ since: performance.now(), bytes });
    this.pump();
    return 'later';
  }

  /** Sends what is due. */
  pump(): void {
    clearTimeout(this.#timer);
    const flow = this.#flow();
    if (flow === 'hold') return;
    const delayMs = typeof flow === 'number' ? flow : 0;
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const leftMs = first.since + delayMs - performance.now();
      if (leftMs > 0) {
        this.#timer = setTimeout(() => this.pump(), leftMs);
        return;
      }
      this.#waiting.shift();
      this.#to.write(first.bytes);
    }
  }
}
