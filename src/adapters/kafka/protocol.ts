/**
 * What the Node client's admin API lacks (1.10), asked of brokers in Kafka's own protocol over a plain socket. Only requests
 * in classic (not flexible) encodings. May go when the client has them.
 *
 * Source: kafka.apache.org/protocol.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { OutageError } from '../../errors.ts';

const timeoutMs = 10_000;
const responseBytesMax = 16 << 20;

/** A request's key and version. */
export interface Api {
  readonly key: number;
  readonly version: number;
}

/** One request to the first broker that can be reached; brokers hand what is the controller's on to it. */
export async function request(brokers: string, api: Api, body: Writer): Promise<Reader> {
  let failure: unknown;
  for (const broker of brokers.split(',')) {
    try {
      return await ask(broker, api, body);
    } catch (error) {
      failure = error;
    }
  }
  throw new OutageError('kafka', `Kafka at ${brokers} does not answer: ${String(failure)}.`, { cause: failure });
}

async function ask(broker: string, api: Api, body: Writer): Promise<Reader> {
  const { host, port } = addressOf(broker);
  const correlation = 1;
  const head = new Writer().int16(api.key).int16(api.version).int32(correlation).string('settlefleet');
  const payload = Buffer.concat([head.bytes(), body.bytes()]);
  const socket = connect({ host, port });
  try {
    socket.write(Buffer.concat([new Writer().int32(payload.length).bytes(), payload]));
    const reader = new Reader(await frame(socket));
    if (reader.int32() !== correlation) throw new Error('the answer belongs to another request');
    return reader;
  } finally {
    socket.destroy();
  }
}

function frame(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    socket.setTimeout(timeoutMs, () => reject(new Error(`no answer within ${timeoutMs} ms`)));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the connection was closed')));
    socket.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
      if (received.length < 4) return;
      const length = received.readInt32BE(0);
      if (length < 0 || length > responseBytesMax) reject(new Error(`an answer of ${length} bytes`));
      else if (received.length >= 4 + length) resolve(received.subarray(4, 4 + length));
    });
  });
}

function addressOf(broker: string): { host: string; port: number } {
  const parsed = new URL(`kafka://${broker.replace(/^[A-Z]+:\/\//, '')}`);
  return { host: parsed.hostname.replace(/^\[|\]$/g, ''), port: Number(parsed.port || 9092) };
}

export class Writer {
  readonly #parts: Buffer[] = [];

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  int8(value: number): this {
    return this.#number(1, (bytes) => bytes.writeInt8(value));
  }

  int16(value: number): this {
    return this.#number(2, (bytes) => bytes.writeInt16BE(value));
  }

  int32(value: number): this {
    return this.#number(4, (bytes) => bytes.writeInt32BE(value));
  }

  string(text: string): this {
    const bytes = Buffer.from(text);
    this.int16(bytes.length);
    this.#parts.push(bytes);
    return this;
  }

  #number(size: number, write: (bytes: Buffer) => void): this {
    const bytes = Buffer.alloc(size);
    write(bytes);
    this.#parts.push(bytes);
    return this;
  }
}

export class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  int8(): number {
    return this.#bytes.readInt8((this.#at += 1) - 1);
  }

  int16(): number {
    return this.#bytes.readInt16BE((this.#at += 2) - 2);
  }

  int32(): number {
    return this.#bytes.readInt32BE((this.#at += 4) - 4);
  }

  /** Of a field with a length of four bytes. */
  bytes(): Reader {
    const length = Math.max(0, this.int32());
    this.#at += length;
    return new Reader(this.#bytes.subarray(this.#at - length, this.#at));
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** Null where the length is -1. */
  string(): string | null {
    const length = this.int16();
    if (length < 0) return null;
    this.#at += length;
    return this.#bytes.toString('utf8', this.#at - length, this.#at);
  }
}
