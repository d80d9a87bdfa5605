/**
 * A table of results that ClickHouse cuts by time: blocks end at its borders, and it holds exactly what the topic holds, whatever
 * the order of the times and wherever a sink is killed.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { packRecords } from '../../src/codec/record-batch.ts';
import type { RecordBatch } from '../../src/codec/record-batch.ts';
import { periodNumber } from '../../src/sink/period.ts';
import type { Period, RowBlock } from '../../src/sink/ports.ts';
import { RowText, timeMsMax } from '../../src/sink/row-text.ts';
import { createSink, sinkLimits } from '../../src/sink/sink.ts';
import { until } from '../until.ts';
import { environmentOf, sql, startSink } from './process.ts';
import type { SinkProcess } from './process.ts';
import { createWorld, noDifferences, parseRows, quiet, resultsQuery, resultValue, sampleResult, viewDifferencesQuery } from './support.ts';
import type { Row, SinkWorld } from './support.ts';
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const dayMs = 86_400_000;
const midnight = Date.UTC(2026, 10, 1);

describe('a period', () => {
  it.each([
    ['month', midnight - 1, midnight, false], ['month', midnight, midnight + 29 * dayMs, true], ['month', midnight, Date.UTC(2025, 10, 1), false],
    ['day', midnight - 1, midnight, false], ['day', midnight, midnight + dayMs - 1, true], ['day', -1, 0, false],
    ['none', 0, midnight, true], ['day', timeMsMax, timeMsMax + 400 * dayMs, true], ['month', -1e15, -1e14, true],
  ] as const)('of a %s: are %d and %d in the same one?', (period, one, other, same) => {
    expect(periodNumber(period, one) === periodNumber(period, other)).toBe(same);
  });
});

describe('a text of rows', () => {
  it('gives all rows but the last one, and goes on with it', () => {
    const text = new RowText(8);
    for (const row of ['first', 'second', 'x'.repeat(100_000)]) {
      text.putString(row);
      text.endRow();
    }
    expect(text.takeAllButLast().toString()).toBe('first\nsecond\n');
    text.putString('fourth');
    text.endRow();
    expect(text.byteLength).toBe(100_001 + 7);
    expect(text.take().toString()).toBe(`${'x'.repeat(100_000)}\nfourth\n`);
  });
});

/** Runs the sink over a log in memory and a store that remembers its blocks; resolves when every row was inserted. */
async function blocksOf(period: Period, batches: readonly RecordBatch[], rows: number): Promise<readonly RowBlock[]> {
  const place = { topic: 'results', partition: 0 };
  const blocks: RowBlock[] = [];
  const assignment = [place];
  const waiting = [...batches];
  let flows = false;
  const sink = createSink({
    kafka: {
      start: async () => {}, sources: async () => [{ name: 'results', id: '1' }], assignment: () => assignment, endReached: () => null, commit: () => {}, reachable: () => true, stop: async () => {},
      flow: (places) => void (flows = places.length > 0),
      watermarks: async () => ({ low: 0, high: 1_000_000 }),
      poll: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        return flows && waiting.length > 0 ? [waiting.shift()!] : [];
      },
    },
    directory: { take: () => [] },
    store: {
      prepare: async () => {},
      claim: async (table) => [{ table, partition: 0, claim: 'ours', storedOffset: null, period }],
      insert: async (block) => {
        blocks.push(block);
        return 'stored';
      },
      feedViews: async (_, storedOffset) => storedOffset,
      addDirectoryEntries: async () => {},
      close: async () => {},
    },
    schemas: { resolve: async (ids) => ids.map((id) => ({ id, kind: 'unknown' as const })) },
    tables: new Map([['results', 'results' as const]]),
    limits: { ...sinkLimits, blockAgeMs: 1 },
    retentionDays: 0,
    clock: Date.now,
    log: quiet,
    telemetry: { rows: () => {}, lag: () => {}, viewsLag: () => {}, forget: () => {}, dependency: () => {} },
  });
  const running = sink.run();
  await until('every row was inserted', () => blocks.reduce((sum, block) => sum + block.rows, 0) >= rows, 10_000);
  sink.stop(1000);
  await running;
  return blocks;
}

/** Days on which the results of one partition were decided: borders in both directions, single rows between them. */
const days = [0, 0, 0, 1, 1, 0, 1, 2, 2, 2, 0, 5, 5, 40, 40, 39];

function batch(serials: readonly number[]): RecordBatch {
  return packRecords('results', 0, serials.map((serial) => ({
    key: null, value: resultValue({ ...sampleResult(serial + 1, 0), settledAt: midnight + days[serial % days.length]! * dayMs }, 1), offset: serial * 2, timestamp: 1, headers: null,
  })));
}

