/**
 * The fleet's other ports in virtual time: claims that are slow, away or forget, and a decoder for events in a compact form
 * of the simulation's own.
 */
import type { RecordBatch } from '../../src/codec/record-batch.ts';
import { valueBytes } from '../../src/codec/record-batch.ts';
import { DecodedBatchWriter } from '../../src/codec/decoded-batch.ts';
import type { DeadLetterCode, FormalReasonCode, IdentityTag, MessageReasonCode } from '../../src/domain/codes.ts';
import { OutageError } from '../../src/errors.ts';
import type { Claims, Decoder, WindowRestore } from '../../src/ports.ts';
import type { SimProcess, World } from './world.ts';

/** How badly Redis behaves. */
export interface RedisFaults {
  /** Share of commands that are done and whose answer is lost. */
  lostAnswers: number;
  /** Answers take up to this long. */
  slowMs: number;
}

export function simulatedClaims(options: {
  readonly world: World;
  readonly process: SimProcess;
  readonly server: Claims;
  readonly faults: RedisFaults;
}): Claims {
  const { world, process, server, faults } = options;
  const { chance } = world;
  const latency = (): number => (chance.chance(0.03) ? chance.unit() * 80 : 0.1 + chance.unit()) + (faults.slowMs > 0 ? chance.unit() * faults.slowMs : 0);

  /** The command reaches the server whether or not the process lives on; the answer only a living one. */
  const command = <T>(run: () => Promise<T>): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      world.schedule(latency(), () => {
        run().then(
          (answer) => {
            if (chance.chance(faults.lostAnswers)) {
              process.after(50, () => reject(new OutageError('redis', 'the answer was lost')));
            } else process.after(latency(), () => resolve(answer));
          },
          (error: unknown) => process.after(latency(), () => reject(error instanceof Error ? error : new Error(String(error)))),
        );
      });
    });

  return {
    claim: (request) => command(() => server.claim(request)),
    async beginRestore(partition): Promise<WindowRestore> {
      const restore = await command(() => server.beginRestore(partition));
      return {
        add: (claims) => command(() => restore.add(claims)),
        complete: () => command(() => restore.complete()),
      };
    },
  };
}

// ── Events ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface SimTransaction {
  readonly debited: string | null;
  readonly credited: string | null;
  readonly currency: string;
  readonly units: string;
  readonly tag: IdentityTag;
  readonly identity: string;
  readonly formal: FormalReasonCode | null;
}

/** What an upstream system sends, in place of Avro and XML. */
export interface SimEvent {
  readonly eventId: string;
  readonly messageType: string;
  readonly createdAt: number;
  readonly deadLetter: DeadLetterCode | null;
  readonly rejected: MessageReasonCode | null;
  readonly transactions: readonly SimTransaction[];
  /** Makes some events as large as real ones may be. */
  readonly padding?: string;
}

/** The registry or a thread keeps the decoder waiting until then. */
export interface DecoderFaults {
  waitsUntil: number;
}

export function simulatedDecoder(options: { readonly world: World; readonly process: SimProcess; readonly faults: DecoderFaults }): Decoder {
  const { world, process, faults } = options;
  return {
    decode: (batch) =>
      new Promise((resolve) => {
        const attempt = (): void => {
          if (faults.waitsUntil > world.now) process.after(faults.waitsUntil - world.now + 1, attempt);
          else resolve(decodeBatch(batch));
        };
        process.after(world.chance.chance(0.1) ? world.chance.unit() * 50 : world.chance.unit() * 2, attempt);
      }),
  };
}

function decodeBatch(batch: RecordBatch): ArrayBuffer {
  const writer = new DecodedBatchWriter();
  for (let row = 0; row < batch.count; row++) {
    const event = JSON.parse(Buffer.from(valueBytes(batch, row)!).toString()) as SimEvent;
    writer.beginEvent();
    writer.setCreatedAt(event.createdAt);
    writer.setEventText('eventId', event.eventId);
    writer.setEventText('messageType', event.messageType);
    writer.setEventText('source', 'simulation');
    if (event.deadLetter !== null) {
      writer.setDeadLetter(event.deadLetter, 'as the simulation says');
      continue;
    }
    if (event.rejected !== null) {
      writer.setMessageRejection(event.rejected, 'as the simulation says');
      continue;
    }
    for (const transaction of event.transactions) {
      writer.beginTransaction();
      if (transaction.debited !== null) writer.setTransactionText('debitedAgent', transaction.debited);
      if (transaction.credited !== null) writer.setTransactionText('creditedAgent', transaction.credited);
      writer.setTransactionText('currency', transaction.currency);
      writer.setTransactionText('identityValue', transaction.identity);
      writer.setIdentityTag(transaction.tag);
      writer.setAmount(BigInt(transaction.units));
      if (transaction.formal !== null) writer.setFormalRejection(transaction.formal, 'as the simulation says');
    }
  }
  return writer.pack();
}
