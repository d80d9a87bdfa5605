import { readFileSync } from 'node:fs';
import avro from 'avsc';
import { afterEach, describe, expect, test } from 'vitest';
import { createDecoder } from '../../src/adapters/piscina/decoder.ts';
import type { ClosableDecoder, DecoderOptions, WriterSchemas } from '../../src/adapters/piscina/decoder.ts';
import { cutBatch } from '../../src/adapters/piscina/slices.ts';
import type { WriterSchema } from '../../src/codec/avro/writer-schema.ts';
import { DecodedBatch } from '../../src/codec/decoded-batch.ts';
import { packRecords } from '../../src/codec/record-batch.ts';
import type { RecordBatch } from '../../src/codec/record-batch.ts';
import { FatalError, OutageError } from '../../src/errors.ts';
import type { Log } from '../../src/ports.ts';
import { obedientReader } from './obedient-reader.ts';

const schemaText = readFileSync(new URL('../../schemas/payment-event.avsc', import.meta.url), 'utf8');
const eventType = avro.Type.forSchema(JSON.parse(schemaText) as avro.schema.AvroSchema);
const knownId = 7;

/** A registry in memory: 7 is ours, 8 another record, 9 is JSON Schema; it has no others. */
const schemas: WriterSchemas = {
  resolve: async (ids) => ids.map(schemaOf),
};

function schemaOf(id: number): WriterSchema {
  if (id === knownId) return { id, kind: 'avro', texts: [schemaText] };
  if (id === 8) return { id, kind: 'avro', texts: ['{"type":"record","name":"Other","fields":[]}'] };
  if (id === 9) return { id, kind: 'notAvro', language: 'JSON' };
  return { id, kind: 'unknown' };
}

function event(document: string, id = knownId): Buffer {
  const header = Buffer.from([0, 0, 0, 0, 0]);
  header.writeUInt32BE(id, 1);
  const value = { eventId: `event of ${document}`.slice(0, 40), messageType: 'pacs.008.001.08', source: 'test', createdAt: 1_795_000_000_000, document: Buffer.from(document), attributes: {} };
  return Buffer.concat([header, eventType.toBuffer(value)]);
}

function batchOf(values: readonly (Buffer | null)[], partition = 0): RecordBatch {
  return packRecords('payments.inbound', partition, values.map((value, offset) => ({ key: null, value, offset, timestamp: 0, headers: null })));
}

/** One line an event: its dead letter, or its transactions' end-to-end ids. */
async function decoded(decoder: ClosableDecoder, batch: RecordBatch): Promise<string[]> {
  const result = new DecodedBatch(await decoder.decode(batch), batch.bytes);
  return Array.from({ length: result.eventCount }, (_, i) => {
    const code = result.deadLetterCode(i);
    if (code !== null) return `${code}: ${result.eventText(i, 'reason')}`;
    const texts: string[] = [];
    for (let t = result.firstTransaction(i); t < result.endTransaction(i); t++) texts.push(`${result.transactionText(t, 'endToEndId')}`);
    return texts.join(', ');
  });
}

const logged: string[] = [];
const log: Log = {
  debug: () => {},
  info: () => {},
  warn: (_fields, message) => logged.push(message),
  error: (_fields, message) => logged.push(message),
};

const open: ClosableDecoder[] = [];
function decoderWith(options: Partial<DecoderOptions> & { readonly threads: number }): ClosableDecoder {
  const entry = new URL('./poison-worker.ts', import.meta.url);
  const decoder = createDecoder({ schemas, maxEventBytes: 1 << 20, log, readMessage: obedientReader, entry, ...options });
  open.push(decoder);
  return decoder;
}

afterEach(async () => {
  logged.length = 0;
  for (const decoder of open.splice(0)) await decoder.close();
});

