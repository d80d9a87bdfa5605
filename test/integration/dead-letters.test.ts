/** Events that cannot be understood: each ends as one dead letter, byte for byte, with its code (contract section 3). */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventSchema, framed, registerSchema } from './harness/avro.ts';
import { Bench, headerText } from './harness/bench.ts';
import type { Sending, Sent } from './harness/bench.ts';
import { message, participant, transaction } from './harness/directory.ts';
import { buildMessage, namespace } from './harness/message.ts';
import type { MessageSpec } from './harness/message.ts';
import { compare } from './harness/truth.ts';

const participants = [participant('COBADEFFXXX'), participant('DEUTDEFFXXX')];
const limitBytes = 1_048_576;
let bench: Bench;
const codes = new Map<string, string>();

beforeAll(async () => {
  bench = await Bench.create('dead', { participants });
  await (await bench.startWorker({ WORKER_ID: 'worker-of-the-dead' })).ready();
});
afterAll(() => bench?.close());

const valid = (): string => buildMessage(message(transaction()));
const now = { eventId: 'b7e5f8f0-0000-4000-8000-000000000001', createdAt: 1_790_000_000_000 };
const encoded = (document: Uint8Array | string, sending: Sending = {}): Buffer => bench.encode(document, { ...now, ...sending });
const encodedWith = (schemaId: number, document: string = valid()): Buffer => framed(schemaId, encoded(document).subarray(5));

async function expectDeadLetter(code: string, value: Uint8Array | null, sending: Sending = {}): Promise<Sent> {
  const sent = await bench.sendValue(value, { key: 'COBADEFFXXX', ...sending });
  codes.set(`${sent.partition}/${sent.offset}`, code);
  const letter = await bench.deadLetter(sent);
  expect(`${headerText(letter, 'dlq.code')} (${headerText(letter, 'dlq.reason')})`).toMatch(new RegExp(`^${code} `));
  expect(letter.value).toEqual(value === null ? null : Buffer.from(value));
  expect(letter.key).toEqual(sent.key);
  expect(headerText(letter, 'dlq.reason')).toMatch(/^[^\n\r]+$/);
  expect(headerText(letter, 'dlq.topic')).toBe(bench.topic('inbound'));
  expect(headerText(letter, 'dlq.worker')).toBe('worker-of-the-dead');
  expect(headerText(letter, 'dlq.failed-at')).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/);
  expect(Math.abs(Date.parse(headerText(letter, 'dlq.failed-at')!) - Date.now())).toBeLessThan(60_000);
  return sent;
}

describe('OVERSIZE', () => {
  test('one byte more than the limit is too large, whatever it holds', async () => {
    await expectDeadLetter('OVERSIZE', Buffer.alloc(limitBytes + 1, 1));
    const document = valid().replace('<Document', `${' '.repeat(limitBytes)}<Document`);
    await expectDeadLetter('OVERSIZE', encoded(document));
  });
  test('a value of exactly the limit is read', async () => {
    await expectDeadLetter('NOT_FRAMED', Buffer.alloc(limitBytes, 1));
  });
  test('five times the limit still reaches the dead-letter topic whole', async () => {
    await expectDeadLetter('OVERSIZE', Buffer.alloc(5 * limitBytes, 0xab));
  });
});

describe('NOT_FRAMED', () => {
  test.each([
    ['a null value stays null', null],
    ['an empty value', Buffer.alloc(0)],
    ['another first byte', Buffer.from([1, 0, 0, 0, 1, 2])],
    ['less than a frame', Buffer.from([0, 0, 0, 1])],
    ['bare XML', Buffer.from('<Document/>')],
  ])('%s', async (_name, value) => {
    await expectDeadLetter('NOT_FRAMED', value);
  });
});

describe('UNKNOWN_SCHEMA', () => {
  test('the registry has no such id', async () => {
    await expectDeadLetter('UNKNOWN_SCHEMA', encodedWith(9_999_999));
    await expectDeadLetter('UNKNOWN_SCHEMA', encodedWith(0xffffffff));
  });
  test('also with nothing behind the frame', async () => {
    await expectDeadLetter('UNKNOWN_SCHEMA', Buffer.from([0, 0x00, 0x98, 0x96, 0x7f]));
  });
});

