/**
 * What the registry holds at this moment, as plain values for the status page: the same series that Prometheus scrapes,
 * with a histogram's buckets in one array. Made only when somebody asks.
 */
import type { Registry } from 'prom-client';

export interface Series {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

export interface HistogramSeries {
  readonly labels: Readonly<Record<string, string | number>>;
  /** Upper bounds in seconds; one more count than bounds, for what is above all of them. */
  readonly bounds: readonly number[];
  /** By bucket, not accumulated. */
  readonly counts: readonly number[];
  readonly sum: number;
}

export interface RegistrySnapshot {
  readonly values: Readonly<Record<string, readonly Series[]>>;
  readonly histograms: Readonly<Record<string, readonly HistogramSeries[]>>;
}

/** What the page shows; others of ours may have many series. */
const shown = new Set([
  'settlefleet_end_to_end_seconds', 'settlefleet_commit_seconds', 'settlefleet_stage_seconds', 'settlefleet_results_total',
  'settlefleet_dead_letters_total', 'settlefleet_events_consumed_total', 'settlefleet_transactions_aborted_total',
  'settlefleet_consumer_lag', 'settlefleet_lag_seconds', 'settlefleet_unaccounted_events', 'settlefleet_dependency_up',
  'settlefleet_sink_rows_total', 'settlefleet_sink_lag',
]);

export async function snapshotRegistry(registry: Registry): Promise<RegistrySnapshot> {
  const values: Record<string, readonly Series[]> = {};
  const histograms: Record<string, readonly HistogramSeries[]> = {};
  for (const metric of registry.getMetricsAsArray()) {
    // Node's own are left alone: asking for the event loop's lag makes prom-client forget it, and the next scrape be wrong.
    if (!shown.has(metric.name)) continue;
    const { type, values: series } = await (metric as unknown as Readable).get();
    if (type === 'histogram') histograms[metric.name] = gather(series);
    else values[metric.name] = series.map(({ labels, value }) => ({ labels, value }));
  }
  return { values, histograms };
}

/** What the registry asks of each metric at a scrape; prom-client does not declare it. */
export interface Readable {
  get(): Promise<{ readonly type: string; readonly values: readonly RawValue[] }>;
}

interface RawValue {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName?: string;
}

/** prom-client gives a line for each bucket, counts accumulated, as a scrape has it. */
export function gather(lines: readonly RawValue[]): HistogramSeries[] {
  const found = new Map<string, { labels: RawValue['labels']; bounds: number[]; counts: number[]; sum: number; below: number }>();
  for (const { labels, value, metricName } of lines) {
    const { le, ...own } = labels;
    const name = JSON.stringify(own);
    let series = found.get(name);
    if (series === undefined) found.set(name, (series = { labels: own, bounds: [], counts: [], sum: 0, below: 0 }));
    if (le !== undefined) {
      if (le !== '+Inf') series.bounds.push(Number(le));
      series.counts.push(value - series.below);
      series.below = value;
    } else if (metricName?.endsWith('_sum') === true) {
      series.sum = value;
    }
  }
  return Array.from(found.values(), ({ labels, bounds, counts, sum }) => ({ labels, bounds, counts, sum }));
}
