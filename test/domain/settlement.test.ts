/**
 * The ladder of rules, in the order of the contract's section 3: in each line every later rule is broken too, so that the
 * page shows which one wins.
 */
import { describe, expect, it } from 'vitest';
import { parseAmount } from '../../src/domain/amount.ts';
import { Ledger } from '../../src/domain/ledger.ts';
import { Directory } from '../../src/domain/participant.ts';
import type { Participant } from '../../src/domain/participant.ts';
import { refusalBeforeClaim, settle } from '../../src/domain/settlement.ts';
import type { ClaimHolder } from '../../src/domain/settlement.ts';
import type { Transfer } from '../../src/domain/transfer.ts';

const units = (text: string): bigint => parseAmount(text)!;

function participant(id: string, caps: Readonly<Record<string, string>>, aliases: readonly string[] = []): Participant {
  return { id, name: id, aliases, debitCaps: new Map(Object.entries(caps).map(([currency, cap]) => [currency, units(cap)])) };
}

const directory = new Directory([
  participant('COBADEFFXXX', { EUR: '100.00' }, ['DEBLZ:37040044']),
  participant('BNPAFRPPXXX', { EUR: '0.00', USD: '5.00' }),
]);

function transfer(changes: Partial<Transfer> = {}): Transfer {
  return {
    event: {
      eventId: 'e-1',
      messageType: 'pacs.008.001.08',
      source: 'test',
      messageId: 'M1',
      createdAt: 1,
      receivedAt: 2,
      inboundPartition: 0,
      inboundOffset: 0,
    },
    transactionIndex: 0,
    instructionId: null,
    endToEndId: 'E1',
    transactionId: null,
    uetr: null,
    debitedParticipant: 'COBADEFFXXX',
    creditedParticipant: 'BNPAFRPPXXX',
    currency: 'EUR',
    amount: units('10.00'),
    formalRefusal: null,
    identity: 'pacs.008|TxId|T1',
    ...changes,
  };
}

const elsewhere: ClaimHolder = { eventId: 'e-0', place: 'another place' };

/** The whole ladder, as the stages climb it. */
function answer(one: Transfer, holder: ClaimHolder = 'self', ledger = new Ledger()): string {
  const refusal = refusalBeforeClaim(one, directory);
  if (refusal !== null) return refusal.reasonCode;
  const decision = settle(one, holder, directory, ledger);
  return decision.reasonCode ?? decision.status;
}

describe('the ladder of rules', () => {
  const huge = units('1000000.00');
  it.each<[string, Partial<Transfer>, ClaimHolder]>([
    ['AM11', { formalRefusal: { reasonCode: 'AM11', reason: '' }, debitedParticipant: 'NOBODYXXXXX', creditedParticipant: null, currency: 'XAU', amount: huge }, elsewhere],
    ['DNOR', { debitedParticipant: 'NOBODYXXXXX', creditedParticipant: null, currency: 'GBP', amount: huge }, elsewhere],
    ['DNOR', { debitedParticipant: null, creditedParticipant: null, currency: 'GBP', amount: huge }, elsewhere],
    ['CNOR', { creditedParticipant: null, currency: 'GBP', amount: huge }, elsewhere],
    ['CNOR', { creditedParticipant: 'NOBODYXXXXX', currency: 'GBP', amount: huge }, elsewhere],
    ['AM03', { currency: 'GBP', amount: huge }, elsewhere],
    ['AM03', { currency: 'USD', amount: huge }, elsewhere],
    ['AM05', { amount: huge }, elsewhere],
    ['AM04', { amount: huge }, 'self'],
    ['ACSC', {}, 'self'],
  ])('%s comes before what stands below it', (expected, changes, holder) => {
    expect(answer(transfer(changes), holder)).toBe(expected);
  });

  it('lets a position go down to minus the debit cap, and no further', () => {
    const ledger = new Ledger();
    expect(answer(transfer({ amount: units('100.00') }), 'self', ledger)).toBe('ACSC');
    expect(ledger.position('COBADEFFXXX', 'EUR')).toBe(units('-100.00'));
    expect(answer(transfer({ amount: units('0.01') }), 'self', ledger)).toBe('AM04');
    expect(ledger.position('COBADEFFXXX', 'EUR')).toBe(units('-100.00'));
  });

  it('counts only debits in the sequence, without a gap', () => {
    const ledger = new Ledger(41);
    const first = settle(transfer(), 'self', directory, ledger);
    const refused = settle(transfer({ amount: huge }), 'self', directory, ledger);
    ledger.credit('COBADEFFXXX', 'EUR', 1n);
    const second = settle(transfer(), 'self', directory, ledger);
    expect([first.sequence, refused.sequence, second.sequence]).toEqual([42, null, 43]);
  });

  it('names the event that claimed a duplicate first, and keeps no claim for it', () => {
    const decision = settle(transfer(), elsewhere, directory, new Ledger());
    expect(decision).toMatchObject({ reasonCode: 'AM05', originalEventId: 'e-0', claimed: false });
  });

  it('keeps the claim of a payment that the cap refuses', () => {
    expect(settle(transfer({ amount: huge }), 'self', directory, new Ledger())).toMatchObject({ reasonCode: 'AM04', claimed: true });
  });

  it('gives the position before the credit where a participant pays itself, and applies the cap', () => {
    const own = { creditedParticipant: 'COBADEFFXXX', amount: units('60.00') };
    expect(settle(transfer(own), 'self', directory, new Ledger()).positionAfter).toBe(units('-60.00'));
    expect(answer(transfer({ ...own, amount: units('100.01') }))).toBe('AM04');
  });
});

describe('the directory', () => {
  it('finds a participant by its identifier and by its aliases', () => {
    expect(directory.find('COBADEFFXXX')?.id).toBe('COBADEFFXXX');
    expect(directory.find('DEBLZ:37040044')?.id).toBe('COBADEFFXXX');
    expect(directory.find('DEBLZ:99999999')).toBeUndefined();
  });
});
