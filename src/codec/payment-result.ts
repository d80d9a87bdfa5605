/**
 * PaymentResult to bytes and back. Writing is done by hand, in place, because it happens for every transaction; reading,
 * which the sink, the rebuild of claims and tests do, goes through avsc and takes every version that resolves to ours.
 *
 * Source: schemas/payment-result.avsc; Apache Avro 1.12, "Binary Encoding", and "Decimal" for the amounts.
 */
import avro from 'avsc';
import type { Type } from 'avsc';
import { parseWriterSchema } from './avro/writer-schema.ts';
import type { DecodedBatch } from './decoded-batch.ts';
import { schemaIdAt, wireHeaderBytes, writeWireHeader } from './wire-format.ts';

export interface PaymentResult {
  readonly eventId: string;
  readonly messageType: string;
  readonly source: string;
  readonly messageId: string | null;
  /** 0-based; -1: the message as a whole. */
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
  /** In 10^-5 of the currency's unit. */
  readonly amount: bigint | null;
  /** In 10^-5 of the currency's unit. May have more digits than the schema's precision says: nothing is cut off. */
  readonly positionAfter: bigint | null;
  readonly sequence: number | null;
  /** Milliseconds since the epoch, as the two below. */
  readonly createdAt: number;
  readonly receivedAt: number;
  readonly settledAt: number;
  readonly inboundPartition: number;
  readonly inboundOffset: number;
  readonly originalEventId: string | null;
  readonly identity: string | null;
  readonly statusReport: Uint8Array | null;
}

/** The fields as in schemas/payment-result.avsc, without its documentation; a test compares the two. */
const nullableText = ['null', 'string'];
const nullableDecimal = ['null', { type: 'bytes', logicalType: 'decimal', precision: 18, scale: 5 }];
const timestamp = { type: 'long', logicalType: 'timestamp-millis' };
export const paymentResultSchema = {
  type: 'record',
  name: 'PaymentResult',
  namespace: 'settlefleet.v1',
  fields: [
    { name: 'eventId', type: 'string' },
    { name: 'messageType', type: 'string' },
    { name: 'source', type: 'string' },
    { name: 'messageId', type: nullableText, default: null },
    { name: 'transactionIndex', type: 'int' },
    { name: 'instructionId', type: nullableText, default: null },
    { name: 'endToEndId', type: nullableText, default: null },
    { name: 'transactionId', type: nullableText, default: null },
    { name: 'uetr', type: nullableText, default: null },
    { name: 'status', type: 'string' },
    { name: 'reasonCode', type: nullableText, default: null },
    { name: 'reason', type: nullableText, default: null },
    { name: 'debitedParticipant', type: nullableText, default: null },
    { name: 'creditedParticipant', type: nullableText, default: null },
    { name: 'currency', type: nullableText, default: null },
    { name: 'amount', type: nullableDecimal, default: null },
    { name: 'positionAfter', type: nullableDecimal, default: null },
    { name: 'sequence', type: ['null', 'long'], default: null },
    { name: 'createdAt', type: timestamp },
    { name: 'receivedAt', type: timestamp },
    { name: 'settledAt', type: timestamp },
    { name: 'inboundPartition', type: 'int' },
    { name: 'inboundOffset', type: 'long' },
    { name: 'originalEventId', type: nullableText, default: null },
    { name: 'identity', type: nullableText, default: null },
    { name: 'statusReport', type: ['null', 'bytes'], default: null },
  ],
};

/** The fields that the message itself gives. They stand first in a result. */
type MessageField = 'eventId' | 'messageType' | 'source' | 'messageId' | 'transactionIndex' | 'instructionId' | 'endToEndId' | 'transactionId' | 'uetr';

/** What a result says beyond the message. */
export type PaymentAnswer = Omit<PaymentResult, MessageField>;

/** One transaction of a decoded batch: its row, that of its event, and its place in the message. */
export interface DecodedTransaction {
  readonly decoded: DecodedBatch;
  readonly event: number;
  readonly transaction: number;
  readonly transactionIndex: number;
}

/** The longest forms of the 27 tags, 26 lengths and 7 numbers, generously. */
const fixedBytesMax = 256;

/**
 * Writes the result in the wire format at `start` and gives the place after it, or -1 when there may be no room: then
 * what lies behind `start` is as it was.
 */
export function encodePaymentResult(result: PaymentResult, schemaId: number, bytes: Buffer, start: number): number {
  const unitsOfMessage =
    result.eventId.length +
    result.messageType.length +
    result.source.length +
    lengthOf(result.messageId) +
    lengthOf(result.instructionId) +
    lengthOf(result.endToEndId) +
    lengthOf(result.transactionId) +
    lengthOf(result.uetr);
  if (start + fixedBytesMax + 3 * unitsOfMessage + answerBytesMax(result) > bytes.length) return -1;
  let at = writeWireHeader(bytes, start, schemaId);
  at = putText(bytes, at, result.eventId);
  at = putText(bytes, at, result.messageType);
  at = putText(bytes, at, result.source);
  at = putOptionalText(bytes, at, result.messageId);
  at = putLong(bytes, at, result.transactionIndex);
  at = putOptionalText(bytes, at, result.instructionId);
  at = putOptionalText(bytes, at, result.endToEndId);
  at = putOptionalText(bytes, at, result.transactionId);
  at = putOptionalText(bytes, at, result.uetr);
  return putAnswer(bytes, at, result);
}

