/**
 * Finds out for each transaction which partition owns its debited participant, and what the message and the directory
 * already say against it. What belongs elsewhere is set aside; what belongs here keeps its place in the order.
 */
import { createOwnerLookup } from '../domain/partition.ts';
import type { Directory } from '../domain/participant.ts';
import { refusalBeforeClaim } from '../domain/settlement.ts';
import type { ClaimHolder } from '../domain/settlement.ts';
import type { DeadLetterCode, FormalReasonCode, MessageReasonCode } from '../domain/codes.ts';
import type { EventHeader, Refusal, Transfer } from '../domain/transfer.ts';
import type { CreditLeg, Routed } from '../codec/routed.ts';
import type { DecodedBatch } from '../codec/decoded-batch.ts';
import type { RecordBatch } from '../codec/record-batch.ts';
import type { Decoded } from './decode.ts';

/** What a lane does in order. The holder of a claim is known only after the dedupe stage. */
export type Step =
  | { readonly kind: 'deadLetter'; readonly row: number; readonly code: DeadLetterCode; readonly reason: string }
  | { readonly kind: 'rejectMessage'; readonly row: number; readonly event: EventHeader; readonly refusal: Refusal<MessageReasonCode> }
  | { readonly kind: 'credit'; readonly legs: readonly CreditLeg[] }
  | {
      readonly kind: 'transfer';
      readonly row: number;
      /** Its row in the decoded batch; -1 when it came from another lane. */
      readonly transaction: number;
      readonly transfer: Transfer;
      readonly refusal: Refusal | null;
      holder: ClaimHolder | null;
    };

export interface Work {
  readonly records: RecordBatch;
  /** Null for a batch of the routed topic. */
  readonly decoded: DecodedBatch | null;
  readonly directory: Directory;
  readonly steps: readonly Step[];
  readonly misdirected: readonly { readonly owner: number; readonly transfer: Transfer; readonly row: number }[];
}

export type RouteStage = (decoded: Decoded) => Work;

export function createRouteStage(ports: {
  readonly directory: () => Directory;
  readonly partitionCount: number;
}): RouteStage {
  const ownerOf = createOwnerLookup(ports.partitionCount);

  return function routeStage(decoded) {
    const directory = ports.directory();
    const here = decoded.records.partition;
    const steps: Step[] = [];
    const misdirected: { owner: number; transfer: Transfer; row: number }[] = [];

    const place = (transfer: Transfer, row: number, transaction: number): void => {
      const { debitedParticipant } = transfer;
      const owner = debitedParticipant === null ? here : ownerOf(debitedParticipant);
      if (owner !== here) misdirected.push({ owner, transfer, row });
      else steps.push({ kind: 'transfer', row, transaction, transfer, refusal: refusalBeforeClaim(transfer, directory), holder: null });
    };

    if (decoded.kind === 'inbound') {
      for (let row = 0; row < decoded.records.count; row++) {
        const single = concludedStep(decoded.records, decoded.decoded, row);
        if (single !== null) {
          steps.push(single);
          continue;
        }
        const event = new DecodedEvent(decoded.records, decoded.decoded, row);
        const first = decoded.decoded.firstTransaction(row);
        const end = decoded.decoded.endTransaction(row);
        for (let transaction = first; transaction < end; transaction++) {
          place(new DecodedTransfer(event, decoded.decoded, transaction, transaction - first, directory), row, transaction);
        }
      }
    } else {
      decoded.routed.forEach((routed: Routed, row) => {
        if (routed.credits.length > 0) steps.push({ kind: 'credit', legs: routed.credits });
        for (const transfer of routed.transfers) place(renamed(transfer, directory), row, -1);
      });
    }
    return { records: decoded.records, decoded: decoded.kind === 'inbound' ? decoded.decoded : null, directory, steps, misdirected };
  };
}

/** An event that ends as a whole: a dead letter, or a rejected message. */
function concludedStep(records: RecordBatch, decoded: DecodedBatch, row: number): Step | null {
  const code = decoded.deadLetterCode(row);
  if (code !== null) return { kind: 'deadLetter', row, code, reason: decoded.eventText(row, 'reason') ?? code };
  const reasonCode = decoded.messageReasonCode(row);
  if (reasonCode === null) return null;
  const reason = decoded.eventText(row, 'reason') ?? reasonCode;
  return { kind: 'rejectMessage', row, event: new DecodedEvent(records, decoded, row), refusal: { reasonCode, reason } };
}

