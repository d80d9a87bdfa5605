/**
 * Two made-up days of five participants, the same each time: what docs/analytics.md shows the answers of. The rules are the
 * fleet's in small; the ledger is the fleet's own.
 */
import type { PaymentResult } from '../../src/codec/payment-result.ts';
import { Ledger } from '../../src/domain/ledger.ts';
import type { Participant } from '../../src/domain/participant.ts';
import { settlementPartition } from '../../src/domain/partition.ts';
import type { DirectoryEntry } from '../../src/sink/ports.ts';
import { createRandom } from '../random.ts';

export const partitions = 4;
const payments = 600;
const unit = 100_000n;
const firstAt = Date.UTC(2026, 10, 21, 8);
const hourMs = 3_600_000;
const members = ['COBADEFFXXX', 'DEUTDEFFXXX', 'BNPAFRPPXXX', 'UNCRITMMXXX', 'USABA:021040078'];
const sources = ['swift', 'swift', 'sepa', 'portal'];

export interface CookbookDays {
  /** In the order of their offsets, for each partition. */
  readonly results: readonly (readonly PaymentResult[])[];
  readonly directory: readonly DirectoryEntry[];
  /** As it stands after the last of them. */
  readonly ledger: Ledger;
}

export function cookbookDays(): CookbookDays {
  const random = createRandom(2026);
  const pick = <T>(from: readonly T[]): T => from[random.below(from.length)]!;
  const ledger = new Ledger();
  const sequences = new Array<number>(partitions).fill(0);
  const results: PaymentResult[][] = Array.from({ length: partitions }, () => []);
  const settled: PaymentResult[] = [];
  let now = firstAt;
  for (let serial = 1; serial <= payments; serial++) {
    now += random.below(110_000);
    // The night between the two days.
    if (serial === payments / 2) now = firstAt + 24 * hourMs;
    const debited = pick(members);
    const kind = random.below(100);
    const currency = debited.startsWith('USABA') || random.below(8) === 0 ? 'USD' : 'EUR';
    const amount = BigInt(1 + random.below(20_000)) * unit;
    const fresh = resultOf(serial, now, random.below(60), 10 + random.below(150), {
      source: pick(sources),
      debitedParticipant: debited,
      creditedParticipant: pick(members.filter((member) => member !== debited)),
      currency,
      amount,
    });
    const partition = settlementPartition(debited, partitions);
    const add = (result: PaymentResult): void => void results[partition]!.push(result);
    const again = settled[random.below(Math.max(1, settled.length))];
    if (kind < 4 && again !== undefined) {
      const owner = settlementPartition(again.debitedParticipant!, partitions);
      const { eventId, createdAt, receivedAt, settledAt } = fresh;
      const times = { createdAt, receivedAt, settledAt };
      results[owner]!.push({ ...again, ...times, eventId, status: 'RJCT', reasonCode: 'AM05', positionAfter: null, sequence: null, identity: null, originalEventId: again.eventId });
    } else if (kind === 4) {
      add({ ...fresh, status: 'RJCT', reasonCode: 'CNOR', reason: 'The credited participant is not in the directory.', creditedParticipant: 'ABNANL2AXXX', identity: null });
    } else if (kind === 5) {
      const none = { instructionId: null, endToEndId: null, transactionId: null, uetr: null, debitedParticipant: null, creditedParticipant: null, currency: null, amount: null, identity: null };
      add({ ...fresh, ...none, transactionIndex: -1, status: 'RJCT', reasonCode: 'FF01', reason: '/Document/FIToFICstmrCdtTrf/GrpHdr/CreDtTm: missing' });
    } else if (ledger.position(debited, currency) - amount < -capAt(debited, now)) {
      add({ ...fresh, status: 'RJCT', reasonCode: 'AM04', reason: 'The debit would take the position below minus the debit cap.' });
    } else {
      const positionAfter = ledger.debit(debited, currency, amount);
      ledger.credit(fresh.creditedParticipant!, currency, amount);
      const result = { ...fresh, positionAfter, sequence: ++sequences[partition]! };
      settled.push(result);
      add(result);
    }
  }
  return { results, directory: directoryEntries(), ledger };
}

/** COBADEFFXXX gets a larger cap at noon of the second day. */
const raisedAt = firstAt + 28 * hourMs;

function capAt(participant: string, timeMs: number): bigint {
  return (participant === 'COBADEFFXXX' && timeMs >= raisedAt ? 300_000n : 200_000n) * unit;
}

function directoryEntries(): DirectoryEntry[] {
  const entry = (id: string, timestampMs: number, offset: number): DirectoryEntry => {
    const cap = capAt(id, timestampMs);
    const participant: Participant = { id, name: `Bank ${id.slice(0, 4)}`, aliases: [], debitCaps: new Map([['EUR', cap], ['USD', cap]]) };
    return { id, participant, timestampMs, offset };
  };
  return [...members.map((id, i) => entry(id, firstAt - hourMs, i)), entry('COBADEFFXXX', raisedAt, members.length)];
}

function resultOf(
  serial: number,
  createdAt: number,
  underWayMs: number,
  decisionMs: number,
  terms: Pick<PaymentResult, 'source' | 'debitedParticipant' | 'creditedParticipant' | 'currency' | 'amount'>,
): PaymentResult {
  const number = String(serial).padStart(12, '0');
  const uetr = `8a562c67-ca16-48ba-b074-${number}`;
  return {
    eventId: `7f0c1fb2-2b1a-4a57-9f49-${number}`,
    messageType: 'pacs.008.001.08',
    messageId: `MSG-${serial}`,
    transactionIndex: 0,
    instructionId: null,
    endToEndId: `E2E-${serial}`,
    transactionId: null,
    uetr,
    status: 'ACSC',
    reasonCode: null,
    reason: null,
    ...terms,
    positionAfter: null,
    sequence: null,
    createdAt,
    receivedAt: createdAt + underWayMs,
    settledAt: createdAt + underWayMs + decisionMs,
    inboundPartition: serial % partitions,
    inboundOffset: serial,
    originalEventId: null,
    identity: `pacs.008|UETR|${uetr}`,
    statusReport: null,
  };
}
