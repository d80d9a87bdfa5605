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

/** A decimal with no more decimals than needed, and at least so many: `-1000000.00`, `0.125`. */
export function formatAmount(units: bigint, decimalsMin = 2): string {
  const magnitude = units < 0n ? -units : units;
  const digits = (magnitude % unitsPerOne).toString().padStart(amountScale, '0');
  const fraction = digits.slice(0, decimalsMin) + digits.slice(decimalsMin).replace(/0+$/, '');
  return `${units < 0n ? '-' : ''}${magnitude / unitsPerOne}${fraction === '' ? '' : `.${fraction}`}`;
}
