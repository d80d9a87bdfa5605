/** Traffic from a seed: hot and cold participants, caps that are met, resends, wrong partitions, several debits in a message. */
import { randomUUID } from 'node:crypto';
import type { Bench, ParticipantEntry, Sending, Sent } from './bench.ts';
import { participant } from './directory.ts';
import type { MessageSpec, TransactionSpec } from './message.ts';

export type Random = (below: number) => number;

/** Mulberry32: small, and the same on every machine. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000 * below) | 0;
  };
}

export interface Traffic {
  readonly participants: readonly ParticipantEntry[];
  next(): { readonly message: MessageSpec; readonly sending: Sending };
}

const letters = (index: number): string => String.fromCharCode(65 + Math.floor(index / 26) % 26, 65 + (index % 26));

/** Resends are drawn from this many of the latest messages, and now and then from all of them. */
const recentMessages = 200;
const remembered = 20_000;

export function createTraffic(options: { seed: number; partitions: number; participants?: number }): Traffic {
  const random = createRandom(options.seed);
  const count = options.participants ?? 24;
  const ids = Array.from({ length: count }, (_, index) => `T${letters(index)}KDEFFXXX`);
  // The first few are hot and rich; every fifth is poor and meets its cap.
  const participants = ids.map((id, index) => participant(id, { EUR: index % 5 === 4 ? '200.00' : '50000.00', JPY: '30000' }, [`DEBLZ:${10_000_000 + index}`]));
  const past: MessageSpec[] = [];
  let number = 0;

  const someone = (): number => (random(3) > 0 ? random(4) : random(count));
  const agent = (index: number) => (random(12) === 0
    ? { system: 'DEBLZ', member: String(10_000_000 + index) }
    : { bic: random(4) === 0 ? ids[index]!.slice(0, 8) : ids[index]! });
  const payment = (from: number): TransactionSpec => {
    const yen = random(10) === 0;
    const rung = random(20);
    const name = `${options.seed}-${++number}`;
    return {
      endToEndId: `E-${name}`,
      ...(rung < 12 ? { uetr: randomUUID() } : {}),
      ...(rung < 16 ? { transactionId: `T-${name}` } : {}),
      ...(rung < 19 ? { instructionId: `I-${name}` } : {}),
      currency: random(200) === 0 ? 'XAU' : yen ? 'JPY' : 'EUR',
      amount: yen ? String(1 + random(900)) : `${random(90)}.${String(random(100)).padStart(2, '0')}`,
      debtorAgent: random(100) === 0 ? { bic: 'NOTHDEFFXXX' } : random(300) === 0 ? { nameOnly: 'Nobody' } : agent(from),
      creditorAgent: random(150) === 0 ? { bic: 'NOTHDEFFXXX' } : agent(someone()),
    };
  };

  return {
    participants,
    next: () => {
      let message: MessageSpec;
      if (past.length > 0 && random(12) === 0) {
        const back = random(4) === 0 ? random(past.length) : random(Math.min(recentMessages, past.length));
        message = past[past.length - 1 - back]!;
      } else {
        const transactions = Array.from({ length: random(6) === 0 ? 1 + random(4) : 1 }, () => payment(someone()));
        message = { messageId: `M-${options.seed}-${++number}`, transactions, ...(random(150) === 0 ? { numberOfTransactions: '9' } : {}) };
        if (past.length < remembered) past.push(message);
        else past[random(remembered)] = message;
      }
      const misplaced = random(8) === 0;
      return { message, sending: misplaced ? { partition: random(options.partitions), key: null } : {} };
    },
  };
}

/** So many events of the traffic at once; resolves when the broker has them all. */
export function sendRush(bench: Bench, traffic: Traffic, count: number): Promise<Sent[]> {
  return Promise.all(Array.from({ length: count }, () => {
    const { message, sending } = traffic.next();
    return bench.send(message, sending);
  }));
}
