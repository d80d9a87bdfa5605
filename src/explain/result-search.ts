/**
 * Finds results: in ClickHouse as far as the sink has stored them, in Kafka behind that; in Kafka alone where ClickHouse does
 * not answer. What is found in both is told once.
 */
import { decodePaymentResult } from '../codec/payment-result.ts';
import type { PaymentResult } from '../codec/payment-result.ts';
import { parseAmount } from '../domain/amount.ts';
import type { TopicNames } from '../domain/topics.ts';
import type { TopicReader } from '../ports.ts';
import { rowTextSql } from '../verify/row-sums.ts';
import type { Looked } from './life.ts';
import { isUuid, needlesOf, recordAtOffset, searchRecords } from './record-search.ts';

/** Answers one query that reads. */
export type AskClickhouse = (query: string, format: 'TabSeparated' | 'JSONEachRow') => Promise<string>;

export interface FoundResult {
  readonly partition: number;
  readonly offset: number;
  readonly result: PaymentResult;
  /** ClickHouse's row as one text (see `row-sums.ts`); null where it was found in Kafka only. */
  readonly row: string | null;
}

/** Which results are wanted: a condition for ClickHouse, bytes for Kafka, and what decides. */
interface Wanted {
  readonly what: string;
  /** Asked one after another, until one gives something. */
  readonly conditions: readonly string[];
  readonly needles: readonly Buffer[];
  readonly matches: (result: PaymentResult) => boolean;
  /** Null: every partition. */
  readonly partition: number | null;
  /** Kafka is read from the record of this time on, where nothing else says where to begin; null: from the oldest. */
  readonly sinceMs: number | null;
}

export interface ResultSearchOptions {
  readonly topics: TopicNames;
  readonly partitions: number;
  readonly readers: readonly TopicReader[];
  /** Null: ClickHouse is left out. */
  readonly ask: AskClickhouse | null;
  /** Results for one question, at most; the oldest first, where ClickHouse is asked. */
  readonly rowsMax: number;
  readonly sinceMs: number | null;
  readonly looked: Looked[];
  readonly onProgress: (text: string) => void;
}

export class ResultSearch {
  readonly #options: ResultSearchOptions;
  /** By partition the highest offset that the sink has stored; null where ClickHouse is left out. */
  readonly stored: ReadonlyMap<number, number> | null;

  private constructor(options: ResultSearchOptions, stored: ReadonlyMap<number, number> | null) {
    this.#options = options;
    this.stored = stored;
  }

  /** How far the sink is, is looked up first: what it stores meanwhile is then found twice and not missed. */
  static async open(options: ResultSearchOptions): Promise<ResultSearch> {
    if (options.ask === null) return new ResultSearch(options, null);
    const answer = await options.ask('SELECT result_partition, toString(max(result_offset)) FROM results GROUP BY result_partition', 'TabSeparated');
    const stored = new Map<number, number>();
    for (const line of answer.split('\n').filter(Boolean)) {
      const [partition, offset] = line.split('\t').map(Number);
      stored.set(partition!, offset!);
    }
    return new ResultSearch(options, stored);
  }

