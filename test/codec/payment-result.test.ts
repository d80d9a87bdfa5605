import { readFileSync } from 'node:fs';
import avro from 'avsc';
import { describe, expect, test } from 'vitest';
import { DecodedBatch, DecodedBatchWriter, joinDecoded } from '../../src/codec/decoded-batch.ts';
import { decodePaymentResult, encodeDecodedResult, encodePaymentResult, paymentResultSchema } from '../../src/codec/payment-result.ts';
import type { PaymentResult } from '../../src/codec/payment-result.ts';
import { createRandom } from '../random.ts';

const schemaText = readFileSync(new URL('../../schemas/payment-result.avsc', import.meta.url), 'utf8');

/** avsc's own writing of the same fields; the decimals are given as bytes. */
const yardstick = avro.Type.forSchema(JSON.parse(schemaText), { wrapUnions: false });

const settled: PaymentResult = {
  eventId: '7f0c1fb2-2b1a-4a57-9f49-0d6a6b1c8a01',
  messageType: 'pacs.008.001.08',
  source: 'swift-gateway',
  messageId: 'MSG-1',
  transactionIndex: 0,
  instructionId: 'INSTR-1',
  endToEndId: 'E2E-1',
  transactionId: 'TX-1',
  uetr: '8a562c67-ca16-48ba-b074-65581be6f001',
  status: 'ACSC',
  reasonCode: null,
  reason: null,
  debitedParticipant: 'COBADEFFXXX',
  creditedParticipant: 'BNPAFRPPXXX',
  currency: 'EUR',
  amount: 1_234_567_00000n,
  positionAfter: -1_234_567_00000n,
  sequence: 1,
  createdAt: 1_795_000_000_000,
  receivedAt: 1_795_000_000_001,
  settledAt: 1_795_000_000_002,
  inboundPartition: 3,
  inboundOffset: 1_234_567,
  originalEventId: null,
  identity: 'pacs.008|UETR|8a562c67-ca16-48ba-b074-65581be6f001',
  statusReport: null,
};

/** Two's complement by way of hexadecimal digits: another way than the encoder's. */
function decimalBytes(units: bigint): Buffer {
  let length = 1;
  while (units < -(2n ** BigInt(8 * length - 1)) || units >= 2n ** BigInt(8 * length - 1)) length++;
  return Buffer.from(BigInt.asUintN(8 * length, units).toString(16).padStart(2 * length, '0'), 'hex');
}

function written(result: PaymentResult): Buffer {
  const bytes = Buffer.alloc(1 << 16);
  const end = encodePaymentResult(result, 77, bytes, 3);
  expect(end).toBeGreaterThan(0);
  return bytes.subarray(3, end);
}

function asAvscWritesIt(result: PaymentResult): Buffer {
  const decimals = {
    amount: result.amount === null ? null : decimalBytes(result.amount),
    positionAfter: result.positionAfter === null ? null : decimalBytes(result.positionAfter),
    statusReport: result.statusReport === null ? null : Buffer.from(result.statusReport),
  };
  return Buffer.concat([Buffer.from([0, 0, 0, 0, 77]), yardstick.toBuffer({ ...result, ...decimals })]);
}

