/** Schemas by id and their registration, on the real registry of the stack. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { registerSchemas } from '../../src/adapters/registry/register.ts';
import { resultSchemaId } from '../../src/adapters/registry/result-schema.ts';
import { createWriterSchemas } from '../../src/adapters/registry/writer-schemas.ts';
import type { RegistryWriterSchemas } from '../../src/adapters/registry/writer-schemas.ts';
import { parseWriterSchema } from '../../src/codec/avro/writer-schema.ts';
import { CommandError, OutageError } from '../../src/errors.ts';
import type { Log } from '../../src/ports.ts';
import { stackEnvironment } from '../stack.ts';
import { until } from '../until.ts';
import { RegistryProxy } from './registry-proxy.ts';
import type { RegistryFault } from './registry-proxy.ts';

const registryUrl = stackEnvironment().schemaRegistryUrl;
const eventText = await readFile(new URL('../../schemas/payment-event.avsc', import.meta.url), 'utf8');
const neverGiven = 2_000_000_000;

let proxy: RegistryProxy;
let url: string;
let directory: string;
let logged: string[];
let up: boolean[];
let open: RegistryWriterSchemas[];
const log: Log = {
  debug: () => {},
  info: (_fields, message) => logged.push(message),
  warn: (_fields, message) => logged.push(message),
  error: (_fields, message) => logged.push(message),
};

beforeEach(async () => {
  [logged, up, open] = [[], [], []];
  proxy = new RegistryProxy(registryUrl);
  url = await proxy.start();
  directory = await mkdtemp(join(tmpdir(), 'settlefleet-schemas-'));
});

afterEach(async () => {
  for (const schemas of open) schemas.close();
  await proxy.stop();
  await rm(directory, { recursive: true });
});

/** As a process that has just started sees it. */
function freshSchemas(): RegistryWriterSchemas {
  const schemas = createWriterSchemas({ url, directory, log, telemetry: { dependency: (_name, isUp) => up.push(isUp) } });
  open.push(schemas);
  return schemas;
}