  /** Results that carry the identifier as one of their own. */
  byId(id: string): Promise<FoundResult[]> {
    const lower = isUuid(id) ? id.toLowerCase() : id;
    const [text, lowerText] = [quoted(id), quoted(lower)];
    return this.#find({
      what: 'the identifier',
      // The first two have an index; most often they are enough.
      conditions: [`uetr = ${lowerText}`, `event_id = ${text}`, `end_to_end_id = ${text} OR transaction_id = ${text} OR instruction_id = ${text}`],
      needles: needlesOf([id]),
      matches: (result) => carries(result, id),
      partition: null,
      sinceMs: this.#options.sinceMs,
    });
  }

  /** All results of an event. */
  ofEvent(eventId: string, options: { readonly partition: number | null; readonly sinceMs: number | null }): Promise<FoundResult[]> {
    const within = options.partition === null ? '' : ` AND result_partition = ${options.partition}`;
    return this.#find({
      what: `the event ${eventId}`,
      conditions: [`event_id = ${quoted(eventId)}${within}`],
      needles: [Buffer.from(eventId)],
      matches: (result) => result.eventId === eventId,
      ...options,
    });
  }

  /**
   * Results of one partition that were refused because results of this event there hold the claims. A duplicate ends in the
   * partition of what it duplicates, behind it.
   */
  duplicatesOf(eventId: string, first: { readonly partition: number; readonly offset: number; readonly settledAt: number }): Promise<FoundResult[]> {
    const { partition, offset, settledAt } = first;
    return this.#find({
      what: `duplicates of the event ${eventId}`,
      conditions: [`result_partition = ${partition} AND result_offset > ${offset} AND original_event_id = ${quoted(eventId)}`],
      needles: [Buffer.from(eventId)],
      matches: (other) => other.originalEventId === eventId,
      partition,
      sinceMs: settledAt,
    });
  }

  async #find(wanted: Wanted): Promise<FoundResult[]> {
    const { topics, partitions, readers, rowsMax, looked, onProgress } = this.#options;
    const found = new Map<string, FoundResult>();
    const note = (one: FoundResult): void => {
      const place = `${one.partition}:${one.offset}`;
      if (found.size < rowsMax && wanted.matches(one.result) && !found.has(place)) found.set(place, one);
    };
    if (this.stored !== null) {
      const rows = await this.#rows(wanted.conditions);
      rows.forEach(note);
      looked.push({ where: 'ClickHouse', what: `results that are stored, for ${wanted.what}`, records: rows.length });
    }
    const wantedPartitions = wanted.partition === null ? Array.from({ length: partitions }, (_, partition) => partition) : [wanted.partition];
    let records = 0;
    let behind = 0;
    await eachOf(wantedPartitions, readers, async (partition, reader) => {
      const stored = this.stored?.get(partition);
      const from = stored !== undefined ? stored + 1 : wanted.sinceMs === null ? null : await reader.offsetAt(topics.results, partition, wanted.sinceMs - clocksApartMs);
      const read = await searchRecords(reader, { topic: topics.results, partition, from }, wanted.needles, ({ value, offset }) => {
        if (value === null) return;
        note({ partition, offset, result: decodePaymentResult(value), row: null });
      }, (count) => onProgress(`${topics.results}-${partition}: ${count} results looked through`));
      records += read;
      if (stored !== undefined) behind += read;
    });
    const where = this.stored !== null ? `results that the sink has not stored yet (${behind})` : wanted.sinceMs === null ? 'all results' : `results since ${isoTime(wanted.sinceMs)}`;
    looked.push({ where: topics.results, what: `${where}, for ${wanted.what}`, records });
    return [...found.values()];
  }

  async #rows(conditions: readonly string[]): Promise<FoundResult[]> {
    const { ask, rowsMax } = this.#options;
    for (const condition of conditions) {
      const answer = await ask!(`SELECT ${columns} FROM results WHERE ${condition} ORDER BY results.settled_at LIMIT ${rowsMax}`, 'JSONEachRow');
      const rows = answer.split('\n').filter(Boolean).map((line) => resultOfRow(JSON.parse(line) as Row));
      if (rows.length > 0) return rows;
    }
    return [];
  }
}

/** As far as clocks of producers, brokers and workers differ. */
const clocksApartMs = 60_000;

/** One worker for each reader; each takes the next when it is done. */
export async function eachOf<T>(items: readonly T[], readers: readonly TopicReader[], work: (item: T, reader: TopicReader) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(readers.map(async (reader) => {
    while (next < items.length) await work(items[next++]!, reader);
  }));
}

/** Whether an identifier is one of the transaction's own, or of its event. */
export function carries(
  one: Pick<PaymentResult, 'uetr' | 'eventId' | 'endToEndId' | 'transactionId' | 'instructionId'>,
  id: string,
): boolean {
  const lower = id.toLowerCase();
  return one.uetr === lower || one.eventId === id || one.endToEndId === id || one.transactionId === id || one.instructionId === id;
}

