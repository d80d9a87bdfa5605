import { readFileSync } from 'node:fs';
import avro from 'avsc';
import type { Type } from 'avsc';
import { describe, expect, test } from 'vitest';
import { EventReader } from '../../src/codec/avro/event-reader.ts';
import { planEvent } from '../../src/codec/avro/event-plan.ts';
import { parseWriterSchema } from '../../src/codec/avro/writer-schema.ts';
import { createRandom } from '../random.ts';
import type { Random } from '../random.ts';

const schemaText = readFileSync(new URL('../../schemas/payment-event.avsc', import.meta.url), 'utf8');
const ours = JSON.parse(schemaText) as RecordSchema;
interface RecordSchema {
  readonly type: 'record';
  readonly name: string;
  readonly namespace?: string;
  readonly fields: readonly FieldSchema[];
}
interface FieldSchema {
  readonly name: string;
  readonly type: unknown;
  readonly default?: unknown;
}
interface Event {
  readonly eventId: string;
  readonly messageType: string;
  readonly source: string;
  readonly createdAt: number;
  readonly document: string;
}

const event: Event = {
  eventId: '7f0c1fb2-2b1a-4a57-9f49-0d6a6b1c8a01',
  messageType: 'pacs.008.001.08',
  source: 'swift-gateway',
  createdAt: 1_795_000_000_000,
  document: '<Document>é</Document>',
};

function withFields(change: (fields: readonly FieldSchema[]) => readonly FieldSchema[]): RecordSchema {
  return { ...ours, fields: change(ours.fields) };
}

function withField(name: string, type: unknown): RecordSchema {
  return withFields((fields) => fields.map((field) => (field.name === name ? { name, type } : field)));
}

/** avsc writes it, in the writer's schema. Unions are wrapped: `{ string: 'x' }`. */
function write(schema: unknown, value: object): Buffer {
  return avro.Type.forSchema(schema as avro.schema.AvroSchema, { wrapUnions: true }).toBuffer({
    ...event,
    document: Buffer.from(event.document),
    attributes: { region: 'EU' },
    ...value,
  });
}

type Answer = { readonly event: Event } | { readonly invalid: string } | { readonly incompatible: string };

function read(schema: unknown, binary: Uint8Array): Answer {
  const plan = planEvent(parseWriterSchema([JSON.stringify(schema)]));
  if (plan.kind === 'incompatible') return { incompatible: plan.reason };
  const reader = new EventReader();
  // Not at the start and not at the end of what lies around it.
  const bytes = new Uint8Array(new SharedArrayBuffer(binary.length + 20)).fill(0xff);
  bytes.set(binary, 7);
  const verdict = reader.read(plan.root, bytes, 7, 7 + binary.length);
  if (verdict === 'invalid') return { invalid: reader.reason };
  if (verdict === 'incompatible') return { incompatible: reader.reason };
  const span = (start: number, length: number): string => Buffer.from(bytes.slice(start, start + length)).toString();
  const [eventId, messageType, source] = reader.textStart.map((start, i) => span(start, reader.textLength[i]!)) as [string, string, string];
  const document = span(reader.documentStart, reader.documentLength);
  return { event: { eventId, messageType, source, createdAt: reader.createdAt, document } };
}

