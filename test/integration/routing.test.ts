/** Events that lie where no owner looks: they settle once, in the owner's partition and order (contract section 1, "Ownership"). */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventSchema, framed, registerSchema, switchOffCompatibility, typeOf } from './harness/avro.ts';
import { Bench } from './harness/bench.ts';
import { message, participant, transaction } from './harness/directory.ts';
import { UpstreamProducer } from './harness/kafka.ts';
import { buildMessage } from './harness/message.ts';
import type { Agent, TransactionSpec } from './harness/message.ts';
import { owningPartition } from './harness/murmur2.ts';
import { compare } from './harness/truth.ts';

const banks = Array.from({ length: 12 }, (_, index) => `BK${String.fromCharCode(65 + index)}ADEFFXXX`);
const participants = [...banks.map((id) => participant(id, { EUR: '500.00' })), participant('COBADEFFXXX'), participant('DEUTDEFFXXX')];
const bank = (index: number): Agent => ({ bic: banks[index % banks.length]! });
const between = (from: number, to: number, changes: Partial<TransactionSpec> = {}): TransactionSpec =>
  transaction({ debtorAgent: bank(from), creditorAgent: bank(to), ...changes });

let bench: Bench;
beforeAll(async () => {
  bench = await Bench.create('route', { participants });
  await (await bench.startWorker()).ready();
});
afterAll(() => bench?.close());

const owner = (id: string): number => owningPartition(id, bench.partitions);

test('the participants of this test have owners in every partition', () => {
  expect(new Set(banks.map(owner)).size).toBe(bench.partitions);
});

describe('an event in another partition than its owner\'s', () => {
  test('settles in the owner\'s, wherever it lay and whatever its key', async () => {
    for (let partition = 0; partition < bench.partitions; partition++) {
      for (const key of [null, '', 'another key', Buffer.from([0xff, 0xfe])]) {
        const sent = await bench.send(message(between(0, 1, { amount: '1.00' })), { partition, key });
        expect(await bench.only(sent)).toMatchObject({
          status: 'ACSC', partition: owner(banks[0]!), key: Buffer.from(banks[0]!), inboundPartition: partition, inboundOffset: sent.offset,
        });
      }
    }
  });

  test('keeps what the event said: source, times, and the inbound record\'s timestamp', async () => {
    const elsewhere = (owner(banks[2]!) + 1) % bench.partitions;
    const createdAt = Date.now() - 60_000;
    const sent = await bench.send(message(between(2, 3)), { partition: elsewhere, source: 'far away', createdAt });
    const result = await bench.only(sent);
    expect(result).toMatchObject({ createdAt, source: 'far away' });
    expect(Math.abs(result.receivedAt - Date.now())).toBeLessThan(30_000);
  });

  test('that is rejected is rejected in the owner\'s partition too', async () => {
    const elsewhere = (owner('NOTHDEFFXXX') + 1) % bench.partitions;
    const sent = await bench.send(message(transaction({ debtorAgent: { bic: 'NOTHDEFF' } })), { partition: elsewhere, key: null });
    expect(await bench.only(sent)).toMatchObject({ reasonCode: 'DNOR', partition: owner('NOTHDEFFXXX'), key: Buffer.from('NOTHDEFFXXX') });
  });

  test('by librdkafka\'s own partitioner settles all the same', async () => {
    const crc32 = await UpstreamProducer.connect(bench.brokers, {}, { partitioner: 'consistent_random' });
    const java = bench.upstream;
    bench.upstream = crc32;
    try {
      const sent = await Promise.all(banks.map((key, index) => bench.send(message(between(index, index + 1, { amount: '2.00' })), { partition: null, key })));
      expect(sent.some(({ partition }, index) => partition !== owner(banks[index]!))).toBe(true);
      for (const event of sent) expect((await bench.only(event)).status).toBe('ACSC');
    } finally {
      bench.upstream = java;
      await crc32.close();
    }
  });
});