describe('SCHEMA_INCOMPATIBLE', () => {
  const fieldsOf = (schema: unknown): { name: string }[] => (schema as { fields: { name: string }[] }).fields;
  test.each([
    ['a field without default is missing', () => ({ ...(eventSchema as object), fields: fieldsOf(eventSchema).filter(({ name }) => name !== 'source') })],
    ['a field has a type that cannot be promoted', () => ({ ...(eventSchema as object), fields: fieldsOf(eventSchema).map((field) => (field.name === 'createdAt' ? { name: 'createdAt', type: 'string' } : field)) })],
    ['it is no record', () => 'string'],
    ['it is an enumeration', () => ({ type: 'enum', name: 'PaymentEvent', namespace: 'settlefleet.v1', symbols: ['A'] })],
  ])('%s', async (name, schema) => {
    const subject = `${bench.prefix}${name.replaceAll(' ', '-')}`;
    const id = await registerSchema(bench.registryUrl, subject, schema());
    await expectDeadLetter('SCHEMA_INCOMPATIBLE', encodedWith(id));
    await expectDeadLetter('SCHEMA_INCOMPATIBLE', framed(id, Buffer.from([0xff])));
  });
});

describe('AVRO_INVALID', () => {
  test.each([
    ['a byte is left over', (value: Buffer) => Buffer.concat([value, Buffer.from([0])])],
    ['the last byte is missing', (value: Buffer) => value.subarray(0, value.length - 1)],
    ['only the frame is there', (value: Buffer) => value.subarray(0, 5)],
    ['a length is negative', (value: Buffer) => Buffer.concat([value.subarray(0, 5), Buffer.from([0x01]), value.subarray(6)])],
    ['a length is beyond everything', (value: Buffer) => Buffer.concat([value.subarray(0, 5), Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f]), value.subarray(6)])],
    ['a varint never ends', (value: Buffer) => Buffer.concat([value.subarray(0, 5), Buffer.alloc(20, 0xff)])],
  ])('%s', async (_name, spoil) => {
    await expectDeadLetter('AVRO_INVALID', spoil(encoded(valid())));
  });
  test('a map that counts a million entries and holds none', async () => {
    const value = encoded(valid());
    await expectDeadLetter('AVRO_INVALID', Buffer.concat([value.subarray(0, value.length - 1), Buffer.from([0x80, 0x89, 0x7a])]));
  });
});

const nested = (depth: number): MessageSpec => {
  // Document, FIToFICstmrCdtTrf, CdtTrfTxInf, SplmtryData, Envlp, a.
  const levels = depth - 6;
  const inner = `${'<x>'.repeat(levels)}${'</x>'.repeat(levels)}`;
  return message(transaction({ extra: `<SplmtryData><Envlp><a xmlns="urn:x">${inner}</a></Envlp></SplmtryData>` }));
};

describe('XML_FORBIDDEN', () => {
  test.each([
    ['a document type declaration', () => valid().replace('<Document', '<!DOCTYPE Document><Document')],
    ['an entity declaration', () => valid().replace('<Document', '<!DOCTYPE Document [<!ENTITY a "b">]><Document')],
    ['a document type declaration, whatever follows', () => '<!DOCTYPE Document [<!ENTITY a "b">]><Document><not closed'],
    ['an external document type', () => '<?xml version="1.0"?><!DOCTYPE Document SYSTEM "file:///etc/passwd"><Document/>'],
    ['nesting of 65', () => buildMessage(nested(65))],
    ['nesting of 65 and no end', () => '<a>'.repeat(65)],
    ['nesting of 5000', () => buildMessage(nested(5000))],
  ])('%s', async (_name, document) => {
    await expectDeadLetter('XML_FORBIDDEN', encoded(document()));
  });
  test('nesting of 64 is settled', async () => {
    expect((await bench.settle(nested(64)))[0]).toMatchObject({ status: 'ACSC' });
  });
});

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('XML_INVALID', () => {
  const document = `<Document xmlns="${namespace}"/>`;
  test.each<[string, () => Uint8Array | string]>([
    ['no bytes', () => ''],
    ['no XML', () => 'This is a payment.'],
    ['bytes that are not UTF-8', () => latin1(valid().replace(' encoding="UTF-8"', ''))],
    ['an overlong form', () => Buffer.concat([Buffer.from('<Document>'), Buffer.from([0xc0, 0xaf]), Buffer.from('</Document>')])],
    ['another encoding by its declaration', () => latin1(valid().replace('UTF-8', 'ISO-8859-1'))],
    ['another encoding by its declaration, in ASCII alone', () => valid().replace('UTF-8', 'ISO-8859-1').replace('Müller', 'Mueller').replace('ö', 'oe')],
    ['UTF-16', () => Buffer.from(`\ufeff${valid()}`, 'utf16le')],
    ['an end tag of another name', () => valid().replace('</PmtId>', '</PmtID>')],
    ['an element that never ends', () => valid().replace('</Document>', '')],
    ['something behind the end', () => `${valid()}<more/>`],
    ['text behind the end', () => `${valid()} more`],
    ['two attributes of one name', () => valid().replace('Ccy="EUR"', 'Ccy="EUR" Ccy="USD"')],
    ['an attribute without quotes', () => valid().replace('Ccy="EUR"', 'Ccy=EUR')],
    ['a bare ampersand', () => valid().replace('&amp;', '&')],
    ['an entity that nobody declared', () => valid().replace('&amp;', '&uuml;')],
    ['a character that XML does not have', () => valid().replace('Jane', 'Ja\u0001ne')],
    ['a reference to a character that XML does not have', () => valid().replace('Jane', 'Ja&#0;ne')],
    ['a comment with two dashes', () => valid().replace('<PmtId>', '<PmtId><!-- a -- b -->')],
    ['a prefix that nobody declared', () => valid().replaceAll('PmtId>', 'p:PmtId>')],
    ['a less-than sign in an attribute', () => valid().replace('Ccy="EUR"', 'Ccy="<UR"')],
    ['an XML declaration that is not at the beginning', () => ` ${valid()}`],
    ['no Document', () => '<Envelope><AppHdr/></Envelope>'],
    ['a Document of another world', () => '<Document xmlns="urn:example"/>'],
    ['a Document of no namespace', () => '<Document/>'],
    ['two Documents', () => `<Envelope>${document}${document}</Envelope>`],
    ['an AppHdr that is not well-formed', () => buildMessage(message(transaction()), { envelope: true }).replace('</BizMsgIdr>', '</BizMsg>')],
  ])('%s', async (_name, spoiled) => {
    await expectDeadLetter('XML_INVALID', encoded(spoiled()));
  });
});

