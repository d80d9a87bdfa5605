/**
 * Sends dead letters back to the inbound topic as they came, each at most once: the event and a line in a ledger topic
 * stand in the same Kafka transaction, so a crash leaves both or neither, and a second run skips what the first has done.
 *
 * Two operators at the same time: each connects, under one transactional id, before it reads the ledger. The later one
 * fences the earlier, whose open Kafka transaction is aborted and whose finished ones are in the ledger by then.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { keyBytes } from '../codec/record-batch.ts';
import type { OutgoingRecord, TransactionalPublisher } from '../adapters/kafka/publisher.ts';
import type { TopicReader } from '../ports.ts';
import { placeOf, readDeadLetters } from './dead-letters.ts';
import type { DeadLetter } from './dead-letters.ts';

/** Letters in one Kafka transaction, and their bytes: more only makes a failure dearer. */
const lettersPerTransactionMax = 100;
const bytesPerTransactionMax = 16 << 20;

export const redrivenFromHeader = 'redriven.from';

export interface RedriveOptions {
  readonly reader: TopicReader;
  readonly publisher: TransactionalPublisher;
  readonly deadLetterTopic: string;
  readonly ends: readonly number[];
  readonly sinceMs: number | null;
  readonly inboundTopic: string;
  readonly ledgerTopic: string;
  /** Letters that were asked for. */
  readonly wanted: (letter: DeadLetter) => boolean;
  /** Also those that were redriven before. */
  readonly again: boolean;
  /** Letters a second. */
  readonly ratePerSecond: number;
  /** Told after each Kafka transaction that has committed. */
  readonly onRedriven: (letters: readonly string[]) => void;
}

/** A letter's name in the ledger. The time is in it because offsets begin anew when a topic is made anew. */
export function ledgerKey(letter: DeadLetter): string {
  return `${placeOf(letter)}:${letter.failedAt}`;
}

export async function readLedger(reader: TopicReader, topic: string): Promise<Set<string>> {
  const redriven = new Set<string>();
  await reader.readToEnd({ topic, partition: 0, from: null }, (batch) => {
    for (let row = 0; row < batch.count; row++) redriven.add(Buffer.from(keyBytes(batch, row) ?? []).toString('utf8'));
  });
  return redriven;
}

/** Gives how many were redriven, and how many were left because they had been before. */
export async function redrive(options: RedriveOptions): Promise<{ readonly redriven: number; readonly skipped: number }> {
  const ledger = options.again ? new Set<string>() : await readLedger(options.reader, options.ledgerTopic);
  const lettersMax = Math.max(1, Math.min(lettersPerTransactionMax, Math.floor(options.ratePerSecond / 2)));
  const startedAt = performance.now();
  let records: OutgoingRecord[] = [];
  let places: string[] = [];
  let bytes = 0;
  let redriven = 0;
  let skipped = 0;

  const commit = async (): Promise<void> => {
    if (places.length === 0) return;
    await options.publisher.publishAll(records);
    redriven += places.length;
    options.onRedriven(places);
    records = [];
    places = [];
    bytes = 0;
    await sleep(Math.max(0, (redriven / options.ratePerSecond) * 1000 - (performance.now() - startedAt)));
  };

  await readDeadLetters(
    options.reader,
    { topic: options.deadLetterTopic, ends: options.ends, sinceMs: options.sinceMs },
    async (letter) => {
      if (!options.wanted(letter)) return;
      if (ledger.has(ledgerKey(letter))) {
        skipped++;
        return;
      }
      records.push(inboundRecord(letter, options), ledgerRecord(letter, options));
      places.push(placeOf(letter));
      bytes += letter.value?.length ?? 0;
      if (places.length >= lettersMax || bytes >= bytesPerTransactionMax) await commit();
    },
  );
  await commit();
  return { redriven, skipped };
}

function inboundRecord(letter: DeadLetter, options: RedriveOptions): OutgoingRecord {
  const from = `${options.deadLetterTopic}/${letter.partition}/${letter.offset}`;
  return {
    topic: options.inboundTopic,
    // Without a key there is no owner to be found: back to where it came in.
    partition: letter.key === null ? letter.originPartition : null,
    key: letter.key,
    value: letter.value,
    headers: [
      ...letter.headers.filter(({ key }) => !key.startsWith('dlq.') && key !== redrivenFromHeader),
      { key: redrivenFromHeader, value: Buffer.from(from) },
    ],
  };
}

function ledgerRecord(letter: DeadLetter, options: RedriveOptions): OutgoingRecord {
  return {
    topic: options.ledgerTopic,
    partition: 0,
    key: ledgerKey(letter),
    value: JSON.stringify({ letter: placeOf(letter), code: letter.code, origin: letter.origin }),
  };
}
