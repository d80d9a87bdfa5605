/**
 * The results of one partition with room to look ahead: where a result stands that nobody speaks of, the ones behind it
 * must still find their checkpoint.
 */
import { decodePaymentResult } from '../codec/payment-result.ts';
import type { PaymentResult } from '../codec/payment-result.ts';
import { keyBytes, valueBytes } from '../codec/record-batch.ts';
import type { RecordBatch } from '../codec/record-batch.ts';

export interface ResultRow {
  readonly batch: RecordBatch;
  /** In the batch. */
  readonly index: number;
  readonly offset: number;
  /** Null: the value cannot be read as a PaymentResult. */
  readonly result: PaymentResult | null;
}

/** As a checkpoint names a result. */
export function placeOf(result: PaymentResult): string {
  return `${result.inboundPartition}:${result.inboundOffset}:${result.transactionIndex}`;
}

export function rowKey(row: ResultRow): Uint8Array | null {
  return keyBytes(row.batch, row.index);
}

export class ResultCursor {
  readonly #batches: AsyncIterator<RecordBatch>;
  readonly #onRow: (row: ResultRow) => void;
  #rows: ResultRow[] = [];
  #head = 0;
  #ended = false;

  /** `onRow` is called for each record once, in order, when it is read. */
  constructor(batches: AsyncIterator<RecordBatch>, onRow: (row: ResultRow) => void) {
    this.#batches = batches;
    this.#onRow = onRow;
  }

  /** Reads until so many rows are there or the end is; gives how many there are, at most `count`. */
  async have(count: number): Promise<number> {
    while (this.#rows.length - this.#head < count && !this.#ended) {
      const next = await this.#batches.next();
      if (next.done === true) this.#ended = true;
      else this.#take(next.value);
    }
    return Math.min(count, this.#rows.length - this.#head);
  }

  at(index: number): ResultRow {
    return this.#rows[this.#head + index]!;
  }

  drop(count: number): void {
    this.#head += count;
    if (this.#head > 1 << 14) {
      this.#rows = this.#rows.slice(this.#head);
      this.#head = 0;
    }
  }

  /** How far ahead the result at this place stands, among the next `countMax`; -1 when it is not there. */
  async find(place: string, countMax: number): Promise<number> {
    let seen = 0;
    for (let wanted = 1; seen < countMax; wanted = Math.min(countMax, wanted * 4)) {
      const there = await this.have(wanted);
      for (; seen < there; seen++) {
        const { result } = this.at(seen);
        if (result !== null && placeOf(result) === place) return seen;
      }
      if (there < wanted) return -1;
    }
    return -1;
  }

  async close(): Promise<void> {
    await this.#batches.return?.();
  }

  #take(batch: RecordBatch): void {
    for (let index = 0; index < batch.count; index++) {
      const value = valueBytes(batch, index);
      let result: PaymentResult | null = null;
      try {
        if (value !== null) result = decodePaymentResult(value);
      } catch {
        // Told with its offset when its turn comes.
      }
      const row = { batch, index, offset: batch.offsets[index]!, result };
      this.#rows.push(row);
      this.#onRow(row);
    }
  }
}
