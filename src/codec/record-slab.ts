/**
 * Records to be produced, packed: keys and values back to back in one growing buffer, with columns that say where each
 * lies and where it goes. Written once, sent as often as a Kafka transaction has to be tried.
 */
import type { RecordHeader } from './record-batch.ts';

/** Numbers of a record in `columns`: topic, partition, key start, key length, value start, value length. */
const width = 6;

/** A slab as a native client reads it, in place: valid until the next append. */
export interface PackedSlab {
  readonly bytes: Buffer;
  /** Six numbers a record: place in `topics`, partition, key start, key length (-1: null), value start, value length (-1: null). */
  readonly columns: Int32Array;
  readonly topics: readonly string[];
  /** Three values a header: record, key, value; few records have any. */
  readonly headers: readonly (number | string | Uint8Array | null)[];
}

export class RecordSlab {
  #bytes: Buffer;
  #length = 0;
  #count = 0;
  #columns = new Int32Array(64 * width);
  readonly #topics: string[] = [];
  readonly #topicIndex = new Map<string, number>();
  readonly #headers = new Map<number, readonly RecordHeader[]>();
  #recordStart = 0;
  #keyLength = -1;

  constructor(bytesInitial = 1 << 16) {
    this.#bytes = Buffer.allocUnsafe(bytesInitial);
  }

  get count(): number {
    return this.#count;
  }

  get byteLength(): number {
    return this.#length;
  }

  /** Appends a whole record. */
  append(
    topic: string,
    partition: number,
    key: Uint8Array | string | null,
    value: Uint8Array | string | null,
    headers?: readonly RecordHeader[],
  ): void {
    this.#begin(key);
    const valueStart = this.#length;
    const valueLength = value === null ? -1 : this.#put(value);
    this.#end(topic, partition, valueStart, valueLength, headers);
  }

  /**
   * Appends a record whose value is written in place: `write` gets the buffer and where to begin, and returns the end, or
   * a negative number when there was no room, in which case it is asked again with more.
   */
  appendWith(
    topic: string,
    partition: number,
    key: Uint8Array | string | null,
    write: (bytes: Buffer, start: number) => number,
    headers?: readonly RecordHeader[],
  ): void {
    this.#begin(key);
    const start = this.#length;
    let end = write(this.#bytes, start);
    while (end < 0) {
      this.#reserve(this.#bytes.length);
      end = write(this.#bytes, start);
    }
    this.#length = end;
    this.#end(topic, partition, start, end - start, headers);
  }

  /** Everything appended from `start` on, keys and values back to back; in place, valid until the next append. */
  slice(start: number): Buffer {
    return this.#bytes.subarray(start, this.#length);
  }

  packed(): PackedSlab {
    const headers = Array.from(this.#headers, ([record, list]) => list.flatMap(({ key, value }) => [record, key, value]));
    return { bytes: this.#bytes, columns: this.#columns, topics: this.#topics, headers: headers.flat() };
  }

  topic(record: number): string {
    return this.#topics[this.#columns[record * width]!]!;
  }

  partition(record: number): number {
    return this.#columns[record * width + 1]!;
  }

  /** In place; valid until the next append. */
  key(record: number): Buffer | null {
    return this.#slice(this.#columns[record * width + 2]!, this.#columns[record * width + 3]!);
  }

  /** In place; valid until the next append. */
  value(record: number): Buffer | null {
    return this.#slice(this.#columns[record * width + 4]!, this.#columns[record * width + 5]!);
  }

  headers(record: number): readonly RecordHeader[] | undefined {
    return this.#headers.get(record);
  }

  #begin(key: Uint8Array | string | null): void {
    this.#recordStart = this.#length;
    this.#keyLength = key === null ? -1 : this.#put(key);
  }

  #end(
    topic: string,
    partition: number,
    valueStart: number,
    valueLength: number,
    headers?: readonly RecordHeader[],
  ): void {
    let at = this.#count * width;
    if (at === this.#columns.length) {
      const larger = new Int32Array(this.#columns.length * 2);
      larger.set(this.#columns);
      this.#columns = larger;
    }
    if (headers !== undefined && headers.length > 0) this.#headers.set(this.#count, headers);
    this.#columns[at++] = this.#indexOf(topic);
    this.#columns[at++] = partition;
    this.#columns[at++] = this.#recordStart;
    this.#columns[at++] = this.#keyLength;
    this.#columns[at++] = valueStart;
    this.#columns[at] = valueLength;
    this.#count++;
  }

  #indexOf(topic: string): number {
    let index = this.#topicIndex.get(topic);
    if (index === undefined) {
      index = this.#topics.push(topic) - 1;
      this.#topicIndex.set(topic, index);
    }
    return index;
  }

  #put(data: Uint8Array | string): number {
    if (typeof data === 'string') {
      this.#reserve(data.length * 3);
      const written = this.#bytes.write(data, this.#length);
      this.#length += written;
      return written;
    }
    this.#reserve(data.length);
    this.#bytes.set(data, this.#length);
    this.#length += data.length;
    return data.length;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + bytes));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }

  #slice(start: number, length: number): Buffer | null {
    return length < 0 ? null : this.#bytes.subarray(start, start + length);
  }
}