/** As `encodePaymentResult`; what the message gives is copied from where it lies, without a string for each. */
export function encodeDecodedResult(of: DecodedTransaction, answer: PaymentAnswer, schemaId: number, bytes: Buffer, start: number): number {
  const { decoded, event, transaction } = of;
  let bytesMax = fixedBytesMax + answerBytesMax(answer);
  for (const name of eventFields) bytesMax += Math.max(0, decoded.eventTextLength(event, name));
  for (const name of transactionFields) bytesMax += Math.max(0, decoded.transactionTextLength(transaction, name));
  if (start + bytesMax > bytes.length) return -1;
  let at = writeWireHeader(bytes, start, schemaId);
  for (const name of requiredFields) {
    at = putLong(bytes, at, decoded.eventTextLength(event, name));
    at = decoded.copyEventText(event, name, bytes, at);
  }
  const messageIdLength = decoded.eventTextLength(event, 'messageId');
  if (messageIdLength < 0) bytes[at++] = 0;
  else {
    bytes[at++] = 2;
    at = putLong(bytes, at, messageIdLength);
    at = decoded.copyEventText(event, 'messageId', bytes, at);
  }
  at = putLong(bytes, at, of.transactionIndex);
  for (const name of transactionFields) {
    const length = decoded.transactionTextLength(transaction, name);
    if (length < 0) {
      bytes[at++] = 0;
      continue;
    }
    bytes[at++] = 2;
    at = putLong(bytes, at, length);
    at = decoded.copyTransactionText(transaction, name, bytes, at);
  }
  return putAnswer(bytes, at, answer);
}

const requiredFields = ['eventId', 'messageType', 'source'] as const;
const eventFields = [...requiredFields, 'messageId'] as const;
const transactionFields = ['instructionId', 'endToEndId', 'transactionId', 'uetr'] as const;

function putAnswer(bytes: Buffer, start: number, answer: PaymentAnswer): number {
  let at = putText(bytes, start, answer.status);
  at = putOptionalText(bytes, at, answer.reasonCode);
  at = putOptionalText(bytes, at, answer.reason);
  at = putOptionalText(bytes, at, answer.debitedParticipant);
  at = putOptionalText(bytes, at, answer.creditedParticipant);
  at = putOptionalText(bytes, at, answer.currency);
  at = putOptionalDecimal(bytes, at, answer.amount);
  at = putOptionalDecimal(bytes, at, answer.positionAfter);
  if (answer.sequence === null) bytes[at++] = 0;
  else {
    bytes[at++] = 2;
    at = putLong(bytes, at, answer.sequence);
  }
  at = putLong(bytes, at, answer.createdAt);
  at = putLong(bytes, at, answer.receivedAt);
  at = putLong(bytes, at, answer.settledAt);
  at = putLong(bytes, at, answer.inboundPartition);
  at = putLong(bytes, at, answer.inboundOffset);
  at = putOptionalText(bytes, at, answer.originalEventId);
  at = putOptionalText(bytes, at, answer.identity);
  if (answer.statusReport === null) bytes[at++] = 0;
  else {
    bytes[at++] = 2;
    at = putLong(bytes, at, answer.statusReport.length);
    bytes.set(answer.statusReport, at);
    at += answer.statusReport.length;
  }
  return at;
}

/** UTF-8 takes at most three bytes for each unit of a JavaScript string. */
function answerBytesMax(answer: PaymentAnswer): number {
  const units =
    answer.status.length +
    lengthOf(answer.reasonCode) +
    lengthOf(answer.reason) +
    lengthOf(answer.debitedParticipant) +
    lengthOf(answer.creditedParticipant) +
    lengthOf(answer.currency) +
    lengthOf(answer.originalEventId) +
    lengthOf(answer.identity);
  return 3 * units + (answer.statusReport === null ? 0 : answer.statusReport.length);
}

function lengthOf(text: string | null): number {
  return text === null ? 0 : text.length;
}

function putOptionalText(bytes: Buffer, at: number, text: string | null): number {
  if (text === null) {
    bytes[at] = 0;
    return at + 1;
  }
  bytes[at] = 2;
  return putText(bytes, at + 1, text);
}

