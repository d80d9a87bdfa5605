/** The same payment written in unusual ways, and payments of unusual sizes: what XML, the XSD and Avro allow must not matter. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventSchema, framed, typeOf, units } from './harness/avro.ts';
import { Bench, headerText } from './harness/bench.ts';
import type { StoredResult } from './harness/bench.ts';
import { message, participant, transaction, without } from './harness/directory.ts';
import { buildMessage, namespace } from './harness/message.ts';
import type { TransactionSpec } from './harness/message.ts';
import { compare } from './harness/truth.ts';

const banks = ['COBADEFFXXX', 'DEUTDEFFXXX', 'BK1ADEFFXXX', 'BK2ADEFFXXX', 'BK3ADEFFXXX', 'BK4ADEFFXXX', 'BK5ADEFFXXX'];
const participants = banks.map((id) => participant(id));
let bench: Bench;

beforeAll(async () => {
  bench = await Bench.create('lexical', { participants });
  await (await bench.startWorker({ PARSER_THREADS: '0', KAFKA_BRIDGE: 'off' })).ready();
});
afterAll(() => bench?.close());

const verdict = ({ status, reasonCode }: StoredResult): string => reasonCode ?? status;

async function settleAs(write: (xml: string) => string, changes: Partial<TransactionSpec> = {}): Promise<StoredResult> {
  const spec = message(transaction(changes));
  const document = buildMessage(spec);
  const written = write(document);
  expect(written).not.toBe(document);
  return bench.only(await bench.sendDocument(written, { message: spec }));
}

describe('settles as usual', () => {
  test.each<[string, (xml: string) => string]>([
    ['with a schema location', (xml) => xml.replace('<Document ', `<Document xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="${namespace} pacs.008.001.08.xsd" `)],
    ['with single quotes and spaces in tags', (xml) => xml.replace(/Ccy="EUR"/, "Ccy = 'EUR' ").replace('</PmtId>', '</PmtId\n>')],
    ['with a namespace in single quotes', (xml) => xml.replace(`"${namespace}"`, `'${namespace}'`)],
    ['with prefixes that are declared late and in the middle', (xml) => xml.replace('<PmtId>', `<q:PmtId xmlns:q="${namespace}">`).replace('</PmtId>', '</q:PmtId>')],
    ['with another namespace that nobody uses', (xml) => xml.replace('<Document ', '<Document xmlns:unused="urn:unused" ')],
    ['with processing instructions and comments', (xml) => xml.replace('<Document', '<?target data?><!-- <!DOCTYPE x> --><Document').replace('</Document>', '</Document><?end?><!-- end -->')],
    ['with tabs and line ends between elements', (xml) => xml.replaceAll('><', '>\n\t\r\n <')],
    ['in an envelope, the Document before the header, and a header that breaks its own XSD', (xml) => xml.replace('<Document', '<Any><Thing><Document').replace('</Document>', '</Document><AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.03"><Oops/></AppHdr></Thing></Any>')],
    ['with an amount as a character reference', (xml) => xml.replace('>10.00<', '>&#x31;0.&#48;0<')],
    ['with an amount in CDATA', (xml) => xml.replace('>10.00<', '><![CDATA[10.00]]><')],
    ['with spaces around the amount, which a decimal may have', (xml) => xml.replace('>10.00<', '>\n 10.00 <')],
    ['with a plus sign', (xml) => xml.replace('>10.00<', '>+10.00<')],
    ['with a point and nothing behind', (xml) => xml.replace('>10.00<', '>10.<')],
    ['with many leading zeros', (xml) => xml.replace('>10.00<', '>00000000000000000000000010.00<')],
  ])('%s', async (_name, write) => {
    const result = await settleAs(write);
    expect(`${verdict(result)} ${result.reason ?? ''}`).toBe('ACSC ');
    expect(result.amount).toBe(units('10'));
  });

  test('with nothing before the point', async () => {
    expect(await settleAs((xml) => xml.replace('>0.50<', '>.50<'), { amount: '0.50' })).toMatchObject({ status: 'ACSC', amount: units('0.5') });
  });

  test('minus nothing is nothing', async () => {
    expect(verdict(await settleAs((xml) => xml.replace('>0.00<', '>-0.00<'), { amount: '0.00' }))).toBe('AM01');
  });
});

describe('identifiers are what they say, however they are written', () => {
  test('references, CDATA and line ends are resolved, spaces kept', async () => {
    const changes = { endToEndId: 'A&B <C> "D" ü€😀', transactionId: ' T  1 ', instructionId: 'one\ntwo\tthree' };
    const result = await settleAs((xml) => xml
      .replace('A&amp;B &lt;C&gt; "D" ü€😀', '<![CDATA[A&B <C>]]> &quot;D&#34; &#252;&#x20AC;&#x1F600;')
      .replace('one\ntwo', 'one\r\ntwo'), changes);
    expect(result).toMatchObject({ status: 'ACSC', ...changes });
  });

  test('a resend in other characters is a duplicate', async () => {
    const payment = without(transaction({ transactionId: `X&Y-${process.pid}` }), 'uetr');
    await bench.settle(message(payment));
    const spec = message({ ...payment });
    const document = buildMessage(spec).replace('X&amp;Y', '<![CDATA[X]]>&#38;Y');
    expect(verdict(await bench.only(await bench.sendDocument(document, { message: spec })))).toBe('AM05');
  });

  test('what differs in case or spaces is another payment', async () => {
    const id = `Case-${process.pid}`;
    const payment = (transactionId: string) => without(transaction({ transactionId }), 'uetr');
    const results = await bench.settle(message(payment(id), payment(id.toUpperCase()), payment(` ${id}`), payment(`${id}\u0301`)));
    expect(results.map(verdict)).toEqual(['ACSC', 'ACSC', 'ACSC', 'ACSC']);
  });
});

describe('sizes', () => {
  test('a message of a thousand transactions that debit seven participants', async () => {
    const spec = message(...Array.from({ length: 1_000 }, (_, index) => transaction({
      amount: '0.01', debtorAgent: { bic: banks[index % 7]! }, creditorAgent: { bic: banks[(index + 1) % 7]! },
    })));
    const sent = await bench.send(spec);
    const results = await bench.outcome(sent, 1_000, 30_000);
    expect(results.every(({ status }) => status === 'ACSC')).toBe(true);
  });

  test('an event identifier and a source as large as an event may be', async () => {
    for (const [field, length] of [['eventId', 1_000_000], ['source', 1_000_000], ['eventId', 300_000]] as const) {
      const spec = message(...Array.from({ length: length > 500_000 ? 1 : 40 }, () => transaction({ amount: '0.01' })));
      const sent = await bench.send(spec, { [field]: `${randomUUID()}${'x'.repeat(length)}` });
      const results = await bench.outcome(sent, spec.transactions.length, 40_000);
      expect(results.every(({ status }) => status === 'ACSC')).toBe(true);
    }
  }, 90_000);

  test('a key of 900,000 bytes, of a result and of a dead letter', async () => {
    const key = Buffer.alloc(900_000, 'k');
    const spec = { ...message(transaction()), numberOfTransactions: '2' };
    const rejected = await bench.only(await bench.send(spec, { key, partition: 1 }));
    expect(rejected).toMatchObject({ reasonCode: 'AM19', partition: 1 });
    expect(rejected.key?.equals(key)).toBe(true);
    const sent = await bench.sendValue(Buffer.alloc(1_000_000, 1), { key, partition: 2 });
    const letter = await bench.deadLetter(sent);
    expect(letter.key?.equals(key)).toBe(true);
    dead.set(`${sent.partition}/${sent.offset}`, 'NOT_FRAMED');
  });

  test('a thousand headers', async () => {
    const headers = Array.from({ length: 1_000 }, (_, index) => ({ key: `header ${index % 10}`, value: Buffer.from(String(index)) }));
    const sent = await bench.sendValue(Buffer.from('x'), { key: 'COBADEFFXXX', headers });
    const letter = await bench.deadLetter(sent);
    expect(letter.headers.filter(({ key }) => key.startsWith('header '))).toEqual(headers);
    dead.set(`${sent.partition}/${sent.offset}`, 'NOT_FRAMED');
  });
});

const dead = new Map<string, string>();

describe('times', () => {
  test.each([0, -1, 1, 253_402_300_800_000, -62_135_596_800_001, 2 ** 52 - 1, 1 - 2 ** 52])('createdAt of %d is the result\'s own', async (createdAt) => {
    const [result] = await bench.settle(message(transaction({ amount: '0.01' })), { createdAt });
    expect(result).toMatchObject({ status: 'ACSC', createdAt });
  });

  test('createdAt of a long that numbers do not hold exactly is refused whole, never told wrongly', async () => {
    const spec = message(transaction({ amount: '0.01' }));
    const fields = typeOf(eventSchema).toBuffer({ eventId: randomUUID(), messageType: 'pacs.008.001.08', source: '', createdAt: 0, document: Buffer.from(buildMessage(spec)), attributes: {} });
    // Behind a UUID, a message type of 15 characters and an empty source, each with its length.
    const at = 1 + 36 + 1 + 15 + 1;
    for (const long of [Buffer.from('ffffffffffffffffff01', 'hex'), Buffer.from('feffffffffffffffff01', 'hex')]) {
      const value = framed(bench.eventSchemaId, Buffer.concat([fields.subarray(0, at), long, fields.subarray(at + 1)]));
      const sent = await bench.sendValue(value, { key: 'COBADEFFXXX' });
      dead.set(`${sent.partition}/${sent.offset}`, 'AVRO_INVALID');
      expect(headerText(await bench.deadLetter(sent), 'dlq.reason')).toContain('createdAt');
    }
  });

  test('a record\'s own timestamp is receivedAt, in the past and in the future', async () => {
    for (const timestamp of [1_000_000_000_000, Date.now() + 1_800_000]) {
      const spec = message(transaction({ amount: '0.01' }));
      const eventId = randomUUID();
      const value = bench.encode(buildMessage(spec), { eventId, createdAt: 5 });
      const placed = await bench.upstream.produce({ topic: bench.topic('inbound'), partition: 0, key: null, value, timestamp });
      bench.sent.push({ ...placed, eventId, source: 'integration', createdAt: 5, key: null, value, message: spec });
      const [result] = await bench.outcome(bench.sent.at(-1)!);
      expect(result).toMatchObject({ status: 'ACSC', receivedAt: timestamp });
    }
  });
});

test('everything that was told is what the contract says', async () => {
  await bench.atRest();
  expect(compare({ ...bench, participants, positions: bench.positions(), deadLetterCodes: dead })).toEqual([]);
});
