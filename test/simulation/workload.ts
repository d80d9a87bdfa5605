/**
 * What upstream systems send in one run, and which participants there are: payments of every fate, in the wrong partition,
 * sent twice, with several debited participants in one message.
 */
import { settlementPartition } from '../../src/domain/partition.ts';
import { Directory } from '../../src/domain/participant.ts';
import type { Participant } from '../../src/domain/participant.ts';
import type { SimEvent, SimTransaction } from './ports.ts';
import type { Chance } from './world.ts';

export const currencies = ['EUR', 'USD'] as const;
const unit = 100_000n;

export interface Workload {
  readonly partitions: number;
  /** The directory as it changes; the first is in force at the start. */
  readonly directories: readonly Directory[];
  next(now: number): { readonly partition: number; readonly key: Buffer; readonly event: SimEvent };
}

function directoryOf(participants: readonly Participant[]): Directory {
  return new Directory(participants);
}

export function createWorkload(chance: Chance, partitions: number): Workload {
  const ids = Array.from({ length: 6 + chance.below(8) }, (_, i) => `BANK${String.fromCharCode(65 + i)}EFFXXX`);
  const capOf = (): bigint => BigInt(chance.pick([0, 50, 300, 1000, 1_000_000])) * unit;
  const participant = (id: string, i: number): Participant => ({
    id,
    name: id,
    aliases: i % 3 === 0 ? [`USABA:${100 + i}`] : [],
    debitCaps: new Map(currencies.filter((currency) => currency === 'EUR' || i % 4 !== 3).map((currency) => [currency, capOf()])),
  });
  let participants = ids.map(participant);
  const directories = [directoryOf(participants)];
  for (let change = 0; change < 4; change++) {
    participants = participants.map((one, i) => (chance.chance(0.3) ? participant(one.id, i) : one));
    directories.push(directoryOf(participants));
  }
  const agent = (i: number): string => (i % 3 === 0 && chance.chance(0.3) ? `USABA:${100 + i}` : ids[i]!);
  const ownerOf = (name: string | null): number =>
    name === null ? chance.below(partitions) : settlementPartition(directories[0]!.find(name)?.id ?? name, partitions);
  const misdirected = chance.pick([0, 0.1, 0.4, 1]);
  const several = chance.pick([0, 0.15, 0.5]);
  const again = chance.pick([0, 0.1, 0.3]);
  const padding = chance.chance(0.1) ? 'x'.repeat(chance.pick([20_000, 300_000])) : null;
  const sent: SimTransaction[] = [];
  let count = 0;

  const transaction = (debited: number): SimTransaction => {
    if (sent.length > 0 && chance.chance(again)) return sent[Math.max(0, sent.length - 1 - chance.below(30))]!;
    let credited = chance.below(ids.length);
    if (credited === debited && chance.chance(0.7)) credited = (credited + 1) % ids.length;
    const made: SimTransaction = {
      debited: chance.chance(0.02) ? null : chance.chance(0.02) ? 'NOBODYFFXXX' : agent(debited),
      credited: chance.chance(0.02) ? 'NOBODYFFXXX' : agent(credited),
      currency: chance.chance(0.75) ? 'EUR' : 'USD',
      units: String(BigInt(chance.between(1, 20_000)) * (unit / 100n)),
      tag: chance.pick(['UETR', 'TxId', 'InstrId'] as const),
      identity: `payment-${++count}`,
      formal: chance.chance(0.03) ? chance.pick(['AM12', 'AC02'] as const) : null,
    };
    sent.push(made);
    return made;
  };

  let events = 0;
  return {
    partitions,
    directories,
    next(now) {
      const debited = chance.below(ids.length);
      const transactions: SimTransaction[] = [transaction(debited)];
      if (chance.chance(several)) {
        const more = chance.between(1, 4);
        for (let i = 0; i < more; i++) transactions.push(transaction(chance.chance(0.5) ? debited : chance.below(ids.length)));
      }
      const event: SimEvent = {
        eventId: `event-${++events}`,
        messageType: 'pacs.008.001.08',
        createdAt: Math.floor(now),
        deadLetter: chance.chance(0.03) ? chance.pick(['NOT_FRAMED', 'XML_INVALID'] as const) : null,
        rejected: chance.chance(0.03) ? chance.pick(['FF01', 'AM19'] as const) : null,
        transactions,
        ...(padding !== null && chance.chance(0.3) ? { padding } : {}),
      };
      const home = ownerOf(transactions[0]!.debited);
      return {
        partition: chance.chance(misdirected) ? chance.below(partitions) : home,
        key: Buffer.from(transactions[0]!.debited ?? 'none'),
        event,
      };
    },
  };
}