test("a lane's batches are decoded in their order, and the lanes in turn", async () => {
  const decoder = decoderWith({ threads: 1 });
  // Each event is large enough for a slice of its own.
  const large = event('x'.repeat(600 << 10));
  const batches = {
    'first of lane 0': batchOf([large, large, large, large, large, large]),
    'second of lane 0': batchOf([large]),
    'first of lane 1': batchOf([large], 1),
  };
  const order: string[] = [];
  await Promise.all(Object.entries(batches).map(([name, batch]) => decoded(decoder, batch).then(() => order.push(name))));
  expect(order).toEqual(['first of lane 1', 'first of lane 0', 'second of lane 0']);
});

describe.each([0, 1, 3])('with %i threads', (threads) => {
  test('each event has its row, in order, with the first check that fails', async () => {
    const framed = event('good');
    const values = [
      event('first'),
      null,
      Buffer.alloc(0),
      Buffer.from('{"json":true}'),
      framed.subarray(0, 4),
      Buffer.concat([framed, Buffer.alloc(500)]),
      event('elsewhere', 4_000_000_000),
      event('never', 12),
      event('other', 8),
      event('json', 9),
      framed.subarray(0, 30),
      Buffer.concat([framed, Buffer.from([0])]),
      event('throw'),
      event('tx 3'),
      event('last'),
    ];
    const rows = await decoded(decoderWith({ threads, maxEventBytes: 400 }), batchOf(values));
    expect(rows).toEqual([
      'first',
      'NOT_FRAMED: the value is null; expected the Confluent wire format',
      'NOT_FRAMED: the value is empty; expected the Confluent wire format',
      'NOT_FRAMED: the value begins with byte 123; expected 0 of the Confluent wire format',
      'NOT_FRAMED: the value has 4 bytes; the Confluent wire format takes at least 5',
      `OVERSIZE: the value has ${framed.length + 500} bytes; at most 400 are read`,
      'UNKNOWN_SCHEMA: the schema registry has no schema with the id 4000000000',
      'UNKNOWN_SCHEMA: the schema registry has no schema with the id 12',
      "SCHEMA_INCOMPATIBLE: schema 8: the writer's record is Other; expected the name PaymentEvent, in any namespace",
      'SCHEMA_INCOMPATIBLE: schema 9: it is JSON, not Avro',
      'AVRO_INVALID: schema 7: field messageType: the length 15, but 10 bytes are left',
      'AVRO_INVALID: schema 7: 1 bytes are left over after the event',
      'XML_INVALID: the decoder failed over it: Error: a mistake of ours',
      'tx 3 no 0, tx 3 no 1, tx 3 no 2',
      'last',
    ]);
    expect(logged).toEqual(['the decoder failed over events; their dead letters say how']);
  });

  test('a batch without events gives none', async () => {
    expect(await decoded(decoderWith({ threads }), batchOf([]))).toEqual([]);
  });

  test('a large batch that is cut comes out whole, in order', async () => {
    const texts = Array.from({ length: 3000 }, (_, i) => (i % 7 === 0 ? `tx ${i % 4}` : `${i} `.padEnd(600, 'x')));
    const batch = batchOf(texts.map((text) => event(text)));
    expect(cutBatch(batch, threads).length).toBeGreaterThan(2);
    const rows = await decoded(decoderWith({ threads }), batch);
    const expected = texts.map((text) => {
      if (!text.startsWith('tx ')) return text;
      return Number(text.slice(3)) === 1 ? text : Array.from({ length: Number(text.slice(3)) }, (_, i) => `${text} no ${i}`).join(', ');
    });
    expect(rows).toEqual(expected);
  });
});

