/** The schema registry away: known schemas go on, an unknown one makes its partition wait, and nothing is dead-lettered for it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stackEnvironment } from '../stack.ts';
import { eventSchema, framed, registerSchema, switchOffCompatibility } from './harness/avro.ts';
import { Bench, headerText } from './harness/bench.ts';
import type { Sent } from './harness/bench.ts';
import { message, participant, transaction } from './harness/directory.ts';
import { HttpProxy } from './harness/http-proxy.ts';
import type { ProxyMode } from './harness/http-proxy.ts';
import { buildMessage } from './harness/message.ts';
import { owningPartition } from './harness/murmur2.ts';
import type { Service } from './harness/processes.ts';
import { compare } from './harness/truth.ts';

const participants = [participant('COBADEFFXXX'), participant('DEUTDEFFXXX'), participant('SMALDEFFXXX'), participant('BK1ADEFFXXX')];
let registry: HttpProxy;
let bench: Bench;
let worker: Service;

beforeAll(async () => {
  registry = await HttpProxy.start(stackEnvironment().schemaRegistryUrl);
  bench = await Bench.create('registry', { participants, environment: { SCHEMA_REGISTRY_URL: registry.url } });
  worker = await (await bench.startWorker()).ready();
});
afterAll(async () => {
  await bench?.close();
  await registry?.stop();
});

let schemas = 0;

/** A schema that no worker has met, made behind the proxy. */
async function newSchema(): Promise<number> {
  const subject = `${bench.prefix}new-${++schemas}`;
  const id = await registerSchema(bench.registryUrl, subject, { ...(eventSchema as object), doc: `Number ${schemas} of ${bench.prefix}` });
  await switchOffCompatibility(bench.registryUrl, subject);
  return id;
}

async function sendBy(schemaId: number): Promise<Sent> {
  const spec = message(transaction());
  const eventId = crypto.randomUUID();
  const createdAt = Date.now();
  const value = framed(schemaId, bench.encode(buildMessage(spec), { eventId, createdAt }).subarray(5));
  return bench.sendValue(value, { message: spec, eventId, createdAt });
}

const modes: [string, ProxyMode][] = [
  ['refuses connections', 'cut'],
  ['holds its answers', 'hold'],
  ['answers 500', { status: 500, body: '{"error_code":50001,"message":"store"}' }],
  ['answers 404 as a load balancer does', { status: 404, body: '<html>no backend</html>' }],
];

test.each(modes)('a registry that %s: the known schema settles, an unknown one waits, and both are settled after', async (_name, mode) => {
  await bench.settle(message(transaction()));
  const unknown = await newSchema();
  registry.set(mode);
  const [settled] = await bench.settle(message(transaction()));
  expect(settled!.status).toBe('ACSC');
  const before = registry.requests;
  const waiting = await sendBy(unknown);
  const elsewhere = participants.find(({ id }) => owningPartition(id, bench.partitions) !== waiting.partition)!;
  const [other] = await bench.settle(message(transaction({ debtorAgent: { bic: elsewhere.id } })));
  expect(other!.status).toBe('ACSC');
  if (mode !== 'cut') await bench.waitFor('the worker to ask for the schema', () => registry.requests > before);
  expect(bench.resultsOf(waiting.eventId)).toEqual([]);
  expect(bench.deadLetters).toEqual([]);
  expect(worker.hasEnded).toBe(false);
  registry.set('pass');
  expect((await bench.only(waiting)).status).toBe('ACSC');
});

test('a registry that says it has no such schema is believed', async () => {
  const sent = await bench.sendValue(framed(8_888_888, Buffer.from([1])), { key: 'COBADEFFXXX' });
  expect(headerText(await bench.deadLetter(sent), 'dlq.code')).toBe('UNKNOWN_SCHEMA');
  bench.sent.pop();
  bench.deadLetters.pop();
});

test('a worker that starts while the registry is away lives, is not ready and says why; it settles by itself once it is back', async () => {
  expect((await worker.terminate()).code).toBe(0);
  registry.set('cut');
  const sent = await bench.send(message(transaction()));
  worker = await bench.startWorker({ SCHEMA_CACHE_DIR: bench.folder('empty-schemas') });
  const { status, body } = await worker.get('/readyz');
  expect(status).toBe(503);
  expect(body).toMatch(/registry/i);
  expect((await worker.get('/healthz')).status).toBe(200);
  registry.set('pass');
  expect((await bench.only(sent)).status).toBe('ACSC');
  await worker.ready();
});

test('SIGTERM while a partition waits for a schema ends in time, and nothing is lost', async () => {
  const unknown = await newSchema();
  registry.set('cut');
  const waiting = await sendBy(unknown);
  const behind = await bench.send(message(transaction()));
  const ended = await worker.terminate();
  expect(ended.code).toBe(0);
  registry.set('pass');
  worker = await bench.startWorker();
  expect((await bench.only(waiting)).status).toBe('ACSC');
  expect((await bench.only(behind)).status).toBe('ACSC');
});

test('a second worker joins while a partition waits for a schema, and the first is killed: nothing is lost', async () => {
  const unknown = await newSchema();
  registry.set({ status: 503, body: '{}' });
  const waiting = await sendBy(unknown);
  const second = await bench.startWorker();
  const spread = await Promise.all(participants.map(({ id }) => bench.send(message(transaction({ debtorAgent: { bic: id } })))));
  const elsewhere = spread.filter(({ partition }) => partition !== waiting.partition);
  registry.set('pass');
  await second.ready();
  await worker.kill();
  worker = second;
  expect((await bench.only(waiting)).status).toBe('ACSC');
  for (const sent of [...elsewhere, ...spread]) expect((await bench.only(sent)).status).toBe('ACSC');
});

test('everything that was told is what the contract says', async () => {
  await bench.atRest();
  expect(compare({ ...bench, participants, positions: bench.positions() })).toEqual([]);
});
