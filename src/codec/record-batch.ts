/**
 * Consecutive records of one partition, packed: all keys and values lie back to back in one buffer, and typed columns
 * say where. It is what Kafka adapters give, and what crosses to a worker thread without a copy for each record.
 *
 * The bytes lie in shared memory, so that a worker thread reads them in place, and so that they are still here when a
 * thread dies over them: a dead letter needs the original bytes.
 */
export interface RecordBatch {
  readonly topic: string;
  readonly partition: number;
  readonly count: number;
  /** Keys and values, back to back. Backed by a SharedArrayBuffer. */
  readonly bytes: Uint8Array;
  /** Start of each key in `bytes`; -1 is a null key. */
  readonly keyStart: Int32Array;
  readonly keyLength: Int32Array;
  /** Start of each value in `bytes`; -1 is a null value. */
  readonly valueStart: Int32Array;
  readonly valueLength: Int32Array;
  /** Exact up to 2^53. */
  readonly offsets: Float64Array;
  /** Milliseconds since the epoch. */
  readonly timestamps: Float64Array;
  /** Null where a record has none. Never crosses to a thread. */
  readonly headers: readonly (readonly RecordHeader[] | null)[];
}

export interface RecordHeader {
  readonly key: string;
  readonly value: Uint8Array | null;
}

/** One record, as the packer takes it. */
export interface LooseRecord {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly offset: number;
  readonly timestamp: number;
  readonly headers: readonly RecordHeader[] | null;
}

/** Packs loose records of one partition, in their order. */
export function packRecords(topic: string, partition: number, records: readonly LooseRecord[]): RecordBatch {
  const count = records.length;
  let size = 0;
  for (const record of records) size += (record.key?.length ?? 0) + (record.value?.length ?? 0);

  const bytes = new Uint8Array(new SharedArrayBuffer(size));
  const spans = new Int32Array(new SharedArrayBuffer(count * 16));
  const keyStart = spans.subarray(0, count);
  const keyLength = spans.subarray(count, 2 * count);
  const valueStart = spans.subarray(2 * count, 3 * count);
  const valueLength = spans.subarray(3 * count, 4 * count);
  const offsets = new Float64Array(count);
  const timestamps = new Float64Array(count);
  const headers: (readonly RecordHeader[] | null)[] = new Array(count);

  let at = 0;
  for (let i = 0; i < count; i++) {
    const record = records[i]!;
    keyStart[i] = valueStart[i] = -1;
    if (record.key !== null) {
      bytes.set(record.key, at);
      keyStart[i] = at;
      keyLength[i] = record.key.length;
      at += record.key.length;
    }
    if (record.value !== null) {
      bytes.set(record.value, at);
      valueStart[i] = at;
      valueLength[i] = record.value.length;
      at += record.value.length;
    }
    offsets[i] = record.offset;
    timestamps[i] = record.timestamp;
    headers[i] = record.headers;
  }
  return { topic, partition, count, bytes, keyStart, keyLength, valueStart, valueLength, offsets, timestamps, headers };
}

/** The key's bytes in place, or null. Valid as long as the batch is. */
export function keyBytes(batch: RecordBatch, row: number): Uint8Array | null {
  const start = batch.keyStart[row]!;
  return start < 0 ? null : batch.bytes.subarray(start, start + batch.keyLength[row]!);
}

/** The value's bytes in place, or null. Valid as long as the batch is. */
export function valueBytes(batch: RecordBatch, row: number): Uint8Array | null {
  const start = batch.valueStart[row]!;
  return start < 0 ? null : batch.bytes.subarray(start, start + batch.valueLength[row]!);
}

/**
 * The records at offsets from `next` on, each behind the one before; null where there are none. In place.
 *
 * A seek that comes late takes a partition back, and then records come that were given before: they are left out, wherever
 * in the batch they stand.
 */
export function recordsFrom(batch: RecordBatch, next: number): RecordBatch | null {
  let least = next;
  const isFresh = (offset: number): boolean => {
    if (offset < least) return false;
    least = offset + 1;
    return true;
  };
  if (batch.offsets.every(isFresh)) return batch;
  least = next;
  const rows = Array.from(batch.offsets.keys()).filter((row) => isFresh(batch.offsets[row]!));
  if (rows.length === 0) return null;
  const pick = <T extends Int32Array | Float64Array>(column: T): T => (column.constructor as unknown as { from(values: number[]): T }).from(rows.map((row) => column[row]!));
  return {
    ...batch,
    count: rows.length,
    keyStart: pick(batch.keyStart),
    keyLength: pick(batch.keyLength),
    valueStart: pick(batch.valueStart),
    valueLength: pick(batch.valueLength),
    offsets: pick(batch.offsets),
    timestamps: pick(batch.timestamps),
    headers: rows.map((row) => batch.headers[row]!),
  };
}
