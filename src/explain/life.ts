/**
 * What `settlefleet explain` answers: everything that is known of the payments that an identifier names. Plain values, in the
 * shape that `--json` prints: amounts are decimal strings, times ISO 8601 in UTC, places are topic, partition and offset.
 */
import type { ReportedFinding } from '../codec/iso20022/message-report.ts';

export interface Place {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export interface Explanation {
  readonly id: string;
  readonly askedAt: string;
  readonly found: boolean;
  /** In the order in which they came in. */
  readonly events: readonly EventLife[];
  /**
   * From when on the whole inbound topic was searched, and not only what is not decided yet; null: it was not. A message that
   * was rejected as a whole carries no identifier of its transactions in its result, and is found in this way only.
   */
  readonly inboundSearchedSince: string | null;
  /** What was searched, and how far. */
  readonly looked: readonly Looked[];
  /** What could not be found out, and why; what was left out. */
  readonly notes: readonly string[];
}

export interface Looked {
  /** `ClickHouse`, or a topic. */
  readonly where: string;
  /** What was looked at: which part, for what. */
  readonly what: string;
  readonly records: number;
}

/** One event: one record of the inbound topic. */
export interface EventLife {
  readonly inbound: Place;
  /** Null: the record is no longer in Kafka, or cannot be read as an event, and no result tells. */
  readonly eventId: string | null;
  readonly messageType: string | null;
  readonly source: string | null;
  readonly messageId: string | null;
  readonly createdAt: string | null;
  readonly receivedAt: string | null;
  /** Null: no longer in Kafka. */
  readonly record: InboundRecord | null;
  /** The dead letter that was sent again and thereby became this event. */
  readonly redrivenFrom: Place | null;
  readonly deadLetter: DeadLetterLife | null;
  /** Only the asked ones, where a transaction was asked for. */
  readonly transactions: readonly TransactionLife[];
  /** How many the message has; null where it cannot be read any more. */
  readonly transactionsTotal: number | null;
}

export interface InboundRecord {
  readonly key: string | null;
  readonly valueBytes: number;
  /** Of the writer's schema; null where the value is not in the wire format. */
  readonly schemaId: number | null;
  readonly headers: readonly string[];
  readonly trace: Trace | null;
  /** What the XSD and the rules of the contract say of the message, found out anew; null where there is no document. */
  readonly findings: readonly ReportedFinding[] | null;
}

export interface Trace {
  readonly id: string;
  /** `traceparent` or `X-Amzn-Trace-Id`. */
  readonly header: string;
}

export interface DeadLetterLife {
  readonly place: Place;
  readonly code: string;
  readonly reason: string;
  readonly failedAt: string;
  readonly worker: string;
  /** Null: the ledger of redrives does not name it. */
  readonly redrivenAt: string | null;
  readonly clickhouse: StoredRow;
}

export interface StoredRow {
  /**
   * `same`: as in Kafka. `stored`: there, and Kafka has the record no longer, so they cannot be compared. `differs`: in the
   * columns of `detail`. `behind`: the sink has not come so far. `unknown`: ClickHouse was not asked.
   */
  readonly state: 'same' | 'stored' | 'differs' | 'behind' | 'unknown';
  readonly detail: string;
}

export interface TransactionLife {
  /** -1: the message as a whole. */
  readonly index: number;
  readonly uetr: string | null;
  readonly endToEndId: string | null;
  readonly transactionId: string | null;
  readonly instructionId: string | null;
  readonly debitedParticipant: string | null;
  readonly creditedParticipant: string | null;
  readonly currency: string | null;
  readonly amount: string | null;
  /** Masked, unless asked for in clear. */
  readonly debtorAccount: string | null;
  readonly creditorAccount: string | null;
  /** Where it was handed over to the partition that owns the debited participant; null where it came in there. */
  readonly handedOver: HandOver | null;
  /** Null: there is none yet; `waiting` says where it waits. */
  readonly decision: DecisionLife | null;
  readonly waiting: Waiting | null;
}

export interface HandOver {
  readonly routed: Place | null;
  readonly toPartition: number;
}

export interface Waiting {
  /**
   * `inbound`: not taken in yet. `routed`: handed over, and not decided there yet. `unknown`: passed, and no outcome is found:
   * retention may have taken it, or `settlefleet verify` has something to say.
   */
  readonly at: 'inbound' | 'routed' | 'unknown';
  readonly place: Place;
  /** How many offsets lie between what is committed and it; markers of Kafka transactions count as one each. */
  readonly before: number | null;
}

export interface DecisionLife {
  readonly status: string;
  readonly reasonCode: string | null;
  readonly reason: string | null;
  /** The rung of the ladder that decided, in words. */
  readonly rule: string;
  readonly settledAt: string;
  readonly result: Place;
  /** False: retention has taken the record; what is told is ClickHouse's row. */
  readonly inKafka: boolean;
  readonly commit: CommitLife | null;
  readonly claim: ClaimLife;
  readonly debit: DebitLife | null;
  readonly credit: CreditLife | null;
  readonly clickhouse: StoredRow;
}

/** The Kafka transaction that made something visible, as the partition's checkpoint tells it. */
export interface CommitLife {
  readonly partition: number;
  /** Counts the Kafka transactions of the partition. */
  readonly commit: number;
  /** False: checkpoints before it are gone, so it is this one or an earlier one. */
  readonly exact: boolean;
  readonly at: string;
  readonly worker: string;
  readonly checkpoint: Place;
}

export interface ClaimLife {
  /** `self`: this transaction. `other`: it is a duplicate of `by`. `none`: it was refused before the duplicate check. */
  readonly state: 'self' | 'other' | 'none';
  /** `family|tag|value`; null where it is not known. */
  readonly identity: string | null;
  readonly by: Claimant | null;
  /** When the window over the claim ends, so that the same payment would no longer be a duplicate. */
  readonly holdsUntil: string | null;
  /** Transactions that were refused because of this claim. */
  readonly duplicates: readonly Claimant[];
}

export interface Claimant {
  readonly eventId: string | null;
  readonly index: number | null;
  readonly inbound: { readonly partition: number; readonly offset: number } | null;
  readonly result: Place | null;
  readonly status: string | null;
  readonly settledAt: string | null;
}

export interface DebitLife {
  readonly participant: string;
  readonly currency: string;
  readonly amount: string;
  readonly before: string;
  readonly after: string;
  readonly partition: number;
  /** Counts the debits of the partition. */
  readonly sequence: number;
}

export interface CreditLife {
  readonly participant: string;
  readonly currency: string;
  readonly amount: string;
  /** The partition that owns the credited participant. */
  readonly partition: number;
  /** `atOnce`: the debit's own partition. `applied`: by the other. `underWay`: sent, and not taken yet. `unknown`: not found. */
  readonly state: 'atOnce' | 'applied' | 'underWay' | 'unknown';
  /** The record that carries it, with all other credits of the same commit. */
  readonly routed: Place | null;
  readonly appliedIn: CommitLife | null;
  /** The participant's position before and after that whole commit; null where the changelog has it no longer. */
  readonly before: string | null;
  readonly after: string | null;
}
