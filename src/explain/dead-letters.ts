/**
 * Dead letters of a payment, and whether they were sent again. A redrive leaves a line in the ledger and a header on the event,
 * in one Kafka transaction; so the line's time says where to look for the event.
 */
import { createHash } from 'node:crypto';
import type { TopicNames } from '../domain/topics.ts';
import type { TopicReader } from '../ports.ts';
import type { DeadLetterLife, Looked, StoredRow } from './life.ts';
import { headerText, readUntil, searchRecords } from './record-search.ts';
import type { FoundRecord } from './record-search.ts';
import { eachOf, isoTime } from './result-search.ts';
import type { AskClickhouse } from './result-search.ts';

/** A redrive writes at most so long at one Kafka transaction; clocks of brokers differ by less. */
const redriveMs = 60_000;

interface DeadLettersOptions {
  readonly topics: TopicNames;
  readonly redrivenTopic: string;
  readonly partitions: number;
  readonly deadLetterPartitions: number;
  readonly readers: readonly TopicReader[];
  readonly ask: AskClickhouse | null;
  readonly sinceMs: number | null;
  readonly looked: Looked[];
  readonly onProgress: (text: string) => void;
}

export class DeadLetters {
  readonly #options: DeadLettersOptions;
  readonly #reader: TopicReader;
  /** When a letter was redriven, by its key in the ledger; null: not read yet. */
  #ledger: Map<string, number[]> | null = null;

  constructor(options: DeadLettersOptions) {
    this.#options = options;
    this.#reader = options.readers[0]!;
  }

  /** Letters whose value holds one of the needles. */
  async holding(needles: readonly Buffer[]): Promise<FoundRecord[]> {
    const { topics, deadLetterPartitions, readers, sinceMs, looked, onProgress } = this.#options;
    const found: FoundRecord[] = [];
    let records = 0;
    await eachOf(Array.from({ length: deadLetterPartitions }, (_, partition) => partition), readers, async (partition, reader) => {
      const from = sinceMs === null ? null : await reader.offsetAt(topics.deadLetter, partition, sinceMs);
      records += await searchRecords(reader, { topic: topics.deadLetter, partition, from }, needles, (record) => found.push(record), (count) =>
        onProgress(`${topics.deadLetter}-${partition}: ${count} letters looked through`));
    });
    looked.push({ where: topics.deadLetter, what: `${sinceMs === null ? 'all letters' : `letters since ${isoTime(sinceMs)}`}, for the identifier`, records });
    return found;
  }

  /** The letter that an inbound record became. */
  async ofRecord(record: FoundRecord): Promise<FoundRecord | null> {
    const { topics, deadLetterPartitions } = this.#options;
    const partition = record.partition % deadLetterPartitions;
    const from = await this.#reader.offsetAt(topics.deadLetter, partition, record.timestamp - redriveMs);
    let found: FoundRecord | null = null;
    await readUntil(this.#reader, { topic: topics.deadLetter, partition, from }, (letter) => {
      if (headerText(letter.headers, 'dlq.partition') !== String(record.partition) || headerText(letter.headers, 'dlq.offset') !== String(record.offset)) return false;
      found = letter;
      return true;
    });
    return found;
  }

  /** The events that a letter became when it was sent again. */
  async redrivesOf(letter: FoundRecord): Promise<FoundRecord[]> {
    const { topics, partitions, readers } = this.#options;
    const name = `${letter.topic}/${letter.partition}/${letter.offset}`;
    const found: FoundRecord[] = [];
    for (const at of (await this.#redrives()).get(ledgerKey(letter)) ?? []) {
      await eachOf(Array.from({ length: partitions }, (_, partition) => partition), readers, async (partition, reader) => {
        const from = await reader.offsetAt(topics.inbound, partition, at - redriveMs);
        await readUntil(reader, { topic: topics.inbound, partition, from }, (record) => {
          if (headerText(record.headers, 'redriven.from') === name) found.push(record);
          return record.timestamp > at + redriveMs;
        });
      });
    }
    return found;
  }

  async tell(letter: FoundRecord): Promise<DeadLetterLife> {
    const text = (name: string): string => headerText(letter.headers, name) ?? '';
    const redriven = (await this.#redrives()).get(ledgerKey(letter)) ?? [];
    return {
      place: { topic: letter.topic, partition: letter.partition, offset: letter.offset },
      code: text('dlq.code'),
      reason: text('dlq.reason'),
      failedAt: text('dlq.failed-at'),
      worker: text('dlq.worker'),
      redrivenAt: redriven.length === 0 ? null : isoTime(redriven.at(-1)!),
      clickhouse: await this.#storedRow(letter),
    };
  }

  async #storedRow(letter: FoundRecord): Promise<StoredRow> {
    const { ask } = this.#options;
    if (ask === null) return { state: 'unknown', detail: 'ClickHouse was not asked' };
    const { partition, offset } = letter;
    const answer = await ask(
      `SELECT value_sha256, code FROM dead_letters WHERE dead_letter_partition = ${partition} AND dead_letter_offset = ${offset}`,
      'JSONEachRow',
    );
    if (answer.trim() === '') return { state: 'behind', detail: 'the sink has not stored it yet' };
    const row = JSON.parse(answer.split('\n')[0]!) as { value_sha256: string; code: string };
    const ours = createHash('sha256').update(letter.value ?? new Uint8Array()).digest('hex');
    const columns = [...(row.value_sha256 === ours ? [] : ['value_sha256']), ...(row.code === headerText(letter.headers, 'dlq.code') ? [] : ['code'])];
    return columns.length === 0 ? { state: 'same', detail: '' } : { state: 'differs', detail: columns.join(', ') };
  }

  /** Compaction keeps the newest line of a letter, so of several redrives the last one is told for certain. */
  async #redrives(): Promise<Map<string, number[]>> {
    if (this.#ledger !== null) return this.#ledger;
    const ledger = new Map<string, number[]>();
    await readUntil(this.#reader, { topic: this.#options.redrivenTopic, partition: 0, from: null }, ({ key, timestamp }) => {
      const name = Buffer.from(key ?? []).toString('utf8');
      ledger.set(name, [...(ledger.get(name) ?? []), timestamp]);
      return false;
    });
    this.#ledger = ledger;
    return ledger;
  }
}

/** As `dlq redrive` names a letter in its ledger. */
function ledgerKey(letter: FoundRecord): string {
  return `${letter.partition}:${letter.offset}:${headerText(letter.headers, 'dlq.failed-at') ?? ''}`;
}
