/**
 * Dead letters as an operator meets them: named by partition and offset, told by their headers, streamed one by one so
 * that a topic of any size can be read.
 *
 * Source: contract section 3.
 */
import { keyBytes, valueBytes } from '../codec/record-batch.ts';
import type { RecordBatch, RecordHeader } from '../codec/record-batch.ts';
import type { TopicReader } from '../ports.ts';

export interface DeadLetter {
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since the epoch, of the dead letter's record. */
  readonly timestamp: number;
  /** In place: valid until the callback returns. */
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
  /** The headers `dlq.*` as text; empty where one is missing. */
  readonly code: string;
  readonly reason: string;
  readonly failedAt: string;
  /** Where the event stood: `<topic>/<partition>/<offset>`. */
  readonly origin: string;
  readonly originPartition: number | null;
}

/** Stops a read before its end. */
class Enough extends Error {}

/** `3:42` for a person and on the command line. */
export function placeOf(letter: Pick<DeadLetter, 'partition' | 'offset'>): string {
  return `${letter.partition}:${letter.offset}`;
}

/** Ends of all partitions, to be taken before something is done that may make new letters. */
export async function deadLetterEnds(reader: TopicReader, topic: string, partitions: number): Promise<number[]> {
  const ends: number[] = [];
  for (let partition = 0; partition < partitions; partition++) {
    ends.push((await reader.watermarks(topic, partition)).high);
  }
  return ends;
}

/** Gives each letter below `ends`, partition by partition, in order; not those older than `sinceMs`. */
export async function readDeadLetters(
  reader: TopicReader,
  place: { readonly topic: string; readonly ends: readonly number[]; readonly sinceMs: number | null },
  onLetter: (letter: DeadLetter) => void | Promise<void>,
): Promise<void> {
  const { topic, ends, sinceMs } = place;
  for (let partition = 0; partition < ends.length; partition++) {
    const from = sinceMs === null ? null : await reader.offsetAt(topic, partition, sinceMs);
    await reader.readToEnd({ topic, partition, from }, async (batch) => {
      for (let row = 0; row < batch.count; row++) {
        if (batch.offsets[row]! < ends[partition]!) await onLetter(letterAt(batch, row));
      }
    });
  }
}

/** One letter; undefined when there is none at this offset, or no longer. */
export async function readDeadLetter(
  reader: TopicReader,
  topic: string,
  partition: number,
  offset: number,
): Promise<DeadLetter | undefined> {
  const { low, high } = await reader.watermarks(topic, partition);
  if (offset < low || offset >= high) return undefined;
  let found: DeadLetter | undefined;
  try {
    await reader.readToEnd({ topic, partition, from: offset }, (batch) => {
      if (batch.offsets[0] === offset) found = letterAt(batch, 0);
      throw new Enough();
    });
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
  }
  return found;
}

function letterAt(batch: RecordBatch, row: number): DeadLetter {
  const headers = batch.headers[row] ?? [];
  const text = (name: string): string => {
    const value = headers.find((header) => header.key === name)?.value;
    return value == null ? '' : Buffer.from(value).toString('utf8');
  };
  const originPartition = /^\d+$/.test(text('dlq.partition')) ? Number(text('dlq.partition')) : null;
  return {
    partition: batch.partition,
    offset: batch.offsets[row]!,
    timestamp: batch.timestamps[row]!,
    key: keyBytes(batch, row),
    value: valueBytes(batch, row),
    headers,
    code: text('dlq.code'),
    reason: text('dlq.reason'),
    failedAt: text('dlq.failed-at'),
    origin: `${text('dlq.topic')}/${text('dlq.partition')}/${text('dlq.offset')}`,
    originPartition,
  };
}
