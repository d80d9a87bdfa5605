/**
 * A claim on a payment's identity: what is claimed, and by whom. The same place read again meets its own claim; the same
 * payment at another place does not.
 *
 * Source: contract section 3, "Identity".
 */
import type { ClaimHolder } from './settlement.ts';

/** What is claimed: the debited participant and the first identifier that the payment has. */
export function claimKey(payment: { readonly debitedParticipant: string | null; readonly identity: string | null }): string {
  return `${payment.debitedParticipant}|${payment.identity}`;
}

/** Who claims: `<inbound partition>:<inbound offset>:<transaction index>:<event id>`. */
export function claimMaker(
  place: { readonly inboundPartition: number; readonly inboundOffset: number; readonly eventId: string },
  transactionIndex: number,
): string {
  return `${place.inboundPartition}:${place.inboundOffset}:${transactionIndex}:${place.eventId}`;
}

/** The holder as settlement sees it; null is the transfer itself. */
export function claimHolder(maker: string | null): ClaimHolder {
  if (maker === null) return 'self';
  const [partition, offset, index, ...eventId] = maker.split(':');
  return {
    eventId: eventId.join(':') || null,
    place: `transaction ${index} of the event at offset ${offset} of inbound partition ${partition}`,
  };
}