function putText(bytes: Buffer, at: number, text: string): number {
  const length = text.length;
  // Identifiers are short and ASCII: a loop here is quicker than a call into the runtime.
  if (length < 64) {
    bytes[at] = length << 1;
    let i = 0;
    for (; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) break;
      bytes[at + 1 + i] = unit;
    }
    if (i === length) return at + 1 + length;
  }
  const textAt = putLong(bytes, at, Buffer.byteLength(text));
  return textAt + bytes.write(text, textAt);
}

/** Zig-zag, seven bits a byte, least first. Exact for every safe integer. */
function putLong(bytes: Buffer, at: number, value: number): number {
  if (value >= -0x40000000 && value < 0x40000000) {
    let rest = ((value << 1) ^ (value >> 31)) >>> 0;
    while (rest >= 0x80) {
      bytes[at++] = rest | 0x80;
      rest >>>= 7;
    }
    bytes[at] = rest;
    return at + 1;
  }
  // The doubled value may have 54 bits and would lose its last one: the first byte is made before it is doubled.
  const magnitude = value < 0 ? -value - 1 : value;
  bytes[at++] = ((magnitude % 64) << 1) | (value < 0 ? 1 : 0) | 0x80;
  let rest = Math.floor(magnitude / 64);
  while (rest >= 0x80) {
    bytes[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  bytes[at] = rest;
  return at + 1;
}

function putOptionalDecimal(bytes: Buffer, at: number, units: bigint | null): number {
  if (units === null) {
    bytes[at] = 0;
    return at + 1;
  }
  bytes[at] = 2;
  return putDecimal(bytes, at + 1, units);
}

/** Two's complement, big-endian, as few bytes as hold the sign: what Java's BigInteger.toByteArray gives. */
function putDecimal(bytes: Buffer, at: number, units: bigint): number {
  if (units >= -0x800000000000n && units < 0x800000000000n) {
    const value = Number(units);
    let length = 1;
    while (length < 6 && (value < -(2 ** (8 * length - 1)) || value >= 2 ** (8 * length - 1))) length++;
    bytes[at] = length << 1;
    bytes.writeIntBE(value, at + 1, length);
    return at + 1 + length;
  }
  let length = 7;
  while (BigInt.asIntN(8 * length, units) !== units) length++;
  if (length > decimalBytesMax) throw new RangeError(`an amount of ${length} bytes; at most ${decimalBytesMax} are written`);
  bytes[at] = length << 1;
  let rest = units;
  for (let place = at + length; place > at; place--) {
    bytes[place] = Number(BigInt.asUintN(8, rest));
    rest >>= 8n;
  }
  return at + 1 + length;
}

/** 2^247 units: no sum of payments comes near. */
const decimalBytesMax = 31;

/** avsc's own form of the decimal: a bigint of units. */
class DecimalUnits extends avro.types.LogicalType {
  protected override _fromValue(bytes: Uint8Array): bigint {
    let units = 0n;
    for (const byte of bytes) units = (units << 8n) | BigInt(byte);
    return BigInt.asIntN(8 * bytes.length, units);
  }

  protected override _toValue(): Buffer {
    throw new Error('results are written by encodePaymentResult');
  }

  /** What another version of the schema wrote as bytes. */
  protected override _resolve(type: Type): ((bytes: Uint8Array) => bigint) | undefined {
    return type.typeName === 'bytes' ? (bytes) => this._fromValue(bytes) : undefined;
  }
}

const resultType = avro.Type.forSchema(paymentResultSchema as avro.schema.AvroSchema, {
  logicalTypes: { decimal: DecimalUnits },
  wrapUnions: false,
});

type Reader = (binary: Buffer) => PaymentResult;
const readers = new Map<string, Reader>();
const readersMax = 100;

/**
 * Reads a value of the results topic, wire format's header included. `writerSchemaTexts` is the schema that its id stands
 * for, behind those that it refers to; ours by default. Throws where the value does not hold a result.
 */
export function decodePaymentResult(value: Uint8Array, writerSchemaTexts: readonly string[] = []): PaymentResult {
  if (schemaIdAt(value, 0, value.length) < 0) throw new Error('a result that is not in the Confluent wire format');
  const key = writerSchemaTexts.join('\n');
  let reader = readers.get(key);
  if (reader === undefined) {
    reader = createReader(writerSchemaTexts);
    if (readers.size >= readersMax) readers.clear();
    readers.set(key, reader);
  }
  return reader(Buffer.from(value.buffer, value.byteOffset + wireHeaderBytes, value.length - wireHeaderBytes));
}

function createReader(writerSchemaTexts: readonly string[]): Reader {
  if (writerSchemaTexts.length === 0) return (binary) => plain(resultType.fromBuffer(binary));
  const writer: Type = parseWriterSchema(writerSchemaTexts);
  const resolver = resultType.createResolver(writer, { ignoreNamespaces: true });
  return (binary) => plain(resultType.fromBuffer(binary, resolver));
}

/** Copied out of avsc's record class, which carries methods that no reader expects. */
function plain(record: object): PaymentResult {
  return { ...(record as PaymentResult) };
}
