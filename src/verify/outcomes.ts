/**
 * Nothing lost: every event that a partition has passed has a result, a dead letter, or is under way to its owner. Inbound
 * records themselves are read only where an offset has no outcome: it may be a marker of a Kafka transaction of upstream's.
 */
import { valueBytes } from '../codec/record-batch.ts';
import type { RecordBatch } from '../codec/record-batch.ts';
import type { TopicNames } from '../domain/topics.ts';
import type { TopicReader } from '../ports.ts';
import type { Findings } from './findings.ts';
import type { PlaceSet } from './place-set.ts';
import { recordsOf } from './record-stream.ts';

/** Offsets with outcomes that are read along rather than skipped, between two that have none. */
const readAlongMax = 5000;

export async function noteDeadLetters(options: {
  readonly topics: TopicNames;
  readonly reader: TopicReader;
  readonly partitions: number;
  readonly places: PlaceSet;
  readonly findings: Findings;
}): Promise<number> {
  const { topics, reader, places, findings } = options;
  let letters = 0;
  for (let partition = 0; partition < options.partitions; partition++) {
    await reader.readToEnd({ topic: topics.deadLetter, partition, from: null }, (batch) => {
      for (let row = 0; row < batch.count; row++) {
        letters++;
        const inboundPartition = Number(headerOf(batch, row, 'dlq.partition') ?? NaN);
        const inboundOffset = Number(headerOf(batch, row, 'dlq.offset') ?? NaN);
        if (headerOf(batch, row, 'dlq.topic') !== topics.inbound || !Number.isSafeInteger(inboundPartition) || !Number.isSafeInteger(inboundOffset)) {
          findings.add('unreadable', topics.deadLetter, partition, batch.offsets[row]!, 'this dead letter does not say which event it is');
        } else if (!places.addEvent(inboundPartition, inboundOffset)) {
          findings.add('double', topics.deadLetter, partition, batch.offsets[row]!, `a second outcome of the event at inbound ${inboundPartition}:${inboundOffset}`);
        }
      }
    });
  }
  return letters;
}

function headerOf(batch: RecordBatch, row: number, name: string): string | null {
  const header = batch.headers[row]?.findLast(({ key }) => key === name);
  return header?.value == null ? null : Buffer.from(header.value).toString('utf8');
}

/** Looks at the offsets `from` to `end` (exclusive) of one inbound partition. */
export async function checkNothingLost(options: {
  readonly topics: TopicNames;
  readonly reader: TopicReader;
  readonly partition: number;
  readonly from: number;
  readonly end: number;
  readonly places: PlaceSet;
  readonly findings: Findings;
}): Promise<void> {
  const { topics, reader, partition, end, places, findings } = options;
  let next = options.from;
  for (;;) {
    const missing = places.firstMissing(partition, next, end);
    if (missing >= end) return;
    next = missing;
    // From here on as long as the next gap is near.
    for await (const batch of recordsOf(reader, { topic: topics.inbound, partition, from: missing })) {
      for (let row = 0; row < batch.count; row++) {
        const offset = batch.offsets[row]!;
        if (offset >= end || places.has(partition, offset)) continue;
        const bytes = valueBytes(batch, row)?.length ?? 0;
        findings.add('lost', topics.inbound, partition, offset, `this event (${bytes} bytes) was passed, and has no result and no dead letter`);
      }
      next = batch.offsets[batch.count - 1]! + 1;
      if (next >= end || places.firstMissing(partition, next, Math.min(end, next + readAlongMax)) >= Math.min(end, next + readAlongMax)) break;
    }
    // Nothing but markers from here to the end.
    if (next === missing) return;
  }
}
