/**
 * Amounts of money, exactly: a bigint in units of 10^-5 of the currency's unit, which is the scale of the contract's
 * decimal(18,5) and finer than any currency's minor unit.
 */
export const amountScale = 5;
const unitsPerOne = 100_000n;

/** The largest amount that decimal(18,5) holds: 9999999999999.99999. */
export const amountMax = 999_999_999_999_999_999n;

const decimalForm = /^([+-]?)(\d+)(?:\.(\d{0,5}))?$/;

/** Units of a decimal such as `-1000000.00`; null when it is not one, or has more than five decimals. */
export function parseAmount(text: string): bigint | null {
  const match = decimalForm.exec(text);
  if (match === null) return null;
  const units = BigInt(match[2]!) * unitsPerOne + BigInt((match[3] ?? '').padEnd(amountScale, '0'));
  return match[1] === '-' ? -units : units;
}

/** A decimal with at least two decimals and no more than needed: `-1000000.00`, `0.125`. */
export function formatAmount(units: bigint): string {
  const magnitude = units < 0n ? -units : units;
  const fraction = (magnitude % unitsPerOne).toString().padStart(amountScale, '0').replace(/0{1,3}$/, '');
  return `${units < 0n ? '-' : ''}${magnitude / unitsPerOne}.${fraction}`;
}
