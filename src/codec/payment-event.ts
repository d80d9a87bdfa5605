/**
 * Writes PaymentEvents as a producer does: the Confluent wire format around Avro of the registered schema.
 *
 * Source: contract section 1; schemas/payment-event.avsc.
 */
import avro from 'avsc';
import { wireHeaderBytes, writeWireHeader } from './wire-format.ts';

export interface PaymentEvent {
  /** Unique for each submission. */
  readonly eventId: string;
  /** E.g. `pacs.008.001.08`. */
  readonly messageType: string;
  readonly source: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** The XML as received. */
  readonly document: Uint8Array;
  readonly attributes: Readonly<Record<string, string>>;
}

/** `schema`: the parsed schemas/payment-event.avsc, `schemaId`: its id at the registry. */
export function createPaymentEventEncoder(schema: unknown, schemaId: number): (event: PaymentEvent) => Buffer {
  const type = avro.Type.forSchema(schema as avro.Schema);
  return (event) => {
    const { document } = event;
    const body = type.toBuffer({
      ...event,
      document: Buffer.from(document.buffer, document.byteOffset, document.byteLength),
    });
    const value = Buffer.allocUnsafe(wireHeaderBytes + body.length);
    writeWireHeader(value, 0, schemaId);
    body.copy(value, wireHeaderBytes);
    return value;
  };
}
