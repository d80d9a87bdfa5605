/**
 * What a worker thread makes of a batch of records: typed columns in one buffer, which is moved back to the main thread.
 * Texts are spans, either into the records' own bytes or into a scratch area at the end of the buffer; a string is made
 * only when somebody asks for it.
 *
 *     events        one row for each record, in order            transactions   the rows of event i are
 *     0  ──────────────────────────────────────────────────────▶ 0, 1, 2         firstTransaction[i] ..
 *     1  (dead letter: no rows)                                                   firstTransaction[i + 1]
 *     2  ──────────────────────────────────────────────────────▶ 3
 */
import { deadLetterCodes, formalReasonCodes, identityTags, messageReasonCodes } from '../domain/codes.ts';
import type { DeadLetterCode, FormalReasonCode, IdentityTag, MessageReasonCode } from '../domain/codes.ts';
import { CommonTexts } from './common-texts.ts';

/** Texts of an event, in the order of their columns. */
export const eventTexts = ['eventId', 'messageType', 'source', 'messageId', 'reason'] as const;
/** Texts of a transaction, in the order of their columns. */
export const transactionTexts = [
  'instructionId',
  'endToEndId',
  'transactionId',
  'uetr',
  'debitedAgent',
  'creditedAgent',
  'currency',
  'identityValue',
  'reason',
] as const;
export type EventText = (typeof eventTexts)[number];
export type TransactionText = (typeof transactionTexts)[number];

const eventTextIndex = Object.fromEntries(eventTexts.map((name, index) => [name, index])) as Record<EventText, number>;
const transactionTextIndex = Object.fromEntries(transactionTexts.map((name, index) => [name, index])) as Record<
  TransactionText,
  number
>;

/** Where start and length of a text stand in its column. */
function eventSpan(event: number, name: EventText): number {
  return (event * eventTexts.length + eventTextIndex[name]) * 2;
}

function transactionSpan(transaction: number, name: TransactionText): number {
  return (transaction * transactionTexts.length + transactionTextIndex[name]) * 2;
}

const NULL_TEXT = -1;
/** A start of -2 or less points into the scratch area, at -2 - start. */
const SCRATCH_BASE = -2;

const headerWords = 4;

/** The moved form. Only `DecodedBatch` looks inside. */
export type PackedDecodedBatch = ArrayBuffer;

function layout(events: number, transactions: number, scratchBytes: number) {
  let at = headerWords * 4;
  const take = (bytes: number): number => {
    const start = at;
    at += (bytes + 7) & ~7;
    return start;
  };
  return {
    createdAt: take(events * 8),
    amount: take(transactions * 8),
    firstTransaction: take((events + 1) * 4),
    eventTexts: take(events * eventTexts.length * 8),
    transactionTexts: take(transactions * transactionTexts.length * 8),
    eventCodes: take(events * 2),
    transactionCodes: take(transactions * 3),
    scratch: take(scratchBytes),
    size: at,
  };
}

/** Read side, in the main thread. Codes are null where nothing was wrong. */
export class DecodedBatch {
  readonly eventCount: number;
  readonly transactionCount: number;
  readonly #source: Buffer;
  readonly #scratch: Buffer;
  readonly #createdAt: Float64Array;
  readonly #amount: BigInt64Array;
  readonly #firstTransaction: Int32Array;
  readonly #eventTexts: Int32Array;
  readonly #transactionTexts: Int32Array;
  readonly #eventCodes: Uint8Array;
  readonly #transactionCodes: Uint8Array;

