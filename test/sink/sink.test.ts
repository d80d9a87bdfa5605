/**
 * The sink over a real Kafka and the real embedded engine, as a process: the tables hold exactly what the topics hold.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../until.ts';
import { sql, startSink } from './process.ts';
import type { SinkProcess } from './process.ts';
import { createWorld, deadLettersQuery, parseRows, resultsQuery } from './support.ts';
import type { Row, SinkWorld } from './support.ts';

const running: SinkProcess[] = [];
let world: SinkWorld;
let folder: string;
let url: string;

beforeAll(async () => {
  world = await createWorld({ partitions: 3 });
  folder = await mkdtemp(join(tmpdir(), 'settlefleet-sink-'));
  url = `chdb:${folder}`;
});

afterEach(async () => {
  for (const sink of running.splice(0)) await sink.end('SIGKILL');
});

afterAll(async () => {
  await world.close();
  await rm(folder, { recursive: true, force: true });
});

async function start(name?: string): Promise<SinkProcess> {
  const sink = await startSink(world, url, name);
  running.push(sink);
  return sink;
}

async function rows(query: string): Promise<readonly Row[]> {
  const answer = await sql(world, url, [query, '--format', 'JSONEachRow']);
  if (answer.exitCode !== 0) throw new Error(answer.stderr);
  return parseRows(answer.stdout);
}

/** Waits until the table has as many rows as the topic has records, and compares each. */
async function expectSame(): Promise<void> {
  const results = await world.expectedResults();
  const deadLetters = await world.expectedDeadLetters();
  await until('the tables have as many rows as the topics', async () => {
    const [counts] = await rows('SELECT toInt32((SELECT count() FROM results)) AS r, toInt32((SELECT count() FROM dead_letters)) AS d');
    return counts!['r'] === results.length && counts!['d'] === deadLetters.length;
  }, 40_000);
  expect(await rows(resultsQuery)).toEqual(results);
  expect(await rows(deadLettersQuery)).toEqual(deadLetters);
}

describe('the sink', () => {
  it('stores every committed record as one row, over the gaps that markers and aborted transactions leave', { timeout: 120_000 }, async () => {
    await world.writeResults(0, 700);
    await world.writeResults(1, 30);
    const letter = { topic: world.topics.deadLetter, partition: 2, headers: letterHeaders(7) };
    await world.write([
      { ...letter, key: Buffer.from([0xff, 0x00, 0x09]), value: Buffer.from('<broken') },
      { ...letter, key: null, value: null },
      { ...letter, key: Buffer.from(''), value: Buffer.alloc(0) },
    ]);
    await world.write([{ ...letter, key: null, value: Buffer.from('never') }], 'abort');
    await world.writeResults(1, 20);
    const sink = await start();
    await expectSame();
    expect(await sink.readyz()).toEqual({ status: 200, text: 'ready\n' });
    expect(await sink.end('SIGTERM')).toBe(0);
  });
});

function letterHeaders(offset: number): { key: string; value: Buffer | null }[] {
  const texts = {
    'dlq.code': 'XML_INVALID',
    'dlq.reason': 'not well-formed: "a\tb"',
    'dlq.topic': world.topics.inbound,
    'dlq.partition': '1',
    'dlq.offset': String(offset),
    'dlq.failed-at': '2026-11-23T06:00:00.123Z',
    'dlq.worker': 'w-1',
  };
  return [{ key: 'trace', value: null }, ...Object.entries(texts).map(([key, value]) => ({ key, value: Buffer.from(value) }))];
}
