/**
 * Everything that the next Kafka transaction will hold, gathered from all lanes since the last one was sealed. Nothing of
 * it is told before it commits; all of it is told together.
 */
import type { CommittedReport, KafkaTransaction, TopicOffset } from './ports.ts';
import { RecordSlab } from './codec/record-slab.ts';
import { tallyRouted } from './codec/routed.ts';
import type { DeadLetterCode, ReasonCode, TransactionStatus } from './domain/codes.ts';
import type { TopicNames } from './domain/topics.ts';
import type { Journey } from './journey.ts';
import type { LaneBook } from './lane-book.ts';

export class Epoch {
  readonly records = new RecordSlab(1 << 18);
  readonly #books = new Set<LaneBook>();
  readonly #offsets: (TopicOffset & { readonly book: LaneBook })[] = [];
  readonly #createdAt: number[] = [];
  readonly #results = new Map<string, number>();
  readonly #deadLetters = new Map<string, number>();
  readonly #settled = new Map<string, bigint>();
  readonly #journeys: Journey[] = [];

  get isEmpty(): boolean {
    return this.#books.size === 0;
  }

  /** A lane moved on: its offsets, positions and checkpoint belong into this Kafka transaction. */
  touch(book: LaneBook): void {
    this.#books.add(book);
  }

  countResult(status: TransactionStatus, reasonCode: ReasonCode | null, createdAt: number): void {
    const name = `${status}|${reasonCode ?? ''}`;
    this.#results.set(name, (this.#results.get(name) ?? 0) + 1);
    this.#createdAt.push(createdAt);
  }

  /** In 10^-5 of the currency's unit. */
  countSettled(currency: string, units: bigint): void {
    this.#settled.set(currency, (this.#settled.get(currency) ?? 0n) + units);
  }

  countDeadLetter(code: DeadLetterCode): void {
    this.#deadLetters.set(code, (this.#deadLetters.get(code) ?? 0) + 1);
  }

  /** Results so far. */
  get resultCount(): number {
    return this.#createdAt.length;
  }

  /** The newest results came in by this batch; one that brought none matters to its trace only. */
  noteJourney(journey: Journey): void {
    if (journey.results > 0 || journey.trace !== null) this.#journeys.push(journey);
  }

  /** Adds what each lane has to say at the end of an epoch. Nothing may be added afterwards. */
  seal(): KafkaTransaction {
    for (const book of this.#books) {
      for (const place of book.seal(this.records)) this.#offsets.push({ ...place, book });
    }
    return { records: this.records, offsets: this.#offsets.map(({ topic, partition, offset }) => ({ topic, partition, offset })) };
  }

  /** The Kafka transaction is durable. */
  committed(): void {
    for (const offset of this.#offsets) offset.book.noteCommitted(offset);
  }

  /**
   * Outcomes that the records below the committed offsets owe and the Kafka transaction does not hold, by partition; negative
   * where it holds more. Empty when the account comes out even. To be asked once, when the Kafka transaction is durable.
   */
  unaccounted(topics: TopicNames): ReadonlyMap<number, number> {
    const difference = new Map<number, number>();
    const add = (partition: number, outcomes: number): void => {
      difference.set(partition, (difference.get(partition) ?? 0) + outcomes);
    };
    for (const { book, topic, partition, offset } of this.#offsets) add(partition, book.account.conclude(topic, offset));
    for (const [partition, outcomes] of outcomesHeld(this.records, topics)) add(partition, -outcomes);
    for (const [partition, outcomes] of difference) if (outcomes === 0) difference.delete(partition);
    return difference;
  }

  report(committed: Pick<CommittedReport, 'committedAt' | 'sealedAt' | 'seconds'>): CommittedReport {
    return { results: this.#results, settled: this.#settled, deadLetters: this.#deadLetters, createdAt: this.#createdAt, journeys: this.#journeys, ...committed };
  }
}

/** What the records themselves say: outcomes by the partition that came to them. */
function outcomesHeld(records: RecordSlab, topics: TopicNames): ReadonlyMap<number, number> {
  const held = new Map<number, number>();
  const add = (partition: number, outcomes: number): void => {
    held.set(partition, (held.get(partition) ?? 0) + outcomes);
  };
  for (let record = 0; record < records.count; record++) {
    const topic = records.topic(record);
    if (topic === topics.results) add(records.partition(record), 1);
    else if (topic === topics.deadLetter) {
      const origin = records.headers(record)?.findLast(({ key }) => key === 'dlq.partition')?.value;
      add(Number(Buffer.from(origin ?? []).toString()), 1);
    } else if (topic === topics.routed) {
      const { from, transfers } = tallyRouted(records.value(record)!);
      add(from, transfers);
    }
  }
  return held;
}
