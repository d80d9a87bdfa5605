/** CloudWatch adds up what it is given: each line says what is new, within the limits of the embedded metric format. */
import { describe, expect, it } from 'vitest';
import { createEncoder } from '../../src/adapters/cloudwatch/embedded-metrics.ts';
import { createRegistryReader } from '../../src/adapters/prometheus/registry-readings.ts';
import { PrometheusSinkTelemetry } from '../../src/adapters/prometheus/sink-telemetry.ts';
import { PrometheusTelemetry } from '../../src/adapters/prometheus/telemetry.ts';
import type { MetricReading } from '../../src/ports.ts';

const teller = { process: 'worker', worker: 'w-1' };
const encoder = (): ((readings: readonly MetricReading[]) => Record<string, unknown>[]) => {
  const encode = createEncoder('Payments', teller);
  return (readings) => encode(readings, 1_700_000_000_000).map((line) => JSON.parse(line) as Record<string, unknown>);
};
const metric = (name: string, kind: 'counter' | 'gauge', value: number, labels: Record<string, string> = {}): MetricReading =>
  ({ name, help: '', kind, series: [{ labels, value, buckets: null }] });
const histogram = (counts: readonly number[], sum: number): MetricReading =>
  ({ name: 'h_seconds', help: '', kind: 'histogram', series: [{ labels: {}, value: sum, buckets: { bounds: [0.1, 1], counts } }] });

describe('embedded metrics', () => {
  it('are a line for each set of labels, with the names that CloudWatch looks for', () => {
    expect(encoder()([metric('a_total', 'counter', 3, { status: 'ACSC', reason_code: '' }), metric('b_bytes', 'gauge', 7)])).toEqual([
      {
        _aws: { Timestamp: 1_700_000_000_000, CloudWatchMetrics: [{ Namespace: 'Payments', Dimensions: [['process', 'status', 'reason_code']], Metrics: [{ Name: 'a_total', Unit: 'Count' }] }] },
        ...teller, status: 'ACSC', reason_code: 'none', a_total: 3,
      },
      {
        _aws: { Timestamp: 1_700_000_000_000, CloudWatchMetrics: [{ Namespace: 'Payments', Dimensions: [['process']], Metrics: [{ Name: 'b_bytes', Unit: 'Bytes' }] }] },
        ...teller, b_bytes: 7,
      },
    ]);
  });

  it('say by how much a counter has grown, and nothing where it has not; a gauge says where it stands', () => {
    const encode = encoder();
    const told = [[3, 5], [3, 5], [10, 4]].map(([count, level]) => encode([metric('a_total', 'counter', count!), metric('g', 'gauge', level!)]).map((line) => [line['a_total'], line['g']]));
    expect(told).toEqual([[[3, 5]], [[undefined, 5]], [[7, 4]]]);
  });

  it('say how many observations fell into each bucket since, under its upper bound, and their true sum', () => {
    const encode = encoder();
    expect(encode([histogram([2, 0, 1], 12.5)])[0]!['h_seconds']).toEqual({ Values: [0.1, 1], Counts: [2, 1], Min: 0.1, Max: 1, Count: 3, Sum: 12.5 });
    expect(encode([histogram([2, 0, 1], 12.5)])).toEqual([]);
    expect(encode([histogram([2, 4, 1], 15)])[0]!['h_seconds']).toEqual({ Values: [1], Counts: [4], Min: 1, Max: 1, Count: 4, Sum: 2.5 });
  });

  it('have at most a hundred metrics in a line, and none that is no number', () => {
    const many = Array.from({ length: 230 }, (_, i) => metric(`g${i}`, 'gauge', i === 7 ? NaN : i));
    const lines = encoder()(many);
    const named = lines.map((line) => (line['_aws'] as { CloudWatchMetrics: [{ Metrics: { Name: string }[] }] }).CloudWatchMetrics[0].Metrics.map(({ Name }) => Name));
    expect(named.map((names) => names.length)).toEqual([100, 100, 29]);
    expect(named.flat()).not.toContain('g7');
  });

  it('have values of dimensions that CloudWatch takes, whatever a label says', () => {
    const said = [' ', 'Grüße\n', 'x'.repeat(2000)].map((label) => encoder()([metric('g', 'gauge', 1, { label })])[0]!['label']);
    expect(said).toEqual(['none', 'Gr??e?', 'x'.repeat(1024)]);
  });

  it('of a worker and of a sink keep every rule of the specification', async () => {
    const worker = new PrometheusTelemetry({
      lag: () => Array.from({ length: 64 }, (_, partition) => ({ topic: 'payments.inbound', partition, records: 3, ageMs: 20 })),
      lanes: () => ['running'], accounts: () => [{ partition: 0, inFlight: 2, unaccounted: 0 }], isReady: () => true, kafkaBridge: true,
      rebuilds: () => [], bytes: () => ({ lanes: 1, epoch: 2 }), decoder: () => ({ threads: 1, busySeconds: 3 }), capUse: () => [],
    });
    // An observation in each bucket of the histograms.
    const ages = Array.from({ length: 40 }, (_, i) => 100_000 - 1.5 ** i);
    worker.committed({
      results: new Map([['ACSC|', 30], ['RJCT|AM04', 10]]), settled: new Map([['EUR', 5n]]), deadLetters: new Map([['XML_INVALID', 1]]),
      createdAt: ages, journeys: [], committedAt: 100_000, sealedAt: 0, seconds: 0.02,
    });
    worker.dependency('redis', true);
    for (const telemetry of [worker, new PrometheusSinkTelemetry(() => true, false)]) {
      const reader = createRegistryReader(telemetry.registry);
      const lines = createEncoder('Payments', teller)(await reader.read(), Date.now());
      reader.close();
      expect(lines.length).toBeGreaterThan(3);
      expect(lines.flatMap(breaches)).toEqual([]);
    }
  });
});

