/**
 * Decides everything of a batch in order, posts it, and writes it into the epoch. Nothing here waits: whatever had to be
 * waited for was gathered before, so that no other batch can come between two decisions.
 */
import { keyBytes, valueBytes } from '../codec/record-batch.ts';
import type { RecordHeader } from '../codec/record-batch.ts';
import { encodeDecodedResult, encodePaymentResult } from '../codec/payment-result.ts';
import type { PaymentAnswer } from '../codec/payment-result.ts';
import { createOwnerLookup } from '../domain/partition.ts';
import { rejected, settle } from '../domain/settlement.ts';
import type { TopicNames } from '../domain/topics.ts';
import type { Decision, EventHeader, Transfer } from '../domain/transfer.ts';
import type { Epoch } from '../epoch.ts';
import { invariant } from '../errors.ts';
import type { LaneBook } from '../lane-book.ts';
import type { BatchTrace, Clock } from '../ports.ts';
import type { Step, Work } from './route.ts';

type Answerable = Extract<Step, { kind: 'transfer' | 'rejectMessage' }>;

/** `trace`: null where nobody asked for it. */
export type SettleStage = (work: Work, book: LaneBook, epoch: Epoch, trace: BatchTrace | null) => void;

export function createSettleStage(ports: {
  readonly clock: Clock;
  readonly topics: TopicNames;
  readonly partitionCount: number;
  readonly deadLetterPartitionCount: number;
  readonly resultSchemaId: number;
  readonly worker: string;
}): SettleStage {
  const { topics } = ports;
  const ownerOf = createOwnerLookup(ports.partitionCount);

  return function settleStage(work, book, epoch, trace) {
    const { records, decoded, steps, misdirected } = work;
    const settledAt = ports.clock();
    const resultsStart = epoch.records.byteLength;
    let results = 0;
    let first = '';

    const answer = (step: Answerable, event: EventHeader, transfer: Transfer | null, decision: Decision): void => {
      const said = answerOf(event, transfer, decision, settledAt);
      const transactionIndex = transfer?.transactionIndex ?? -1;
      const key = transfer?.debitedParticipant ?? keyBytes(records, step.row);
      const headers = trace === null ? undefined : trace.result(step.row, event, transactionIndex, decision);
      epoch.records.appendWith(topics.results, book.partition, key, (bytes, start) =>
        decoded !== null && step.kind === 'transfer'
          ? encodeDecodedResult({ decoded, event: step.row, transaction: step.transaction, transactionIndex }, said, ports.resultSchemaId, bytes, start)
          : encodePaymentResult({ ...textsOf(event, transfer), transactionIndex, ...said }, ports.resultSchemaId, bytes, start),
        headers,
      );
      epoch.countResult(decision.status, decision.reasonCode, event.createdAt);
      if (results++ === 0) first = `${event.inboundPartition}:${event.inboundOffset}:${transactionIndex}`;
    };

    for (const step of steps) {
      switch (step.kind) {
        case 'credit':
          for (const leg of step.legs) book.ledger.credit(leg.participant, leg.currency, leg.units);
          break;
        case 'rejectMessage':
          answer(step, step.event, null, rejected(step.refusal));
          break;
        case 'transfer': {
          const decision = decide(step, work, book);
          const { transfer } = step;
          answer(step, transfer.event, transfer, decision);
          if (decision.status === 'ACSC') {
            credit(transfer, book);
            epoch.countSettled(transfer.currency!, transfer.amount!);
          }
          break;
        }
        case 'deadLetter':
          break;
      }
    }
    if (results > 0) book.extendChain(epoch.records.slice(resultsStart), results, first);

    for (const step of steps) {
      if (step.kind === 'deadLetter') letter(step, work, epoch, settledAt, trace);
    }
    for (const { owner, transfer, row } of misdirected) book.oweTransfer(owner, transfer, trace?.handOver(row, transfer.event));
    book.advance(records.topic, records.offsets[records.count - 1]! + 1);
    epoch.touch(book);
  };

  /** The credit is applied here, or travels to whoever owns the credited participant. */
  function credit(transfer: Transfer, book: LaneBook): void {
    const participant = transfer.creditedParticipant!;
    const owner = ownerOf(participant);
    if (owner === book.partition) book.ledger.credit(participant, transfer.currency!, transfer.amount!);
    else book.oweCredit(owner, participant, transfer.currency!, transfer.amount!);
  }

  /** The event as it came, with why and where. */
  function letter(step: Extract<Step, { kind: 'deadLetter' }>, { records }: Work, epoch: Epoch, failedAtMs: number, trace: BatchTrace | null): void {
    const headers: RecordHeader[] = (records.headers[step.row] ?? []).filter(({ key }) => !key.startsWith('dlq.'));
    const about = {
      'dlq.code': step.code,
      'dlq.reason': step.reason,
      'dlq.topic': records.topic,
      'dlq.partition': String(records.partition),
      'dlq.offset': String(records.offsets[step.row]),
      'dlq.failed-at': new Date(failedAtMs).toISOString(),
      'dlq.worker': ports.worker,
    };
    for (const [key, value] of Object.entries(about)) headers.push({ key, value: Buffer.from(value) });
    epoch.records.append(
      topics.deadLetter,
      records.partition % ports.deadLetterPartitionCount,
      keyBytes(records, step.row),
      valueBytes(records, step.row),
      headers,
    );
    epoch.countDeadLetter(step.code);
    trace?.deadLetter(step.row, step.code);
  }
}

function decide(step: Extract<Step, { kind: 'transfer' }>, { directory }: Work, book: LaneBook): Decision {
  if (step.refusal !== null) return rejected(step.refusal);
  invariant(step.holder !== null, 'a transfer is settled only after its identity was claimed');
  return settle(step.transfer, step.holder, directory, book.ledger);
}

/** What the message gives, as strings. */
function textsOf(event: EventHeader, transfer: Transfer | null) {
  return {
    eventId: event.eventId,
    messageType: event.messageType,
    source: event.source,
    messageId: event.messageId,
    instructionId: transfer?.instructionId ?? null,
    endToEndId: transfer?.endToEndId ?? null,
    transactionId: transfer?.transactionId ?? null,
    uetr: transfer?.uetr ?? null,
  };
}

function answerOf(event: EventHeader, transfer: Transfer | null, decision: Decision, settledAt: number): PaymentAnswer {
  return {
    status: decision.status,
    reasonCode: decision.reasonCode,
    reason: decision.reason,
    debitedParticipant: transfer?.debitedParticipant ?? null,
    creditedParticipant: transfer?.creditedParticipant ?? null,
    currency: transfer?.currency ?? null,
    amount: transfer?.amount ?? null,
    positionAfter: decision.positionAfter,
    sequence: decision.sequence,
    createdAt: event.createdAt,
    receivedAt: event.receivedAt,
    settledAt,
    inboundPartition: event.inboundPartition,
    inboundOffset: event.inboundOffset,
    originalEventId: decision.originalEventId,
    identity: decision.claimed && transfer !== null ? transfer.identity : null,
    statusReport: null,
  };
}