/**
 * An event as it lies in the decoded batch. Its texts become strings when somebody asks, and nobody does for a payment that
 * is settled where it came in: a string for each text of each payment would be a fifth of all that the main thread does.
 */
class DecodedEvent implements EventHeader {
  readonly messageType: string;
  readonly createdAt: number;
  readonly receivedAt: number;
  readonly inboundPartition: number;
  readonly inboundOffset: number;
  readonly #decoded: DecodedBatch;
  readonly #row: number;

  constructor(records: RecordBatch, decoded: DecodedBatch, row: number) {
    this.messageType = decoded.commonEventText(row, 'messageType') ?? '';
    this.createdAt = decoded.createdAt(row);
    this.receivedAt = records.timestamps[row]!;
    this.inboundPartition = records.partition;
    this.inboundOffset = records.offsets[row]!;
    this.#decoded = decoded;
    this.#row = row;
  }

  get eventId(): string {
    return this.#decoded.eventText(this.#row, 'eventId') ?? '';
  }

  get source(): string {
    return this.#decoded.eventText(this.#row, 'source') ?? '';
  }

  get messageId(): string | null {
    return this.#decoded.eventText(this.#row, 'messageId');
  }
}

/** A transfer as it lies in the decoded batch; see `DecodedEvent`. */
class DecodedTransfer implements Transfer {
  readonly event: EventHeader;
  readonly transactionIndex: number;
  readonly debitedParticipant: string | null;
  readonly creditedParticipant: string | null;
  readonly currency: string | null;
  readonly amount: bigint | null;
  readonly formalRefusal: Refusal<FormalReasonCode> | null;
  readonly identity: string;
  readonly #decoded: DecodedBatch;
  readonly #transaction: number;

  constructor(event: EventHeader, decoded: DecodedBatch, transaction: number, transactionIndex: number, directory: Directory) {
    const reasonCode = decoded.formalReasonCode(transaction);
    this.event = event;
    this.transactionIndex = transactionIndex;
    this.debitedParticipant = named(decoded.commonTransactionText(transaction, 'debitedAgent'), directory);
    this.creditedParticipant = named(decoded.commonTransactionText(transaction, 'creditedAgent'), directory);
    this.currency = decoded.commonTransactionText(transaction, 'currency');
    this.amount = decoded.amount(transaction);
    this.formalRefusal =
      reasonCode === null ? null : { reasonCode, reason: decoded.transactionText(transaction, 'reason') ?? reasonCode };
    this.identity = `${event.messageType.slice(0, 8)}|${decoded.identityTag(transaction) ?? ''}|${decoded.transactionText(transaction, 'identityValue') ?? ''}`;
    this.#decoded = decoded;
    this.#transaction = transaction;
  }

  get instructionId(): string | null {
    return this.#decoded.transactionText(this.#transaction, 'instructionId');
  }

  get endToEndId(): string | null {
    return this.#decoded.transactionText(this.#transaction, 'endToEndId');
  }

  get transactionId(): string | null {
    return this.#decoded.transactionText(this.#transaction, 'transactionId');
  }

  get uetr(): string | null {
    return this.#decoded.transactionText(this.#transaction, 'uetr');
  }
}

/** The directory's name for an agent; the message's own where the directory knows none. */
function named(agent: string | null, directory: Directory): string | null {
  return agent === null ? null : (directory.find(agent)?.id ?? agent);
}

/** The directory may have changed while a transfer was under way between lanes. */
function renamed(transfer: Transfer, directory: Directory): Transfer {
  const debitedParticipant = named(transfer.debitedParticipant, directory);
  const creditedParticipant = named(transfer.creditedParticipant, directory);
  if (debitedParticipant === transfer.debitedParticipant && creditedParticipant === transfer.creditedParticipant) return transfer;
  return { ...transfer, debitedParticipant, creditedParticipant };
}
