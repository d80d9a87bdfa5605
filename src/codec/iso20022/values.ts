/**
 * Says whether a simple value keeps the rules of its type. Works on bytes in place: no string is made, nothing steps back.
 *
 * Source: W3C XML Schema 1.0 part 2. Where it leaves room (how many digits a processor must support), we do as libxml2,
 * the yardstick of the differential tests, does.
 */
import {
  AUTOMATON_CLASSES,
  AUTOMATON_MOVES,
  AUTOMATON_WIDTH,
  FACET_AUTOMATON,
  FACET_BOUNDED,
  FACET_FRACTION_DIGITS,
  FACET_KIND,
  FACET_LENGTH_MAX,
  FACET_LENGTH_MIN,
  FACET_TOTAL_DIGITS,
  automatonColumns,
  facetColumns,
} from './schema-table.ts';
import type { SchemaTable } from './schema-table.ts';

/** A broken rule, by the name that XML Schema gives the facet; the first entry stands for "none". */
export const valueRules = [
  'none',
  'type',
  'minLength',
  'maxLength',
  'pattern',
  'enumeration',
  'totalDigits',
  'fractionDigits',
  'minInclusive',
  'maxInclusive',
] as const;
export type ValueRule = (typeof valueRules)[number];

const OK = 0;
const TYPE = 1;
const LENGTH_MIN = 2;
const LENGTH_MAX = 3;
const PATTERN = 4;
const ENUMERATION = 5;
const TOTAL_DIGITS = 6;
const FRACTION_DIGITS = 7;
const INCLUSIVE_MIN = 8;
const INCLUSIVE_MAX = 9;

/** libxml2 refuses decimals of more significant digits than this. */
const decimalDigitsMax = 24;

/** Indexes into `valueKinds`. */
const STRING = 0;
const DECIMAL = 1;
const DATE_TIME = 2;
const DATE = 3;
const TIME = 4;
const BOOLEAN = 5;
const YEAR = 6;
const YEAR_MONTH = 7;
const BASE64 = 8;

/**
 * Checks the value [start, end) against facets `simple` of the table. The bytes are the value as an application sees it
 * (references resolved), in valid UTF-8. `characters`: its length in characters. Gives an index into `valueRules`.
 */
export function brokenRule(
  table: SchemaTable,
  simple: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  characters: number,
): number {
  const facets = table.simpleFacets;
  const row = simple * facetColumns;
  const kind = facets[row + FACET_KIND]!;
  if (kind === STRING) {
    if (characters < facets[row + FACET_LENGTH_MIN]!) return LENGTH_MIN;
    const lengthMax = facets[row + FACET_LENGTH_MAX]!;
    if (lengthMax >= 0 && characters > lengthMax) return LENGTH_MAX;
  } else {
    // All types but string collapse white space before anything else is looked at. libxml2 does so for dates and times in
    // two places only (behind a zone, before a time); nobody writes them so, and what it refuses is refused here, too.
    if (kind === DECIMAL || kind === BOOLEAN || kind === BASE64) {
      while (start < end && isSpace(bytes[start]!)) start++;
      while (end > start && isSpace(bytes[end - 1]!)) end--;
    }
    const broken = brokenByKind(table, row, simple, bytes, start, end);
    if (broken !== OK) return broken;
  }
  const automaton = facets[row + FACET_AUTOMATON]!;
  if (automaton >= 0 && !automatonAccepts(table, automaton, bytes, start, end)) {
    return table.readTexts().patterns[simple]!.length > 0 ? PATTERN : ENUMERATION;
  }
  return OK;
}

function brokenByKind(table: SchemaTable, row: number, simple: number, bytes: Uint8Array, start: number, end: number): number {
  const facets = table.simpleFacets;
  switch (facets[row + FACET_KIND]!) {
    case DECIMAL: {
      const broken = brokenDecimal(bytes, start, end, facets[row + FACET_TOTAL_DIGITS]!, facets[row + FACET_FRACTION_DIGITS]!);
      if (broken !== OK || facets[row + FACET_BOUNDED] !== 1) return broken;
      return brokenBound(table, simple, bytes, start, end);
    }
    case DATE_TIME: {
      const time = dateEnd(bytes, start, end);
      if (time < 0 || bytes[time] !== 0x54) return TYPE;
      const zone = timeEnd(bytes, time + 1, end);
      let last = end;
      while (last > zone + 1 && isSpace(bytes[last - 1]!)) last--;
      return zone === last && last !== end ? TYPE : zoneEnds(bytes, zone, last) ? OK : TYPE;
    }
    case DATE:
      return zoneEnds(bytes, dateEnd(bytes, start, end), end) ? OK : TYPE;
    case TIME: {
      let first = start;
      while (first < end && isSpace(bytes[first]!)) first++;
      return zoneEnds(bytes, timeEnd(bytes, first, end), end) ? OK : TYPE;
    }
    case YEAR:
      return zoneEnds(bytes, yearEnd(bytes, start, end), end) ? OK : TYPE;
    case YEAR_MONTH:
      return zoneEnds(bytes, monthEnd(bytes, start, end), end) ? OK : TYPE;
    case BOOLEAN:
      return isBoolean(bytes, start, end) ? OK : TYPE;
    case BASE64:
      return brokenBase64(bytes, start, end, facets[row + FACET_LENGTH_MIN]!, facets[row + FACET_LENGTH_MAX]!);
    default:
      throw new Error('a kind of value that is not in valueKinds');
  }
}

