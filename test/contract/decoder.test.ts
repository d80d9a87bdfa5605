/** The Decoder port: the same suite over worker threads and over the main thread, with the real message reader. */
import { readFileSync, readdirSync } from 'node:fs';
import avro from 'avsc';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDecoder } from '../../src/adapters/piscina/decoder.ts';
import type { ClosableDecoder } from '../../src/adapters/piscina/decoder.ts';
import { DecodedBatch, eventTexts, transactionTexts } from '../../src/codec/decoded-batch.ts';
import { readPaymentMessage } from '../../src/codec/iso20022/payment-reader.ts';
import { packRecords } from '../../src/codec/record-batch.ts';
import type { RecordBatch } from '../../src/codec/record-batch.ts';
import { deadLetterCodes, formalReasonCodes, messageReasonCodes } from '../../src/domain/codes.ts';

const schemaText = readFileSync(new URL('../../schemas/payment-event.avsc', import.meta.url), 'utf8');
const eventType = avro.Type.forSchema(JSON.parse(schemaText) as avro.schema.AvroSchema);
const examples = new URL('../../examples/messages/', import.meta.url);
const good = messagesIn('good/');
const wrong = messagesIn('wrong/');

interface Message {
  readonly name: string;
  readonly xml: Buffer;
}

function messagesIn(folder: string): Message[] {
  return readdirSync(new URL(folder, examples))
    .sort()
    .map((name) => ({ name, xml: readFileSync(new URL(folder + name, examples)) }));
}

function event(document: Buffer, messageType = definitionOf(document)): Buffer {
  const value = { eventId: 'event-1', messageType, source: 'test', createdAt: 1_795_000_000_000, document, attributes: {} };
  return Buffer.concat([Buffer.from([0, 0, 0, 0, 7]), eventType.toBuffer(value)]);
}

/** As a producer knows it, without parsing. */
function definitionOf(document: Buffer): string {
  return /urn:iso:std:iso:20022:tech:xsd:((?!head)[a-z]{4}\.\d{3}\.\d{3}\.\d{2})/.exec(document.toString('latin1'))?.[1] ?? 'none';
}

function batchOf(values: readonly Buffer[]): RecordBatch {
  return packRecords('payments.inbound', 0, values.map((value, offset) => ({ key: null, value, offset, timestamp: 0, headers: null })));
}

/** All that a batch says, as plain values. */
function plain(decoded: DecodedBatch): unknown[] {
  return Array.from({ length: decoded.eventCount }, (_, i) => ({
    deadLetter: decoded.deadLetterCode(i),
    rejection: decoded.messageReasonCode(i),
    createdAt: decoded.createdAt(i),
    texts: eventTexts.map((name) => decoded.eventText(i, name)),
    transactions: Array.from({ length: decoded.endTransaction(i) - decoded.firstTransaction(i) }, (_unused, offset) => {
      const row = decoded.firstTransaction(i) + offset;
      const texts = transactionTexts.map((name) => decoded.transactionText(row, name));
      return { amount: decoded.amount(row), tag: decoded.identityTag(row), code: decoded.formalReasonCode(row), texts };
    }),
  }));
}

const decoders = [0, 2].map((threads) => ({ name: threads === 0 ? 'in the main thread' : 'on worker threads', threads }));

describe.each(decoders)('the decoder $name', ({ threads }) => {
  let decoder: ClosableDecoder;
  const decode = async (batch: RecordBatch): Promise<DecodedBatch> => new DecodedBatch(await decoder.decode(batch), batch.bytes);

  beforeAll(() => {
    decoder = createDecoder({
      threads,
      schemas: { resolve: async (ids) => ids.map((id) => ({ id, kind: 'avro', texts: [schemaText] })) },
      maxEventBytes: 1 << 20,
      log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
      readMessage: readPaymentMessage,
    });
  });
  afterAll(() => decoder.close());

  test('reads messages as they come from outside', async () => {
    const decoded = await decode(batchOf(good.map(({ xml }) => event(xml))));
    for (const [i, { name }] of good.entries()) {
      expect([name, decoded.deadLetterCode(i), decoded.messageReasonCode(i), decoded.eventText(i, 'reason')]).toEqual([name, null, null, null]);
      expect(decoded.endTransaction(i)).toBeGreaterThan(decoded.firstTransaction(i));
      expect(decoded.eventText(i, 'eventId')).toBe('event-1');
      expect(decoded.createdAt(i)).toBe(1_795_000_000_000);
    }
  });

  test('says of each wrong message what its name says', async () => {
    const decided: readonly string[] = [...deadLetterCodes, ...messageReasonCodes, ...formalReasonCodes];
    const judged = wrong.filter(({ name }) => decided.includes(name.split('-')[0]!));
    expect(judged.length).toBeGreaterThan(20);
    const decoded = await decode(batchOf(judged.map(({ xml }) => event(xml))));
    const said = judged.map(({ name }, i) => {
      const rows = decoded.endTransaction(i) - decoded.firstTransaction(i);
      const codes = Array.from({ length: rows }, (_, row) => decoded.formalReasonCode(decoded.firstTransaction(i) + row));
      return [name, decoded.deadLetterCode(i) ?? decoded.messageReasonCode(i) ?? codes.find((code) => code !== null)];
    });
    expect(said).toEqual(judged.map(({ name }) => [name, name.split('-')[0]]));
  });

  test('finds a messageType that is not the Document\'s after the XML was read, before the type is judged', async () => {
    const [first] = good;
    const unsupported = wrong.find(({ name }) => name.startsWith('TYPE_UNSUPPORTED'))!;
    const broken = wrong.find(({ name }) => name.startsWith('XML_INVALID'))!;
    const decoded = await decode(batchOf([first!, unsupported, broken].map(({ xml }) => event(xml, 'pain.001.001.09'))));
    expect([0, 1, 2].map((i) => decoded.deadLetterCode(i))).toEqual(['TYPE_MISMATCH', 'TYPE_MISMATCH', 'XML_INVALID']);
  });

  test('gives the same for a batch that is cut as for its events one by one', async () => {
    const all = [...good, ...wrong].map(({ xml }) => event(xml));
    const many = Array.from({ length: 500 }, (_, i) => all[i % all.length]!);
    const once = plain(await decode(batchOf(all)));
    const whole = plain(await decode(batchOf(many)));
    expect(whole).toEqual(many.map((_value, i) => once[i % all.length]));
  });
});