describe('an event resolves to PaymentEvent', () => {
  const logical = (name: string): unknown => ({ type: 'long', logicalType: name });
  test.each<[string, unknown, object]>([
    ['in our own schema', ours, {}],
    ['with its fields in another order', withFields((fields) => fields.toReversed()), {}],
    ['without attributes', withFields((fields) => fields.filter((field) => field.name !== 'attributes')), {}],
    ['in another namespace', { ...ours, namespace: 'com.bank.events' }, {}],
    ['without a namespace', { type: 'record', name: 'PaymentEvent', fields: ours.fields }, {}],
    ['with createdAt as a plain long', withField('createdAt', 'long'), {}],
    ['with createdAt as an int', withField('createdAt', 'int'), { createdAt: 1_795_000 }],
    ['with createdAt in microseconds', withField('createdAt', logical('timestamp-micros')), { createdAt: event.createdAt * 1000 + 999 }],
    ['with bytes for a string', withField('eventId', 'bytes'), { eventId: Buffer.from(event.eventId) }],
    ['with a string for the document', withField('document', 'string'), { document: event.document }],
    ['with attributes of bytes', withField('attributes', { type: 'map', values: 'bytes' }), { attributes: { a: Buffer.from('b') } }],
    ['with a union that holds a string', withField('source', ['null', 'string']), { source: { string: event.source } }],
    ['with a union that holds a timestamp', withField('createdAt', ['null', logical('timestamp-millis')]), { createdAt: { long: event.createdAt } }],
    ['with Java\'s string', withField('source', { type: 'string', 'avro.java.string': 'String' }), {}],
    ['with a decimal beside it', withFields((fields) => [{ name: 'fee', type: { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 } }, ...fields]), { fee: Buffer.from([1, 2]) }],
  ])('%s', (_what, schema, value) => {
    const expected = 'createdAt' in value && value.createdAt === 1_795_000 ? { ...event, createdAt: 1_795_000 } : event;
    expect(read(schema, write(schema, value))).toEqual({ event: expected });
  });

  test('when the schema is a union and the event was written', () => {
    const schema = ['null', ours];
    const value = { ...event, document: Buffer.from(event.document), attributes: {} };
    const binary = avro.Type.forSchema(schema as avro.schema.AvroSchema, { wrapUnions: true }).toBuffer({ 'settlefleet.v1.PaymentEvent': value });
    expect(read(schema, binary)).toEqual({ event });
    expect(read(schema, Buffer.from([0]))).toHaveProperty('incompatible');
  });

  test('with a default that is none of its field\'s type', () => {
    const schema = withFields((fields) => [...fields, { name: 'note', type: 'string', default: null }]);
    expect(read(schema, Buffer.concat([write(ours, {}), Buffer.from([2, 0x61])]))).toEqual({ event });
  });

  test('with a map in blocks that say their size', () => {
    const head = write(withFields((fields) => fields.slice(0, 5)), {});
    const block = Buffer.from([0x03, 0x08 * 2, 2, 0x61, 2, 0x62, 2, 0x63, 2, 0x64, 0x00]);
    expect(read(ours, Buffer.concat([head, block]))).toEqual({ event });
  });
});

describe('a schema is refused', () => {
  const extra = (type: unknown): RecordSchema => withFields((fields) => [...fields, { name: 'extra', type }]);
  test.each<[string, unknown, string]>([
    ['a record with another name', { ...ours, name: 'Payment' }, "the writer's record is settlefleet.v1.Payment; expected the name PaymentEvent, in any namespace"],
    ['one that is no record', 'string', "the writer's schema is string; expected record PaymentEvent"],
    ['a missing field', withFields((fields) => fields.slice(1)), "the writer's schema has no field eventId"],
    ['an int for a string', withField('source', 'int'), "field source of the writer's schema is int; expected string"],
    ['a double for a long', withField('createdAt', 'double'), "field createdAt of the writer's schema is double; expected long"],
    ['attributes of another type', withField('attributes', { type: 'map', values: 'long' }), "field attributes of the writer's schema is map; expected map of string"],
    ['a union of which no branch can be read', withField('source', ['null', 'int']), "field source of the writer's schema is a union of null, int; expected string"],
    ['an array of nulls', extra({ type: 'array', items: 'null' }), "the writer's schema has an array whose items take no bytes"],
    ['an array of empty records', extra({ type: 'array', items: { type: 'record', name: 'E', fields: [] } }), "the writer's schema has an array whose items take no bytes"],
    ['an array of records of nulls', extra({ type: 'array', items: { type: 'record', name: 'E', fields: [{ name: 'n', type: 'null' }] } }), "the writer's schema has an array whose items take no bytes"],
    ['an array of empty fixed', extra({ type: 'array', items: { type: 'fixed', name: 'F', size: 0 } }), "the writer's schema has an array whose items take no bytes"],
  ])('for %s', (_what, schema, reason) => {
    expect(planEvent(parseWriterSchema([JSON.stringify(schema)]))).toEqual({ kind: 'incompatible', reason });
  });

  test('only for the null in a union, where the string in it can be read', () => {
    const schema = withField('source', ['null', 'string']);
    expect(read(schema, write(schema, { source: null }))).toEqual({ incompatible: 'field source: null was written; expected string' });
  });
});