describe('a thread that is lost', () => {
  test.each([
    ['exits', 'exit', 'died', 10_000],
    ['runs out of memory', 'exhaust', 'died', 20_000],
    ['hangs', 'hang', 'hung', 600],
  ])('because it %s costs only the event it was lost over', async (_what, poison, word, hungAfterMs) => {
    const decoder = decoderWith({ threads: 2, hungAfterMs, heapMaxMib: 64 });
    const good = Array.from({ length: 40 }, (_, i) => `good ${i}`);
    const texts = [...good.slice(0, 25), poison, ...good.slice(25)];
    const others = [1, 2, 3].map((partition) => decoded(decoder, batchOf(good.map((text) => event(text)), partition)));
    const rows = await decoded(decoder, batchOf(texts.map((text) => event(text))));
    expect(rows).toEqual([...good.slice(0, 25), `XML_INVALID: the decoder ${word} over it, 2 times`, ...good.slice(25)]);
    expect(await Promise.all(others)).toEqual([good, good, good]);
    // The threads that came in their place work.
    expect(await decoded(decoder, batchOf([event('after')]))).toEqual(['after']);
    expect(logged).toContain(`a decoder thread ${word} over an event again; dead-lettering it`);
  }, 60_000);

  test('because an event hangs it holds up nobody while that event is tried once more, also where there is only one', async () => {
    const decoder = decoderWith({ threads: 1, hungAfterMs: 3_000 });
    let givenUp = false;
    const held = decoded(decoder, batchOf([event('hang')])).finally(() => (givenUp = true));
    // The first of these waits until the thread is suspected, the others for nobody.
    for (let i = 0; i < 5; i++) {
      expect(await decoded(decoder, batchOf([event(`other ${i}`)], 1))).toEqual([`other ${i}`]);
      expect(givenUp).toBe(false);
    }
    expect(await held).toEqual(['XML_INVALID: the decoder hung over it, 2 times']);
  }, 60_000);

  test('over an event that only takes its time: it is tried alone, and answered', async () => {
    const decoder = decoderWith({ threads: 1, hungAfterMs: 5_000 });
    expect(await decoded(decoder, batchOf([event('before'), event('slow 1500'), event('after')]))).toEqual(['before', 'slow 1500', 'after']);
    expect(logged).toEqual(['a decoder thread hung and is replaced; its events are tried again']);
  }, 60_000);

  test('again and again over several events of one batch costs only those', async () => {
    const decoder = decoderWith({ threads: 1 });
    const rows = await decoded(decoder, batchOf(['exit', 'a', 'exit', 'exit', 'b', 'exit'].map((text) => event(text))));
    const died = 'XML_INVALID: the decoder died over it, 2 times';
    expect(rows).toEqual([died, 'a', died, died, 'b', died]);
  }, 60_000);

  test('before any can begin is no event\'s fault', async () => {
    const decoder = decoderWith({ threads: 1, hungAfterMs: 1000, entry: new URL('./no-such-worker.ts', import.meta.url) });
    await expect(decoder.decode(batchOf([event('good')]))).rejects.toThrow(FatalError);
  }, 60_000);
});

describe('the decoder', () => {
  test('waits only where a schema is waited for', async () => {
    let answer: (() => void) | undefined;
    const waiting: WriterSchemas = {
      resolve: async (ids) => {
        if (ids.includes(12)) await new Promise<void>((resolve) => (answer = resolve));
        return ids.map(schemaOf);
      },
    };
    const decoder = decoderWith({ threads: 1, schemas: waiting });
    const held = decoded(decoder, batchOf([event('held', 12)], 1));
    expect(await decoded(decoder, batchOf([event('free')]))).toEqual(['free']);
    answer?.();
    expect(await held).toEqual(['UNKNOWN_SCHEMA: the schema registry has no schema with the id 12']);
  });

  test('answers everyone who waits when it is closed', async () => {
    const decoder = decoderWith({ threads: 1 });
    const held = decoder.decode(batchOf([event('hang')]));
    await decoded(decoderWith({ threads: 1 }), batchOf([event('time passes')]));
    await Promise.all([expect(held).rejects.toBeInstanceOf(OutageError), decoder.close()]);
  });
});
