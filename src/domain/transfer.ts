/**
 * One credit transfer transaction of one event, as the ladder of rules sees it: complete, readonly, with the directory's
 * identifiers where the directory knows the participants.
 */
import type { FormalReasonCode, ReasonCode, TransactionStatus } from './codes.ts';

/** What all results of one event have in common. */
export interface EventHeader {
  readonly eventId: string;
  readonly messageType: string;
  readonly source: string;
  readonly messageId: string | null;
  /** The event's own; milliseconds since the epoch. */
  readonly createdAt: number;
  /** Timestamp of the inbound record; milliseconds since the epoch. */
  readonly receivedAt: number;
  readonly inboundPartition: number;
  readonly inboundOffset: number;
}

export interface Transfer {
  readonly event: EventHeader;
  /** 0-based place in the message. */
  readonly transactionIndex: number;
  readonly instructionId: string | null;
  readonly endToEndId: string | null;
  readonly transactionId: string | null;
  readonly uetr: string | null;
  /** Participant identifiers; null where the message names none that could be one. */
  readonly debitedParticipant: string | null;
  readonly creditedParticipant: string | null;
  readonly currency: string | null;
  /** In 10^-5 of the currency's unit; null where there is none that fits. */
  readonly amount: bigint | null;
  /** What the message itself already says against it. */
  readonly formalRefusal: Refusal<FormalReasonCode> | null;
  /** `family|tag|value`; with the debited participant it is the payment's identity. */
  readonly identity: string;
}

export interface Refusal<Code extends ReasonCode = ReasonCode> {
  readonly reasonCode: Code;
  /** For a person. Never an account number in clear. */
  readonly reason: string;
}

/** What became of a transfer. */
export interface Decision {
  readonly status: TransactionStatus;
  readonly reasonCode: ReasonCode | null;
  readonly reason: string | null;
  /** The debited participant's position right after this debit; null unless settled. */
  readonly positionAfter: bigint | null;
  /** Place of this debit in its settlement partition; null unless settled. */
  readonly sequence: number | null;
  /** For a duplicate: the event that claimed the identity first. */
  readonly originalEventId: string | null;
  /** True when this transfer holds the claim on its identity. */
  readonly claimed: boolean;
}