export function automatonAccepts(table: SchemaTable, automaton: number, bytes: Uint8Array, start: number, end: number): boolean {
  const row = automaton * automatonColumns;
  const classes = table.automata[row + AUTOMATON_CLASSES]!;
  const moves = table.automata[row + AUTOMATON_MOVES]!;
  const classOf = table.automatonClasses;
  const moveTo = table.automatonMoves;
  let state = table.automata[row + AUTOMATON_WIDTH]!;
  for (let at = start; at < end; at++) {
    state = moveTo[moves + state + classOf[classes + bytes[at]!]!]!;
    if (state === 0) return false;
  }
  return moveTo[moves + state] === 1;
}

function brokenDecimal(bytes: Uint8Array, start: number, end: number, totalMax: number, fractionMax: number): number {
  let at = start;
  if (at < end && (bytes[at] === 0x2b || bytes[at] === 0x2d)) at++;
  const first = at;
  while (at < end && bytes[at] === 0x30) at++;
  const significant = at;
  while (at < end && isDigit(bytes[at]!)) at++;
  const integerDigits = at - significant;
  let digitsSeen = at - first;
  let fractionDigits = 0;
  let fractionWritten = 0;
  if (at < end && bytes[at] === 0x2e) {
    at++;
    const fraction = at;
    while (at < end && isDigit(bytes[at]!)) {
      at++;
      if (bytes[at - 1] !== 0x30) fractionDigits = at - fraction;
    }
    fractionWritten = at - fraction;
    digitsSeen += fractionWritten;
  }
  if (at !== end || digitsSeen === 0) return TYPE;
  if (integerDigits + fractionWritten > decimalDigitsMax) return TYPE;
  if (fractionMax >= 0 && fractionDigits > fractionMax) return FRACTION_DIGITS;
  if (totalMax >= 0 && integerDigits + fractionDigits > totalMax) return TOTAL_DIGITS;
  return OK;
}

function brokenBound(table: SchemaTable, simple: number, bytes: Uint8Array, start: number, end: number): number {
  const texts = table.readTexts();
  const least = texts.minInclusive[simple] ?? null;
  const most = texts.maxInclusive[simple] ?? null;
  // By far the commonest bound is 0, and by far the commonest value has no sign.
  if (least === '0' && most === null && bytes[start] !== 0x2d) return OK;
  let text = '';
  for (let at = start; at < end; at++) text += String.fromCharCode(bytes[at]!);
  if (least !== null && compareDecimals(text, least) < 0) return INCLUSIVE_MIN;
  if (most !== null && compareDecimals(text, most) > 0) return INCLUSIVE_MAX;
  return OK;
}

function compareDecimals(left: string, right: string): number {
  const difference = scaled(left) - scaled(right);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** In units of 10^-40: more than any XSD asks for. */
function scaled(text: string): bigint {
  const [integer = '', fraction = ''] = text.replace(/^[+-]/, '').split('.');
  const value = BigInt(`${integer}${fraction.padEnd(40, '0')}`);
  return text.startsWith('-') ? -value : value;
}

/** One past the year, -1 where there is none. At least four digits, no leading zero beyond four, not 0000. */
function yearEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  if (at < end && bytes[at] === 0x2d) at++;
  const first = at;
  let zero = true;
  while (at < end && isDigit(bytes[at]!)) {
    if (bytes[at] !== 0x30) zero = false;
    at++;
  }
  const digits = at - first;
  if (digits < 4 || zero || digits > 18 || (digits > 4 && bytes[first] === 0x30)) return -1;
  return at;
}

function monthEnd(bytes: Uint8Array, start: number, end: number): number {
  const at = yearEnd(bytes, start, end);
  if (at < 0 || at + 3 > end || bytes[at] !== 0x2d) return -1;
  const month = twoDigits(bytes, at + 1);
  return month >= 1 && month <= 12 ? at + 3 : -1;
}

