/**
 * Everything that the next Kafka transaction will hold, gathered from all lanes since the last one was sealed. Nothing of
 * it is told before it commits; all of it is told together.
 */
import type { CommittedReport, KafkaTransaction, TopicOffset } from './ports.ts';
import { RecordSlab } from './codec/record-slab.ts';
import type { DeadLetterCode, ReasonCode, TransactionStatus } from './domain/codes.ts';
import type { LaneBook } from './lane-book.ts';

export class Epoch {
  readonly records = new RecordSlab(1 << 18);
  readonly #books = new Set<LaneBook>();
  readonly #offsets: (TopicOffset & { readonly book: LaneBook })[] = [];
  readonly #createdAt: number[] = [];
  readonly #results = new Map<string, number>();
  readonly #deadLetters = new Map<string, number>();

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

  countDeadLetter(code: DeadLetterCode): void {
    this.#deadLetters.set(code, (this.#deadLetters.get(code) ?? 0) + 1);
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

  report(committedAt: number, seconds: number): CommittedReport {
    return { results: this.#results, deadLetters: this.#deadLetters, createdAt: this.#createdAt, committedAt, seconds };
  }
}
