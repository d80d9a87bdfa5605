/**
 * What one lane sends to another through the routed topic: credits to participants that the other owns, and transfers
 * that came in by the wrong partition. One record holds what one commit of one lane has for one destination.
 *
 * The form is internal to the fleet: a version byte, then Avro. It may change between versions of the fleet only in ways
 * that the reader of the older version was told of before.
 */
import avro from 'avsc';
import type { FormalReasonCode } from '../domain/codes.ts';
import type { EventHeader, Transfer } from '../domain/transfer.ts';
import type { RecordHeader } from './record-batch.ts';

export interface CreditLeg {
  readonly participant: string;
  readonly currency: string;
  /** In 10^-5 of the currency's unit; the sum of one or more credits. */
  readonly units: bigint;
}

export interface Routed {
  /** The lane that sends. */
  readonly from: number;
  /** The sender's commit that holds this record (see `checkpoint.ts`). */
  readonly commit: number;
  readonly credits: readonly CreditLeg[];
  readonly transfers: readonly Transfer[];
}

const version = 2;

/** A bigint as Avro long: an amount of decimal(18,5) fits 64 bits. A sum of amounts may not, so legs are texts. */
const longType = avro.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  },
  fromJSON: BigInt,
  toJSON: String,
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: (a: bigint, b: bigint) => (a === b ? 0 : a < b ? -1 : 1),
});

const text = ['null', 'string'];
const routedType = avro.Type.forSchema(
  {
    type: 'record',
    name: 'Routed',
    namespace: 'settlefleet.internal.v1',
    fields: [
      { name: 'from', type: 'int' },
      { name: 'commit', type: 'double' },
      {
        name: 'credits',
        type: {
          type: 'array',
          items: {
            type: 'record',
            name: 'CreditLeg',
            fields: [
              { name: 'participant', type: 'string' },
              { name: 'currency', type: 'string' },
              { name: 'units', type: 'string' },
            ],
          },
        },
      },
      {
        name: 'transfers',
        type: {
          type: 'array',
          items: {
            type: 'record',
            name: 'RoutedTransfer',
            fields: [
              { name: 'eventId', type: 'string' },
              { name: 'messageType', type: 'string' },
              { name: 'source', type: 'string' },
              { name: 'messageId', type: text },
              { name: 'createdAt', type: 'double' },
              { name: 'receivedAt', type: 'double' },
              { name: 'inboundPartition', type: 'int' },
              { name: 'inboundOffset', type: 'double' },
              { name: 'transactionIndex', type: 'int' },
              { name: 'instructionId', type: text },
              { name: 'endToEndId', type: text },
              { name: 'transactionId', type: text },
              { name: 'uetr', type: text },
              { name: 'debitedParticipant', type: text },
              { name: 'creditedParticipant', type: text },
              { name: 'currency', type: text },
              { name: 'amount', type: ['null', 'long'] },
              { name: 'reasonCode', type: text },
              { name: 'reason', type: text },
              { name: 'identity', type: 'string' },
            ],
          },
        },
      },
    ],
  },
  { wrapUnions: false, registry: { long: longType } },
);

type FlatTransfer = Omit<EventHeader, never> &
  Omit<Transfer, 'event' | 'formalRefusal'> & { readonly reasonCode: string | null; readonly reason: string | null };

export function encodeRouted(routed: Routed): Buffer {
  // Field by field: a transfer's texts may be accessors, which spreading leaves out.
  const transfers: FlatTransfer[] = routed.transfers.map((transfer) => ({
    eventId: transfer.event.eventId,
    messageType: transfer.event.messageType,
    source: transfer.event.source,
    messageId: transfer.event.messageId,
    createdAt: transfer.event.createdAt,
    receivedAt: transfer.event.receivedAt,
    inboundPartition: transfer.event.inboundPartition,
    inboundOffset: transfer.event.inboundOffset,
    transactionIndex: transfer.transactionIndex,
    instructionId: transfer.instructionId,
    endToEndId: transfer.endToEndId,
    transactionId: transfer.transactionId,
    uetr: transfer.uetr,
    debitedParticipant: transfer.debitedParticipant,
    creditedParticipant: transfer.creditedParticipant,
    currency: transfer.currency,
    amount: transfer.amount,
    reasonCode: transfer.formalRefusal?.reasonCode ?? null,
    reason: transfer.formalRefusal?.reason ?? null,
    identity: transfer.identity,
  }));
  const credits = routed.credits.map((leg) => ({ ...leg, units: leg.units.toString() }));
  const body = routedType.toBuffer({ from: routed.from, commit: routed.commit, credits, transfers });
  return Buffer.concat([Buffer.of(version), body]);
}

