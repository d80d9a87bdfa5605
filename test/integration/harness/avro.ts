/** Avro and the registry as another team would use them: over HTTP, with schemas of their own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import avsc from 'avsc';
import type { Schema, Type } from 'avsc';

const schemaFolder = join(import.meta.dirname, '../../../schemas');

export const eventSchema = JSON.parse(readFileSync(join(schemaFolder, 'payment-event.avsc'), 'utf8')) as Schema;

const registryType = { 'content-type': 'application/vnd.schemaregistry.v1+json' };

/** Registers a schema under a subject and gives its id; waits for a registry that comes up. */
export async function registerSchema(registryUrl: string, subject: string, schema: unknown): Promise<number> {
  const answer = await fetch(`${registryUrl}/subjects/${encodeURIComponent(subject)}/versions`, {
    method: 'POST',
    headers: registryType,
    body: JSON.stringify({ schema: JSON.stringify(schema) }),
  });
  if (!answer.ok) throw new Error(`the registry refused ${subject}: ${answer.status} ${await answer.text()}`);
  return ((await answer.json()) as { id: number }).id;
}

/** Every subject may hold anything: what is tested is the reader. */
export async function switchOffCompatibility(registryUrl: string, subject: string): Promise<void> {
  const answer = await fetch(`${registryUrl}/config/${encodeURIComponent(subject)}`, {
    method: 'PUT',
    headers: registryType,
    body: JSON.stringify({ compatibility: 'NONE' }),
  });
  if (!answer.ok) throw new Error(`the registry refused the configuration of ${subject}: ${answer.status}`);
}

export function typeOf(schema: Schema): Type {
  // Several schemas of this file carry the same name; each gets a registry of names of its own.
  return avsc.Type.forSchema(structuredClone(schema), { registry: {} });
}

export function framed(schemaId: number, body: Uint8Array): Buffer {
  const frame = Buffer.alloc(5 + body.length);
  frame.writeUInt32BE(schemaId, 1);
  frame.set(body, 5);
  return frame;
}

/** One PaymentResult, with its decimals in units of the fifth decimal place. */
export interface Result {
  readonly eventId: string;
  readonly messageType: string;
  readonly source: string;
  readonly messageId: string | null;
  readonly transactionIndex: number;
  readonly instructionId: string | null;
  readonly endToEndId: string | null;
  readonly transactionId: string | null;
  readonly uetr: string | null;
  readonly status: string;
  readonly reasonCode: string | null;
  readonly reason: string | null;
  readonly debitedParticipant: string | null;
  readonly creditedParticipant: string | null;
  readonly currency: string | null;
  readonly amount: bigint | null;
  readonly positionAfter: bigint | null;
  readonly sequence: number | null;
  readonly createdAt: number;
  readonly receivedAt: number;
  readonly settledAt: number;
  readonly inboundPartition: number;
  readonly inboundOffset: number;
  readonly originalEventId: string | null;
  readonly identity: string | null;
  readonly statusReport: Uint8Array | null;
}

function unscaled(bytes: Uint8Array | null): bigint | null {
  if (bytes === null) return null;
  if (bytes.length === 0) throw new Error('a decimal of no bytes');
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return bytes[0]! >= 0x80 ? value - (1n << BigInt(8 * bytes.length)) : value;
}

/** Decodes results with whatever schema the registry gives for their id. */
export class ResultDecoder {
  readonly #registryUrl: string;
  readonly #types = new Map<number, Type>();

  constructor(registryUrl: string) {
    this.#registryUrl = registryUrl;
  }

  /** Must be called once for a batch before `decode`. */
  async prepare(value: Uint8Array): Promise<void> {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    if (bytes[0] !== 0 || bytes.length < 5) throw new Error('a result that is not in the Confluent wire format');
    const id = bytes.readUInt32BE(1);
    if (this.#types.has(id)) return;
    const answer = await fetch(`${this.#registryUrl}/schemas/ids/${id}`);
    if (!answer.ok) throw new Error(`the registry does not know the results' schema ${id}: ${answer.status}`);
    const { schema } = (await answer.json()) as { schema: string };
    this.#types.set(id, typeOf(JSON.parse(schema) as Schema));
  }

  decode(value: Uint8Array): Result {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    const type = this.#types.get(bytes.readUInt32BE(1));
    if (type === undefined) throw new Error('prepare was not called');
    const raw = plain(type.fromBuffer(bytes.subarray(5))) as Omit<Result, 'amount' | 'positionAfter'> & {
      amount: Uint8Array | null;
      positionAfter: Uint8Array | null;
    };
    return { ...raw, amount: unscaled(raw.amount), positionAfter: unscaled(raw.positionAfter) };
  }
}

/** avsc gives unions of these types as plain values or wrapped, as its settings say: both become plain. */
function plain(record: Record<string, unknown>): unknown {
  const fields = Object.entries(record).map(([name, value]) => {
    const wrapped = value !== null && typeof value === 'object' && !Buffer.isBuffer(value) ? Object.values(value)[0] : value;
    return [name, wrapped] as const;
  });
  return Object.fromEntries(fields);
}

export function units(amount: string): bigint {
  const match = /^(-?)(\d+)(?:\.(\d{1,5}))?$/.exec(amount);
  if (match === null) throw new Error(`no amount: ${amount}`);
  const value = BigInt(match[2]!) * 100_000n + BigInt((match[3] ?? '').padEnd(5, '0'));
  return match[1] === '-' ? -value : value;
}