describe('the blocks of a sink', () => {
  it.each(['day', 'month', 'none'] as const)('end at the borders of a %s, follow each other and leave nothing out', async (period) => {
    const serials = Array.from({ length: 320 }, (_, serial) => serial);
    const blocks = await blocksOf(period, [batch(serials.slice(0, 100)), batch(serials.slice(100, 101)), batch(serials.slice(101))], serials.length);
    const numberOf = (serial: number): number => periodNumber(period, midnight + days[serial % days.length]! * dayMs);
    const taken: number[] = [];
    for (const block of blocks) {
      const rows = block.text.toString('latin1').split('\n').slice(0, -1).map((line) => line.split('\t'));
      const offsets = rows.map((columns) => Number(columns.at(-1)));
      expect([rows.length, block.firstOffset, block.lastOffset]).toEqual([block.rows, offsets[0], offsets.at(-1)]);
      expect(new Set(offsets.map((offset) => numberOf(offset / 2))).size).toBe(1);
      taken.push(...offsets);
    }
    expect(taken).toEqual(serials.map((serial) => serial * 2));
    const borders = serials.filter((serial) => serial > 0 && numberOf(serial) !== numberOf(serial - 1)).length;
    expect(blocks.length).toBeGreaterThanOrEqual(borders + 1);
    expect(borders).toBe({ none: 0, month: 39, day: 179 }[period]);
  });
});

describe('a sink over a table that is cut by day', () => {
  let world: SinkWorld;
  let folder: string;
  let sink: SinkProcess | undefined;
  beforeAll(async () => {
    world = await createWorld({ partitions: 2 });
    folder = await mkdtemp(join(tmpdir(), 'settlefleet-partitions-'));
  });
  afterEach(async () => {
    await sink?.end('SIGKILL');
  });
  afterAll(async () => {
    await world.close();
    await rm(folder, { recursive: true, force: true });
  });

  const url = (): string => `chdb:${folder}`;
  async function rows(query: string): Promise<readonly Row[]> {
    const answer = await sql(world, url(), [query, '--format', 'JSONEachRow']);
    if (answer.exitCode !== 0) throw new Error(answer.stderr);
    return parseRows(answer.stdout);
  }
  let serial = 0;
  const write = (partition: number, count: number): Promise<void> => world.write(Array.from({ length: count }, () => {
    // A border is an insert: here they are some rows apart.
    const day = days[Math.floor(++serial / 12) % days.length]!;
    const result = { ...sampleResult(serial, partition), settledAt: midnight + day * dayMs };
    return { topic: world.topics.results, partition, key: null, value: resultValue(result, world.schemaId) };
  }));

  it('holds exactly what the topic holds, wherever SIGKILL met it, and its views count each row once', { timeout: 120_000 }, async () => {
    for (const setting of ['day', '']) {
      sink = await startSink(world, url(), 'sink-a', { CLICKHOUSE_PARTITION_BY: setting });
      const writing = (async () => {
        for (let i = 0; i < 4; i++) await write(i % 2, 60);
      })();
      const running = sink;
      await until('rows are flowing', async () => /sink_rows_total\{table="results"\} [1-9]/.test(await running.metrics()), 30_000);
      await sink.end('SIGKILL');
      await writing;
    }
    sink = await startSink(world, url(), 'sink-a');
    const expected = await world.expectedResults();
    await until('every row is stored', async () => Number((await rows('SELECT toInt32(count()) AS n FROM results'))[0]!['n']) === expected.length, 40_000);
    expect(await rows(resultsQuery)).toEqual(expected);
    await until('the views equal the plain query', async () => JSON.stringify((await rows(viewDifferencesQuery))[0]) === JSON.stringify(noDifferences), 20_000);
    const [found] = await rows("SELECT toInt32(uniqExact(partition)) AS partitions FROM system.parts WHERE database = 'payments' AND table = 'results' AND active");
    expect(found).toEqual({ partitions: new Set(days).size });
    expect(expected.length).toBeGreaterThan(12 * days.length);
    expect(await sink.end('SIGTERM')).toBe(0);
  });

  it('refuses a setting that the table was not made with: exit code 2 and one line', async () => {
    const child = spawn(process.execPath, [join(import.meta.dirname, '../../src/main.ts'), 'sink'], {
      env: { ...environmentOf(world, url(), 'sink-b'), CLICKHOUSE_PARTITION_BY: 'month', LOG_LEVEL: 'silent' }, stdio: ['ignore', 'ignore', 'pipe'], timeout: 60_000,
    });
    let told = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (told += text));
    const [code] = (await once(child, 'close')) as [number | null];
    expect({ code, told }).toEqual({ code: 2, told: expect.stringMatching(/^CLICKHOUSE_PARTITION_BY is month, but the table payments\.results was made with day: .+\n$/) as string });
  });
});
