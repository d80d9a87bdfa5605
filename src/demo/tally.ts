/**
 * What came out, counted from the topics alone, as anybody outside could: which answer each event got, whether any got
 * two, whether the numbers of the debits have gaps, and what the positions must be by the results.
 */
import { keyBytes, valueBytes } from '../codec/record-batch.ts';
import type { RecordBatch } from '../codec/record-batch.ts';
import { decodePaymentResult } from '../codec/payment-result.ts';
import { decodePosition } from '../codec/position-record.ts';

/** `ACSC`, `RJCT AM05`, ... or `dead letter XML_INVALID`. */
export type Outcome = string;

export interface EventAnswers {
  /** Transaction index to outcome; -1: the message as a whole. */
  readonly results: Map<number, Outcome>;
  deadLetter: string | null;
}

export class Tally {
  /** By `<inbound partition>/<inbound offset>`. */
  readonly events = new Map<string, EventAnswers>();
  readonly outcomes = new Map<Outcome, number>();
  /** `<participant>|<currency>` to 10^-5 units, by the results. */
  readonly positionsByResults = new Map<string, bigint>();
  /** The same, as the changelog says. */
  readonly positions = new Map<string, bigint>();
  /** Milliseconds from an event's creation to its result's record, and when that was. */
  readonly latencies: { readonly answeredAt: number; readonly ms: number }[] = [];
  /** What is wrong, in sentences. */
  readonly faults: string[] = [];
  /** By partition: how many records, and the last offset. */
  readonly resultRecords = new Map<number, { count: number; lastOffset: number }>();
  readonly #lastSequence = new Map<number, number>();

  takeResults(batch: RecordBatch): void {
    for (let row = 0; row < batch.count; row++) {
      const value = valueBytes(batch, row);
      if (value === null) {
        this.faults.push(`results ${batch.partition}/${batch.offsets[row]} has no value`);
        continue;
      }
      const result = decodePaymentResult(value);
      const outcome = result.reasonCode === null ? result.status : `${result.status} ${result.reasonCode}`;
      const answers = this.#answersOf(`${result.inboundPartition}/${result.inboundOffset}`);
      if (answers.results.has(result.transactionIndex)) {
        this.faults.push(`transaction ${result.transactionIndex} of event ${result.eventId} has two results`);
      }
      answers.results.set(result.transactionIndex, outcome);
      this.#count(outcome);
      const answeredAt = batch.timestamps[row]!;
      this.latencies.push({ answeredAt, ms: answeredAt - result.createdAt });
      if (result.status === 'ACSC') this.#post(result);
      if (result.sequence !== null) this.#follow(batch.partition, result.sequence);
      const records = this.resultRecords.get(batch.partition) ?? { count: 0, lastOffset: -1 };
      this.resultRecords.set(batch.partition, { count: records.count + 1, lastOffset: batch.offsets[row]! });
    }
  }

  takeDeadLetters(batch: RecordBatch): void {
    for (let row = 0; row < batch.count; row++) {
      const header = (name: string): string =>
        Buffer.from(batch.headers[row]?.find(({ key }) => key === name)?.value ?? []).toString('utf8');
      const answers = this.#answersOf(`${header('dlq.partition')}/${header('dlq.offset')}`);
      if (answers.deadLetter !== null) {
        this.faults.push(`event ${header('dlq.partition')}/${header('dlq.offset')} has two dead letters`);
      }
      answers.deadLetter = header('dlq.code');
      this.#count(`dead letter ${header('dlq.code')}`);
    }
  }

  takePositions(batch: RecordBatch): void {
    for (let row = 0; row < batch.count; row++) {
      const key = keyBytes(batch, row);
      const value = valueBytes(batch, row);
      if (key === null || value === null) continue;
      this.positions.set(Buffer.from(key).toString('utf8'), decodePosition(key, value).units);
    }
  }

  /** Sums of the changelog's positions by currency. */
  sums(): Map<string, bigint> {
    const sums = new Map<string, bigint>();
    for (const [name, units] of this.positions) {
      const currency = name.slice(name.lastIndexOf('|') + 1);
      sums.set(currency, (sums.get(currency) ?? 0n) + units);
    }
    return sums;
  }

  /** Positions in which the changelog and the results do not agree. */
  differences(): string[] {
    const names = new Set([...this.positions.keys(), ...this.positionsByResults.keys()]);
    return [...names].filter((name) => (this.positions.get(name) ?? 0n) !== (this.positionsByResults.get(name) ?? 0n));
  }

  #answersOf(place: string): EventAnswers {
    let answers = this.events.get(place);
    if (answers === undefined) {
      answers = { results: new Map(), deadLetter: null };
      this.events.set(place, answers);
    }
    return answers;
  }

  #count(outcome: Outcome): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
  }

  #post(result: {
    readonly debitedParticipant: string | null;
    readonly creditedParticipant: string | null;
    readonly currency: string | null;
    readonly amount: bigint | null;
  }): void {
    const amount = result.amount ?? 0n;
    const add = (participant: string | null, units: bigint): void => {
      const name = `${participant}|${result.currency}`;
      this.positionsByResults.set(name, (this.positionsByResults.get(name) ?? 0n) + units);
    };
    add(result.debitedParticipant, -amount);
    add(result.creditedParticipant, amount);
  }

  #follow(partition: number, sequence: number): void {
    const expected = (this.#lastSequence.get(partition) ?? 0) + 1;
    if (sequence !== expected) this.faults.push(`debit ${sequence} of partition ${partition} stands where ${expected} was expected`);
    this.#lastSequence.set(partition, sequence);
  }
}

/** The value below which this share of the sorted values lies. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
