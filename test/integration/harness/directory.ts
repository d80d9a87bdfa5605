/** Participants and messages that the tests start from. */
import { randomUUID } from 'node:crypto';
import type { ParticipantEntry } from './bench.ts';
import type { Agent, MessageSpec, TransactionSpec } from './message.ts';

export const capPlenty = '1000000000.00';

export function participant(id: string, caps: Readonly<Record<string, string>> = { EUR: capPlenty }, aliases: readonly string[] = []): ParticipantEntry {
  return { id, aliases, currencies: Object.fromEntries(Object.entries(caps).map(([currency, debitCap]) => [currency, { debitCap }])) };
}

export const commerz: Agent = { bic: 'COBADEFFXXX' };
export const deutsche: Agent = { bic: 'DEUTDEFFXXX' };

let counter = 0;

/** A transaction with every identifier, from Commerzbank to Deutsche Bank. */
export function transaction(changes: Partial<TransactionSpec> = {}): TransactionSpec {
  const number = `${process.pid}-${++counter}`;
  return {
    instructionId: `I-${number}`,
    endToEndId: `E-${number}`,
    transactionId: `T-${number}`,
    uetr: randomUUID(),
    currency: 'EUR',
    amount: '10.00',
    debtorAgent: commerz,
    creditorAgent: deutsche,
    ...changes,
  };
}

/** The same without some of its fields. */
export function without<T extends object, K extends keyof T>(value: T, ...fields: K[]): Omit<T, K> {
  const copy = { ...value };
  for (const field of fields) delete copy[field];
  return copy;
}

export function message(...transactions: TransactionSpec[]): MessageSpec {
  return { messageId: `M-${process.pid}-${++counter}`, transactions };
}