describe('TYPE_MISMATCH', () => {
  test.each([
    ['the event names another version', 'pacs.008.001.09', () => valid()],
    ['the event names a definition that is not settled', 'pacs.002.001.10', () => valid()],
    ['the event names nothing', '', () => valid()],
    ['the Document is of a definition that is not settled', 'pacs.008.001.08', () => '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.002.001.10"><FIToFIPmtStsRpt/></Document>'],
  ])('%s', async (_name, messageType, document) => {
    await expectDeadLetter('TYPE_MISMATCH', encoded(document(), { messageType }));
  });
});

describe('TYPE_UNSUPPORTED', () => {
  test.each(['pacs.002.001.10', 'camt.053.001.08', 'pacs.008.001.01'])('%s', async (messageType) => {
    await expectDeadLetter('TYPE_UNSUPPORTED', encoded(`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:${messageType}"><A/></Document>`, { messageType }));
  });
});

describe('keys and headers', () => {
  const bytes = (text: string): Buffer => Buffer.from(text);
  test('a null key stays null, an empty one empty, and any bytes stay', async () => {
    await expectDeadLetter('NOT_FRAMED', Buffer.from('x'), { key: null, partition: 1 });
    await expectDeadLetter('NOT_FRAMED', Buffer.from('x'), { key: '', partition: 1 });
    await expectDeadLetter('NOT_FRAMED', null, { key: null, partition: 2 });
    await expectDeadLetter('NOT_FRAMED', null, { key: Buffer.from([0xff, 0, 0xfe]), partition: 2 });
  });

  test('inbound headers are kept in their order, those of an older dead letter are replaced', async () => {
    const headers = [
      { key: 'trace', value: bytes('1') },
      { key: 'dlq.code', value: bytes('XML_INVALID') },
      { key: 'trace', value: bytes('2') },
      { key: 'dlq.reason', value: bytes('an older one') },
      { key: 'dlq.redriven', value: bytes('once') },
      { key: 'binary', value: Buffer.from([0xff, 0xfe, 0]) },
      { key: 'empty', value: Buffer.alloc(0) },
    ];
    const sent = await expectDeadLetter('NOT_FRAMED', Buffer.from('x'), { headers });
    const letter = await bench.deadLetter(sent);
    expect(letter.headers.filter(({ key }) => !key.startsWith('dlq.'))).toEqual(headers.filter(({ key }) => !key.startsWith('dlq.')));
    expect(letter.headers.filter(({ key }) => key === 'dlq.code')).toHaveLength(1);
    expect(letter.headers.filter(({ key }) => key === 'dlq.reason')).toHaveLength(1);
    expect(letter.headers.map(({ key }) => key).filter((key) => key.startsWith('dlq.')).toSorted()).toEqual(
      ['dlq.code', 'dlq.failed-at', 'dlq.offset', 'dlq.partition', 'dlq.reason', 'dlq.topic', 'dlq.worker'],
    );
  });

  test('headers of a dead letter say no account number', async () => {
    const iban = 'DE89370400440532013000';
    const document = buildMessage(message(transaction({ debtorIban: iban }))).replace('</PmtId>', '</Oops>');
    const sent = await expectDeadLetter('XML_INVALID', encoded(document));
    const letter = await bench.deadLetter(sent);
    for (const { value } of letter.headers) expect(value?.toString()).not.toContain(iban);
  });
});

test('nothing is lost, told twice, or told of what nobody sent', async () => {
  await bench.atRest();
  expect(compare({ ...bench, participants, positions: bench.positions(), deadLetterCodes: codes })).toEqual([]);
});
