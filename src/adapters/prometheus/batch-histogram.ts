/**
 * A histogram without labels that takes a batch of observations in one call. prom-client's own `observe` builds objects
 * and a hash for each value, 0.24 to 0.38 µs; counting into an array costs 0.04 µs, and it is done for every result.
 */
import { Histogram } from 'prom-client';
import type { Registry } from 'prom-client';

import { secondsBuckets } from './buckets.ts';

export class BatchHistogram extends Histogram {
  readonly #boundsMs = secondsBuckets.map((seconds) => seconds * 1_000);
  /** By bucket, not accumulated; the last one is for what is above all bounds. */
  readonly #counts = new Float64Array(secondsBuckets.length + 1);
  readonly #name: string;
  readonly #help: string;
  #sumMs = 0;

  constructor(options: { readonly name: string; readonly help: string; readonly register: Registry }) {
    super({ name: options.name, help: options.help, buckets: [...secondsBuckets], registers: [options.register] });
    this.#name = options.name;
    this.#help = options.help;
  }

  /**
   * Observes the time from each start until `endMs`, all in milliseconds since the epoch. A start that lies ahead, by a
   * clock that is not ours, counts as 0; one that is no number is left out.
   */
  observeSince(startsMs: readonly number[], endMs: number): void {
    const bounds = this.#boundsMs;
    for (const startMs of startsMs) {
      const elapsedMs = Math.max(0, endMs - startMs);
      if (!Number.isFinite(elapsedMs)) continue;
      let bucket = 0;
      while (bucket < bounds.length && elapsedMs > bounds[bucket]!) bucket += 1;
      this.#counts[bucket]! += 1;
      this.#sumMs += elapsedMs;
    }
  }

  /** What the registry asks of every metric at a scrape, and what `get` is made from; prom-client does not declare it. */
  async getForPromString(): Promise<object> {
    const values = [];
    let count = 0;
    for (let bucket = 0; bucket < this.#counts.length; bucket += 1) {
      count += this.#counts[bucket]!;
      const le = secondsBuckets[bucket] ?? '+Inf';
      values.push({ labels: { le }, sharedLabels: {}, value: count, metricName: `${this.#name}_bucket` });
    }
    values.push({ labels: {}, sharedLabels: {}, value: this.#sumMs / 1_000, metricName: `${this.#name}_sum` });
    values.push({ labels: {}, sharedLabels: {}, value: count, metricName: `${this.#name}_count` });
    return { name: this.#name, help: this.#help, type: 'histogram', aggregator: 'sum', values };
  }
}
