/**
 * A histogram that takes a batch of observations in one call. prom-client's own `observe` builds objects and a hash for each
 * value, 0.24 to 0.38 µs; counting into an array costs 0.04 µs, and it is done for every result.
 */
import { Histogram } from 'prom-client';
import type { Registry } from 'prom-client';

import { secondsBuckets } from './buckets.ts';

const boundsMs = secondsBuckets.map((seconds) => seconds * 1_000);

/** One series: observations by bucket. */
class Observations {
  /** By bucket, not accumulated; the last one is for what is above all bounds. */
  readonly counts = new Float64Array(secondsBuckets.length + 1);
  sumMs = 0;

  add(elapsedMs: number, times: number): void {
    let bucket = 0;
    while (bucket < boundsMs.length && elapsedMs > boundsMs[bucket]!) bucket += 1;
    this.counts[bucket]! += times;
    this.sumMs += elapsedMs * times;
  }

  /**
   * Observes the time from each start until `endMs`, all in milliseconds since the epoch. A start that lies ahead, by a
   * clock that is not ours, counts as 0; one that is no number is left out.
   */
  addSince(startsMs: readonly number[], endMs: number, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const elapsedMs = Math.max(0, endMs - startsMs[i]!);
      if (Number.isFinite(elapsedMs)) this.add(elapsedMs, 1);
    }
  }
}

/** With the label `L` where one is given, of which all values are known beforehand. */
export class BatchHistogram<L extends string = never> extends Histogram {
  readonly #series: ReadonlyMap<string, Observations>;
  readonly #label: string | null;
  readonly #name: string;
  readonly #help: string;

  constructor(options: {
    readonly name: string;
    readonly help: string;
    readonly register: Registry;
    readonly label?: { readonly name: L; readonly values: readonly string[] };
  }) {
    const { name, help, register, label } = options;
    super({ name, help, buckets: [...secondsBuckets], registers: [register], labelNames: label === undefined ? [] : [label.name] });
    this.#name = name;
    this.#help = help;
    this.#label = label?.name ?? null;
    this.#series = new Map((label?.values ?? ['']).map((value) => [value, new Observations()]));
  }

  /** See `Observations.addSince`; of `startsMs` from one index up to but not including another. */
  observeSince(startsMs: readonly number[], endMs: number, { label = '', from = 0, to = startsMs.length } = {}): void {
    this.#series.get(label)!.addSince(startsMs, endMs, from, to);
  }

  /** So many observations of the same time. */
  observeTimes(elapsedMs: number, times: number, label = ''): void {
    this.#series.get(label)!.add(Math.max(0, elapsedMs), times);
  }

  /** What the registry asks of every metric at a scrape, and what `get` is made from; prom-client does not declare it. */
  async getForPromString(): Promise<object> {
    const values = [];
    for (const [value, { counts, sumMs }] of this.#series) {
      const labels = this.#label === null ? {} : { [this.#label]: value };
      let count = 0;
      for (let bucket = 0; bucket < counts.length; bucket += 1) {
        count += counts[bucket]!;
        values.push({ labels: { le: secondsBuckets[bucket] ?? '+Inf', ...labels }, sharedLabels: {}, value: count, metricName: `${this.#name}_bucket` });
      }
      values.push({ labels, sharedLabels: {}, value: sumMs / 1_000, metricName: `${this.#name}_sum` });
      values.push({ labels, sharedLabels: {}, value: count, metricName: `${this.#name}_count` });
    }
    return { name: this.#name, help: this.#help, type: 'histogram', aggregator: 'sum', values };
  }
}
