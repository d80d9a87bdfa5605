/**
 * The metrics that Prometheus scrapes, as lines of CloudWatch's embedded metric format: CloudWatch Logs makes metrics of them,
 * and neither an agent nor a permission of ours is needed.
 *
 * CloudWatch adds up what it is given, so a counter says by how much it has grown since the line before, and a histogram how
 * many observations fell into each bucket since (under the bucket's upper bound, which is never too low). What has not changed
 * is left out: each metric that is written costs money there. Every set of labels is a set of dimensions of its own, beside the
 * process's kind. The worker's name is in each line and no dimension: sums over all workers are what one asks for.
 *
 * Source: "Specification: Embedded metric format", CloudWatch user guide; PutMetricData and Dimension, CloudWatch API reference. The
 * specification speaks of numbers and arrays of at most 100 numbers. That a histogram may be an object { Values, Counts, Min, Max,
 * Count, Sum } with at most 100 of each is in none of them: AWS's own writers do it, awsemfexporter (cWMetricHistogram; Count is
 * ignored) and aws-embedded-metrics-java (Histogram, which cites the limit). An array could not say how often a value was seen.
 */
import { appendFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbeddedMetricSettings } from '../../config-telemetry.ts';
import type { Log, MetricReading, MetricSeries } from '../../ports.ts';

/** MetricDefinitions in one directive. */
const metricsMax = 100;
/** Characters of a dimension's value. */
const dimensionMax = 1024;
const closeDeadlineMs = 2_000;

export interface EmbeddedMetricsOptions {
  readonly settings: EmbeddedMetricSettings;
  /** Of every line; `process` is a dimension, the others can be searched for. */
  readonly teller: { readonly process: string; readonly worker: string };
  readonly read: () => Promise<readonly MetricReading[]>;
  readonly log: Log;
}

/** Writes until it is closed, and once more then. */
export function startEmbeddedMetrics({ settings, teller, read, log }: EmbeddedMetricsOptions): { close(): Promise<void> } {
  const encode = createEncoder(settings.namespace, teller);
  let isFailing = false;
  const write = async (): Promise<void> => {
    try {
      const lines = encode(await read(), Date.now());
      if (lines.length === 0) return;
      const text = lines.map((line) => `${line}\n`).join('');
      if (settings.path === null) process.stdout.write(text);
      else await appendFile(settings.path, text);
      isFailing = false;
    } catch (error) {
      if (!isFailing) log.warn({ path: settings.path, error: String(error) }, 'Embedded metrics cannot be written');
      isFailing = true;
    }
  };
  let writing: Promise<void> = Promise.resolve();
  let isWriting = false;
  const timer = setInterval(() => {
    // A disk that is slower than the interval must not pile up lines.
    if (isWriting) return;
    isWriting = true;
    writing = write().finally(() => {
      isWriting = false;
    });
  }, settings.intervalMs);
  timer.unref();
  return {
    async close() {
      clearInterval(timer);
      await Promise.race([writing.then(write), sleep(closeDeadlineMs, undefined, { ref: false })]);
    },
  };
}

interface Document {
  readonly labels: Readonly<Record<string, string>>;
  readonly definitions: { readonly Name: string; readonly Unit: string }[];
  readonly values: Record<string, unknown>;
}

/** Remembers what was written, so each call gives what is new. */
export function createEncoder(namespace: string, teller: { readonly process: string; readonly worker: string }): (readings: readonly MetricReading[], now: number) => string[] {
  const before = new Map<string, MetricSeries>();
  return (readings, now) => {
    const documents: Document[] = [];
    const open = new Map<string, Document>();
    for (const { name, kind, series } of readings) {
      for (const one of series) {
        const value = kind === 'gauge' ? finite(one.value) : grown(one, before, name);
        if (value === null) continue;
        const key = JSON.stringify(one.labels);
        let document = open.get(key);
        if (document === undefined || document.definitions.length === metricsMax) {
          document = { labels: one.labels, definitions: [], values: {} };
          documents.push(document);
          open.set(key, document);
        }
        document.definitions.push({ Name: name, Unit: unitOf(name, kind) });
        document.values[name] = value;
      }
    }
    return documents.map(({ labels, definitions, values }) =>
      JSON.stringify({
        _aws: { Timestamp: now, CloudWatchMetrics: [{ Namespace: namespace, Dimensions: [['process', ...Object.keys(labels)]], Metrics: definitions }] },
        ...teller,
        ...Object.fromEntries(Object.entries(labels).map(([label, value]) => [label, dimension(value)])),
        ...values,
      }),
    );
  };
}

/** CloudWatch refuses dimensions that are empty, blank, long, or other than printable ASCII. */
function dimension(value: string): string {
  return value.trim() === '' ? 'none' : value.replaceAll(/[^ -~]/gu, '?').slice(0, dimensionMax);
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** By how much a counter or a histogram has grown; null when it has not. */
function grown(series: MetricSeries, before: Map<string, MetricSeries>, name: string): number | object | null {
  const key = `${name} ${JSON.stringify(series.labels)}`;
  const last = before.get(key);
  before.set(key, series);
  const value = series.value - (last?.value ?? 0);
  if (series.buckets === null) return value === 0 ? null : value;
  const { bounds } = series.buckets;
  const counts = series.buckets.counts.map((count, bucket) => count - (last?.buckets?.counts[bucket] ?? 0));
  const filled = counts.flatMap((count, bucket) => (count === 0 ? [] : [{ count, at: bounds[bucket] ?? bounds.at(-1)! }]));
  if (filled.length === 0) return null;
  return {
    Values: filled.map(({ at }) => at),
    Counts: filled.map(({ count }) => count),
    Min: filled[0]!.at,
    Max: filled.at(-1)!.at,
    Count: filled.reduce((sum, { count }) => sum + count, 0),
    Sum: value,
  };
}

function unitOf(name: string, kind: MetricReading['kind']): string {
  if (/_seconds(_total)?$/.test(name)) return 'Seconds';
  if (/_bytes(_total)?$/.test(name)) return 'Bytes';
  return kind === 'counter' ? 'Count' : 'None';
}
