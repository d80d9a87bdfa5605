/**
 * Reads amounts and sums as they are written, exactly: never through a float, and never beyond what a bigint column holds.
 * The XSD allows 18 digits before or after the point; the contract settles 13 before it (decimal(18,5)).
 */

const fractionUnits = 100_000;
/** What is left of 18 digits when 5 are decimals. */
const integerDigitsMax = 13;
/** Whole parts up to here are exact as a number, and so is the sum of two of them. */
const exactWholeDigits = 15;

/** The amount that was read last, of one reader. Reading never fails: the XSD was checked before. */
export class AmountText {
  /** The part before the point; exact up to 15 digits, see `isExact`. */
  whole = 0;
  /** The part behind the point, in 10^-5. */
  fraction = 0;
  /** Decimals as written, zeros too. */
  decimals = 0;
  isZero = false;
  isNegative = false;
  /** More than 9999999999999.99999. */
  isTooLarge = false;
  /** The whole part has at most 15 digits. */
  isExact = true;
  /** Digits other than zero behind the fifth decimal: only a control sum may have them. */
  hasFinerDigits = false;

  read(bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    let whole = 0;
    let wholeDigits = 0;
    this.isNegative = false;
    while (at < end && (bytes[at]! <= 0x20 || bytes[at] === 0x2b || bytes[at] === 0x2d)) {
      if (bytes[at] === 0x2d) this.isNegative = true;
      at++;
    }
    for (; at < end && isDigit(bytes[at]!); at++) {
      if (wholeDigits > 0 || bytes[at] !== 0x30) wholeDigits++;
      whole = whole * 10 + bytes[at]! - 0x30;
    }
    let fraction = 0;
    let decimals = 0;
    let finer = false;
    if (at < end && bytes[at] === 0x2e) {
      for (at++; at < end && isDigit(bytes[at]!); at++) {
        if (decimals < 5) fraction = fraction * 10 + bytes[at]! - 0x30;
        else if (bytes[at] !== 0x30) finer = true;
        decimals++;
      }
    }
    for (let scale = decimals; scale < 5; scale++) fraction *= 10;
    this.whole = whole;
    this.fraction = fraction;
    this.decimals = decimals;
    this.hasFinerDigits = finer;
    this.isExact = wholeDigits <= exactWholeDigits;
    this.isTooLarge = wholeDigits > integerDigitsMax;
    this.isZero = whole === 0 && fraction === 0 && !finer;
  }

  /** In 10^-5. `bytes`: what was read. */
  units(bytes: Uint8Array, start: number, end: number): bigint {
    const small = this.whole < 2 ** 35;
    if (small) return BigInt((this.isNegative ? -1 : 1) * (this.whole * fractionUnits + this.fraction));
    const units = this.#exactWhole(bytes, start, end) * BigInt(fractionUnits) + BigInt(this.fraction);
    return this.isNegative ? -units : units;
  }

  #exactWhole(bytes: Uint8Array, start: number, end: number): bigint {
    if (this.isExact) return BigInt(this.whole);
    let digits = '';
    for (let at = start; at < end && bytes[at] !== 0x2e; at++) if (isDigit(bytes[at]!)) digits += String.fromCharCode(bytes[at]!);
    return BigInt(digits);
  }
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}
