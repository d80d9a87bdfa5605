/**
 * A TCP proxy before one Kafka broker that understands the protocol's framing: it can take one request off its way, keep
 * it, and put it before the broker later, over a connection of its own, as a network does that delivers late; and it can
 * withhold answers.
 *
 * Source: kafka.apache.org/protocol: a request is its size (int32), API key, API version (int16 each), correlation id (int32),
 * client id (int16 length, bytes); an answer its size and the correlation id. Answers that tell addresses hold host and port (int32) side by side, so the
 * broker's port is replaced by the proxy's in place.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export const apiKeys = { produce: 0, fetch: 1, initProducerId: 22, endTxn: 26, txnOffsetCommit: 28 } as const;
const addressTelling = new Set([3, 10, 60]);
const answerTimeoutMs = 10_000;

export interface Request {
  readonly apiKey: number;
  readonly apiVersion: number;
  /** With its size. */
  readonly frame: Buffer;
}

/** Whether an EndTxn commits: the flag is the last byte, before the tags of the flexible versions. */
export function commits({ apiVersion, frame }: Request): boolean {
  return frame[frame.length - (apiVersion < 3 ? 1 : 2)] === 1;
}

/**
 * `timeout`: the client is left waiting on a connection that stays open. `reset`: its connection is cut right after the
 * request was taken.
 */
export type HoldMode = 'timeout' | 'reset';

export interface Held {
  /** Puts the request before the broker; resolves with the answer's body, when the broker has done what it does with it. */
  release(): Promise<Buffer>;
}

export interface FrameProxy {
  /** `127.0.0.1:port`. */
  readonly brokers: string;
  /** Takes the next request that `matches`; resolves when it has one. */
  hold(matches: (request: Request) => boolean, mode: HoldMode): Promise<Held>;
  /** Takes nothing any more. */
  disarm(): void;
  /** From now on the broker's answers to requests that match do not arrive; everything else on their connections does. */
  withholdAnswers(matches: (request: Request) => boolean): void;
  /** Answers arrive again. Connections on which one is missing are cut, so that their clients ask anew at once. */
  letAnswersPass(): void;
  close(): Promise<void>;
}

export async function startFrameProxy(broker: string): Promise<FrameProxy> {
  const [host, port] = broker.split(':') as [string, string];
  const brokerPort = Number(port);
  const sockets = new Set<Socket>();
  let withheld: ((request: Request) => boolean) | undefined;
  /** Clients that miss an answer. */
  const waiting = new Set<Socket>();
  let armed: { matches: (request: Request) => boolean; mode: HoldMode; take: (held: Held) => void } | undefined;

  const server = createServer((client) => {
    const upstream = connect({ host, port: brokerPort });
    const asked = new Map<number, number>();
    const unanswered = new Set<number>();
    /** Once a request of a connection is held, nothing behind it may overtake it there. */
    let blocked = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        waiting.delete(client);
        client.destroy();
        upstream.destroy();
      });
    }
    onFrames(client, (frame) => {
      if (blocked) return;
      const request = { apiKey: frame.readInt16BE(4), apiVersion: frame.readInt16BE(6), frame };
      if (armed?.matches(request) === true) {
        const { mode, take } = armed;
        armed = undefined;
        blocked = true;
        take({ release: () => ask(host, brokerPort, frame) });
        if (mode === 'reset') client.resetAndDestroy();
        return;
      }
      if (withheld?.(request) === true) {
        unanswered.add(frame.readInt32BE(8));
        waiting.add(client);
      }
      if (addressTelling.has(request.apiKey)) asked.set(frame.readInt32BE(8), request.apiKey);
      upstream.write(frame);
    });
    onFrames(upstream, (frame) => {
      if (unanswered.delete(frame.readInt32BE(4))) return;
      if (asked.delete(frame.readInt32BE(4))) advertise(frame, host, brokerPort, ownPort);
      client.write(frame);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const ownPort = (server.address() as AddressInfo).port;

  return {
    brokers: `127.0.0.1:${ownPort}`,
    hold: (matches, mode) => new Promise((take) => (armed = { matches, mode, take })),
    disarm: () => void (armed = undefined),
    withholdAnswers: (matches) => void (withheld = matches),
    letAnswersPass() {
      withheld = undefined;
      for (const client of waiting) client.destroy();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

export function clientIdOf(frame: Buffer): string {
  const length = frame.readInt16BE(12);
  return length < 0 ? '' : frame.toString('utf8', 14, 14 + length);
}

/** Calls `take` with each whole frame, its size included. */
export function onFrames(socket: Socket, take: (frame: Buffer) => void): void {
  let received: Buffer = Buffer.alloc(0);
  socket.on('data', (bytes: Buffer) => {
    received = received.length === 0 ? bytes : Buffer.concat([received, bytes]);
    while (received.length >= 4) {
      const end = 4 + received.readInt32BE(0);
      if (received.length < end) return;
      take(Buffer.from(received.subarray(0, end)));
      received = received.subarray(end);
    }
  });
}

function advertise(frame: Buffer, host: string, from: number, to: number): void {
  const address = Buffer.concat([Buffer.from(host), Buffer.alloc(4)]);
  address.writeInt32BE(from, host.length);
  for (let at = frame.indexOf(address); at >= 0; at = frame.indexOf(address, at + 1)) frame.writeInt32BE(to, at + host.length);
}

async function ask(host: string, port: number, frame: Buffer): Promise<Buffer> {
  const socket = connect({ host, port });
  try {
    const answer = new Promise<Buffer>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('close', () => reject(new Error('the broker closed the connection of a late request')));
      socket.setTimeout(answerTimeoutMs, () => reject(new Error(`no answer to a late request within ${answerTimeoutMs} ms`)));
      onFrames(socket, (bytes) => resolve(bytes.subarray(8)));
    });
    socket.write(frame);
    return await answer;
  } finally {
    socket.destroy();
  }
}
