/** Latencies in an HdrHistogram: three digits exact from a microsecond to ten minutes, and mergeable over rounds. */
import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64 } from 'hdr-histogram-js';
import type { Histogram } from 'hdr-histogram-js';

const microsecondsMax = 600_000_000;

export class Latencies {
  readonly #histogram: Histogram;

  constructor(histogram: Histogram = build({ lowestDiscernibleValue: 1, highestTrackableValue: microsecondsMax, numberOfSignificantValueDigits: 3, bitBucketSize: 32 })) {
    this.#histogram = histogram;
  }

  /** All of these together; of none an empty one. */
  static merge(encoded: readonly string[]): Latencies {
    const merged = new Latencies();
    for (const one of encoded) merged.#histogram.add(decodeFromCompressedBase64(one, 32));
    return merged;
  }

  /** What is longer than ten minutes counts as ten minutes, what is not longer than nothing as a microsecond. */
  record(microseconds: number): void {
    this.#histogram.recordValue(Math.min(microsecondsMax, Math.max(1, Math.round(microseconds))));
  }

  get count(): number {
    return this.#histogram.totalCount;
  }

  /** Milliseconds; NaN where nothing was recorded. `share` 0 to 1. */
  quantile(share: number): number {
    return this.count === 0 ? NaN : this.#histogram.getValueAtPercentile(share * 100) / 1000;
  }

  get mostMilliseconds(): number {
    return this.count === 0 ? NaN : this.#histogram.maxValue / 1000;
  }

  encode(): string {
    return encodeIntoCompressedBase64(this.#histogram);
  }
}
