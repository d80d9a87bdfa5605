/**
 * Finds, in a message that is well-formed, where a finding is: XPath from the root of the validated part, line and column.
 * It reads the message a second time, so it runs for findings only.
 */

/** Depth of a message that could be scanned, and one to spare. */
const depthMax = 66;
const pathStart = new Int32Array(depthMax);
const positions = new Int32Array(depthMax);
const siblings = new Int32Array(depthMax);

/**
 * The element that begins at this offset, as `locateElements` would write it. For the hot path: two passes over the bytes,
 * and not a string but the answer.
 */
export function locateElement(bytes: Uint8Array, start: number, end: number, offset: number): string {
  let depth = 0;
  for (let at = start; at < end; ) {
    const mark = nextTag(bytes, at, end);
    if (mark >= end) break;
    at = tagEnd(bytes, mark, end) + 1;
    if (bytes[mark + 1] === 0x2f) depth--;
    else {
      pathStart[++depth] = mark;
      if (mark === offset) break;
      if (bytes[at - 2] === 0x2f) depth--;
    }
  }
  const target = depth;
  positions.fill(0, 0, target + 1);
  siblings.fill(0, 0, target + 1);
  // How deep the way to the element has been followed; below it only siblings are counted.
  let followed = 0;
  depth = 0;
  for (let at = start; at < end; ) {
    const mark = nextTag(bytes, at, end);
    if (mark >= end) break;
    at = tagEnd(bytes, mark, end) + 1;
    if (bytes[mark + 1] === 0x2f) {
      if (depth === followed) followed--;
      depth--;
      continue;
    }
    depth++;
    if (depth === followed + 1 && depth <= target && sameLocalName(bytes, mark + 1, pathStart[depth]! + 1, end)) {
      siblings[depth]!++;
      if (mark === pathStart[depth]) {
        positions[depth] = siblings[depth]!;
        followed = depth;
      }
    }
    if (bytes[at - 2] === 0x2f) {
      if (depth === followed) followed--;
      depth--;
    }
  }
  let path = '';
  for (let at = target; at > 0; at--) {
    const name = localName(bytes, pathStart[at]! + 1, end);
    path = `/${name}${siblings[at]! > 1 ? `[${positions[at]}]` : ''}${path}`;
    if (isRoot(name)) break;
  }
  return path;
}

/** Where each element begins (its `<`), in order. */
export function startTags(bytes: Uint8Array, start: number, end: number): number[] {
  const tags: number[] = [];
  for (let at = nextTag(bytes, start, end); at < end; at = nextTag(bytes, tagEnd(bytes, at, end), end)) {
    if (bytes[at + 1] !== 0x2f) tags.push(at);
  }
  return tags;
}

/** The next start or end tag. */
function nextTag(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end) {
    if (bytes[at] !== 0x3c) at++;
    else if (bytes[at + 1] === 0x21 || bytes[at + 1] === 0x3f) at = markupEnd(bytes, at, end);
    else return at;
  }
  return end;
}

function sameLocalName(bytes: Uint8Array, left: number, right: number, end: number): boolean {
  const leftStart = localStart(bytes, left, end);
  const rightStart = localStart(bytes, right, end);
  for (let i = 0; ; i++) {
    const isEnd = endsName(bytes[leftStart + i] ?? 0);
    if (isEnd || bytes[leftStart + i] !== bytes[rightStart + i]) return isEnd && endsName(bytes[rightStart + i] ?? 0);
  }
}

function localStart(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end && !endsName(bytes[at]!); at++) if (bytes[at] === 0x3a) return at + 1;
  return start;
}

function endsName(byte: number): boolean {
  return byte <= 0x20 || byte === 0x3e || byte === 0x2f;
}

/** The wrapper around a Document or a header says nothing about it. */
function isRoot(name: string): boolean {
  return name === 'Document' || name === 'AppHdr';
}

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
  for (let at = start; at < end; ) {
    const mark = nextTag(bytes, at, end);
    if (mark >= end) break;
    at = tagEnd(bytes, mark, end) + 1;
    if (bytes[mark + 1] === 0x2f) {
      open = open.parent ?? root;
      continue;
    }
    const name = localName(bytes, mark + 1, end);
    const index = (open.counts.get(name) ?? 0) + 1;
    open.counts.set(name, index);
    const element: OpenElement = { name, parent: open, index, counts: new Map() };
    while (wanted < offsets.length && offsets[wanted] === mark) {
      found.push(element);
      wanted++;
    }
    if (bytes[at - 2] !== 0x2f) open = element;
  }
  return found.map(xpathOf);
}

function xpathOf(element: OpenElement): string {
  let path = '';
  for (let at = element; at.parent !== null; at = at.parent) {
    const count = at.parent.counts.get(at.name) ?? 1;
    path = `/${at.name}${count > 1 ? `[${at.index}]` : ''}${path}`;
    if (isRoot(at.name)) break;
  }
  return path;
}

function localName(bytes: Uint8Array, start: number, end: number): string {
  const from = localStart(bytes, start, end);
  let at = from;
  while (at < end && !endsName(bytes[at]!)) at++;
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

/** `at`: an offset into the bytes; what is said of it is of the message that begins at `start`. */
export function lineColumn(bytes: Uint8Array, start: number, at: number): LineColumn {
  let from = start;
  if (bytes[from] === 0xef && bytes[from + 1] === 0xbb && bytes[from + 2] === 0xbf) from += 3;
  const lines = lineFeeds(bytes, from, at);
  let lineAt = at;
  let line = lines + 1;
  if (lines >= 0) while (lineAt > from && bytes[lineAt - 1] !== 0x0a) lineAt--;
  else {
    line = 1;
    lineAt = from;
    for (let i = from; i < at; i++) {
      if (bytes[i] !== 0x0a && (bytes[i] !== 0x0d || bytes[i + 1] === 0x0a)) continue;
      line++;
      lineAt = i + 1;
    }
  }
  let column = 1;
  for (let i = lineAt; i < at; i++) if ((bytes[i]! & 0xc0) !== 0x80 && bytes[i] !== 0x0d) column++;
  return { line, column };
}

/** How many; -1 where there are other bytes below 16 (tabs, returns) and each must be looked at. Four bytes at a time. */
function lineFeeds(bytes: Uint8Array, start: number, end: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let count = 0;
  let others = 0;
  let at = start;
  while (at + 4 <= end) {
    // One count in each byte of a number, which must not run over.
    const stop = Math.min(end - 3, at + 4 * 255);
    let counts = 0;
    for (; at < stop; at += 4) {
      const word = view.getInt32(at, true);
      const low = ~(((word & 0x7f7f7f7f) + 0x70707070) | word) & 0x80808080;
      counts += low >>> 7;
      others |= (word ^ 0x0a0a0a0a) & ((low >>> 3) - (low >>> 7));
    }
    count += (counts & 0xff) + ((counts >>> 8) & 0xff) + ((counts >>> 16) & 0xff) + (counts >>> 24);
  }
  for (; at < end; at++) {
    if (bytes[at] === 0x0a) count++;
    else if (bytes[at]! < 0x10) others = 1;
  }
  return others === 0 ? count : -1;
}
