/** CloudWatch adds up what it is given: each line says what is new, within the limits of the embedded metric format. */
import { describe, expect, it } from 'vitest';
import { createEncoder } from '../../src/adapters/cloudwatch/embedded-metrics.ts';
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
});
