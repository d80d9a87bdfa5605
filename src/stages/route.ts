/**
 * Finds out for each transaction which partition owns its debited participant, and what the message and the directory
 * already say against it. What belongs elsewhere is set aside; what belongs here keeps its place in the order.
 */
import { createOwnerLookup } from '../domain/partition.ts';
import type { Directory } from '../domain/participant.ts';
import { refusalBeforeClaim } from '../domain/settlement.ts';
import type { ClaimHolder } from '../domain/settlement.ts';
import type { DeadLetterCode, MessageReasonCode } from '../domain/codes.ts';
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
      readonly transfer: Transfer;
      readonly refusal: Refusal | null;
      holder: ClaimHolder | null;
    };

export interface Work {
  readonly records: RecordBatch;
  readonly directory: Directory;
  readonly steps: readonly Step[];
  readonly misdirected: readonly { readonly owner: number; readonly transfer: Transfer }[];
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
    const misdirected: { owner: number; transfer: Transfer }[] = [];

    const place = (transfer: Transfer, row: number): void => {
      const { debitedParticipant } = transfer;
      const owner = debitedParticipant === null ? here : ownerOf(debitedParticipant);
      if (owner !== here) misdirected.push({ owner, transfer });
      else steps.push({ kind: 'transfer', row, transfer, refusal: refusalBeforeClaim(transfer, directory), holder: null });
    };

    if (decoded.kind === 'inbound') {
      for (let row = 0; row < decoded.records.count; row++) {
        const single = concludedStep(decoded.records, decoded.decoded, row);
        if (single !== null) {
          steps.push(single);
          continue;
        }
        const event = eventHeader(decoded.records, decoded.decoded, row);
        const first = decoded.decoded.firstTransaction(row);
        const end = decoded.decoded.endTransaction(row);
        for (let transaction = first; transaction < end; transaction++) {
          place(transferOf(event, decoded.decoded, transaction, transaction - first, directory), row);
        }
      }
    } else {
      decoded.routed.forEach((routed: Routed, row) => {
        if (routed.credits.length > 0) steps.push({ kind: 'credit', legs: routed.credits });
        for (const transfer of routed.transfers) place(renamed(transfer, directory), row);
      });
    }
    return { records: decoded.records, directory, steps, misdirected };
  };
}

/** An event that ends as a whole: a dead letter, or a rejected message. */
function concludedStep(records: RecordBatch, decoded: DecodedBatch, row: number): Step | null {
  const code = decoded.deadLetterCode(row);
  if (code !== null) return { kind: 'deadLetter', row, code, reason: decoded.eventText(row, 'reason') ?? code };
  const reasonCode = decoded.messageReasonCode(row);
  if (reasonCode === null) return null;
  const reason = decoded.eventText(row, 'reason') ?? reasonCode;
  return { kind: 'rejectMessage', row, event: eventHeader(records, decoded, row), refusal: { reasonCode, reason } };
}

function eventHeader(records: RecordBatch, decoded: DecodedBatch, row: number): EventHeader {
  return {
    eventId: decoded.eventText(row, 'eventId') ?? '',
    messageType: decoded.eventText(row, 'messageType') ?? '',
    source: decoded.eventText(row, 'source') ?? '',
    messageId: decoded.eventText(row, 'messageId'),
    createdAt: decoded.createdAt(row),
    receivedAt: records.timestamps[row]!,
    inboundPartition: records.partition,
    inboundOffset: records.offsets[row]!,
  };
}

function transferOf(
  event: EventHeader,
  decoded: DecodedBatch,
  transaction: number,
  transactionIndex: number,
  directory: Directory,
): Transfer {
  const reasonCode = decoded.formalReasonCode(transaction);
  return {
    event,
    transactionIndex,
    instructionId: decoded.transactionText(transaction, 'instructionId'),
    endToEndId: decoded.transactionText(transaction, 'endToEndId'),
    transactionId: decoded.transactionText(transaction, 'transactionId'),
    uetr: decoded.transactionText(transaction, 'uetr'),
    debitedParticipant: named(decoded.transactionText(transaction, 'debitedAgent'), directory),
    creditedParticipant: named(decoded.transactionText(transaction, 'creditedAgent'), directory),
    currency: decoded.transactionText(transaction, 'currency'),
    amount: decoded.amount(transaction),
    formalRefusal:
      reasonCode === null ? null : { reasonCode, reason: decoded.transactionText(transaction, 'reason') ?? reasonCode },
    identity: `${event.messageType.slice(0, 8)}|${decoded.identityTag(transaction) ?? ''}|${decoded.transactionText(transaction, 'identityValue') ?? ''}`,
  };
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
