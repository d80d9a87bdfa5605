/**
 * The ladder of rules for one transfer: one condition, one named answer, next rung; the first that fails decides.
 *
 * It is cut in two where the claim on the identity is made, because that has to be waited for: what stands before it needs
 * only the message and the directory, what stands after it needs the position. Neither waits.
 *
 * Source: contract section 3; the reason codes are ISO 20022 ExternalStatusReason1Code.
 */
import { formatAmount } from './amount.ts';
import type { Ledger } from './ledger.ts';
import type { Directory } from './participant.ts';
import type { Decision, Refusal, Transfer } from './transfer.ts';

/** What refuses a transfer before its identity is claimed; null when it may claim. */
export function refusalBeforeClaim(transfer: Transfer, directory: Directory): Refusal | null {
  const { debitedParticipant, creditedParticipant, currency } = transfer;
  if (transfer.formalRefusal !== null) return transfer.formalRefusal;
  const debited = debitedParticipant === null ? undefined : directory.find(debitedParticipant);
  if (debited === undefined) return unknownParticipant('DNOR', 'debited', debitedParticipant);
  const credited = creditedParticipant === null ? undefined : directory.find(creditedParticipant);
  if (credited === undefined) return unknownParticipant('CNOR', 'credited', creditedParticipant);
  if (!debited.debitCaps.has(currency!)) return currencyNotHeld('debited', debited.id, currency!);
  if (!credited.debitCaps.has(currency!)) return currencyNotHeld('credited', credited.id, currency!);
  return null;
}

/** Who holds the claim on a transfer's identity: this transfer itself, or somebody before it. */
export type ClaimHolder = 'self' | { readonly eventId: string | null; readonly place: string };

/** Decides a transfer that may claim, and posts its debit. The credit is the caller's, by the partition that owns it. */
export function settle(transfer: Transfer, holder: ClaimHolder, directory: Directory, ledger: Ledger): Decision {
  if (holder !== 'self') {
    return rejected(
      { reasonCode: 'AM05', reason: `Duplicate: this payment was claimed before by ${holder.place}.` },
      { originalEventId: holder.eventId },
    );
  }
  const debited = transfer.debitedParticipant!;
  const currency = transfer.currency!;
  const amount = transfer.amount!;
  const cap = directory.find(debited)!.debitCaps.get(currency)!;
  const position = ledger.position(debited, currency);
  if (position - amount < -cap) {
    return rejected(
      {
        reasonCode: 'AM04',
        reason: `Debit of ${formatAmount(amount)} ${currency} would take the position of ${debited} from ${formatAmount(position)} below minus its debit cap of ${formatAmount(cap)}.`,
      },
      { claimed: true },
    );
  }
  const positionAfter = ledger.debit(debited, currency, amount);
  return {
    status: 'ACSC',
    reasonCode: null,
    reason: null,
    positionAfter,
    sequence: ledger.sequence,
    originalEventId: null,
    claimed: true,
  };
}

/** A rejection as a decision. */
export function rejected(
  refusal: Refusal,
  more: { readonly originalEventId?: string | null; readonly claimed?: boolean } = {},
): Decision {
  return {
    status: 'RJCT',
    reasonCode: refusal.reasonCode,
    reason: refusal.reason,
    positionAfter: null,
    sequence: null,
    originalEventId: more.originalEventId ?? null,
    claimed: more.claimed ?? false,
  };
}

function unknownParticipant(reasonCode: 'DNOR' | 'CNOR', side: string, identifier: string | null): Refusal {
  return {
    reasonCode,
    reason:
      identifier === null
        ? `The message names no ${side} participant by BIC or clearing system member.`
        : `The ${side} participant ${identifier} is not in the directory.`,
  };
}

function currencyNotHeld(side: string, participant: string, currency: string): Refusal {
  return { reasonCode: 'AM03', reason: `The ${side} participant ${participant} does not hold ${currency}.` };
}
