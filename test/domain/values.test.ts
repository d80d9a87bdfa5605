import { describe, expect, it } from 'vitest';
import { amountMax, formatAmount, parseAmount } from '../../src/domain/amount.ts';
import { Ledger } from '../../src/domain/ledger.ts';
import { normalizeIdentifier } from '../../src/domain/participant.ts';
import { murmur2, settlementPartition } from '../../src/domain/partition.ts';

describe('amounts', () => {
  it.each([
    ['0', 0n, '0.00'],
    ['1', 100_000n, '1.00'],
    ['1.15', 115_000n, '1.15'],
    ['0.00001', 1n, '0.00001'],
    ['-1000000.00', -100_000_000_000n, '-1000000.00'],
    ['-0.5', -50_000n, '-0.50'],
    ['9999999999999.99999', amountMax, '9999999999999.99999'],
    ['12.340', 1_234_000n, '12.34'],
  ])('reads %s exactly', (text, units, written) => {
    expect(parseAmount(text)).toBe(units);
    expect(formatAmount(units)).toBe(written);
  });

  it.each(['', '.', '1e5', '0x1F', '1.000001', ' 1', '1,5', 'NaN', '--1'])('refuses %j', (text) => {
    expect(parseAmount(text)).toBeNull();
  });
});

describe('the settlement partition', () => {
  // Computed with org.apache.kafka.common.utils.Utils.murmur2 of kafka-clients 4.1.0.
  it.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('hashes %s as the Java client does', (text, hash) => {
    expect(murmur2(Buffer.from(text))).toBe(hash);
  });

  it('is never negative', () => {
    for (const identifier of ['COBADEFFXXX', 'USABA:021040078', 'foobar']) {
      const partition = settlementPartition(identifier, 8);
      expect(partition).toBeGreaterThanOrEqual(0);
      expect(partition).toBeLessThan(8);
    }
  });
});

describe('participant identifiers', () => {
  it.each([
    ['COBADEFF', 'COBADEFFXXX'],
    ['COBADEFF060', 'COBADEFF060'],
    ['USABA:021040078', 'USABA:021040078'],
    ['cobadeff', null],
    ['COBADEFFX', null],
    ['USABA:', null],
    ['', null],
    ['A|B', null],
  ])('%j becomes %j', (text, identifier) => {
    expect(normalizeIdentifier(text)).toBe(identifier);
  });
});

describe('the ledger', () => {
  it('gives each changed position once, with where it stands now', () => {
    const ledger = new Ledger(0, [{ participant: 'A', currency: 'EUR', units: 5n }]);
    ledger.debit('A', 'EUR', 7n);
    ledger.credit('B', 'EUR', 7n);
    ledger.debit('A', 'EUR', 1n);
    const changed = ledger.takeChanged().map(({ participant, units }) => [participant, units]);
    expect(changed).toEqual([['A', -3n], ['B', 7n]]);
    expect(ledger.takeChanged()).toEqual([]);
    ledger.credit('A', 'EUR', 1n);
    expect(ledger.takeChanged().map(({ units }) => units)).toEqual([-2n]);
  });

  it('keeps currencies apart', () => {
    const ledger = new Ledger();
    ledger.debit('A', 'EUR', 1n);
    expect([ledger.position('A', 'EUR'), ledger.position('A', 'USD')]).toEqual([-1n, 0n]);
  });
});
