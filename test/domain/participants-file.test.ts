import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { currencyDecimals } from '../../src/codec/data/currencies.ts';
import { decodeParticipant, encodeParticipant } from '../../src/codec/participant-record.ts';
import { parseAmount } from '../../src/domain/amount.ts';
import { readParticipantsFile } from '../../src/domain/participants-file.ts';
import type { Participant } from '../../src/domain/participant.ts';

const read = (text: string) => readParticipantsFile(text, (currency) => currencyDecimals.get(currency));

function participantsOf(file: unknown): readonly Participant[] {
  const result = read(JSON.stringify(file));
  if (result.kind === 'faulty') throw new Error(JSON.stringify(result.faults));
  return result.participants;
}

function faultsOf(file: unknown): string[] {
  const result = read(JSON.stringify(file));
  return result.kind === 'faulty' ? result.faults.map(({ path }) => path) : [];
}

const bank = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  id: 'COBADEFFXXX',
  name: 'A bank',
  aliases: [],
  currencies: { EUR: { debitCap: '1000000.00' } },
  ...changes,
});

describe('the participants file', () => {
  it("is read as the contract's example writes it", () => {
    const [participant] = participantsOf([bank({ aliases: ['DEBLZ:37040044'] })]);
    expect(participant).toEqual({
      id: 'COBADEFFXXX',
      name: 'A bank',
      aliases: ['DEBLZ:37040044'],
      debitCaps: new Map([['EUR', parseAmount('1000000.00')]]),
    });
  });

  it('takes a BIC of 8 characters as the head office, in ids and in aliases', () => {
    const [participant] = participantsOf([bank({ id: 'COBADEFF', aliases: ['DEUTDEFF', 'COBADEFFXXX'] })]);
    expect(participant?.id).toBe('COBADEFFXXX');
    expect(participant?.aliases).toEqual(['DEUTDEFFXXX']);
  });

  it('takes a clearing system code with a member as an id', () => {
    expect(participantsOf([bank({ id: 'USABA:021040078' })])[0]?.id).toBe('USABA:021040078');
  });

  it('may be empty: nobody takes part', () => {
    expect(participantsOf([])).toEqual([]);
  });

  it.each([
    ['an object', {}, '$'],
    ['a number for a participant', [7], '$[0]'],
    ['no id', [bank({ id: undefined })], '$[0].id'],
    ['an id in lower case', [bank({ id: 'cobadeff' })], '$[0].id'],
    ['an id of 9 characters', [bank({ id: 'COBADEFFX' })], '$[0].id'],
    ['the same id twice', [bank(), bank({ id: 'COBADEFF' })], '$[1].id'],
    ['an alias that is the id of a later participant', [bank({ aliases: ['DEUTDEFFXXX'] }), bank({ id: 'DEUTDEFFXXX' })], '$[0].aliases[0]'],
    ['an alias of two participants', [bank({ aliases: ['DEBLZ:1'] }), bank({ id: 'DEUTDEFF', aliases: ['DEBLZ:1'] })], '$[1].aliases[0]'],
    ['an alias that is no identifier', [bank({ aliases: ['37040044'] })], '$[0].aliases[0]'],
    ['aliases that are no list', [bank({ aliases: 'DEBLZ:1' })], '$[0].aliases'],
    ['no currencies', [bank({ currencies: undefined })], '$[0].currencies'],
    ['a currency of the past', [bank({ currencies: { DEM: { debitCap: '1' } } })], '$[0].currencies.DEM'],
    ['gold', [bank({ currencies: { XAU: { debitCap: '1' } } })], '$[0].currencies.XAU'],
    ['a cap that is a number', [bank({ currencies: { EUR: { debitCap: 1000 } } })], '$[0].currencies.EUR.debitCap'],
    ['a cap below 0', [bank({ currencies: { EUR: { debitCap: '-1.00' } } })], '$[0].currencies.EUR.debitCap'],
    ['a cap in scientific notation', [bank({ currencies: { EUR: { debitCap: '1e6' } } })], '$[0].currencies.EUR.debitCap'],
    ['a cap with tenths of a cent', [bank({ currencies: { EUR: { debitCap: '0.001' } } })], '$[0].currencies.EUR.debitCap'],
    ['a cap with cents of a yen', [bank({ currencies: { JPY: { debitCap: '10.50' } } })], '$[0].currencies.JPY.debitCap'],
    ['a cap above what decimal(18,5) holds', [bank({ currencies: { EUR: { debitCap: '10000000000000' } } })], '$[0].currencies.EUR.debitCap'],
    ['no cap', [bank({ currencies: { EUR: {} } })], '$[0].currencies.EUR.debitCap'],
    ['a field with a typing error', [bank({ alias: ['DEBLZ:1'] })], '$[0].alias'],
  ])('refuses %s, and says where', (_, file, path) => {
    expect(faultsOf(file)).toEqual([path]);
  });

  it('takes a cap with zeros behind, in yen too', () => {
    const [participant] = participantsOf([bank({ currencies: { JPY: { debitCap: '1000000.00' }, KWD: { debitCap: '0.125' } } })]);
    expect(participant?.debitCaps).toEqual(new Map([['JPY', 100_000_000_000n], ['KWD', 12_500n]]));
  });

  it('tells all its faults at once', () => {
    expect(faultsOf([bank({ id: 'x', currencies: { EUR: { debitCap: 'a' }, ABC: { debitCap: '1' } } }), 'y'])).toHaveLength(4);
  });

  it('says what is not JSON', () => {
    expect(read('[{')).toMatchObject({ kind: 'faulty', faults: [{ path: '$' }] });
  });
});

describe('a participant in the directory', () => {
  const participant = participantsOf([bank({ aliases: ['DEBLZ:2', 'DEBLZ:1'], currencies: { USD: { debitCap: '0.5' }, EUR: { debitCap: '7' } } })])[0]!;

  it('comes back from its record as it was', () => {
    const back = decodeParticipant(Buffer.from(participant.id), Buffer.from(encodeParticipant(participant)));
    expect(back).toEqual({ ...participant, aliases: ['DEBLZ:1', 'DEBLZ:2'] });
  });

  it('has one record, in whatever order its parts were written', () => {
    const shuffled = { ...participant, aliases: [...participant.aliases].reverse(), debitCaps: new Map([...participant.debitCaps].reverse()) };
    expect(encodeParticipant(shuffled)).toBe(encodeParticipant(participant));
  });

  it.each([
    ['no JSON', 'COBADEFFXXX', '{'],
    ['the id of another', 'DEUTDEFFXXX', encodeParticipant(participant)],
    ['a cap that is no decimal', 'A', '{"id":"A","currencies":{"EUR":{"debitCap":5}}}'],
  ])('is refused with %s, naming the key', (_, key, value) => {
    expect(() => decodeParticipant(key, value)).toThrow(key);
  });
});

describe('examples/participants.json', () => {
  it('is a whole directory without a fault', () => {
    const file = read(readFileSync(new URL('../../examples/participants.json', import.meta.url), 'utf8'));
    expect(file.kind).toBe('read');
  });
});
