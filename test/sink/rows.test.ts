/**
 * Records as rows, byte by byte: what the columns cannot hold, what is no result, and results of another schema version.
 */
import avro from 'avsc';
import { describe, expect, it } from 'vitest';
import { paymentResultSchema } from '../../src/codec/payment-result.ts';
import { packRecords } from '../../src/codec/record-batch.ts';
import { appendDeadLetterRow } from '../../src/sink/dead-letter-rows.ts';
import { createResultReader } from '../../src/sink/result-batch.ts';
import { NotAResultError, ResultRowWriter, resultColumns } from '../../src/sink/result-rows.ts';
import { RowText } from '../../src/sink/row-text.ts';
import { resultValue, sampleResult } from './support.ts';

const schemaId = 7;
const plain = sampleResult(1, 0);

function rowOf(value: Buffer): Record<string, string> {
  const text = new RowText();
  new ResultRowWriter(text).append(value, 5, value.length, 3, 42);
  return columnsOf(text);
}

function columnsOf(text: RowText): Record<string, string> {
  const columns = text.take().toString().replace(/\n$/, '').split('\t');
  expect(columns).toHaveLength(resultColumns.length);
  return Object.fromEntries(resultColumns.map((name, index) => [name, columns[index]!]));
}

describe('the row of a result', () => {
  it.each([
    ['created_at', { createdAt: 0 }, '1970-01-01 00:00:00.000'],
    ['created_at', { createdAt: -1 }, '1969-12-31 23:59:59.999'],
    ['created_at', { createdAt: 1_795_397_696_007 }, '2026-11-23 01:34:56.007'],
    ['created_at, before what DateTime64 holds', { createdAt: -9_007_199_254_740_991 }, '1900-01-01 00:00:00.000'],
    ['created_at, behind what DateTime64 holds', { createdAt: 9_007_199_254_740_991 }, '2299-12-31 23:59:59.999'],
    ['amount', { amount: 0n }, '0.00000'],
    ['amount', { amount: 1n }, '0.00001'],
    ['amount', { amount: -12_345_678n }, '-123.45678'],
    ['amount', { amount: 140_737_488_355_327n }, '1407374883.55327'],
    ['amount', { amount: 140_737_488_355_328n }, '1407374883.55328'],
    ['amount', { amount: -140_737_488_355_329n }, '-1407374883.55329'],
    ['amount', { amount: 999_999_999_999_999_999n }, '9999999999999.99999'],
    ['amount, larger than Decimal(18, 5)', { amount: 10n ** 18n }, '9999999999999.99999'],
    ['position_after', { positionAfter: -(10n ** 30n) }, `-1${'0'.repeat(25)}.00000`],
    ['position_after, larger than Decimal(38, 5)', { positionAfter: -(10n ** 40n) }, `-${'9'.repeat(33)}.99999`],
    ['sequence', { sequence: 9_007_199_254_740_991 }, '9007199254740991'],
    ['sequence', { sequence: null }, '\\N'],
    ['transaction_index', { transactionIndex: -1 }, '-1'],
    ['source', { source: 'a\tb\nc\\d\0e\r' }, 'a\\tb\\nc\\\\d\\0e\\r'],
    ['uetr', { uetr: '' }, ''],
    ['uetr, which looks like NULL', { uetr: '\\N' }, '\\\\N'],
    ['reason', { reason: 'Überweisung 💶' }, 'Überweisung 💶'],
  ])('holds %s', (name, change, expected) => {
    expect(rowOf(resultValue({ ...plain, ...change }, schemaId))[name.split(',')[0]!]).toBe(expected);
  });

  it('ends with its place in the topic', () => {
    expect(rowOf(resultValue(plain, schemaId))).toMatchObject({ result_partition: '3', result_offset: '42' });
  });

  it.each([
    ['is cut', (value: Buffer) => value.subarray(0, value.length - 3)],
    ['has bytes left over', (value: Buffer) => Buffer.concat([value, Buffer.alloc(1)])],
    ['has a length beyond its end', (value: Buffer) => Buffer.from(value).fill(0xff, 5, 8)],
    ['is empty', (value: Buffer) => value.subarray(0, 5)],
  ])('is none where the value %s', (_what, spoil) => {
    const text = new RowText();
    const writer = new ResultRowWriter(text);
    const value = resultValue(plain, schemaId);
    writer.append(value, 5, value.length, 0, 1);
    const length = text.byteLength;
    const spoilt = spoil(value);
    expect(() => writer.append(spoilt, 5, spoilt.length, 0, 2)).toThrow(NotAResultError);
    expect(text.byteLength).toBe(length);
    writer.append(value, 5, value.length, 0, 3);
    expect(text.take().toString().trimEnd().split('\n')).toHaveLength(2);
  });
});

describe('a result of another version of the schema', () => {
  const newer = {
    ...paymentResultSchema,
    fields: [
      { name: 'settlementMethod', type: ['null', 'string'], default: null },
      ...paymentResultSchema.fields.filter(({ name }) => name !== 'identity' && name !== 'statusReport'),
    ],
  };

  it('is read by its writer\'s schema; what it does not have is null', async () => {
    const type = avro.Type.forSchema(newer as avro.schema.AvroSchema, { wrapUnions: false });
    const decimal = (units: bigint): Buffer => Buffer.from([0, ...Buffer.from(units.toString(16).padStart(12, '0'), 'hex')]);
    const value = Buffer.concat([
      Buffer.from([0, 0, 0, 0, 9]),
      type.toBuffer({ ...plain, settlementMethod: 'CLRG', amount: decimal(plain.amount!), positionAfter: null }),
    ]);
    const asked: number[] = [];
    const reader = createResultReader({
      resolve: async (ids) => {
        asked.push(...ids);
        return ids.map((id) => ({ id, kind: 'avro', texts: [JSON.stringify(id === 9 ? newer : paymentResultSchema)] }));
      },
    });
    const record = { key: null, timestamp: 0, headers: null };
    const batch = packRecords('results', 1, [
      { ...record, offset: 5, value },
      { ...record, offset: 6, value: resultValue(plain, schemaId) },
      { ...record, offset: 7, value: Buffer.from('no result') },
      { ...record, offset: 8, value: null },
    ]);
    await reader.prepare(batch);
    expect(reader.prepare(batch)).toBeUndefined();
    expect(asked).toEqual([9, schemaId]);

    const text = new RowText();
    const writer = new ResultRowWriter(text);
    expect([0, 1, 2, 3].map((row) => reader.append(writer, batch, row))).toEqual([true, true, false, false]);
    const [first, second] = text.take().toString().trimEnd().split('\n');
    const place = (row: string): string => row.replace(/\t\d+\t\d+$/, '');
    expect(place(first!)).toBe(place(second!).replace(plain.identity!, '\\N').replace(/\t-0\.01000\t/, '\t\\N\t'));
  });
});

describe('the row of a dead letter', () => {
  it('says -1 and nothing where the headers do not say', () => {
    const text = new RowText();
    const batch = packRecords('dead-letter', 4, [
      { key: null, value: null, offset: 9, timestamp: 1_795_397_696_007, headers: [{ key: 'dlq.offset', value: Buffer.from('x') }] },
    ]);
    appendDeadLetterRow(text, batch, 0);
    const sha256OfNothing = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
    expect(text.take().toString()).toBe(
      `\t\t\t-1\t-1\t2026-11-23 01:34:56.007\t\t\\N\t0\t${sha256OfNothing}\t4\t9\n`,
    );
  });
});