describe('an event is invalid', () => {
  const whole = write(ours, {});
  const numberBytes = (value: bigint): number[] => {
    const bytes: number[] = [];
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
    return [...bytes, Number(rest)];
  };
  const texts = write(withFields((fields) => fields.slice(0, 3)), {});
  const created = (value: bigint): Buffer => Buffer.concat([texts, Buffer.from([...numberBytes(value), 0, 0])]);

  test.each<[string, Uint8Array, RegExp]>([
    ['nothing at all', Buffer.alloc(0), /^field eventId: the value ends too early$/],
    ['another byte behind it', Buffer.concat([whole, Buffer.from([0])]), /^1 bytes are left over/],
    ['a negative length', Buffer.from([1]), /^field eventId: the length -1$/],
    ['a length beyond the end', Buffer.from([80, 0x61]), /^field eventId: the length 40, but 1 bytes are left$/],
    ['a length of 2^62', Buffer.from(numberBytes(2n ** 62n)), /^field eventId: the length 4611686018427388000, but/],
    ['a number of eleven bytes', Buffer.alloc(11, 0x80), /^field eventId: a number of more than 10 bytes$/],
    ['a number of 65 bits', Buffer.from([...Array<number>(9).fill(0xff), 2]), /^field eventId: a number of more than 64 bits$/],
    ['a string that is not UTF-8', Buffer.from([2, 0xff]), /^field eventId: a string that is not UTF-8$/],
    ['a time beyond 2^52', created(2n ** 52n), /^field createdAt: more than 2\^52 milliseconds/],
    ['the last time', created(2n ** 63n - 1n), /^field createdAt: more than 2\^52 milliseconds/],
    ['the first time', created(-(2n ** 63n)), /^field createdAt: more than 2\^52 milliseconds/],
    ['a map of very many', Buffer.concat([created(1n).subarray(0, -1), Buffer.from(numberBytes(2n ** 61n))]), /^field attributes: a block of/],
    ['a map block of a wrong size', Buffer.concat([created(1n).subarray(0, -1), Buffer.from([1, 10, 2, 0x61, 2, 0x62, 0, 0])]), /^field attributes: a block that is not as long/],
    ['a map block of a negative size', Buffer.concat([created(1n).subarray(0, -1), Buffer.from([1, 3, 0])]), /^field attributes: the length -2/],
  ])('with %s', (_what, binary, reason) => {
    expect(read(ours, binary)).toEqual({ invalid: expect.stringMatching(reason) });
  });

  test('wherever it is cut off', () => {
    for (let length = 0; length < whole.length; length++) expect(read(ours, whole.subarray(0, length))).toHaveProperty('invalid');
  });

  test('when a value in a field that nobody asked for is nested without end', () => {
    const node = { type: 'record', name: 'Node', fields: [{ name: 'next', type: ['null', 'Node'] }] };
    const schema = withFields((fields) => [...fields, { name: 'chain', type: node }]);
    const chain = (depth: number): Buffer => Buffer.concat([whole, Buffer.alloc(depth, 2), Buffer.from([0])]);
    expect(read(schema, chain(100))).toEqual({ event });
    expect(read(schema, chain(1_000_000))).toEqual({ invalid: expect.stringContaining('nested deeper') });
    const endless = { type: 'record', name: 'Endless', fields: [{ name: 'self', type: 'Endless' }] };
    expect(read(withFields((fields) => [...fields, { name: 'chain', type: endless }]), whole)).toHaveProperty('invalid');
  });
});

/**
 * avsc reads the same bytes through its own resolver. It is laxer where the format is broken (booleans, sizes of blocks,
 * UTF-8), so what it refuses we must refuse, what we read it must read alike, and for what avsc wrote both must agree.
 */
describe('against avsc\'s resolver, over many schemas and values', () => {
  const reader = avro.Type.forSchema(JSON.parse(schemaText) as avro.schema.AvroSchema, { wrapUnions: true });

  test('whole and damaged events come out alike', () => {
    const random = createRandom(42);
    let readAlike = 0;
    let refused = 0;
    for (let i = 0; i < 400; i++) {
      const names = { next: 0 };
      const schema = withFields((fields) => shuffled(random, [...fields.map((field) => varied(random, field)), ...extras(random, names)]));
      const writer = avro.Type.forSchema(schema as avro.schema.AvroSchema, { wrapUnions: true });
      let resolver: ReturnType<Type['createResolver']>;
      try {
        resolver = reader.createResolver(writer);
      } catch {
        // avsc wants every branch of a union to resolve; Avro's specification leaves that to the value.
        continue;
      }
      const value = Object.fromEntries(schema.fields.map((field) => [field.name, sample(random, field.type, field.name)]));
      const whole = writer.toBuffer(value);
      expect(read(schema, whole)).toEqual({ event: byAvsc(reader, resolver, whole) });
      for (let damage = 0; damage < 30; damage++) {
        const binary = damaged(random, whole);
        const answer = read(schema, binary);
        if ('event' in answer) {
          expect(byAvsc(reader, resolver, binary)).toEqual(answer.event);
          readAlike++;
        } else refused++;
      }
    }
    expect(readAlike).toBeGreaterThan(500);
    expect(refused).toBeGreaterThan(500);
  });

  function byAvsc(type: Type, resolver: ReturnType<Type['createResolver']>, binary: Buffer): Event {
    const { eventId, messageType, source, createdAt, document } = type.fromBuffer(binary, resolver) as Event & { document: Buffer };
    return { eventId, messageType, source, createdAt, document: Buffer.from(document).toString() };
  }
});

