/**
 * What one lane was given, and what of it is not concluded yet, for as long as the lane has its partition. It is the one
 * side of the account that must come out even:
 *
 *     taken from Kafka, counted at the poll    ==    held by committed Kafka transactions, counted from their bytes
 *                                                    + waiting in the lane + in an epoch
 *
 * It counts in outcomes: one for each transaction of an event, one for an event that ends as a whole. A transfer that is
 * handed to another lane is an outcome of this one, and a debt of the other from the moment that takes it. Markers of Kafka
 * transactions take offsets and owe nothing, because records are counted and not offsets.
 */
import type { RecordBatch } from './codec/record-batch.ts';

/** Records that were taken together. */
interface Span {
  readonly last: number;
  readonly records: number;
  /** What they owe; as long as nobody has read them, one for each. */
  outcomes: number;
  /** When the first of them was put into Kafka. */
  readonly since: number;
}

/** Offsets from `from` up to but not including `to`. */
export interface OffsetRange {
  readonly from: number;
  readonly to: number;
}

/** Offsets that were read, and how many records lay there: to be compared with what another client finds. */
export interface TakenRange extends OffsetRange {
  readonly records: number;
}

interface Flow {
  /** Next offset to be taken; null as long as it is not known where the oldest record lies. */
  next: number | null;
  /** In the order of their offsets: those of which it is known what they owe, and those behind. */
  readonly read: Span[];
  readonly unread: Span[];
  /** The newest, but the first of an assignment stays until somebody has asked for it. */
  sample: TakenRange | null;
  sampled: boolean;
  /** The widest that was stepped over since somebody asked. */
  gap: OffsetRange | null;
}

export class LaneAccount {
  readonly #flows: ReadonlyMap<string, Flow>;

  /** Topics with the offsets that the lane begins at. */
  constructor(starts: readonly (readonly [topic: string, next: number | null])[]) {
    this.#flows = new Map(starts.map(([topic, next]) => [topic, { next, read: [], unread: [], sample: null, sampled: false, gap: null }]));
  }

  /** A batch came from Kafka. */
  take({ topic, count, offsets, timestamps }: RecordBatch): void {
    const flow = this.#flow(topic);
    const first = offsets[0]!;
    const last = offsets[count - 1]!;
    flow.unread.push({ last, records: count, outcomes: count, since: timestamps[0]! });
    if (flow.sampled || flow.sample === null) flow.sample = { from: flow.next ?? first, to: last + 1, records: count };
    if (flow.next !== null && first - flow.next > widthOf(flow.gap)) flow.gap = { from: flow.next, to: first };
    flow.next = last + 1;
  }

  /** A batch was read: so many outcomes does it owe. What lies before it in the queue was passed over. */
  owe({ topic, count, offsets }: RecordBatch, outcomes: number): void {
    const { read, unread } = this.#flow(topic);
    const last = offsets[count - 1]!;
    while (unread.length > 0 && unread[0]!.last <= last) {
      const span = unread.shift()!;
      if (span.last === last) span.outcomes = outcomes;
      read.push(span);
    }
  }

  /** Everything below `offset` is committed; gives the outcomes that it owed. */
  conclude(topic: string, offset: number): number {
    const { read, unread } = this.#flow(topic);
    let outcomes = 0;
    for (const spans of [read, unread]) {
      while (spans.length > 0 && spans[0]!.last < offset) outcomes += spans.shift()!.outcomes;
    }
    return outcomes;
  }

  /** Records taken at or above `offset` (left out: all) and not committed. */
  records(topic: string, offset = 0): number {
    let records = 0;
    const { read, unread } = this.#flow(topic);
    for (const spans of [read, unread]) for (const span of spans) if (span.last >= offset) records += span.records;
    return records;
  }

  /** When the oldest record that is taken and not committed was put into Kafka; null when there is none. */
  oldest(topic: string): number | null {
    const { read, unread } = this.#flow(topic);
    return (read[0] ?? unread[0])?.since ?? null;
  }

  /** Something that was taken since the last call, if there is; first of all the first that was. */
  sample(topic: string): TakenRange | null {
    const flow = this.#flow(topic);
    const { sample } = flow;
    if (sample !== null) flow.sampled = true;
    flow.sample = null;
    return sample;
  }

  /** Whether the first batch of the assignment was asked for. */
  wasSampled(topic: string): boolean {
    return this.#flow(topic).sampled;
  }

  /** The widest range of offsets without a record that was stepped over since the last call: markers, or worse. */
  gap(topic: string): OffsetRange | null {
    const flow = this.#flow(topic);
    const { gap } = flow;
    flow.gap = null;
    return gap;
  }

  #flow(topic: string): Flow {
    const flow = this.#flows.get(topic);
    if (flow === undefined) throw new Error(`A lane reads no topic ${topic}.`);
    return flow;
  }
}

function widthOf(range: OffsetRange | null): number {
  return range === null ? 0 : range.to - range.from;
}
