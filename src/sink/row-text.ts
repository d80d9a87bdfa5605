/**
 * Rows as ClickHouse's TabSeparated, written byte by byte into one growing buffer: no string, no object for each row.
 *
 * Source: ClickHouse documentation, "TabSeparated": columns end with a tab, rows with a line feed, NULL is `\N`.
 */
import { dayMs } from '../domain/day.ts';

const tab = 0x09;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const backslash = 0x5c;
const zero = 0x30;
const minus = 0x2d;

/** What DateTime64 can show: 1900-01-01T00:00:00.000Z to 2299-12-31T23:59:59.999Z. */
export const timeMsMin = Date.UTC(1900, 0, 1);
export const timeMsMax = Date.UTC(2300, 0, 1) - 1;

export class RowText {
  #bytes: Buffer;
  #length = 0;
  #rowStart = 0;
  #rowBefore = 0;
  #dayNumber = NaN;
  #dayText = '';

  constructor(bytesInitial = 1 << 16) {
    this.#bytes = Buffer.allocUnsafe(bytesInitial);
  }

  /** Bytes of the finished rows. */
  get byteLength(): number {
    return this.#rowStart;
  }

  /** Ends a row. */
  endRow(): void {
    this.#reserve(1);
    // The tab behind the last column becomes the end of the row.
    this.#bytes[this.#length - 1] = lineFeed;
    this.#rowBefore = this.#rowStart;
    this.#rowStart = this.#length;
  }

  /** Takes the row back that was ended last. */
  takeBackRow(): void {
    this.#length = this.#rowStart = this.#rowBefore;
  }

  /** Forgets the columns of a row that was begun and turned out to be none. */
  dropRow(): void {
    this.#length = this.#rowStart;
  }

  /** The finished rows. The writer begins anew and does not touch them again. */
  take(): Buffer {
    const text = this.#bytes.subarray(0, this.#rowStart);
    this.#bytes = Buffer.allocUnsafe(Math.max(1 << 16, Math.min(this.#bytes.length, 1 << 22)));
    this.#length = this.#rowStart = this.#rowBefore = 0;
    return text;
  }

  /** The finished rows but the last one, with which the writer begins anew. */
  takeAllButLast(): Buffer {
    const text = this.#bytes.subarray(0, this.#rowBefore);
    const last = this.#bytes.subarray(this.#rowBefore, this.#rowStart);
    this.#bytes = Buffer.allocUnsafe(Math.max(1 << 16, last.length));
    last.copy(this.#bytes);
    this.#length = this.#rowStart = last.length;
    this.#rowBefore = 0;
    return text;
  }

  putNull(): void {
    this.#reserve(3);
    this.#bytes[this.#length++] = backslash;
    this.#bytes[this.#length++] = 0x4e;
    this.#bytes[this.#length++] = tab;
  }

  /** A string column from bytes as they are; they need not be UTF-8. */
  putBytes(from: Uint8Array, start: number, end: number): void {
    this.#reserve((end - start) * 2 + 1);
    const bytes = this.#bytes;
    let at = this.#length;
    for (let i = start; i < end; i++) {
      const byte = from[i]!;
      if (byte === tab || byte === lineFeed || byte === carriageReturn || byte === backslash || byte === 0) {
        bytes[at++] = backslash;
        bytes[at++] = byte === tab ? 0x74 : byte === lineFeed ? 0x6e : byte === carriageReturn ? 0x72 : byte === 0 ? zero : backslash;
      } else {
        bytes[at++] = byte;
      }
    }
    bytes[at++] = tab;
    this.#length = at;
  }

  putString(text: string): void {
    const bytes = Buffer.from(text);
    this.putBytes(bytes, 0, bytes.length);
  }

  /** A whole number, exact up to 2^53. */
  putInteger(value: number): void {
    this.#reserve(21);
    this.#putDigits(value < 0 ? -value : value, value < 0, 0);
    this.#bytes[this.#length++] = tab;
  }

  /** A decimal of `scale` decimals from its units: -1250000 with scale 5 is -12.50000. */
  putDecimal(units: number | bigint, scale: number): void {
    if (typeof units === 'number') {
      this.#reserve(24);
      this.#putDigits(units < 0 ? -units : units, units < 0, scale);
      this.#bytes[this.#length++] = tab;
      return;
    }
    const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0');
    const whole = digits.length - scale;
    this.#putAscii(`${units < 0n ? '-' : ''}${digits.slice(0, whole)}.${digits.slice(whole)}\t`);
  }

  /** A DateTime64(3), UTC, from milliseconds since the epoch; outside the type's years, the nearest time that it holds. */
  putTime(timeMs: number): void {
    const held = Math.min(timeMsMax, Math.max(timeMsMin, timeMs));
    const day = Math.floor(held / dayMs);
    if (day !== this.#dayNumber) {
      this.#dayNumber = day;
      this.#dayText = `${new Date(day * dayMs).toISOString().slice(0, 10)} `;
    }
    const inDay = held - day * dayMs;
    const bytes = this.#reserve(24);
    let at = this.#length;
    for (let i = 0; i < this.#dayText.length; i++) bytes[at++] = this.#dayText.charCodeAt(i);
    const seconds = Math.floor(inDay / 1000);
    at = putPair(bytes, at, Math.floor(seconds / 3600));
    bytes[at++] = 0x3a;
    at = putPair(bytes, at, Math.floor(seconds / 60) % 60);
    bytes[at++] = 0x3a;
    at = putPair(bytes, at, seconds % 60);
    bytes[at++] = 0x2e;
    const milliseconds = inDay % 1000;
    bytes[at++] = zero + Math.floor(milliseconds / 100);
    at = putPair(bytes, at, milliseconds % 100);
    bytes[at++] = tab;
    this.#length = at;
  }

  #putDigits(magnitude: number, negative: boolean, scale: number): void {
    const bytes = this.#bytes;
    if (negative) bytes[this.#length++] = minus;
    let digits = scale + 1;
    for (let limit = 10 ** digits; magnitude >= limit; limit *= 10) digits++;
    const end = this.#length + digits + (scale > 0 ? 1 : 0);
    let at = end - 1;
    let rest = magnitude;
    for (let i = 0; i < digits; i++) {
      if (scale > 0 && i === scale) bytes[at--] = 0x2e;
      const next = Math.floor(rest / 10);
      bytes[at--] = zero + (rest - next * 10);
      rest = next;
    }
    this.#length = end;
  }

  #putAscii(text: string): void {
    this.#reserve(text.length);
    this.#length += this.#bytes.write(text, this.#length, 'latin1');
  }

  #reserve(bytes: number): Buffer {
    if (this.#length + bytes > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + bytes));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    return this.#bytes;
  }
}

function putPair(bytes: Buffer, at: number, value: number): number {
  bytes[at] = zero + Math.floor(value / 10);
  bytes[at + 1] = zero + (value % 10);
  return at + 2;
}