const daysOfMonth = Uint8Array.of(0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31);

function dateEnd(bytes: Uint8Array, start: number, end: number): number {
  const at = monthEnd(bytes, start, end);
  if (at < 0 || at + 3 > end || bytes[at] !== 0x2d) return -1;
  const month = twoDigits(bytes, at - 2);
  const day = twoDigits(bytes, at + 1);
  const dayMax = month === 2 && isLeapYear(bytes, at - 3) ? 29 : daysOfMonth[month]!;
  return day >= 1 && day <= dayMax ? at + 3 : -1;
}

/** `yearStop`: one past the year's last digit. Leap years repeat each 400 years, so four digits decide. */
function isLeapYear(bytes: Uint8Array, yearStop: number): boolean {
  const year = twoDigits(bytes, yearStop - 4) * 100 + twoDigits(bytes, yearStop - 2);
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
}

function timeEnd(bytes: Uint8Array, start: number, end: number): number {
  if (start < 0 || start + 8 > end) return -1;
  const hour = twoDigits(bytes, start);
  const minute = twoDigits(bytes, start + 3);
  const second = twoDigits(bytes, start + 6);
  if (bytes[start + 2] !== 0x3a || bytes[start + 5] !== 0x3a) return -1;
  if (hour < 0 || hour > 24 || minute < 0 || minute > 59 || second < 0 || second > 59) return -1;
  let at = start + 8;
  let fractionZero = true;
  if (at < end && bytes[at] === 0x2e) {
    const fraction = ++at;
    while (at < end && isDigit(bytes[at]!)) {
      if (bytes[at] !== 0x30) fractionZero = false;
      at++;
    }
    if (at === fraction) return -1;
  }
  if (hour === 24 && (minute !== 0 || second !== 0 || !fractionZero)) return -1;
  return at;
}

/** What follows a date or time is nothing, `Z`, or an offset of at most 14 hours. */
function zoneEnds(bytes: Uint8Array, at: number, end: number): boolean {
  if (at < 0) return false;
  if (at === end) return true;
  if (bytes[at] === 0x5a) return at + 1 === end;
  if ((bytes[at] !== 0x2b && bytes[at] !== 0x2d) || at + 6 !== end || bytes[at + 3] !== 0x3a) return false;
  const hour = twoDigits(bytes, at + 1);
  const minute = twoDigits(bytes, at + 4);
  return hour >= 0 && minute >= 0 && minute <= 59 && hour * 60 + minute <= 840;
}

/** -1 where one is not a digit. */
function twoDigits(bytes: Uint8Array, at: number): number {
  const tens = bytes[at]! - 0x30;
  const ones = bytes[at + 1]! - 0x30;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
}

function isBoolean(bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (length === 1) return bytes[start] === 0x30 || bytes[start] === 0x31;
  return (length === 4 && spells(bytes, start, 'true')) || (length === 5 && spells(bytes, start, 'false'));
}

function spells(bytes: Uint8Array, start: number, word: string): boolean {
  for (let i = 0; i < word.length; i++) if (bytes[start + i] !== word.charCodeAt(i)) return false;
  return true;
}

/** Lengths are in bytes of what is encoded. */
function brokenBase64(bytes: Uint8Array, start: number, end: number, lengthMin: number, lengthMax: number): number {
  let symbols = 0;
  let padding = 0;
  let last = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if (isSpace(byte)) continue;
    if (byte === 0x3d) {
      padding++;
      continue;
    }
    const value = base64Value(byte);
    if (value < 0 || padding > 0) return TYPE;
    symbols++;
    last = value;
  }
  const odd = symbols % 4;
  if (padding !== (odd === 0 ? 0 : 4 - odd) || odd === 1) return TYPE;
  // Bits beyond the last whole byte must be zero.
  if ((odd === 2 && (last & 15) !== 0) || (odd === 3 && (last & 3) !== 0)) return TYPE;
  const length = (symbols >> 2) * 3 + (odd === 0 ? 0 : odd - 1);
  if (length < lengthMin) return LENGTH_MIN;
  return lengthMax >= 0 && length > lengthMax ? LENGTH_MAX : OK;
}

function base64Value(byte: number): number {
  if (byte >= 0x41 && byte <= 0x5a) return byte - 0x41;
  if (byte >= 0x61 && byte <= 0x7a) return byte - 0x61 + 26;
  if (isDigit(byte)) return byte - 0x30 + 52;
  return byte === 0x2b ? 62 : byte === 0x2f ? 63 : -1;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
