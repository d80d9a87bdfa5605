/**
 * Finds, in a message that is well-formed, where a finding is: XPath from the root of the validated part, line and column.
 * It reads the message a second time, so it runs for findings only.
 */

interface OpenElement {
  readonly name: string;
  readonly parent: OpenElement | null;
  /** From 1, among the siblings of its name. */
  readonly index: number;
  /** How many children of each name it has. */
  readonly counts: Map<string, number>;
}

/**
 * The elements that begin at these offsets (of their `<`), in rising order, as XPaths from the Document or the header:
 * `/Document/FIToFICstmrCdtTrf/CdtTrfTxInf[2]/PmtId`. Positions are given only where there is more than one sibling of
 * the name, so the whole message is read.
 */
export function locateElements(bytes: Uint8Array, start: number, end: number, offsets: readonly number[]): string[] {
  const found: OpenElement[] = [];
  const root: OpenElement = { name: '', parent: null, index: 0, counts: new Map() };
  let open = root;
  let wanted = 0;
  let at = start;
  while (at < end) {
    if (bytes[at] !== 0x3c) {
      at++;
      continue;
    }
    const mark = bytes[at + 1];
    if (mark === 0x21 || mark === 0x3f) {
      at = markupEnd(bytes, at, end);
      continue;
    }
    if (mark === 0x2f) {
      while (at < end && bytes[at] !== 0x3e) at++;
      open = open.parent ?? root;
      continue;
    }
    const name = localName(bytes, at + 1, end);
    const index = (open.counts.get(name) ?? 0) + 1;
    open.counts.set(name, index);
    const element: OpenElement = { name, parent: open, index, counts: new Map() };
    while (wanted < offsets.length && offsets[wanted] === at) {
      found.push(element);
      wanted++;
    }
    const close = tagEnd(bytes, at, end);
    if (bytes[close - 1] !== 0x2f) open = element;
    at = close + 1;
  }
  return found.map(xpathOf);
}

function xpathOf(element: OpenElement): string {
  let path = '';
  for (let at: OpenElement | null = element; at !== null && at.parent !== null; at = at.parent) {
    const siblings = at.parent.counts.get(at.name) ?? 1;
    path = `/${at.name}${siblings > 1 ? `[${at.index}]` : ''}${path}`;
    // The wrapper around a Document or a header says nothing about it.
    if (at.name === 'Document' || at.name === 'AppHdr') break;
  }
  return path;
}

function localName(bytes: Uint8Array, start: number, end: number): string {
  let from = start;
  let at = start;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === 0x3a) from = at + 1;
    if (byte <= 0x20 || byte === 0x3e || byte === 0x2f) break;
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, Math.min(at - from, 64)).toString('utf8');
}

function tagEnd(bytes: Uint8Array, start: number, end: number): number {
  let quote = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if (quote !== 0) {
      if (byte === quote) quote = 0;
    } else if (byte === 0x22 || byte === 0x27) quote = byte;
    else if (byte === 0x3e) return at;
  }
  return end;
}

function markupEnd(bytes: Uint8Array, start: number, end: number): number {
  const isComment = bytes[start + 2] === 0x2d;
  const isData = bytes[start + 2] === 0x5b;
  for (let at = start + 2; at < end; at++) {
    if (bytes[at] !== 0x3e) continue;
    if (isComment && (at < start + 6 || bytes[at - 1] !== 0x2d || bytes[at - 2] !== 0x2d)) continue;
    if (isData && (bytes[at - 1] !== 0x5d || bytes[at - 2] !== 0x5d)) continue;
    if (!isComment && !isData && bytes[at - 1] !== 0x3f) continue;
    return at + 1;
  }
  return end;
}

export interface LineColumn {
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
}

export function lineColumn(bytes: Uint8Array, start: number, at: number): LineColumn {
  let line = 1;
  let column = 1;
  let from = start;
  if (bytes[from] === 0xef && bytes[from + 1] === 0xbb && bytes[from + 2] === 0xbf) from += 3;
  for (let i = from; i < at; i++) {
    const byte = bytes[i]!;
    if (byte === 0x0a || (byte === 0x0d && bytes[i + 1] !== 0x0a)) {
      line++;
      column = 1;
    } else if ((byte & 0xc0) !== 0x80 && byte !== 0x0d) column++;
  }
  return { line, column };
}