describe('one message that debits several participants', () => {
  test('settles each transaction in its owner\'s partition', async () => {
    const spec = message(...banks.map((_, index) => between(index, index + 5, { amount: '3.00' })));
    const results = await bench.settle(spec, { partition: 1, key: null });
    results.forEach((result, index) => {
      expect(result).toMatchObject({ status: 'ACSC', debitedParticipant: banks[index], partition: owner(banks[index]!) });
    });
  });

  test('keeps the order of the transactions of one debited participant', async () => {
    const spec = message(...Array.from({ length: 60 }, (_, index) => between(index, index + 1, { amount: '0.10' })));
    const results = await bench.settle(spec, { partition: 2 });
    for (const id of banks) {
      const sequences = results.filter(({ debitedParticipant }) => debitedParticipant === id).map(({ sequence }) => sequence!);
      expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
      expect(sequences).toHaveLength(5);
    }
  });

  test('rejects some and settles others', async () => {
    const results = await bench.settle(message(
      between(0, 1), between(1, 2, { amount: '0' }), between(2, 3, { debtorAgent: { nameOnly: 'Nobody' } }), between(3, 4), between(4, 5, { currency: 'USD' }),
    ), { partition: 3, key: 'a key' });
    expect(results.map(({ status, reasonCode }) => reasonCode ?? status)).toEqual(['ACSC', 'AM01', 'DNOR', 'ACSC', 'AM03']);
    expect(results[2]).toMatchObject({ partition: 3, key: Buffer.from('a key') });
  });
});

test('many events in any partition, with caps that are met, in one rush', async () => {
  let seed = 7;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >>> 8) % below;
  };
  const sent = await Promise.all(Array.from({ length: 1_500 }, () => {
    const transactions = Array.from({ length: 1 + random(3) }, () => between(random(12), random(12), { amount: `${random(120)}.${random(10)}0` }));
    return bench.send(message(...transactions), random(3) === 0 ? {} : { partition: random(bench.partitions), key: null });
  }));
  await bench.waitFor('all results', () => sent.every(({ eventId, message: spec }) => bench.resultsOf(eventId).length === spec!.transactions.length), 40_000);
  expect(bench.results.filter(({ reasonCode }) => reasonCode === 'AM04').length).toBeGreaterThan(50);
});

describe('another team\'s schema', () => {
  interface Field { name: string; type: unknown; default?: unknown }
  const fields = (eventSchema as unknown as { fields: Field[] }).fields;
  const withFields = (changed: Field[]) => ({ ...(eventSchema as object), fields: changed });
  const usual = { eventId: '', messageType: 'pacs.008.001.08', source: 'another team', createdAt: 1_790_000_000_000 };
  test.each<[string, unknown, Record<string, unknown>]>([
    ['with a field more', withFields([{ name: 'priority', type: 'int' }, ...fields, { name: 'notes', type: { type: 'array', items: { type: 'map', values: ['null', 'string'] } } }]), { priority: 7, notes: [{ a: 'b', c: null }], attributes: { a: 'b' } }],
    ['with its fields in another order', withFields(fields.toReversed()), { attributes: {} }],
    ['without attributes', withFields(fields.filter(({ name }) => name !== 'attributes')), {}],
    ['with an int where a long is read', withFields(fields.map((field) => (field.name === 'createdAt' ? { name: 'createdAt', type: 'int' } : field))), { attributes: {}, createdAt: 1_700_000_000 }],
    ['with bytes where a string is read', withFields(fields.map((field) => (field.name === 'source' ? { name: 'source', type: 'bytes' } : field))), { attributes: {}, source: Buffer.from('another team') }],
    ['with a string where bytes are read', withFields(fields.map((field) => (field.name === 'document' ? { name: 'document', type: 'string' } : field))), { attributes: {} }],
    ['with a recursive field more', withFields([...fields, { name: 'tree', type: ['null', { type: 'record', name: 'Node', fields: [{ name: 'next', type: ['null', 'Node'] }] }] }]), { attributes: {}, tree: { next: { next: null } } }],
  ])('%s is read', async (name, schema, values) => {
    const subject = `${bench.prefix}${name.replaceAll(' ', '-')}`;
    const id = await registerSchema(bench.registryUrl, subject, schema);
    await switchOffCompatibility(bench.registryUrl, subject);
    const spec = message(transaction());
    const eventId = randomUUID();
    const document = buildMessage(spec);
    const type = typeOf(schema as never);
    const asString = name.startsWith('with a string');
    const value = framed(id, type.toBuffer({ ...usual, ...values, eventId, document: asString ? document : Buffer.from(document) }));
    const createdAt = (values['createdAt'] as number | undefined) ?? usual.createdAt;
    const sent = await bench.sendValue(value, { message: spec, eventId, createdAt, source: 'another team' });
    expect(await bench.only(sent)).toMatchObject({ status: 'ACSC', source: 'another team', createdAt });
  });
});

test('everything that was told is what the contract says', async () => {
  await bench.atRest();
  expect(compare({ ...bench, participants, positions: bench.positions() })).toEqual([]);
});
