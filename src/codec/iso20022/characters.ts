/**
 * Which bytes and characters XML 1.0 (fifth edition) allows where. Tables for ASCII; the rest by ranges.
 *
 * Source: https://www.w3.org/TR/xml/ productions 2 (Char), 4 (NameStartChar), 4a (NameChar).
 */

/** For each byte of character data: 0 is plain, LESS ends the text, anything else needs a closer look. */
export const textClass = new Uint8Array(256);
export const TEXT_PLAIN = 0;
export const TEXT_LESS = 1;
export const TEXT_AMPERSAND = 2;
export const TEXT_BRACKET = 3;
export const TEXT_RETURN = 4;
export const TEXT_ILLEGAL = 5;
export const TEXT_BEYOND_ASCII = 6;

/** For each byte: 1 may stand in a name (the colon excluded), 3 may begin one, 4 is the first of several bytes. */
export const nameClass = new Uint8Array(256);
export const NAME_PART = 1;
export const NAME_START = 3;
export const NAME_BEYOND_ASCII = 4;

for (let byte = 0; byte < 256; byte++) {
  if (byte >= 0x80) textClass[byte] = TEXT_BEYOND_ASCII;
  else if (byte < 0x20 && byte !== 0x09 && byte !== 0x0a) textClass[byte] = TEXT_ILLEGAL;
  if (byte >= 0x80) nameClass[byte] = NAME_BEYOND_ASCII;
  else if (/[A-Za-z_]/.test(String.fromCharCode(byte))) nameClass[byte] = NAME_START;
  else if (/[-.0-9]/.test(String.fromCharCode(byte))) nameClass[byte] = NAME_PART;
}
textClass[0x3c] = TEXT_LESS;
textClass[0x26] = TEXT_AMPERSAND;
textClass[0x5d] = TEXT_BRACKET;
textClass[0x0d] = TEXT_RETURN;

export function isXmlSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

export function isXmlCharacter(codePoint: number): boolean {
  if (codePoint < 0x20) return codePoint === 0x09 || codePoint === 0x0a || codePoint === 0x0d;
  return codePoint <= 0xd7ff || (codePoint >= 0xe000 && codePoint <= 0xfffd) || (codePoint >= 0x10000 && codePoint <= 0x10ffff);
}

export function isNameStartBeyondAscii(codePoint: number): boolean {
  return inRanges(codePoint, nameStartRanges);
}

export function isNamePartBeyondAscii(codePoint: number): boolean {
  return inRanges(codePoint, nameStartRanges) || inRanges(codePoint, namePartRanges);
}

const nameStartRanges = [
  [0xc0, 0xd6],
  [0xd8, 0xf6],
  [0xf8, 0x2ff],
  [0x370, 0x37d],
  [0x37f, 0x1fff],
  [0x200c, 0x200d],
  [0x2070, 0x218f],
  [0x2c00, 0x2fef],
  [0x3001, 0xd7ff],
  [0xf900, 0xfdcf],
  [0xfdf0, 0xfffd],
  [0x10000, 0xeffff],
] as const;

const namePartRanges = [
  [0xb7, 0xb7],
  [0x300, 0x36f],
  [0x203f, 0x2040],
] as const;

function inRanges(codePoint: number, ranges: readonly (readonly [number, number])[]): boolean {
  return ranges.some(([first, last]) => codePoint >= first && codePoint <= last);
}
