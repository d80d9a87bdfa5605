/**
 * Finds records by bytes that lie in their values, without decoding what does not hold them: an identifier stands in clear in
 * Avro and in XML alike.
 */
import { valueBytes } from '../codec/record-batch.ts';
import type { RecordBatch, RecordHeader } from '../codec/record-batch.ts';
import { keyBytes } from '../codec/record-batch.ts';
import type { TopicReader } from '../ports.ts';

/** A record taken out of its batch. */
export interface FoundRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
}

export interface SearchedPart {
  readonly topic: string;
  readonly partition: number;
  /** Null: from the oldest. */
  readonly from: number | null;
}

/** The texts as they may stand in a value: as they are, in lower case where they are a UUID, and escaped as XML has it. */
export function needlesOf(texts: readonly string[]): Buffer[] {
  const forms = new Set<string>();
  for (const text of texts) {
    forms.add(text);
    if (isUuid(text)) forms.add(text.toLowerCase());
    const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
    forms.add(escaped);
    forms.add(escaped.replaceAll('>', '&gt;'));
    forms.add(escaped.replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&apos;'));
  }
  return [...forms].map((form) => Buffer.from(form));
}

export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

/** Gives every record whose value holds one of the needles; resolves with the number of records that were looked at. */
export async function searchRecords(
  reader: TopicReader,
  part: SearchedPart & { readonly before?: number },
  needles: readonly Buffer[],
  onFound: (record: FoundRecord) => void,
  onProgress: (records: number) => void,
): Promise<number> {
  let records = 0;
  await reader.readToEnd(part, (batch) => {
    records += batch.count;
    onProgress(records);
    for (const row of rowsHolding(batch, needles)) {
      if (part.before === undefined || batch.offsets[row]! < part.before) onFound(recordAt(batch, row));
    }
  });
  return records;
}

/** Keys and values lie back to back, so one search runs over them all. A needle over a border between two is no hit. */
export function rowsHolding(batch: RecordBatch, needles: readonly Buffer[]): number[] {
  const bytes = Buffer.from(batch.bytes.buffer, batch.bytes.byteOffset, batch.bytes.byteLength);
  const rows = new Set<number>();
  for (const needle of needles) {
    let row = 0;
    for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) {
      while (row < batch.count && !(batch.valueStart[row]! >= 0 && batch.valueStart[row]! + batch.valueLength[row]! > at)) row++;
      if (row === batch.count) break;
      if (at >= batch.valueStart[row]! && at + needle.length <= batch.valueStart[row]! + batch.valueLength[row]!) rows.add(row);
    }
  }
  return [...rows].sort((one, other) => one - other);
}

class Enough extends Error {}

/** The record at an offset; null where there is none, or no longer. */
export async function recordAtOffset(reader: TopicReader, place: { readonly topic: string; readonly partition: number; readonly offset: number }): Promise<FoundRecord | null> {
  const { topic, partition, offset } = place;
  const { low, high } = await reader.watermarks(topic, partition);
  if (offset < low || offset >= high) return null;
  let found: FoundRecord | null = null;
  await readUntil(reader, { topic, partition, from: offset }, (record) => {
    if (record.offset === offset) found = record;
    return true;
  });
  return found;
}

/** Gives records one by one until the callback says that it is enough. */
export async function readUntil(reader: TopicReader, part: SearchedPart & { readonly before?: number }, enough: (record: FoundRecord) => boolean): Promise<void> {
  try {
    await reader.readToEnd(part, (batch) => {
      for (let row = 0; row < batch.count; row++) {
        if (enough(recordAt(batch, row))) throw new Enough();
      }
    });
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
  }
}

/** In place: the batch stays as long as the record is held. */
function recordAt(batch: RecordBatch, row: number): FoundRecord {
  return {
    topic: batch.topic,
    partition: batch.partition,
    offset: batch.offsets[row]!,
    timestamp: batch.timestamps[row]!,
    key: keyBytes(batch, row),
    value: valueBytes(batch, row),
    headers: batch.headers[row] ?? [],
  };
}

export function headerText(headers: readonly RecordHeader[], name: string): string | null {
  const value = headers.findLast(({ key }) => key.toLowerCase() === name.toLowerCase())?.value;
  return value == null ? null : Buffer.from(value).toString('utf8');
}
