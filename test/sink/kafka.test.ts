/**
 * The sink and a Kafka that goes away, comes back, or is not the one it was.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startKafka } from '../stack.ts';
import type { OwnKafka } from '../stack.ts';
import { until } from '../until.ts';
import { sql, startSink } from './process.ts';
import { createWorld, parseRows, resultsQuery } from './support.ts';
import type { SinkWorld } from './support.ts';

let kafka: OwnKafka;
let world: SinkWorld;
let folder: string;
const url = (): string => `chdb:${folder}/data`;

beforeAll(async () => {
  kafka = await startKafka();
  world = await createWorld({ partitions: 2, brokers: kafka.brokers });
  folder = await mkdtemp(join(tmpdir(), 'settlefleet-sink-kafka-'));
});

afterAll(async () => {
  await world.close();
  await kafka.remove();
  await rm(folder, { recursive: true, force: true });
});

async function expectSame(): Promise<void> {
  const expected = await world.expectedResults();
  await until('the table has as many rows as the topic', async () => {
    return (await sql(world, url(), ['SELECT count() FROM results'])).stdout === `${expected.length}\n`;
  }, 40_000);
  expect(parseRows((await sql(world, url(), [resultsQuery, '--format', 'JSONEachRow'])).stdout)).toEqual(expected);
}

describe('the sink, when its topics are created anew under the same names', () => {
  it('mixes nothing: it waits and says so, at the start and while it runs, until the tables are empty', { timeout: 180_000 }, async () => {
    const first = await startSink(world, url());
    try {
      await world.writeResults(0, 500);
      await expectSame();
      await world.recreateTopics();
      await world.writeResults(0, 900);
      const says = async (sink: typeof first): Promise<boolean> => (await sink.readyz()).text.includes('holds rows of the topic');
      await until('the running sink says so', () => says(first), 60_000);
      await first.end('SIGTERM');
      const second = await startSink(world, url());
      await until('a new sink says so', () => says(second), 30_000);
      expect((await sql(world, url(), ['SELECT count(), max(result_offset) < 600 FROM results'])).stdout).toBe('500\t1\n');
      expect(await second.end('SIGTERM')).toBe(0);
    } finally {
      await first.end('SIGKILL');
      await rm(folder, { recursive: true });
    }
  });
});

describe('the sink, when Kafka is away', () => {
  it('waits at the start and in the middle, says so, and goes on by itself', { timeout: 180_000 }, async () => {
    await world.writeResults(0, 100);
    await kafka.kill();
    const sink = await startSink(world, url());
    try {
      expect(await sink.readyz()).toEqual({ status: 503, text: 'waiting for Kafka and for the topics\n' });
      await kafka.start();
      await expectSame();
      await until('it is ready', async () => (await sink.readyz()).status === 200, 20_000);

      await kafka.kill();
      await until('readyz says so', async () => (await sink.readyz()).text.includes('Kafka does not answer'), 30_000);
      await kafka.start();
      await world.writeResults(1, 100);
      await expectSame();
      await until('it is ready again', async () => (await sink.readyz()).status === 200, 20_000);

      await kafka.kill();
      expect(await sink.end('SIGTERM')).toBe(0);
      await kafka.start();
    } finally {
      await sink.end('SIGKILL');
    }
  });
});