  /** `source`: the bytes of the record batch that was decoded. */
  constructor(packed: PackedDecodedBatch, source: Uint8Array) {
    const [events, transactions, scratchBytes] = new Int32Array(packed, 0, headerWords) as unknown as [number, number, number];
    const at = layout(events, transactions, scratchBytes);
    this.eventCount = events;
    this.transactionCount = transactions;
    this.#source = Buffer.from(source.buffer, source.byteOffset, source.byteLength);
    this.#scratch = Buffer.from(packed, at.scratch, scratchBytes);
    this.#createdAt = new Float64Array(packed, at.createdAt, events);
    this.#amount = new BigInt64Array(packed, at.amount, transactions);
    this.#firstTransaction = new Int32Array(packed, at.firstTransaction, events + 1);
    this.#eventTexts = new Int32Array(packed, at.eventTexts, events * eventTexts.length * 2);
    this.#transactionTexts = new Int32Array(packed, at.transactionTexts, transactions * transactionTexts.length * 2);
    this.#eventCodes = new Uint8Array(packed, at.eventCodes, events * 2);
    this.#transactionCodes = new Uint8Array(packed, at.transactionCodes, transactions * 3);
  }

  /** How many outcomes the batch owes: one for each transaction, one for each event that has none. */
  get outcomeCount(): number {
    let outcomes = this.transactionCount;
    const first = this.#firstTransaction;
    for (let event = 0; event < this.eventCount; event++) if (first[event] === first[event + 1]) outcomes++;
    return outcomes;
  }