async function post(path: string, body: object, method = 'POST'): Promise<{ id: number }> {
  const response = await fetch(`${registryUrl}${path}`, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  expect(response.ok).toBe(true);
  return (await response.json()) as { id: number };
}

async function registered(subject: string, schema: string, references: object[] = []): Promise<number> {
  return (await post(`/subjects/${subject}/versions`, { schema, references })).id;
}

const ownSubject = (): string => `test-${randomUUID()}-value`;

describe('a schema id', () => {
  test('is asked for once, and then known', async () => {
    const id = await registered(ownSubject(), eventText);
    const schemas = freshSchemas();
    const [first] = await schemas.resolve([id]);
    expect(first).toMatchObject({ id, kind: 'avro' });
    proxy.fault = 'refuses';
    expect(await schemas.resolve([id, id])).toEqual([first, first]);
    expect(proxy.asked).toEqual([`/schemas/ids/${id}`]);
    expect(up).toEqual([true]);
  });

  test('that the registry does not have is unknown, once it says so itself', async () => {
    expect(await freshSchemas().resolve([neverGiven])).toEqual([{ id: neverGiven, kind: 'unknown' }]);
  });

  test('that many ask for at a time is asked for once', async () => {
    const schemas = freshSchemas();
    await Promise.all([1, 2, 3].map(() => schemas.resolve([neverGiven])));
    expect(proxy.asked).toHaveLength(1);
  });

  test('is known soon after it was unknown', async () => {
    const schemas = freshSchemas();
    const id = (await registered(ownSubject(), eventText.replace('PaymentEvent', `Made${Date.now()}`))) + 1;
    expect(await schemas.resolve([id])).toEqual([{ id, kind: 'unknown' }]);
    expect(await registered(ownSubject(), eventText.replace('PaymentEvent', `Next${Date.now()}`))).toBe(id);
    await until('the new schema is seen', async () => (await schemas.resolve([id]))[0]!.kind === 'avro');
  });

  test('of a schema in another language is no Avro', async () => {
    const schema = '{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"a":{"type":"string"}}}';
    const { id } = await post(`/subjects/${ownSubject()}/versions`, { schemaType: 'JSON', schema });
    expect(await freshSchemas().resolve([id])).toEqual([{ id, kind: 'notAvro', language: 'JSON' }]);
  });

  test('of a schema that refers to others comes with them', async () => {
    const subject = ownSubject();
    await registered(subject, '{"type":"record","name":"Labels","namespace":"test","fields":[{"name":"a","type":"string"}]}');
    const text = '{"type":"record","name":"Holder","namespace":"test","fields":[{"name":"labels","type":"test.Labels"}]}';
    const id = await registered(ownSubject(), text, [{ name: 'test.Labels', subject, version: 1 }]);
    const [schema] = await freshSchemas().resolve([id]);
    if (schema?.kind !== 'avro') throw new Error('expected Avro');
    expect(schema.texts).toHaveLength(2);
    expect(parseWriterSchema(schema.texts).name).toBe('test.Holder');
  });

  test('among very many that do not exist does not wait for them', async () => {
    const id = await registered(ownSubject(), eventText);
    const schemas = freshSchemas();
    let sprayDone = false;
    const spray = schemas.resolve(Array.from({ length: 100 }, (_, i) => neverGiven + i)).then(() => (sprayDone = true));
    await schemas.resolve([id]);
    expect(sprayDone).toBe(false);
    await spray;
  });
});

describe('while the registry is away', () => {
  test.each<RegistryFault>(['refuses', 'status 500', 'bare 404', 'not JSON'])('because it %s, what needs an unknown id waits, and goes on by itself', async (fault) => {
    const id = await registered(ownSubject(), eventText);
    proxy.fault = fault;
    const schemas = freshSchemas();
    let settled = false;
    const waiting = schemas.resolve([id, neverGiven]).finally(() => (settled = true));
    await until('it asked several times', () => proxy.asked.length >= 4);
    expect(settled).toBe(false);
    proxy.fault = 'none';
    expect((await waiting).map((schema) => schema.kind)).toEqual(['avro', 'unknown']);
    expect(logged).toEqual(['the schema registry is away; what needs an unknown schema waits', 'the schema registry answers again']);
    expect(up).toEqual([false, true]);
  });

  test('because it is silent, what is on disk is read', async () => {
    const id = await registered(ownSubject(), eventText);
    const [known] = await freshSchemas().resolve([id]);
    proxy.fault = 'is silent';
    expect(await freshSchemas().resolve([id])).toEqual([known]);
  });

  test('a fresh process reads what another has kept on disk', async () => {
    const id = await registered(ownSubject(), eventText);
    const [known] = await freshSchemas().resolve([id]);
    proxy.fault = 'refuses';
    expect(await freshSchemas().resolve([id])).toEqual([known]);
  });

  test('a file that is half something else is no schema', async () => {
    const id = await registered(ownSubject(), eventText);
    await freshSchemas().resolve([id]);
    const [registry] = await readdir(directory);
    await writeFile(join(directory, registry!, `${id}.json`), '{"id":');
    proxy.fault = 'refuses';
    const waiting = freshSchemas().resolve([id]);
    await until('it asked', () => proxy.asked.length >= 3);
    proxy.fault = 'none';
    expect(await waiting).toMatchObject([{ kind: 'avro' }]);
  });

  test('hundreds of batches full of invented ids have sixteen requests under way, all together, and each is answered in the end', async () => {
    proxy.fault = 'is silent';
    const schemas = freshSchemas();
    const all = Promise.all(Array.from({ length: 200 }, (_, caller) => schemas.resolve(Array.from({ length: 5 }, (_, i) => neverGiven + caller * 5 + i))));
    await until('the first requests are given up', () => up.includes(false), 10_000);
    expect(proxy.asked.length).toBeLessThanOrEqual(32);
    proxy.fault = 'none';
    const kinds = (await all).flat().map(({ kind }) => kind);
    expect(kinds).toHaveLength(1_000);
    expect(new Set(kinds)).toEqual(new Set(['unknown']));
  });

  test('many that wait are answered when all is closed', async () => {
    proxy.fault = 'is silent';
    const schemas = freshSchemas();
    const all = Promise.allSettled(Array.from({ length: 40 }, (_, i) => schemas.resolve([neverGiven + i])));
    await until('it asked', () => proxy.asked.length > 0);
    schemas.close();
    expect((await all).every(({ status }) => status === 'rejected')).toBe(true);
  });

  test('what waits is answered when all is closed', async () => {
    proxy.fault = 'refuses';
    const schemas = freshSchemas();
    const waiting = schemas.resolve([neverGiven]);
    await Promise.all([expect(waiting).rejects.toBeInstanceOf(OutageError), until('it asked', () => proxy.asked.length > 0).then(() => schemas.close())]);
  });
});

test('a registry that answers is believed before the disk', async () => {
  const [registry] = await freshSchemas()
    .resolve([await registered(ownSubject(), eventText)])
    .then(() => readdir(directory));
  await writeFile(join(directory, registry!, `${neverGiven}.json`), JSON.stringify({ id: neverGiven, kind: 'avro', texts: [eventText] }));
  expect(await freshSchemas().resolve([neverGiven])).toEqual([{ id: neverGiven, kind: 'unknown' }]);
});

describe('schemas register', () => {
  test('gives both schemas an id, the same again, with compatibility BACKWARD', async () => {
    const prefix = `test-${randomUUID()}.`;
    const first = await registerSchemas({ url: registryUrl, prefix, log });
    expect(first.map(({ subject }) => subject)).toEqual([`${prefix}inbound-value`, `${prefix}results-value`]);
    expect(await registerSchemas({ url: registryUrl, prefix, log })).toEqual(first);
    expect(await resultSchemaId({ url: registryUrl, prefix, log })).toBe(first[1]!.id);
    for (const { subject } of first) {
      expect(await (await fetch(`${registryUrl}/config/${subject}`)).json()).toEqual({ compatibilityLevel: 'BACKWARD' });
    }
  });

  test('sets compatibility BACKWARD where somebody set it otherwise', async () => {
    const prefix = `test-${randomUUID()}.`;
    const first = await registerSchemas({ url: registryUrl, prefix, log });
    await post(`/config/${prefix}inbound-value`, { compatibility: 'NONE' }, 'PUT');
    expect(await registerSchemas({ url: registryUrl, prefix, log })).toEqual(first);
    expect(await (await fetch(`${registryUrl}/config/${prefix}inbound-value`)).json()).toEqual({ compatibilityLevel: 'BACKWARD' });
  });

  test('is refused where another schema stands that ours cannot follow', async () => {
    const prefix = `test-${randomUUID()}.`;
    await registered(`${prefix}inbound-value`, '{"type":"record","name":"Other","fields":[]}');
    await expect(registerSchemas({ url: registryUrl, prefix, log })).rejects.toBeInstanceOf(CommandError);
  });

  test('by workers that start together on a new registry gives all of them the same id', async () => {
    const prefix = `test-${randomUUID()}.`;
    const ids = await Promise.all(Array.from({ length: 6 }, () => resultSchemaId({ url: registryUrl, prefix, log })));
    expect(new Set(ids).size).toBe(1);
    expect(logged).toEqual([]);
  });

  test('waits for a registry that is silent, and goes on by itself', async () => {
    proxy.fault = 'is silent';
    const waiting = registerSchemas({ url, prefix: `test-${randomUUID()}.`, log });
    await until('it says that it waits', () => logged.length === 1, 20_000);
    proxy.fault = 'none';
    expect(await waiting).toHaveLength(2);
  });

  test('gives up an outage when it is told to', async () => {
    proxy.fault = 'status 500';
    await expect(registerSchemas({ url, prefix: 'test.', log, signal: AbortSignal.timeout(500) })).rejects.toBeInstanceOf(OutageError);
    expect(logged).toEqual(['the schema registry is away; waiting for it']);
  });
});
