/**
 * What somebody with bad intentions, or bad luck, would send through the whole fleet: each event has its one answer, the other
 * lanes are served meanwhile, and the worker's memory stays bounded.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { hostileMessages } from '../codec/iso20022/hostile.ts';
import { stackEnvironment } from '../stack.ts';
import { framed, registerSchema } from './harness/avro.ts';
import { Bench, headerText } from './harness/bench.ts';
import type { Sent } from './harness/bench.ts';
import { message, participant, transaction } from './harness/directory.ts';
import { HttpProxy } from './harness/http-proxy.ts';
import { buildMessage } from './harness/message.ts';
import { owningPartition } from './harness/murmur2.ts';
import type { Service } from './harness/processes.ts';

const partitions = 4;
const quiet = owningPartition('COBADEFFXXX', partitions);
const hostile = (quiet + 1) % partitions;
/** A worker that works through 1 MiB worst cases; without bounds the bombs alone would take more. */
const memoryMaxMegabytes = 900;
/** Of a payment of the quiet lane, on a machine as busy as may be. */
const answerMaxMs = 30_000;
const poison = pathToFileURL(join(import.meta.dirname, 'harness/poison-preload.ts')).href;

let registry: HttpProxy;
let bench: Bench;
let worker: Service;

beforeAll(async () => {
  registry = await HttpProxy.start(stackEnvironment().schemaRegistryUrl);
  bench = await Bench.create('hostile', { partitions, participants: [participant('COBADEFFXXX'), participant('DEUTDEFFXXX')], environment: { SCHEMA_REGISTRY_URL: registry.url } });
  worker = await (await bench.startWorker({ NODE_OPTIONS: `--import=${poison}` })).ready();
});
afterAll(async () => {
  await bench?.close();
  await registry?.stop();
});

const good = () => message(transaction());

/** Payments of the quiet lane one after another: the worst of `count`, which is their 99th percentile below a hundred. */
async function quietWorstMs(count = 12): Promise<number> {
  let worst = 0;
  for (let i = 0; i < count; i++) {
    const begun = performance.now();
    expect(await bench.outcome(await bench.send(good()), 1, 60_000)).toMatchObject([{ status: 'ACSC' }]);
    worst = Math.max(worst, performance.now() - begun);
  }
  return worst;
}