  deadLetterCode(event: number): DeadLetterCode | null {
    return deadLetterCodes[this.#eventCodes[event * 2]! - 1] ?? null;
  }

  /** The message as a whole is rejected; it has no transaction rows then. */
  messageReasonCode(event: number): MessageReasonCode | null {
    return messageReasonCodes[this.#eventCodes[event * 2 + 1]! - 1] ?? null;
  }

  /** Milliseconds since the epoch. */
  createdAt(event: number): number {
    return this.#createdAt[event]!;
  }

  firstTransaction(event: number): number {
    return this.#firstTransaction[event]!;
  }

  /** One past the event's last transaction row. */
  endTransaction(event: number): number {
    return this.#firstTransaction[event + 1]!;
  }

  eventText(event: number, name: EventText): string | null {
    const at = eventSpan(event, name);
    return this.#text(this.#eventTexts[at]!, this.#eventTexts[at + 1]!);
  }

  transactionText(transaction: number, name: TransactionText): string | null {
    const at = transactionSpan(transaction, name);
    return this.#text(this.#transactionTexts[at]!, this.#transactionTexts[at + 1]!);
  }

  /** As `eventText`, for a text that many events have in common: no new string for one that was met lately. */
  commonEventText(event: number, name: EventText): string | null {
    const at = eventSpan(event, name);
    return this.#commonText(this.#eventTexts[at]!, this.#eventTexts[at + 1]!);
  }

  /** As `transactionText`, for a text that many transactions have in common. */
  commonTransactionText(transaction: number, name: TransactionText): string | null {
    const at = transactionSpan(transaction, name);
    return this.#commonText(this.#transactionTexts[at]!, this.#transactionTexts[at + 1]!);
  }

  /** Bytes of the text in UTF-8; -1 where it is null. */
  eventTextLength(event: number, name: EventText): number {
    const at = eventSpan(event, name);
    return this.#eventTexts[at] === NULL_TEXT ? -1 : this.#eventTexts[at + 1]!;
  }

  /** Bytes of the text in UTF-8; -1 where it is null. */
  transactionTextLength(transaction: number, name: TransactionText): number {
    const at = transactionSpan(transaction, name);
    return this.#transactionTexts[at] === NULL_TEXT ? -1 : this.#transactionTexts[at + 1]!;
  }

  /** Copies a text that is not null, byte by byte as it came, without a string between; gives the place behind it. */
  copyEventText(event: number, name: EventText, target: Uint8Array, at: number): number {
    const span = eventSpan(event, name);
    return this.#copy(this.#eventTexts[span]!, this.#eventTexts[span + 1]!, target, at);
  }

  /** As `copyEventText`. */
  copyTransactionText(transaction: number, name: TransactionText, target: Uint8Array, at: number): number {
    const span = transactionSpan(transaction, name);
    return this.#copy(this.#transactionTexts[span]!, this.#transactionTexts[span + 1]!, target, at);
  }

  /** In 10^-5 of the currency's unit; null where there is none that fits (AM02, or none in the message). */
  amount(transaction: number): bigint | null {
    return this.#transactionCodes[transaction * 3 + 2] === 1 ? this.#amount[transaction]! : null;
  }

  /** The first check that fails by what the message itself says. */
  formalReasonCode(transaction: number): FormalReasonCode | null {
    return formalReasonCodes[this.#transactionCodes[transaction * 3]! - 1] ?? null;
  }

  identityTag(transaction: number): IdentityTag | null {
    return identityTags[this.#transactionCodes[transaction * 3 + 1]! - 1] ?? null;
  }

  #text(start: number, length: number): string | null {
    if (start >= 0) return this.#source.toString('utf8', start, start + length);
    if (start === NULL_TEXT) return null;
    const at = SCRATCH_BASE - start;
    return this.#scratch.toString('utf8', at, at + length);
  }

  #commonText(start: number, length: number): string | null {
    if (start === NULL_TEXT) return null;
    return start >= 0
      ? commonTexts.read(this.#source, start, length)
      : commonTexts.read(this.#scratch, SCRATCH_BASE - start, length);
  }

  #copy(start: number, length: number, target: Uint8Array, at: number): number {
    const from = start >= 0 ? this.#source : this.#scratch;
    const first = start >= 0 ? start : SCRATCH_BASE - start;
    // Identifiers are short: a loop here is quicker than a call into the runtime.
    if (length < 64) for (let i = 0; i < length; i++) target[at + i] = from[first + i]!;
    else from.copy(target, at, first, first + length);
    return at + length;
  }
}

const commonTexts = new CommonTexts();

/**
 * Joins what several threads made of consecutive parts of one record batch. One row an event, in the order of the parts,
 * which must all have been read from the same bytes.
 */
export function joinDecoded(parts: readonly PackedDecodedBatch[]): PackedDecodedBatch {
  if (parts.length === 1) return parts[0]!;
  const sizes = parts.map((part) => new Int32Array(part, 0, headerWords) as unknown as [number, number, number]);
  const sum = (word: 0 | 1 | 2): number => sizes.reduce((total, size) => total + size[word], 0);
  const events = sum(0);
  const transactions = sum(1);
  const scratchBytes = sum(2);
  const at = layout(events, transactions, scratchBytes);
  const joined = new ArrayBuffer(at.size);
  const target = new Uint8Array(joined);
  new Int32Array(joined, 0, headerWords).set([events, transactions, scratchBytes]);
  const first = new Int32Array(joined, at.firstTransaction, events + 1);
  let event = 0;
  let transaction = 0;
  let scratch = 0;
  for (const [index, part] of parts.entries()) {
    const [partEvents, partTransactions, partScratch] = sizes[index]!;
    const from = layout(partEvents, partTransactions, partScratch);
    const copy = (source: number, into: number, done: number, rows: number, rowBytes: number): void => {
      target.set(new Uint8Array(part, source, rows * rowBytes), into + done * rowBytes);
    };
    copy(from.createdAt, at.createdAt, event, partEvents, 8);
    copy(from.amount, at.amount, transaction, partTransactions, 8);
    copy(from.eventCodes, at.eventCodes, event, partEvents, 2);
    copy(from.transactionCodes, at.transactionCodes, transaction, partTransactions, 3);
    copy(from.scratch, at.scratch, scratch, partScratch, 1);
    const partFirst = new Int32Array(part, from.firstTransaction, partEvents);
    for (let i = 0; i < partEvents; i++) first[event + i] = partFirst[i]! + transaction;
    const moveTexts = (source: number, into: number, done: number, rows: number, texts: number): void => {
      const spans = new Int32Array(part, source, rows * texts * 2);
      const movedSpans = new Int32Array(joined, into + done * texts * 8, spans.length);
      movedSpans.set(spans);
      if (scratch === 0) return;
      for (let i = 0; i < spans.length; i += 2) if (spans[i]! <= SCRATCH_BASE) movedSpans[i] = spans[i]! - scratch;
    };
    moveTexts(from.eventTexts, at.eventTexts, event, partEvents, eventTexts.length);
    moveTexts(from.transactionTexts, at.transactionTexts, transaction, partTransactions, transactionTexts.length);
    event += partEvents;
    transaction += partTransactions;
    scratch += partScratch;
  }
  first[events] = transactions;
  return joined;
}

/**
 * Write side, in a worker thread: one writer a thread, used again for each batch. Rows are appended in order: begin an
 * event, set what is known of it, begin its transactions, set what is known of them.
 */
export class DecodedBatchWriter {
  #events = 0;
  #transactions = 0;
  #scratchLength = 0;
  #createdAt = new Float64Array(64);
  #firstTransaction = new Int32Array(64);
  #eventTexts = new Int32Array(64 * eventTexts.length * 2);
  #eventCodes = new Uint8Array(64 * 2);
  #amount = new BigInt64Array(64);
  #transactionTexts = new Int32Array(64 * transactionTexts.length * 2);
  #transactionCodes = new Uint8Array(64 * 3);
  #scratch = Buffer.alloc(4096);

  reset(): void {
    this.#events = this.#transactions = this.#scratchLength = 0;
  }

  /** Begins the next event; everything about it is null until set. */
  beginEvent(): void {
    const event = this.#events++;
    if (event >= this.#createdAt.length) {
      this.#createdAt = grown(this.#createdAt);
      this.#firstTransaction = grown(this.#firstTransaction);
      this.#eventTexts = grown(this.#eventTexts);
      this.#eventCodes = grown(this.#eventCodes);
    }
    this.#createdAt[event] = 0;
    this.#firstTransaction[event] = this.#transactions;
    this.#eventTexts.fill(NULL_TEXT, event * eventTexts.length * 2, (event + 1) * eventTexts.length * 2);
    this.#eventCodes[event * 2] = this.#eventCodes[event * 2 + 1] = 0;
  }

  /** The event cannot be understood: its transactions are taken back. */
  setDeadLetter(code: DeadLetterCode, reason: string): void {
    this.#dropTransactions();
    this.#eventCodes[(this.#events - 1) * 2] = deadLetterCodes.indexOf(code) + 1;
    this.setEventText('reason', reason);
  }

  /** The message as a whole is rejected: its transactions are taken back. */
  setMessageRejection(code: MessageReasonCode, reason: string): void {
    this.#dropTransactions();
    this.#eventCodes[(this.#events - 1) * 2 + 1] = messageReasonCodes.indexOf(code) + 1;
    this.setEventText('reason', reason);
  }

  setCreatedAt(milliseconds: number): void {
    this.#createdAt[this.#events - 1] = milliseconds;
  }

  /** The text lies in the record batch's own bytes, ready to be read as it is. */
  setEventSpan(name: EventText, start: number, length: number): void {
    const at = eventSpan(this.#events - 1, name);
    this.#eventTexts[at] = start;
    this.#eventTexts[at + 1] = length;
  }

  /** The text lies nowhere in the bytes as it is to be read: it is kept in the scratch area. */
  setEventText(name: EventText, text: string): void {
    const start = this.#keep(text);
    this.setEventSpan(name, start, this.#scratchLength - (SCRATCH_BASE - start));
  }

  /** Begins the event's next transaction; everything about it is null until set. */
  beginTransaction(): void {
    const transaction = this.#transactions++;
    if (transaction >= this.#amount.length) {
      this.#amount = grown(this.#amount);
      this.#transactionTexts = grown(this.#transactionTexts);
      this.#transactionCodes = grown(this.#transactionCodes);
    }
    const texts = transactionTexts.length * 2;
    this.#transactionTexts.fill(NULL_TEXT, transaction * texts, (transaction + 1) * texts);
    this.#transactionCodes.fill(0, transaction * 3, transaction * 3 + 3);
    this.#amount[transaction] = 0n;
  }

  setTransactionSpan(name: TransactionText, start: number, length: number): void {
    const at = transactionSpan(this.#transactions - 1, name);
    this.#transactionTexts[at] = start;
    this.#transactionTexts[at + 1] = length;
  }

  setTransactionText(name: TransactionText, text: string): void {
    const start = this.#keep(text);
    this.setTransactionSpan(name, start, this.#scratchLength - (SCRATCH_BASE - start));
  }

  /** `units`: in 10^-5 of the currency's unit. */
  setAmount(units: bigint): void {
    this.#amount[this.#transactions - 1] = units;
    this.#transactionCodes[(this.#transactions - 1) * 3 + 2] = 1;
  }

  setFormalRejection(code: FormalReasonCode, reason: string): void {
    this.#transactionCodes[(this.#transactions - 1) * 3] = formalReasonCodes.indexOf(code) + 1;
    this.setTransactionText('reason', reason);
  }

  /** The value goes into the text `identityValue`. */
  setIdentityTag(tag: IdentityTag): void {
    this.#transactionCodes[(this.#transactions - 1) * 3 + 1] = identityTags.indexOf(tag) + 1;
  }

  /** Everything written, in one buffer of its own that may be moved. */
  pack(): PackedDecodedBatch {
    const events = this.#events;
    const transactions = this.#transactions;
    const at = layout(events, transactions, this.#scratchLength);
    const packed = new ArrayBuffer(at.size);
    new Int32Array(packed, 0, headerWords).set([events, transactions, this.#scratchLength]);
    new Float64Array(packed, at.createdAt, events).set(this.#createdAt.subarray(0, events));
    new BigInt64Array(packed, at.amount, transactions).set(this.#amount.subarray(0, transactions));
    const first = new Int32Array(packed, at.firstTransaction, events + 1);
    first.set(this.#firstTransaction.subarray(0, events));
    first[events] = transactions;
    copyInto(packed, at.eventTexts, this.#eventTexts, events * eventTexts.length * 2);
    copyInto(packed, at.transactionTexts, this.#transactionTexts, transactions * transactionTexts.length * 2);
    copyInto(packed, at.eventCodes, this.#eventCodes, events * 2);
    copyInto(packed, at.transactionCodes, this.#transactionCodes, transactions * 3);
    copyInto(packed, at.scratch, this.#scratch, this.#scratchLength);
    return packed;
  }

  #dropTransactions(): void {
    this.#transactions = this.#firstTransaction[this.#events - 1]!;
  }

  #keep(text: string): number {
    const lengthMax = text.length * 3;
    if (this.#scratchLength + lengthMax > this.#scratch.length) {
      const larger = Buffer.alloc(Math.max(this.#scratch.length * 2, this.#scratchLength + lengthMax));
      this.#scratch.copy(larger, 0, 0, this.#scratchLength);
      this.#scratch = larger;
    }
    const start = this.#scratchLength;
    this.#scratchLength += this.#scratch.write(text, start);
    return SCRATCH_BASE - start;
  }
}

type Growable = Float64Array | Int32Array | Uint8Array | BigInt64Array;

function grown<T extends Growable>(column: T): T {
  const larger = new (column.constructor as new (length: number) => T)(column.length * 2);
  larger.set(column as never);
  return larger;
}

function copyInto(packed: ArrayBuffer, start: number, column: Int32Array | Uint8Array, length: number): void {
  const bytes = new Uint8Array(column.buffer, column.byteOffset, length * column.BYTES_PER_ELEMENT);
  new Uint8Array(packed, start, bytes.length).set(bytes);
}
