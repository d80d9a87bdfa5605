/**
 * How far the group is behind, for each partition of this worker: end offset minus committed offset. The ends are asked
 * for now and then, so that a scrape never waits for Kafka, and a partition that waits (Redis away) is still seen to lag.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { TopicNames } from './domain/topics.ts';
import type { Fleet } from './fleet.ts';
import type { TopicReader } from './ports.ts';

const intervalMs = 2000;

export interface Lag {
  readonly topic: string;
  readonly partition: number;
  readonly records: number;
}

export class LagWatch {
  readonly #fleet: Fleet;
  readonly #reader: TopicReader;
  readonly #topics: TopicNames;
  readonly #ends = new Map<string, { readonly low: number; readonly high: number }>();

  constructor(fleet: Fleet, reader: TopicReader, topics: TopicNames) {
    this.#fleet = fleet;
    this.#reader = reader;
    this.#topics = topics;
  }

  /** Asks until `signal` is aborted; never throws. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const { partition } of this.#fleet.lanes()) {
        for (const topic of [this.#topics.inbound, this.#topics.routed]) {
          if (signal.aborted) return;
          const ends = await this.#reader.watermarks(topic, partition).catch(() => null);
          if (ends !== null) this.#ends.set(`${topic} ${partition}`, ends);
        }
      }
      await sleep(intervalMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** From memory. */
  read(): readonly Lag[] {
    const lags: Lag[] = [];
    for (const { partition } of this.#fleet.lanes()) {
      for (const topic of [this.#topics.inbound, this.#topics.routed]) {
        const ends = this.#ends.get(`${topic} ${partition}`);
        if (ends === undefined) continue;
        const committed = this.#fleet.committedPosition(topic, partition) ?? ends.low;
        lags.push({ topic, partition, records: Math.max(0, ends.high - committed) });
      }
    }
    return lags;
  }
}
