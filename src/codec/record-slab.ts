/**
 * Records to be produced, packed: keys and values back to back in one growing buffer, with columns that say where each
 * lies and where it goes. Written once, sent as often as a Kafka transaction has to be tried.
 */
import type { RecordHeader } from './record-batch.ts';

export class RecordSlab {
  #bytes: Buffer;
  #length = 0;
  #topics: string[] = [];
  #partitions: number[] = [];
  /** Four numbers a record: key start, key length (-1: null), value start, value length (-1: null). */
  #spans: number[] = [];
  #headers: (readonly RecordHeader[] | undefined)[] = [];
  #recordStart = 0;
  #keyLength = -1;

  constructor(bytesInitial = 1 << 16) {
    this.#bytes = Buffer.allocUnsafe(bytesInitial);
  }

  get count(): number {
    return this.#topics.length;
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
  ): void {
    this.#begin(key);
    const start = this.#length;
    let end = write(this.#bytes, start);
    while (end < 0) {
      this.#reserve(this.#bytes.length);
      end = write(this.#bytes, start);
    }
    this.#length = end;
    this.#end(topic, partition, start, end - start);
  }

  /** Everything appended from `start` on, keys and values back to back; in place, valid until the next append. */
  slice(start: number): Buffer {
    return this.#bytes.subarray(start, this.#length);
  }

  topic(record: number): string {
    return this.#topics[record]!;
  }

  partition(record: number): number {
    return this.#partitions[record]!;
  }

  /** In place; valid until the next append. */
  key(record: number): Buffer | null {
    return this.#slice(this.#spans[record * 4]!, this.#spans[record * 4 + 1]!);
  }

  /** In place; valid until the next append. */
  value(record: number): Buffer | null {
    return this.#slice(this.#spans[record * 4 + 2]!, this.#spans[record * 4 + 3]!);
  }

  headers(record: number): readonly RecordHeader[] | undefined {
    return this.#headers[record];
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
    this.#topics.push(topic);
    this.#partitions.push(partition);
    this.#spans.push(this.#recordStart, this.#keyLength, valueStart, valueLength);
    this.#headers.push(headers);
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
