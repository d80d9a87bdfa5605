/**
 * Reads and sets the settings of topics that exist, in Kafka's own protocol over a plain socket: the Node client's admin
 * API has neither DescribeConfigs nor AlterConfigs (1.10). May go when it has.
 *
 * Source: kafka.apache.org/protocol, DescribeConfigs (key 32) version 1 and IncrementalAlterConfigs (key 44) version 0,
 * the oldest that Kafka 4 still speaks, both with classic (not flexible) encodings.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { OutageError } from '../../errors.ts';

const describeConfigs = { key: 32, version: 1 };
const incrementalAlterConfigs = { key: 44, version: 0 };
const topicResource = 2;
const setOperation = 0;
const timeoutMs = 10_000;
const responseBytesMax = 16 << 20;

/** Where an operator may be more generous than the fleet needs. */
const floors = new Set(['retention.ms', 'max.message.bytes', 'min.compaction.lag.ms']);

/**
 * Sets what differs from `wanted`; gives `name=value (was value)` for each change. Other settings stay as they are, and
 * so does a longer retention or a larger size.
 */
export async function alignTopicSettings(
  brokers: string,
  topic: string,
  wanted: Readonly<Record<string, string>>,
): Promise<string[]> {
  const names = Object.keys(wanted);
  const current = await readTopicSettings(brokers, topic, names);
  const wrong = names.filter((name) => !suffices(name, current.get(name), wanted[name]!));
  if (wrong.length === 0) return [];

  const body = new Writer().int32(1).int8(topicResource).string(topic).int32(wrong.length);
  for (const name of wrong) body.string(name).int8(setOperation).string(wanted[name]!);
  body.int8(0);
  const answer = await request(brokers, incrementalAlterConfigs, body);
  answer.int32();
  for (let left = answer.int32(); left > 0; left--) {
    const code = answer.int16();
    const message = answer.string();
    answer.int8();
    answer.string();
    if (code !== 0) throw new OutageError('kafka', `Kafka refuses to set ${wrong.join(', ')} of ${topic}: error ${code}, ${message}.`);
  }
  return wrong.map((name) => `${name}=${wanted[name]} (was ${current.get(name) ?? 'unknown'})`);
}

function suffices(name: string, current: string | null | undefined, wanted: string): boolean {
  if (current === wanted) return true;
  if (!floors.has(name) || wanted === '-1') return false;
  return current === '-1' || Number(current) >= Number(wanted);
}

/** The settings of a topic with these names, defaults included. */
export async function readTopicSettings(
  brokers: string,
  topic: string,
  names: readonly string[],
): Promise<Map<string, string | null>> {
  const body = new Writer().int32(1).int8(topicResource).string(topic).int32(names.length);
  for (const name of names) body.string(name);
  body.int8(0);
  const answer = await request(brokers, describeConfigs, body);
  const settings = new Map<string, string | null>();
  answer.int32();
  for (let resources = answer.int32(); resources > 0; resources--) {
    const code = answer.int16();
    const message = answer.string();
    answer.int8();
    answer.string();
    if (code !== 0) throw new OutageError('kafka', `Kafka does not tell the settings of ${topic}: error ${code}, ${message}.`);
    for (let entries = answer.int32(); entries > 0; entries--) {
      settings.set(answer.string() ?? '', answer.string());
      answer.int8();
      answer.int8();
      answer.int8();
      for (let synonyms = answer.int32(); synonyms > 0; synonyms--) {
        answer.string();
        answer.string();
        answer.int8();
      }
    }
  }
  return settings;
}

/** One request to the first broker that can be reached; brokers hand what is the controller's on to it. */
async function request(brokers: string, api: { key: number; version: number }, body: Writer): Promise<Reader> {
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

async function ask(broker: string, api: { key: number; version: number }, body: Writer): Promise<Reader> {
  const { host, port } = addressOf(broker);
  const correlation = 1;
  const head = new Writer().int16(api.key).int16(api.version).int32(correlation).string('settlefleet-topics');
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

class Writer {
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

class Reader {
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

  /** Null where the length is -1. */
  string(): string | null {
    const length = this.int16();
    if (length < 0) return null;
    this.#at += length;
    return this.#bytes.toString('utf8', this.#at - length, this.#at);
  }
}