/** Whether a transaction would have claimed this identity (`family|tag|value`). */
export function wouldClaim(identity: string | null, one: PaymentResult): boolean {
  const [family, tag, ...rest] = (identity ?? '').split('|');
  if (family !== one.messageType.slice(0, 8)) return false;
  const value = rest.join('|');
  switch (tag) {
    case 'UETR':
      return one.uetr?.toLowerCase() === value.toLowerCase();
    case 'TxId':
    case 'RtrId':
      return one.transactionId === value;
    case 'InstrId':
      return one.instructionId === value;
    case 'MsgId+EndToEndId':
      return value === `${inIdentity(one.messageId)}|${inIdentity(one.endToEndId)}|${one.transactionIndex}`;
    case undefined:
    default:
      return false;
  }
}

/** As the reader of messages joins parts to one value. */
function inIdentity(text: string | null): string {
  return (text ?? '').replace(/[%|]/g, (mark) => (mark === '%' ? '%25' : '%7C'));
}

/** The result as Kafka has it; null where retention has taken it. */
export async function resultInKafka(reader: TopicReader, topic: string, { partition, offset }: FoundResult): Promise<PaymentResult | null> {
  const record = await recordAtOffset(reader, { topic, partition, offset });
  return record?.value == null ? null : decodePaymentResult(record.value);
}

interface Row {
  readonly [column: string]: string | number | null;
}

const columns = [
  ...['event_id', 'message_type', 'source', 'message_id', 'transaction_index', 'instruction_id', 'end_to_end_id', 'transaction_id', 'uetr', 'status', 'reason_code'],
  ...['reason', 'debited_participant', 'credited_participant', 'currency', 'inbound_partition', 'original_event_id', 'identity', 'result_partition'],
  'toDecimalString(amount, 5) AS amount_text',
  'toDecimalString(position_after, 5) AS position_text',
  'toString(sequence) AS sequence_text',
  ...['created_at', 'received_at', 'settled_at'].map((name) => `toString(toUnixTimestamp64Milli(${name})) AS ${name}_ms`),
  'toString(inbound_offset) AS inbound_offset_text',
  'toString(result_offset) AS result_offset_text',
  `hex(${rowTextSql}) AS row_text`,
].join(', ');

function resultOfRow(row: Row): FoundResult {
  const text = (name: string): string | null => (row[name] === null ? null : String(row[name]));
  const units = (name: string): bigint | null => (row[name] === null ? null : parseAmount(String(row[name])));
  return {
    partition: Number(row['result_partition']),
    offset: Number(row['result_offset_text']),
    row: Buffer.from(String(row['row_text']), 'hex').toString('utf8'),
    result: {
      eventId: String(row['event_id']),
      messageType: String(row['message_type']),
      source: String(row['source']),
      messageId: text('message_id'),
      transactionIndex: Number(row['transaction_index']),
      instructionId: text('instruction_id'),
      endToEndId: text('end_to_end_id'),
      transactionId: text('transaction_id'),
      uetr: text('uetr'),
      status: String(row['status']),
      reasonCode: text('reason_code'),
      reason: text('reason'),
      debitedParticipant: text('debited_participant'),
      creditedParticipant: text('credited_participant'),
      currency: text('currency'),
      amount: units('amount_text'),
      positionAfter: units('position_text'),
      sequence: row['sequence_text'] === null ? null : Number(row['sequence_text']),
      createdAt: Number(row['created_at_ms']),
      receivedAt: Number(row['received_at_ms']),
      settledAt: Number(row['settled_at_ms']),
      inboundPartition: Number(row['inbound_partition']),
      inboundOffset: Number(row['inbound_offset_text']),
      originalEventId: text('original_event_id'),
      identity: text('identity'),
      statusReport: null,
    },
  };
}

/** A text as ClickHouse takes it. */
export function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

export function isoTime(milliseconds: number): string {
  const date = new Date(milliseconds);
  return Number.isNaN(date.getTime()) ? `${milliseconds} ms` : date.toISOString();
}
