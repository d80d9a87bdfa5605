/**
 * Compares the lanes' accounts with Kafka, by a client that has no part in the work:
 *
 * - a sample of what was taken is read a second time and counted: the first batch of each assignment, then one now and then.
 *   Markers and aborted records are no records to either, so they make no difference;
 * - offsets that were stepped over must not have been deleted: retention that overtakes a fleet loses events silently;
 * - the group's committed offsets must lie between what the lane knows to be committed and what it has concluded.
 */
import type { TopicNames } from './domain/topics.ts';
import type { Fleet } from './fleet.ts';
import type { LaneBook } from './lane-book.ts';
import type { GroupOffsets, Log, Telemetry, Timing, TopicReader } from './ports.ts';

const intervalMs = 3000;

export class KafkaAudit {
  readonly #fleet: Fleet;
  readonly #reader: TopicReader;
  readonly #group: GroupOffsets;
  readonly #topics: TopicNames;
  readonly #timing: Timing;
  readonly #telemetry: Telemetry;
  readonly #log: Log;
  /** Which lane's newest batch is looked at next. */
  #turn = 0;
  /** By place: how far the group's committed offset lies outside, and how often in a row it did. */
  readonly #outside = new Map<string, { readonly partition: number; readonly offsets: number; readonly times: number }>();

  constructor(ports: {
    readonly fleet: Fleet;
    readonly reader: TopicReader;
    readonly group: GroupOffsets;
    readonly topics: TopicNames;
    readonly timing: Timing;
    readonly telemetry: Telemetry;
    readonly log: Log;
  }) {
    this.#fleet = ports.fleet;
    this.#reader = ports.reader;
    this.#group = ports.group;
    this.#topics = ports.topics;
    this.#timing = ports.timing;
    this.#telemetry = ports.telemetry;
    this.#log = ports.log;
  }

  /** Looks until `signal` is aborted; never throws. What cannot be found out now is looked at again. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.look(signal);
        this.#telemetry.audited('done');
      } catch (error) {
        this.#log.debug({ error: String(error) }, 'The accounts could not be compared with Kafka');
        this.#telemetry.audited('failed');
      }
      await this.#timing.sleep(intervalMs, signal).catch(() => undefined);
    }
  }

  /** Offsets by which the group's committed offset of a partition lies outside. */
  offsetsOutside(partition: number): number {
    let offsets = 0;
    // A process that was stopped for long hears a moment late that its partitions went on under another owner.
    for (const place of this.#outside.values()) if (place.partition === partition && place.times > 1) offsets += place.offsets;
    return offsets;
  }

  /** One round. */
  async look(signal: AbortSignal): Promise<void> {
    const lanes = this.#fleet.lanes();
    const turn = this.#turn++ % Math.max(1, lanes.length);
    for (const [index, { partition }] of lanes.entries()) {
      const book = this.#fleet.runningBook(partition);
      if (book === null) continue;
      for (const topic of [this.#topics.inbound, this.#topics.routed]) {
        if (signal.aborted) return;
        await this.#compareGap(topic, book);
        if (index === turn || !book.account.wasSampled(topic)) await this.#compareSample(topic, book);
      }
    }
    await this.#compareCommitted(lanes.map(({ partition }) => partition));
  }

  async #compareGap(topic: string, { partition, account }: LaneBook): Promise<void> {
    const gap = account.gap(topic);
    if (gap === null) return;
    const { low } = await this.#reader.watermarks(topic, partition);
    const deleted = Math.min(low, gap.to) - gap.from;
    if (deleted > 0) this.#fleet.noteUnaccounted(partition, deleted, `offsets ${gap.from} to ${gap.from + deleted - 1} of ${topic} were deleted before they were read`);
  }

  async #compareSample(topic: string, book: LaneBook): Promise<void> {
    const { partition } = book;
    const taken = book.account.sample(topic);
    if (taken === null) return;
    let found = 0;
    await this.#reader.readToEnd({ topic, partition, from: taken.from, before: taken.to }, ({ offsets, count }) => {
      for (let row = 0; row < count; row++) if (offsets[row]! < taken.to) found++;
    });
    // Deleted meanwhile: nothing can be said.
    if ((await this.#reader.watermarks(topic, partition)).low > taken.from) return;
    if (found !== taken.records) {
      this.#fleet.noteUnaccounted(
        partition,
        found - taken.records,
        `offsets ${taken.from} to ${taken.to - 1} of ${topic} hold ${found} records, and ${taken.records} were taken`,
      );
    }
  }

  async #compareCommitted(partitions: readonly number[]): Promise<void> {
    const places = partitions.flatMap((partition) =>
      [this.#topics.inbound, this.#topics.routed].map((topic) => ({ topic, partition, book: this.#fleet.runningBook(partition) })),
    );
    const known = places.map(({ topic, book }) => book?.committed(topic) ?? null);
    const offsets = await this.#group.committed(places);
    const before = new Map(this.#outside);
    this.#outside.clear();
    places.forEach(({ topic, partition, book }, place) => {
      const offset = offsets[place] ?? null;
      const least = known[place] ?? null;
      // The lane is another by now, or the group has never committed there.
      if (book === null || this.#fleet.runningBook(partition) !== book || least === null || offset === null) return;
      const outside = offset < least ? least - offset : Math.max(0, offset - book.next(topic));
      if (outside === 0) return;
      const name = `${topic} ${partition}`;
      const times = (before.get(name)?.times ?? 0) + 1;
      this.#outside.set(name, { partition, offsets: outside, times });
      if (times === 2) {
        this.#log.error({ topic, partition, offset, known: least, concluded: book.next(topic) }, "Unaccounted for: the group's committed offset is not where this worker put it");
      }
    });
  }
}