/** From "Standard units", MetricDatum, CloudWatch API reference; those that the specification's JSON schema lists. */
const units = /^(Seconds|Microseconds|Milliseconds|(Bytes|Kilobytes|Megabytes|Gigabytes|Terabytes|Bits|Kilobits|Megabits|Gigabits|Terabits|Count)(\/Second)?|Percent|None)$/;
const isText = (value: unknown, most: number): boolean => typeof value === 'string' && value.length >= 1 && value.length <= most;

/**
 * What a line does against "Specification: Embedded metric format" (CloudWatch user guide: its MUSTs and its JSON schema), in the
 * stricter of its versions where they differ (9 dimensions, 256 KB; today 30 and 1 MB), and against Dimension (API reference).
 */
function breaches(line: string): string[] {
  const found: string[] = [];
  const must = (holds: boolean, rule: string): unknown => holds || found.push(`${rule}: ${line.slice(0, 400)}`);
  must(Buffer.byteLength(line) <= 256 << 10 && !line.includes('\n'), 'one log event of at most 256 KB');
  const root = JSON.parse(line) as Record<string, unknown>;
  const { Timestamp, CloudWatchMetrics, ...rest } = root['_aws'] as Record<string, unknown>;
  must(Number.isInteger(Timestamp) && Math.abs(Number(Timestamp) - Date.now()) < 60_000, 'Timestamp in milliseconds since 1970');
  must(Object.keys(rest).length === 0, 'no further metadata');
  for (const directive of CloudWatchMetrics as Record<string, unknown>[]) {
    must(Object.keys(directive).toSorted().join() === 'Dimensions,Metrics,Namespace', 'a directive has Namespace, Dimensions, Metrics');
    must(isText(directive['Namespace'], 255), 'Namespace of 1 to 255 characters');
    const sets = directive['Dimensions'] as string[][];
    must(sets.length >= 1, 'a set of dimensions');
    for (const set of sets) {
      must(set.length <= 9 && new Set(set).size === set.length, 'at most 9 dimensions, each once');
      for (const name of set) {
        must(isText(name, 255) && /^[!-~]+$/.test(name) && !name.startsWith(':'), 'name of a dimension');
        must(isText(root[name], 1024) && /^[ -~]*[!-~][ -~]*$/.test(String(root[name])), 'value of a dimension at the root, ASCII, not blank');
      }
    }
    const metrics = directive['Metrics'] as { Name: string; Unit?: string }[];
    must(metrics.length <= 100 && new Set(metrics.map(({ Name }) => Name)).size === metrics.length, 'at most 100 metrics, each once');
    for (const { Name, Unit, ...others } of metrics) {
      must(isText(Name, 255) && Object.keys(others).length === 0, 'a metric has Name and Unit');
      must(Unit === undefined || units.test(Unit), `unit ${Unit}`);
      must(isTarget(root[Name]), `${Name} is a number at the root, or a histogram of at most 100 values`);
    }
  }
  return found;
}

/** The histogram as AWS's writers have it (awsemfexporter, aws-embedded-metrics-java). */
function isTarget(value: unknown): boolean {
  if (typeof value === 'number') return true;
  if (typeof value !== 'object' || value === null) return false;
  const { Values, Counts, Min, Max, Count, Sum, ...others } = value as Record<string, unknown>;
  const isNumbers = (list: unknown): list is number[] => Array.isArray(list) && list.length >= 1 && list.length <= 100 && list.every((one) => typeof one === 'number');
  return isNumbers(Values) && isNumbers(Counts) && Values.length === Counts.length && Object.keys(others).length === 0
    && Count === Counts.reduce((sum, one) => sum + one, 0) && Min === Math.min(...Values) && Max === Math.max(...Values) && typeof Sum === 'number';
}
