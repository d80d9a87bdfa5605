/**
 * The sink over a real Kafka and a ClickHouse server (its stand-in, where none can be had): outages, answers that never come,
 * and sinks that go on after they were taken for dead.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../until.ts';
import { startStandIn } from './clickhouse-stand-in.ts';
import type { StandIn } from './clickhouse-stand-in.ts';
import { sql, startSink } from './process.ts';
import type { SinkProcess } from './process.ts';
import { createWorld, noDifferences, parseRows, resultsQuery, viewDifferencesQuery } from './support.ts';
import type { SinkWorld } from './support.ts';

const running: SinkProcess[] = [];
let world: SinkWorld;
let clickhouse: StandIn;

beforeEach(async () => {
  world = await createWorld({ partitions: 2 });
  clickhouse = await startStandIn();
});

afterEach(async () => {
  for (const sink of running.splice(0)) {
    sink.child.kill('SIGCONT');
    await sink.end('SIGKILL');
  }
  await clickhouse.close();
  await world.close();
});

async function start(name: string): Promise<SinkProcess> {
  const sink = await startSink(world, clickhouse.url, name);
  running.push(sink);
  return sink;
}

async function storedRows(): Promise<number> {
  try {
    return Number((JSON.parse(await clickhouse.query('SELECT toInt32(count()) AS n FROM results')) as { n: number }).n);
  } catch (error) {
    // The table is made by the first sink that reaches ClickHouse.
    if (String(error).includes('UNKNOWN_')) return 0;
    throw error;
  }
}

async function expectSame(): Promise<void> {
  const expected = await world.expectedResults();
  await until('the table has as many rows as the topic', async () => (await storedRows()) >= expected.length, 40_000);
  expect(parseRows(await clickhouse.query(resultsQuery))).toEqual(expected);
}

async function expectSameViews(): Promise<void> {
  await until('the materialized views equal the plain query', async () => {
    const [differences] = parseRows(await clickhouse.query(viewDifferencesQuery));
    return JSON.stringify(differences) === JSON.stringify(noDifferences);
  }, 20_000);
}

const timeout = 120_000;

describe('the sink on a server', () => {
  it('stores every record as one row, and sql reads them', { timeout }, async () => {
    await world.writeResults(0, 600);
    await world.writeResults(1, 40);
    await start('sink-a');
    await expectSame();
    const answer = await sql(world, clickhouse.url, ['SELECT count() FROM results']);
    expect(answer).toEqual({ exitCode: 0, stdout: '640\n', stderr: '' });
  });

  it('waits for a server that is away at the start and in the middle, says so, and goes on by itself', { timeout }, async () => {
    await clickhouse.goAway();
    await world.writeResults(0, 10);
    const sink = await start('sink-a');
    await until('readyz names ClickHouse', async () => {
      const { status, text } = await sink.readyz();
      return status === 503 && text.includes('ClickHouse');
    }, 20_000);
    await clickhouse.comeBack();
    await expectSame();
    await until('it is ready', async () => (await sink.readyz()).status === 200, 20_000);

    await clickhouse.goAway();
    await world.writeResults(0, 3000);
    await until('readyz names ClickHouse again', async () => (await sink.readyz()).text.includes('ClickHouse'), 20_000);
    await until('the lag is seen', async () => Number(/sink_lag\{partition="0"\} (\d+)/.exec(await sink.metrics())?.[1]) >= 3000, 20_000);
    await clickhouse.comeBack();
    await expectSame();
    await until('the lag is 0', async () => /sink_lag\{partition="0"\} 0\n/.test(await sink.metrics()), 20_000);
    await until('the views hold everything', async () => /sink_views_lag\{partition="0"\} 0\n/.test(await sink.metrics()), 20_000);
    expect(await sink.end('SIGTERM')).toBe(0);
  });

  it('does not double rows whose insert was carried out without an answer', { timeout }, async () => {
    const sink = await start('sink-a');
    await until('it is ready', async () => (await sink.readyz()).status === 200, 20_000);
    clickhouse.loseAnswers(2);
    await world.writeResults(0, 50);
    await world.writeResults(1, 50);
    await expectSame();
    expect(sink.log()).toContain('Rows wait');
    await world.writeResults(0, 5);
    await expectSame();
    await expectSameViews();
  });

  it('refuses the insert of a frozen sink that reaches the server after another sink has taken over', { timeout }, async () => {
    const frozen = await start('sink-frozen');
    await until('it is ready', async () => (await frozen.readyz()).status === 200, 20_000);
    clickhouse.hold('before');
    await world.writeResults(0, 100);
    await until('an insert is on its way', () => clickhouse.held().length > 0, 20_000);
    const late = clickhouse.held()[0]!;
    frozen.child.kill('SIGSTOP');
    clickhouse.hold('nowhere');

    await start('sink-b');
    await world.writeResults(0, 100);
    await expectSame();
    late.release();
    await until('the late insert has an outcome', () => clickhouse.outcomes.has(late.queryId), 20_000);
    expect(clickhouse.outcomes.get(late.queryId)).toBe('refused');

    frozen.child.kill('SIGCONT');
    await world.writeResults(0, 100);
    await world.writeResults(1, 100);
    await expectSame();
  });

  it('counts each row once in the materialized views, when a frozen sink feeds them after another has taken over', { timeout }, async () => {
    const frozen = await start('sink-frozen');
    await until('it is ready', async () => (await frozen.readyz()).status === 200, 20_000);
    clickhouse.hold('feed');
    await world.writeResults(0, 100);
    await until('views are about to be fed', () => clickhouse.held().length > 0, 20_000);
    const late = clickhouse.held()[0]!;
    frozen.child.kill('SIGSTOP');
    clickhouse.hold('nowhere');

    await start('sink-b');
    await world.writeResults(0, 100);
    await expectSame();
    await expectSameViews();
    late.release();
    await until('the late one has an outcome', () => clickhouse.outcomes.has(late.queryId), 20_000);
    expect(clickhouse.outcomes.get(late.queryId)).toBe('refused');
    await expectSameViews();
  });

  it('waits for an insert of a dead sink that still runs, and begins behind its rows', { timeout }, async () => {
    const dead = await start('sink-dead');
    await until('it is ready', async () => (await dead.readyz()).status === 200, 20_000);
    clickhouse.hold('within');
    await world.writeResults(0, 100);
    await until('an insert runs', () => clickhouse.held().length > 0, 20_000);
    const late = clickhouse.held()[0]!;
    clickhouse.hold('nowhere');
    await dead.end('SIGKILL');

    await start('sink-b');
    await world.writeResults(0, 10);
    await expectSame();
    expect(clickhouse.outcomes.get(late.queryId)).toBe('inserted');
  });

  it('shares the partitions of one server among two sinks, and one takes over what the other leaves', { timeout }, async () => {
    const [first, second] = [await start('sink-a'), await start('sink-b')];
    await until('each has claimed a partition', () => [first, second].every((sink) => sink.log().includes('"partitions":2')), 30_000);
    await world.writeResults(0, 200);
    await world.writeResults(1, 200);
    await expectSame();
    await first.end('SIGKILL');
    await world.writeResults(0, 200);
    await world.writeResults(1, 200);
    await expectSame();
    await expectSameViews();
    expect(await second.end('SIGTERM')).toBe(0);
  });
});