/**
 * Headers of a routed record that belong to single events in it: the event's place, a colon, and the header's own name. They
 * are no part of the form above, so that a worker that does not know them reads the record all the same.
 */
export function carriedHeaders(transfers: readonly Transfer[], carried: ReadonlyMap<Transfer, readonly RecordHeader[]>): RecordHeader[] {
  const headers = new Map<string, RecordHeader>();
  for (const transfer of transfers) {
    for (const { key, value } of carried.get(transfer) ?? []) {
      const name = `${eventPlace(transfer.event)}:${key}`;
      headers.set(name, { key: name, value });
    }
  }
  return [...headers.values()];
}

/** The same by event, under the headers' own names. */
export function headersByEvent(headers: readonly RecordHeader[]): ReadonlyMap<string, readonly RecordHeader[]> {
  const byEvent = new Map<string, RecordHeader[]>();
  for (const { key, value } of headers) {
    const end = key.indexOf(':');
    if (end < 0) continue;
    const own = { key: key.slice(end + 1), value };
    const others = byEvent.get(key.slice(0, end));
    if (others === undefined) byEvent.set(key.slice(0, end), [own]);
    else others.push(own);
  }
  return byEvent;
}

/** What `headersByEvent` calls an event: where it came in. */
export function eventPlace({ inboundPartition, inboundOffset }: EventHeader): string {
  return `${inboundPartition}/${inboundOffset}`;
}

/** What of a routed record is needed to count it; the rest is skipped over. */
const talliedType = avro.Type.forSchema({
  type: 'record',
  name: 'Routed',
  namespace: 'settlefleet.internal.v1',
  fields: [
    { name: 'from', type: 'int' },
    {
      name: 'transfers',
      type: { type: 'array', items: { type: 'record', name: 'RoutedTransfer', fields: [{ name: 'transactionIndex', type: 'int' }] } },
    },
  ],
});
const tallyResolver = talliedType.createResolver(routedType);

/** Which lane sent a record of this version, and how many transfers it holds. */
export function tallyRouted(bytes: Uint8Array): { readonly from: number; readonly transfers: number } {
  const { from, transfers } = talliedType.fromBuffer(Buffer.from(bytes.subarray(1)), tallyResolver, true) as {
    from: number;
    transfers: readonly unknown[];
  };
  return { from, transfers: transfers.length };
}

/** Throws when the bytes are not of a version that this fleet knows: it must not be skipped, there is money in it. */
export function decodeRouted(bytes: Uint8Array): Routed {
  if (bytes[0] !== version) {
    throw new Error(`A routed record has version ${bytes[0]}, this worker reads ${version}: run the newer fleet.`);
  }
  const flat = routedType.fromBuffer(Buffer.from(bytes.subarray(1))) as {
    from: number;
    commit: number;
    credits: { participant: string; currency: string; units: string }[];
    transfers: FlatTransfer[];
  };
  return {
    from: flat.from,
    commit: flat.commit,
    credits: flat.credits.map((leg) => ({ ...leg, units: BigInt(leg.units) })),
    transfers: flat.transfers.map((one) => ({
      event: {
        eventId: one.eventId,
        messageType: one.messageType,
        source: one.source,
        messageId: one.messageId,
        createdAt: one.createdAt,
        receivedAt: one.receivedAt,
        inboundPartition: one.inboundPartition,
        inboundOffset: one.inboundOffset,
      },
      transactionIndex: one.transactionIndex,
      instructionId: one.instructionId,
      endToEndId: one.endToEndId,
      transactionId: one.transactionId,
      uetr: one.uetr,
      debitedParticipant: one.debitedParticipant,
      creditedParticipant: one.creditedParticipant,
      currency: one.currency,
      amount: one.amount,
      formalRefusal:
        one.reasonCode === null ? null : { reasonCode: one.reasonCode as FormalReasonCode, reason: one.reason ?? '' },
      identity: one.identity,
    })),
  };
}