describe('a PaymentResult', () => {
  test('has the fields of schemas/payment-result.avsc', () => {
    const undocumented: unknown = JSON.parse(schemaText, (key: string, value: unknown) => (key === 'doc' ? undefined : value));
    expect(paymentResultSchema).toEqual(undocumented);
  });

  test('is written byte for byte as avsc writes it', () => {
    const random = createRandom(20022);
    const texts = ['', 'E2E-1', 'Überweisung', 'x'.repeat(63), 'x'.repeat(64), '€'.repeat(40), '😀', 'z'.repeat(300)];
    const longs = [0, -1, 63, 64, -64, -65, 2 ** 30 - 1, 2 ** 30, -(2 ** 30), -(2 ** 30) - 1, 2 ** 31, 2 ** 51 + 1, 2 ** 52 - 1, -(2 ** 52) + 1];
    const ints = [0, -1, 7, 2 ** 31 - 1, -(2 ** 31)];
    const bits = (count: number): bigint => BigInt.asIntN(count, (BigInt(random.below(2 ** 32)) << 32n) | BigInt(random.below(2 ** 32)));
    const decimal = (): bigint | null => (random.below(4) === 0 ? null : bits(1 + random.below(64)));
    const text = (): string => texts[random.below(texts.length)]!;
    const nullable = (): string | null => (random.below(3) === 0 ? null : text());
    const long = (): number => longs[random.below(longs.length)]!;
    for (let i = 0; i < 2000; i++) {
      const result: PaymentResult = {
        eventId: text(),
        messageType: text(),
        source: text(),
        messageId: nullable(),
        transactionIndex: ints[random.below(ints.length)]!,
        instructionId: nullable(),
        endToEndId: nullable(),
        transactionId: nullable(),
        uetr: nullable(),
        status: text(),
        reasonCode: nullable(),
        reason: nullable(),
        debitedParticipant: nullable(),
        creditedParticipant: nullable(),
        currency: nullable(),
        amount: decimal(),
        positionAfter: decimal(),
        sequence: random.below(2) === 0 ? null : long(),
        createdAt: long(),
        receivedAt: long(),
        settledAt: long(),
        inboundPartition: ints[random.below(ints.length)]!,
        inboundOffset: long(),
        originalEventId: nullable(),
        identity: nullable(),
        statusReport: random.below(3) === 0 ? Buffer.from('<Document/>'.repeat(random.below(20))) : null,
      };
      const bytes = written(result);
      expect(bytes.equals(asAvscWritesIt(result))).toBe(true);
      expect(decodePaymentResult(bytes)).toEqual(result);
    }
  });

  test.each([
    [0n, '00'],
    [127n, '7f'],
    [128n, '0080'],
    [-128n, '80'],
    [-129n, 'ff7f'],
    [999_999_999_999_999_999n, '0de0b6b3a763ffff'],
    [-(2n ** 47n), '800000000000'],
    [2n ** 47n, '00800000000000'],
    [-(2n ** 63n) - 1n, 'ff7fffffffffffffff'],
    [10n ** 25n, '084595161401484a000000'],
  ])('writes %s units as the bytes %s', (units, hex) => {
    const bytes = written({ ...settled, amount: units });
    expect(bytes.includes(Buffer.from([2, hex.length, ...Buffer.from(hex, 'hex')]))).toBe(true);
    expect(decodePaymentResult(bytes).amount).toBe(units);
  });

  test('is not written where there may be no room', () => {
    const bytes = Buffer.alloc(100, 7);
    expect(encodePaymentResult(settled, 77, bytes, 0)).toBe(-1);
    expect(bytes.every((byte) => byte === 7)).toBe(true);
  });

  test('written by an older and by a newer version of the schema is read as ours', () => {
    const schema = JSON.parse(schemaText) as { fields: { name: string }[] };
    const older = { ...schema, fields: schema.fields.filter((field) => !['statusReport', 'identity'].includes(field.name)) };
    const newer = { ...schema, fields: [{ name: 'region', type: 'string' }, ...schema.fields] };
    for (const version of [older, newer]) {
      const type = avro.Type.forSchema(version as avro.schema.AvroSchema, { wrapUnions: false });
      const value = { ...settled, region: 'EU', amount: decimalBytes(settled.amount!), positionAfter: decimalBytes(settled.positionAfter!) };
      const bytes = Buffer.concat([Buffer.from([0, 0, 0, 0, 5]), type.toBuffer(value)]);
      const identity = version === older ? null : settled.identity;
      expect(decodePaymentResult(bytes, [JSON.stringify(version)])).toEqual({ ...settled, identity });
    }
  });

  test.each([
    ['not framed', Buffer.from('{}')],
    ['cut off', written(settled).subarray(0, 60)],
    ['followed by another byte', Buffer.concat([written(settled), Buffer.from([0])])],
  ])('is refused when it is %s', (_what, bytes) => {
    expect(() => decodePaymentResult(bytes)).toThrow();
  });
});

describe('a result of a decoded batch', () => {
  const texts = ['instructionId', 'endToEndId', 'transactionId', 'uetr'] as const;

  /** The texts of each result lie in the record's bytes or in the scratch area, by turns; two threads made the batch. */
  function decodedFrom(results: readonly PaymentResult[]): DecodedBatch {
    const source: Buffer[] = [];
    let length = 0;
    const parts = results.map((result, part) => {
      const writer = new DecodedBatchWriter();
      let turn = part;
      const put = (text: string | null, span: (start: number, length: number) => void, scratch: (text: string) => void): void => {
        if (text === null) return;
        if (turn++ % 2 === 0) return scratch(text);
        const bytes = Buffer.from(text);
        span(length, bytes.length);
        source.push(bytes);
        length += bytes.length;
      };
      writer.beginEvent();
      for (const name of ['eventId', 'messageType', 'source', 'messageId'] as const) {
        put(result[name], (start, size) => writer.setEventSpan(name, start, size), (text) => writer.setEventText(name, text));
      }
      writer.beginTransaction();
      for (const name of texts) {
        put(result[name], (start, size) => writer.setTransactionSpan(name, start, size), (text) => writer.setTransactionText(name, text));
      }
      return writer.pack();
    });
    return new DecodedBatch(joinDecoded(parts), Buffer.concat(source));
  }

  test('has the very bytes that the same result has as strings', () => {
    const results: PaymentResult[] = [
      settled,
      { ...settled, messageId: null, instructionId: null, endToEndId: null, transactionId: null, uetr: null },
      { ...settled, eventId: 'é'.repeat(70), source: '', messageId: '決済', instructionId: 'x'.repeat(63), endToEndId: 'x'.repeat(64), transactionId: '𝄞', transactionIndex: 4_999 },
    ];
    const decoded = decodedFrom(results);
    results.forEach((result, row) => {
      const bytes = Buffer.alloc(1 << 12);
      const end = encodeDecodedResult({ decoded, event: row, transaction: row, transactionIndex: result.transactionIndex }, result, 77, bytes, 3);
      expect(bytes.subarray(3, end)).toEqual(written(result));
    });
  });

  test('is not begun where there may be no room', () => {
    const decoded = decodedFrom([settled]);
    const of = { decoded, event: 0, transaction: 0, transactionIndex: 0 };
    const bytes = Buffer.alloc(400);
    expect(encodeDecodedResult(of, settled, 77, bytes, 0)).toBe(-1);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
  });

  test('gives common texts as they are, also after others took their place', () => {
    const many = Array.from({ length: 10_000 }, (_, i) => ({ ...settled, messageType: `pacs.${i}` }));
    const decoded = decodedFrom([...many, ...many]);
    for (let row = 0; row < 20_000; row++) expect(decoded.commonEventText(row, 'messageType')).toBe(`pacs.${row % 10_000}`);
  });
});
