/**
 * How far the group is behind, for each partition of this worker, in records (end offset minus committed offset) and in time.
 * Kafka is asked now and then, so that a scrape never waits for it, and a partition that waits (Redis away) is still seen to
 * lag.
 */
import type { TopicNames } from './domain/topics.ts';
import type { Fleet } from './fleet.ts';
import type { Timing, TopicReader } from './ports.ts';

const intervalMs = 2000;

export interface Lag {
  readonly topic: string;
  readonly partition: number;
  readonly records: number;
  /** Age of the oldest record that is not committed; 0 where only markers of Kafka transactions are left. */
  readonly ageMs: number;
}

interface Ends {
  readonly low: number;
  readonly high: number;
  readonly committed: number;
  /** When the oldest record was put into Kafka that is neither committed nor taken by us; null when there is none. */
  readonly waitingSince: number | null;
}

export class LagWatch {
  readonly #fleet: Fleet;
  readonly #reader: TopicReader;
  readonly #topics: TopicNames;
  readonly #timing: Timing;
  readonly #ends = new Map<string, Ends>();

  constructor(ports: { readonly fleet: Fleet; readonly reader: TopicReader; readonly topics: TopicNames; readonly timing: Timing }) {
    this.#fleet = ports.fleet;
    this.#reader = ports.reader;
    this.#topics = ports.topics;
    this.#timing = ports.timing;
  }

  /** Asks until `signal` is aborted; never throws. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const { partition } of this.#fleet.lanes()) {
        for (const topic of [this.#topics.inbound, this.#topics.routed]) {
          if (signal.aborted) return;
          const ends = await this.#ask(topic, partition).catch(() => null);
          if (ends !== null) this.#ends.set(`${topic} ${partition}`, ends);
        }
      }
      await this.#timing.sleep(intervalMs, signal).catch(() => undefined);
    }
  }

  /** From memory. */
  read(): readonly Lag[] {
    const lags: Lag[] = [];
    for (const { partition } of this.#fleet.lanes()) {
      for (const topic of [this.#topics.inbound, this.#topics.routed]) {
        const ends = this.#ends.get(`${topic} ${partition}`);
        if (ends === undefined) continue;
        const committed = this.#committed(topic, partition, ends);
        if (committed === undefined) continue;
        // The two offsets are not read at the same instant.
        const records = Math.max(0, ends.high - committed);
        const since = this.#oldestTaken(topic, partition) ?? (ends.committed === committed ? ends.waitingSince : null);
        lags.push({ topic, partition, records, ageMs: since === null || records === 0 ? 0 : Math.max(0, this.#timing.now() - since) });
      }
    }
    return lags;
  }

  async #ask(topic: string, partition: number): Promise<Ends | null> {
    const marks = await this.#reader.watermarks(topic, partition);
    const committed = this.#committed(topic, partition, marks);
    if (committed === undefined) return null;
    const ends = { ...marks, committed };
    // What was taken tells its age itself. Nothing is while a lane is held, being restored, or halted.
    if (this.#oldestTaken(topic, partition) !== null || committed >= ends.high) return { ...ends, waitingSince: null };
    let waitingSince: number | null = null;
    await this.#reader.readToEnd({ topic, partition, from: committed, before: committed + 1 }, (batch) => {
      waitingSince ??= batch.timestamps[0]!;
    });
    return { ...ends, waitingSince };
  }

  /** Undefined while the lane does not know it yet. */
  #committed(topic: string, partition: number, { low }: { readonly low: number }): number | undefined {
    const committed = this.#fleet.committedPosition(topic, partition);
    return committed === null ? low : committed;
  }

  #oldestTaken(topic: string, partition: number): number | null {
    return this.#fleet.runningBook(partition)?.account.oldest(topic) ?? null;
  }
}
