/**
 * The sink over a real Kafka and the real embedded engine, as a process: the tables hold exactly what the topics hold.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../until.ts';
import { sql, startSink } from './process.ts';
import type { SinkProcess } from './process.ts';
import { createWorld, deadLettersQuery, noDifferences, parseRows, resultsQuery, viewDifferencesQuery } from './support.ts';
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

/** Waits until the table has as many rows as the topic has records, and compares each; then each materialized view. */
async function expectSame(): Promise<void> {
  const results = await world.expectedResults();
  const deadLetters = await world.expectedDeadLetters();
  await until('the tables have as many rows as the topics', async () => {
    const [counts] = await rows('SELECT toInt32((SELECT count() FROM results)) AS r, toInt32((SELECT count() FROM dead_letters)) AS d');
    return counts!['r'] === results.length && counts!['d'] === deadLetters.length;
  }, 40_000);
  expect(await rows(resultsQuery)).toEqual(results);
  expect(await rows(deadLettersQuery)).toEqual(deadLetters);
  await until('the materialized views equal the plain query', async () => {
    const [differences] = await rows(viewDifferencesQuery);
    return JSON.stringify(differences) === JSON.stringify(noDifferences);
  }, 20_000);
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

describe('the sink, when it ends at any moment', () => {
  it('finds its rows again whole and goes on behind them, wherever SIGKILL met it', { timeout: 240_000 }, async () => {
    for (let round = 0; round < 3; round++) {
      const sink = await start();
      const before = await counted();
      // Inserts of a hundred kilobytes and more follow each other while this goes on.
      const writing = (async () => {
        for (let i = 0; i < 18; i++) await world.writeResults(i % 3, 300);
      })();
      await until('rows are flowing', async () => (await counted()) > before, 30_000);
      await sink.end('SIGKILL');
      await writing;
    }
    await start();
    await expectSame();
  });

  it('ends with exit code 0 on SIGTERM and leaves nothing that it read unstored', { timeout: 120_000 }, async () => {
    const sink = await start();
    await until('it is ready', async () => (await sink.readyz()).status === 200, 20_000);
    await world.writeResults(0, 2000);
    await until('rows are flowing', async () => /sink_rows_total\{table="results"\} [1-9]/.test(await sink.metrics()), 20_000);
    expect(await sink.end('SIGTERM')).toBe(0);
    // Nobody holds the folder now: it is read directly.
    expect(await counted()).toBeGreaterThan(0);
    await start();
    await expectSame();
  });

  it('goes on after it was frozen for longer than its session', { timeout: 120_000 }, async () => {
    const sink = await start();
    await until('it is ready', async () => (await sink.readyz()).status === 200, 20_000);
    sink.child.kill('SIGSTOP');
    await world.writeResults(1, 300);
    await pause(8_000);
    sink.child.kill('SIGCONT');
    await world.writeResults(1, 300);
    await expectSame();
  });
});

describe('the sink, when the topics are others than those it knows', () => {
  it('mixes nothing: it waits, and readyz says whose rows the database holds', { timeout: 120_000 }, async () => {
    const sink = await start();
    await until('it is ready', async () => (await sink.readyz()).status === 200, 20_000);
    await expectSame();
    const before = await counted();
    await sink.end('SIGTERM');

    const other = await createWorld({ partitions: 3 });
    await other.writeResults(0, 20);
    const stranger = await startSink(other, url);
    running.push(stranger);
    await until('readyz says so', async () => (await stranger.readyz()).text.includes(`holds rows of the topic ${world.topics.results}`), 30_000);
    expect((await stranger.readyz()).status).toBe(503);
    expect(await stranger.end('SIGTERM')).toBe(0);
    await other.close();
    expect(await counted()).toBe(before);
  });
});

async function counted(): Promise<number> {
  const [row] = await rows('SELECT toInt32(count()) AS n FROM results');
  return row!['n'] as number;
}

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