function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}

/** The field in another type that resolves to ours. */
function varied(random: Random, field: FieldSchema): FieldSchema {
  const types: Record<string, readonly unknown[]> = {
    createdAt: ['long', 'int', ['int', 'long'], { type: 'long', logicalType: 'timestamp-millis' }],
    document: ['bytes', 'bytes', 'string', ['string', 'bytes']],
    attributes: [field.type, { type: 'map', values: 'bytes' }, { type: 'map', values: ['bytes', 'string'] }],
  };
  const choices = types[field.name] ?? ['string', 'string', 'bytes', ['bytes', 'string']];
  return { name: field.name, type: choices[random.below(choices.length)] };
}

function extras(random: Random, names: { next: number }): FieldSchema[] {
  return Array.from({ length: random.below(4) }, () => ({ name: `extra${names.next++}`, type: anyType(random, names, 0) }));
}

function anyType(random: Random, names: { next: number }, depth: number): unknown {
  const primitives = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'];
  const deepest = depth > 2 ? 10 : 14;
  const choice = random.below(deepest);
  if (choice < 8) return primitives[choice];
  if (choice === 8) return { type: 'fixed', name: `F${names.next++}`, size: random.below(9) };
  if (choice === 9) return { type: 'enum', name: `E${names.next++}`, symbols: ['A', 'B', 'C'] };
  if (choice === 10) return { type: 'array', items: ['null', 'string', anyNamed(random, names, depth)] };
  if (choice === 11) return { type: 'map', values: anyType(random, names, depth + 1) };
  if (choice === 12) return ['null', 'int', anyNamed(random, names, depth)];
  return anyNamed(random, names, depth);
}

function anyNamed(random: Random, names: { next: number }, depth: number): unknown {
  const fields = Array.from({ length: random.below(4) }, () => ({ name: `f${names.next++}`, type: anyType(random, names, depth + 1) }));
  return { type: 'record', name: `R${names.next++}`, fields };
}

function sample(random: Random, type: unknown, name = ''): unknown {
  const text = (): string => ['', 'a', 'Zürich', 'x'.repeat(70), '€'][random.below(5)]!;
  if (Array.isArray(type)) {
    const branch: unknown = type[random.below(type.length)];
    if (branch === 'null') return null;
    const branchName = typeof branch === 'string' ? branch : (branch as { name: string }).name;
    const key = /^R\d/.test(branchName) ? `settlefleet.v1.${branchName}` : branchName;
    return { [key]: sample(random, branch, name) };
  }
  if (typeof type === 'string') {
    switch (type) {
      case 'null':
        return null;
      case 'boolean':
        return random.below(2) === 1;
      case 'int':
        return random.below(2 ** 32) - 2 ** 31;
      case 'long':
        return (random.below(2 ** 32) - 2 ** 31) * random.below(2 ** 19);
      case 'float':
        return random.below(100);
      case 'double':
        return random.below(2 ** 32) / 3;
      case 'bytes':
        return Buffer.from(text());
      default:
        return text();
    }
  }
  const { type: kind, ...rest } = type as { type: string; size: number; symbols: string[]; items: unknown; values: unknown; fields: FieldSchema[] };
  switch (kind) {
    case 'fixed':
      return Buffer.alloc(rest.size, 7);
    case 'enum':
      return rest.symbols[random.below(rest.symbols.length)];
    case 'array':
      return Array.from({ length: random.below(4) }, () => sample(random, rest.items));
    case 'map':
      return Object.fromEntries(Array.from({ length: random.below(4) }, (_, i) => [`key${i}`, sample(random, rest.values)]));
    case 'record':
      return Object.fromEntries(rest.fields.map((field) => [field.name, sample(random, field.type)]));
    default:
      return sample(random, kind);
  }
}

/** One byte changed, bytes cut out or doubled, or the end missing. */
function damaged(random: Random, whole: Buffer): Buffer {
  const at = random.below(whole.length + 1);
  switch (random.below(4)) {
    case 0:
      return whole.subarray(0, at);
    case 1: {
      const copy = Buffer.from(whole);
      copy[random.below(Math.max(1, copy.length))] = random.below(256);
      return copy;
    }
    case 2:
      return Buffer.concat([whole.subarray(0, at), whole.subarray(at + 1 + random.below(3))]);
    default:
      return Buffer.concat([whole.subarray(0, at), Buffer.from([random.below(256)]), whole.subarray(at)]);
  }
}
