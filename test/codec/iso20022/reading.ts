/** Reads one message as a worker thread does, and tells all of the answer as plain values. */
import { readSchemaTable } from '../../../schemas/iso20022/tables.ts';
import type { MessageReader } from '../../../src/codec/decode-task.ts';
import { DecodedBatch, DecodedBatchWriter, transactionTexts } from '../../../src/codec/decoded-batch.ts';
import type { TransactionText } from '../../../src/codec/decoded-batch.ts';
import { createMessageReader } from '../../../src/codec/iso20022/payment-reader.ts';

export type ReadTransaction = Readonly<Record<TransactionText, string | null>> & {
  readonly amount: bigint | null;
  readonly code: string | null;
  readonly tag: string | null;
};

export interface ReadMessage {
  readonly deadLetter: string | null;
  readonly rejection: string | null;
  readonly reason: string | null;
  readonly messageId: string | null;
  readonly transactions: readonly ReadTransaction[];
}

const shared = createMessageReader(readSchemaTable);

/** `messageType`: what the event says; by default the Document's own. */
export function readMessage(message: string | Uint8Array, messageType = typeOf(message), reader: MessageReader = shared): ReadMessage {
  const type = Buffer.from(messageType);
  const document = typeof message === 'string' ? Buffer.from(message) : message;
  // Bytes on both sides, as in a batch: a reader that looks over the edge finds them.
  const bytes = new Uint8Array(new SharedArrayBuffer(type.length + document.length + 8)).fill(0x3c);
  bytes.set(type);
  bytes.set(document, type.length);
  const writer = new DecodedBatchWriter();
  writer.reset();
  writer.beginEvent();
  reader(
    {
      bytes,
      documentStart: type.length,
      documentLength: document.length,
      messageTypeStart: 0,
      messageTypeLength: type.length,
    },
    writer,
  );
  const batch = new DecodedBatch(writer.pack(), bytes);
  const transactions: ReadTransaction[] = [];
  for (let row = batch.firstTransaction(0); row < batch.endTransaction(0); row++) {
    const texts = Object.fromEntries(transactionTexts.map((name) => [name, batch.transactionText(row, name)]));
    transactions.push({
      ...(texts as Record<TransactionText, string | null>),
      amount: batch.amount(row),
      code: batch.formalReasonCode(row),
      tag: batch.identityTag(row),
    });
  }
  return {
    deadLetter: batch.deadLetterCode(0),
    rejection: batch.messageReasonCode(0),
    reason: batch.eventText(0, 'reason'),
    messageId: batch.eventText(0, 'messageId'),
    transactions,
  };
}

function typeOf(message: string | Uint8Array): string {
  const text = typeof message === 'string' ? message : Buffer.from(message).toString('latin1');
  return /urn:iso:std:iso:20022:tech:xsd:([^"']+)/.exec(text)?.[1] ?? 'none';
}
