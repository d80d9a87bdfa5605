/** What Prometheus is told, read as Prometheus reads it: from the text of a scrape. */
import { Histogram, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';

import { BatchHistogram } from '../../src/adapters/prometheus/batch-histogram.ts';
import { secondsBuckets } from '../../src/adapters/prometheus/buckets.ts';
import { PrometheusSinkTelemetry } from '../../src/adapters/prometheus/sink-telemetry.ts';
import { PrometheusTelemetry } from '../../src/adapters/prometheus/telemetry.ts';
import type { WorkerView } from '../../src/adapters/prometheus/telemetry.ts';
import { stages } from '../../src/ports.ts';
import { promtool } from '../dashboards/promtool.ts';

const nothing: WorkerView = { lag: () => [], lanes: () => [], accounts: () => [], isReady: () => true, kafkaBridge: true, rebuilds: () => [], bytes: () => ({ lanes: 0, epoch: 0 }), decoder: () => ({ threads: 1, busySeconds: 0 }), capUse: () => [] };

/** Value of each series, by `name{label="value"}`. */
async function scrape(registry: Registry): Promise<ReadonlyMap<string, number>> {
  const lines = (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

describe('the telemetry of a worker', () => {
  it('has what a rule could ask for from the start, with 0', async () => {
    const series = await scrape(new PrometheusTelemetry(nothing).registry);
    const expected = [
      'settlefleet_transactions_aborted_total',
      'settlefleet_end_to_end_seconds_count',
      'settlefleet_commit_seconds_count',
      'settlefleet_results_total{status="ACSC",reason_code=""}',
      'settlefleet_results_total{status="RJCT",reason_code="AM05"}',
      'settlefleet_results_total{status="RJCT",reason_code="FF01"}',
      'settlefleet_dead_letters_total{code="OVERSIZE"}',
      'settlefleet_dead_letters_total{code="TYPE_UNSUPPORTED"}',
      'settlefleet_dedupe_total{outcome="redelivered"}',
      'settlefleet_dependency_up{dependency="kafka"}',
      'settlefleet_dependency_up{dependency="registry"}',
      'settlefleet_dependency_up{dependency="redis"}',
      'settlefleet_stage_seconds_count{stage="settle"}',
    ];
    expect(expected.map((name) => [name, series.get(name)])).toEqual(expected.map((name) => [name, 0]));
  });

  it('says which way records go', async () => {
    const paths = async (registry: Registry): Promise<(number | undefined)[]> => {
      const series = await scrape(registry);
      return ['packed', 'raw'].map((path) => series.get(`settlefleet_kafka_bridge{path="${path}"}`));
    };
    expect(await paths(new PrometheusTelemetry(nothing).registry)).toEqual([1, 0]);
    expect(await paths(new PrometheusSinkTelemetry(() => true, false).registry)).toEqual([0, 1]);
  });

  it('counts what was committed, by status and reason, and by dead-letter code', async () => {
    const telemetry = new PrometheusTelemetry(nothing);
    const report = {
      results: new Map([
        ['ACSC|', 7],
        ['RJCT|AM04', 2],
      ]),
      settled: new Map([['EUR', 123_456_789n]]),
      deadLetters: new Map([['XML_INVALID', 1]]),
      createdAt: [1_000, 1_000, 900],
      journeys: [],
      committedAt: 1_100,
      sealedAt: 0,
      seconds: 0.02,
    };
    telemetry.committed(report);
    telemetry.committed(report);
    const series = await scrape(telemetry.registry);
    expect(series.get('settlefleet_results_total{status="ACSC",reason_code=""}')).toBe(14);
    expect(series.get('settlefleet_results_total{status="RJCT",reason_code="AM04"}')).toBe(4);
    expect(series.get('settlefleet_dead_letters_total{code="XML_INVALID"}')).toBe(2);
    expect(series.get('settlefleet_settled_value_total{currency="EUR"}')).toBeCloseTo(2 * 1234.56789);
    expect(series.get('settlefleet_commit_seconds_count')).toBe(2);
    expect(series.get('settlefleet_end_to_end_seconds_count')).toBe(6);
    expect(series.get('settlefleet_end_to_end_seconds_sum')).toBeCloseTo(0.8);
    expect(series.get('settlefleet_end_to_end_seconds_bucket{le="0.1"}')).toBe(4);
  });

  it('counts events, claims, aborts and dependencies', async () => {
    const telemetry = new PrometheusTelemetry(nothing);
    telemetry.consumed(3, 500);
    telemetry.dedupe('duplicate', 2);
    telemetry.aborted();
    telemetry.dependency('redis', true);
    const series = await scrape(telemetry.registry);
    expect(series.get('settlefleet_events_consumed_total{partition="3"}')).toBe(500);
    expect(series.get('settlefleet_dedupe_total{outcome="duplicate"}')).toBe(2);
    expect(series.get('settlefleet_transactions_aborted_total')).toBe(1);
    expect(series.get('settlefleet_dependency_up{dependency="redis"}')).toBe(1);
  });

  it('reports the lag of the partitions that it has now, never below 0', async () => {
    let lag = [
      { topic: 'payments.inbound', partition: 0, records: 17, ageMs: 1_500 },
      { topic: 'payments.inbound', partition: 1, records: -2, ageMs: 0 },
    ];
    const { registry } = new PrometheusTelemetry({ ...nothing, lag: () => lag });
    const lagOf = async (): Promise<unknown> =>
      [...(await scrape(registry))].filter(([name]) => name.startsWith('settlefleet_consumer_lag'));
    expect(await lagOf()).toEqual([
      ['settlefleet_consumer_lag{topic="payments.inbound",partition="0"}', 17],
      ['settlefleet_consumer_lag{topic="payments.inbound",partition="1"}', 0],
    ]);
    lag = lag.slice(1);
    expect(await lagOf()).toEqual([['settlefleet_consumer_lag{topic="payments.inbound",partition="1"}', 0]]);
  });

  it("divides each result's end-to-end time into stages that add up to it", async () => {
    const telemetry = new PrometheusTelemetry(nothing);
    const journey = { arrivedAt: 1_040, takenAt: 500, takeOverMs: 3, trace: null, decodedAt: 512, begunAt: 520, routedAt: 521, claimedAt: 527, settledAt: 529 };
    telemetry.committed({
      results: new Map([['ACSC|', 3]]),
      settled: new Map(),
      deadLetters: new Map(),
      createdAt: [1_000, 1_030, 400],
      journeys: [
        { ...journey, from: 'kafka', results: 2 },
        { ...journey, from: 'handover', results: 1 },
      ],
      sealedAt: 580,
      // What the clock that never goes back counts from taking over on, the other has counted as well.
      committedAt: 1_040 + 3 + 100,
      seconds: 0.02,
    });
    const series = await scrape(telemetry.registry);
    const sumOf = (stage: string): number => series.get(`settlefleet_stage_seconds_sum{stage="${stage}"}`)!;
    expect(sumOf('kafka')).toBeCloseTo(0.05);
    expect(sumOf('handover')).toBeCloseTo(0.64);
    expect(sumOf('lane')).toBeCloseTo(3 * 0.008);
    expect(sumOf('epoch')).toBeCloseTo(3 * 0.051);
    expect(series.get('settlefleet_stage_seconds_bucket{le="0.025",stage="decode"}')).toBe(3);
    const whole = stages.reduce((sum, stage) => sum + sumOf(stage), 0);
    expect(whole).toBeCloseTo(series.get('settlefleet_end_to_end_seconds_sum')!, 10);
  });

  it('says of each partition what is in flight and what is unaccounted for', async () => {
    const { registry } = new PrometheusTelemetry({ ...nothing, accounts: () => [{ partition: 3, inFlight: 12, unaccounted: 1 }] });
    const series = await scrape(registry);
    expect(series.get('settlefleet_in_flight_events{partition="3"}')).toBe(12);
    expect(series.get('settlefleet_unaccounted_events{partition="3"}')).toBe(1);
  });

  it('says how far a window of claims is filled again, for as long as that lasts', async () => {
    let rebuilds = [{ partition: 3, ratio: 0.4 }];
    const { registry } = new PrometheusTelemetry({ ...nothing, rebuilds: () => rebuilds });
    expect((await scrape(registry)).get('settlefleet_window_rebuild_ratio{partition="3"}')).toBe(0.4);
    rebuilds = [];
    expect((await scrape(registry)).has('settlefleet_window_rebuild_ratio{partition="3"}')).toBe(false);
  });

  it('says who has used most of a debit cap, and of nobody else', async () => {
    const used = { participant: 'COBADEFFXXX', currency: 'EUR', units: -75_000_000n, used: 0.75 };
    let capUse = [used, { ...used, participant: 'DEUTDEFFXXX', used: 0.5 }];
    const { registry } = new PrometheusTelemetry({ ...nothing, capUse: () => capUse });
    const series = await scrape(registry);
    expect(series.get('settlefleet_debit_cap_used_ratio{participant="COBADEFFXXX",currency="EUR"}')).toBe(0.75);
    expect(series.get('settlefleet_position{participant="COBADEFFXXX",currency="EUR"}')).toBe(-750);
    capUse = [];
    expect([...(await scrape(registry)).keys()].filter((name) => name.includes('participant='))).toEqual([]);
  });

  it('counts lanes by state, and says 0 of a state that none is in any more', async () => {
    let lanes = ['running', 'running', 'restoring'];
    const { registry } = new PrometheusTelemetry({ ...nothing, lanes: () => lanes });
    expect((await scrape(registry)).get('settlefleet_lanes{state="restoring"}')).toBe(1);
    lanes = ['running'];
    const series = await scrape(registry);
    expect(series.get('settlefleet_lanes{state="restoring"}')).toBe(0);
    expect(series.get('settlefleet_lanes{state="running"}')).toBe(1);
  });

  it('has the usual metrics of a process', async () => {
    const series = await scrape(new PrometheusTelemetry(nothing).registry);
    for (const name of ['process_resident_memory_bytes', 'process_cpu_seconds_total', 'nodejs_eventloop_lag_p99_seconds']) {
      expect(series.has(name), name).toBe(true);
    }
  });

  it('writes what promtool accepts', async () => {
    const telemetry = new PrometheusTelemetry({ ...nothing, lanes: () => ['running'] });
    const scraped = await telemetry.registry.metrics();
    const ours = scraped.split('\n\n').filter((metric) => metric.includes('settlefleet_')).join('\n');
    expect(promtool(['check', 'metrics'], `${ours}\n`)).toEqual({ status: 0, said: '' });
  });
});

describe('the telemetry of the sink', () => {
  it('counts rows by table and reports the lag of the partitions that it has, over both topics', async () => {
    const telemetry = new PrometheusSinkTelemetry(() => true, false);
    telemetry.lag('payments.results', 2, 5);
    telemetry.lag('payments.dead-letter', 2, 1);
    telemetry.lag('payments.results', 3, 4);
    telemetry.viewsLag(2, 9);
    telemetry.viewsLag(3, 9);
    telemetry.forget('payments.results', 3);
    telemetry.rows('results', 2_000);
    telemetry.dependency('clickhouse', true);
    const series = await scrape(telemetry.registry);
    expect(series.get('settlefleet_sink_rows_total{table="results"}')).toBe(2_000);
    expect(series.get('settlefleet_sink_rows_total{table="dead_letters"}')).toBe(0);
    expect(series.get('settlefleet_sink_lag{partition="2"}')).toBe(6);
    expect(series.has('settlefleet_sink_lag{partition="3"}')).toBe(false);
    expect(series.get('settlefleet_sink_views_lag{partition="2"}')).toBe(9);
    expect(series.has('settlefleet_sink_views_lag{partition="3"}')).toBe(false);
    expect(series.get('settlefleet_dependency_up{dependency="clickhouse"}')).toBe(1);
  });
});

describe('a histogram that takes batches', () => {
  it("says the same as prom-client's own", async () => {
    const [ours, theirs] = [new Registry(), new Registry()];
    const batch = new BatchHistogram({ name: 'x_seconds', help: 'X.', register: ours });
    const single = new Histogram({ name: 'x_seconds', help: 'X.', buckets: [...secondsBuckets], registers: [theirs] });
    const elapsedMs = [0, 1, 2, 99, 100, 101, 250, 60_000, 60_001, 1e7];
    batch.observeSince(elapsedMs.map((ms) => 2e7 - ms), 2e7);
    for (const ms of elapsedMs) single.observe(ms / 1_000);
    expect(await ours.metrics()).toBe(await theirs.metrics());
    const [asJson, expected] = [await ours.getMetricsAsJSON(), await theirs.getMetricsAsJSON()];
    const values = (metrics: unknown): unknown => (metrics as { values: { value: number }[] }[])[0]!.values.map(({ value }) => value);
    expect(values(asJson)).toEqual(values(expected));
  });

  it('counts a start that lies ahead as 0, and leaves out what is no number', async () => {
    const register = new Registry();
    const histogram = new BatchHistogram({ name: 'x_seconds', help: 'X.', register });
    histogram.observeSince([2_000, Number.NaN, Number.NEGATIVE_INFINITY], 1_000);
    const series = await scrape(register);
    expect(series.get('x_seconds_count')).toBe(1);
    expect(series.get('x_seconds_sum')).toBe(0);
  });
});