const memoryMegabytes = (): number => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${worker.child.pid}/status`, 'utf8'))![1]) / 1000;

/** The quiet lane beside hostile traffic, with the most memory that the worker held. */
async function besides(send: () => Promise<unknown>): Promise<{ worstMs: number; memoryPeak: number }> {
  let memoryPeak = memoryMegabytes();
  const sampling = setInterval(() => (memoryPeak = Math.max(memoryPeak, memoryMegabytes())), 50);
  try {
    const [worstMs] = await Promise.all([quietWorstMs(), send()]);
    return { worstMs, memoryPeak };
  } finally {
    clearInterval(sampling);
  }
}

const codeOf = async (sent: Sent, boundMs = 60_000): Promise<string | undefined> => headerText(await bench.deadLetter(sent, boundMs), 'dlq.code');
const sendHostile = (document: string): Promise<Sent> => bench.sendDocument(document, { partition: hostile, key: null });
const sendBytes = (value: Buffer): Promise<Sent> => bench.sendValue(value, { partition: hostile, key: null });

async function eachAnswered(sent: readonly Sent[]): Promise<void> {
  await bench.waitFor('each event in exactly one place', () => sent.every((event) => bench.resultsOf(event.eventId).length > 0 || bench.deadLettersOf(event).length > 0), 60_000);
  for (const event of sent) expect(Math.min(1, bench.resultsOf(event.eventId).length) + bench.deadLettersOf(event).length).toBe(1);
}

test('messages of 1 MiB in every shape that hurts parsers, and Avro bombs: the quiet lane is served, and memory stays bounded', async () => {
  const aloneMs = await quietWorstMs();
  const nothings = await registerSchema(bench.registryUrl, `${bench.prefix}nothings`, { type: 'array', items: 'null' });
  const empties = await registerSchema(bench.registryUrl, `${bench.prefix}empties`, { type: 'array', items: { type: 'record', name: 'Empty', fields: [] } });
  const deep = await registerSchema(bench.registryUrl, `${bench.prefix}deep`, { type: 'record', name: 'Deep', fields: [{ name: 'next', type: ['null', 'Deep'] }] });
  // A count of 2^31 - 1 items that take no bytes, and a hundred thousand levels of recursion.
  const manyItems = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f, 0]);
  const bombs = [framed(nothings, manyItems), framed(empties, manyItems), framed(deep, Buffer.alloc(100_000, 2))];
  const sent: Sent[] = [];
  const { worstMs, memoryPeak } = await besides(async () => {
    for (const [, document] of hostileMessages()) sent.push(await sendHostile(document));
    for (const bomb of bombs) expect(await codeOf(await sendBytes(bomb))).toMatch(/^(SCHEMA_INCOMPATIBLE|AVRO_INVALID)$/);
    await eachAnswered(sent);
  });
  console.log(`quiet lane, worst of 12: ${Math.round(aloneMs)} ms alone, ${Math.round(worstMs)} ms beside 1 MiB messages (${(worstMs / aloneMs).toFixed(1)} times); ${Math.round(memoryPeak)} MB`);
  expect(worstMs).toBeLessThan(answerMaxMs);
  expect(memoryPeak).toBeLessThan(memoryMaxMegabytes);
}, 180_000);

test.each([10, 100])('%i percent of what comes in cannot be read: each is dead-lettered, and the quiet lane is served', async (percent) => {
  const sent: Sent[] = [];
  const { worstMs } = await besides(async () => {
    sent.push(...(await Promise.all(Array.from({ length: 1_000 }, (_, i) => sendHostile(i % 100 < percent ? '<Document>' : buildMessage(good()))))));
    await eachAnswered(sent);
  });
  expect(worstMs).toBeLessThan(answerMaxMs);
  expect(sent.filter((event) => bench.deadLettersOf(event).length === 1)).toHaveLength(10 * percent);
}, 120_000);

test('a thousand invented schema ids: the registry is asked once for each, the others go on, and each is dead-lettered', async () => {
  const idsFrom = 1_500_000_000;
  registry.requests = 0;
  const sent: Sent[] = [];
  const { worstMs, memoryPeak } = await besides(async () => {
    registry.set('hold');
    sent.push(...(await Promise.all(Array.from({ length: 1_000 }, (_, i) => sendBytes(framed(idsFrom + i, Buffer.from([0])))))));
    await bench.waitFor('the registry to be asked', () => registry.requests > 0);
    await quietWorstMs(3);
    expect(registry.requests).toBeLessThanOrEqual(100);
    expect(sent.some((event) => bench.deadLettersOf(event).length > 0)).toBe(false);
    registry.set('pass');
    await bench.waitFor('a dead letter of each', () => bench.deadLetters.filter((letter) => headerText(letter, 'dlq.code') === 'UNKNOWN_SCHEMA').length >= sent.length, 90_000);
  });
  console.log(`quiet lane beside invented schema ids: worst ${Math.round(worstMs)} ms; ${Math.round(memoryPeak)} MB; ${registry.requests} requests`);
  expect(worstMs).toBeLessThan(answerMaxMs);
  expect(memoryPeak).toBeLessThan(memoryMaxMegabytes);
  expect(registry.requests).toBeLessThan(1.2 * sent.length);
}, 180_000);

test('a message over which threads end, run out of memory or hang, among a hundred good ones: only it is dead-lettered', async () => {
  const sent: Sent[] = [];
  const poisoned: Sent[] = [];
  const { worstMs } = await besides(async () => {
    for (const how of ['POISON-EXIT', 'POISON-EXHAUST', 'POISON-HANG']) {
      const all = await Promise.all(Array.from({ length: 34 }, (_, i) => sendHostile(i === 17 ? `<!-- ${how} -->${buildMessage(good(), { declaration: false })}` : buildMessage(good()))));
      poisoned.push(...all.splice(17, 1));
      sent.push(...all);
    }
    for (const event of poisoned) expect(await codeOf(event, 90_000)).toBe('XML_INVALID');
    await eachAnswered(sent);
  });
  for (const event of sent) expect((await bench.only(event)).status).toBe('ACSC');
  expect(worker.hasEnded).toBe(false);
  console.log(`quiet lane beside threads that end and hang: worst ${Math.round(worstMs)} ms`);
}, 180_000);

test('a key of a megabyte, none, five thousand headers, times before and long after our own, one event id everywhere: each is answered', async () => {
  const headers = Array.from({ length: 5_000 }, (_, i) => ({ key: `header-${i}`, value: Buffer.from('value') }));
  const bigKey = Buffer.alloc(1_000_000, 0x6b);
  const settled = await Promise.all([
    bench.send(good(), { key: bigKey, partition: quiet }), bench.send(good(), { key: null, partition: quiet }), bench.send(good(), { headers }),
    bench.send(good(), { createdAt: -4e15 }), bench.send(good(), { createdAt: 4e15 }), bench.send(good(), { createdAt: 0 }),
  ]);
  for (const event of settled) expect(await bench.only(event)).toMatchObject({ status: 'ACSC', createdAt: event.createdAt });
  const eventId = crypto.randomUUID();
  const everywhere = await Promise.all(Array.from({ length: partitions }, (_, partition) => bench.send(good(), { eventId, partition })));
  await bench.waitFor('an answer in each place', () => bench.resultsOf(eventId).length === everywhere.length);
  expect(bench.resultsOf(eventId).map(({ status }) => status)).toEqual(everywhere.map(() => 'ACSC'));
  const unreadable = await bench.sendValue(Buffer.alloc(1_000_000, 1), { key: bigKey, partition: hostile, headers });
  expect(await codeOf(unreadable)).toBe('NOT_FRAMED');
  expect(bench.deadLettersOf(unreadable)[0]!.key).toEqual(bigKey);
  const many = await bench.send(message(...Array.from({ length: 10_000 }, () => transaction())));
  expect(await codeOf(many)).toBe('OVERSIZE');
}, 120_000);
