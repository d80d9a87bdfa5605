/**
 * Whether an IBAN holds by itself: its country has IBANs, its length is that country's, its check digits fit.
 *
 * Source: ISO 13616-1, check digits after ISO/IEC 7064 (mod 97-10).
 */
import { ibanLengths } from '../data/iban-lengths.ts';

export type IbanFault = 'country' | 'length' | 'check-digits';

const lengthByCountry = new Uint8Array(26 * 26);
for (const [country, length] of ibanLengths) {
  lengthByCountry[(country.charCodeAt(0) - 0x41) * 26 + country.charCodeAt(1) - 0x41] = length;
}

/** The bytes keep the XSD's pattern: two capital letters, two digits, letters and digits. Null: nothing is wrong. */
export function ibanFault(bytes: Uint8Array, start: number, end: number): IbanFault | null {
  const length = lengthByCountry[(bytes[start]! - 0x41) * 26 + bytes[start + 1]! - 0x41] ?? 0;
  if (length === 0) return 'country';
  if (end - start !== length) return 'length';
  // The first four characters count last. Divisions are put off until the next digits would no longer fit 31 bits.
  let remainder = remainderOf(bytes, start + 4, start + length, 0);
  remainder = remainderOf(bytes, start, start + 4, remainder) % 97;
  return remainder === 1 ? null : 'check-digits';
}

function remainderOf(bytes: Uint8Array, start: number, end: number, before: number): number {
  let remainder = before;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if (remainder >= 10_000_000) remainder %= 97;
    // A letter counts from 10 in both cases: the XSD admits small ones.
    remainder = byte <= 0x39 ? remainder * 10 + (byte - 0x30) : remainder * 100 + (byte & 0xdf) - 0x37;
  }
  return remainder;
}
