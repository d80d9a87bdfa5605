/**
 * Strings of short texts that come again and again (message types, currencies, agents): one that was met lately is given
 * back as it is, found by its bytes. A string for each would cost more than all that is done with it, and a lookup in a
 * map by a string that is new must hash it first.
 */
const slots = 1 << 12;
const lengthMax = 64;

interface Met {
  readonly bytes: Uint8Array;
  readonly text: string;
}

/** Bounded: each text has one place, and the next one that falls on it takes it over. */
export class CommonTexts {
  readonly #met: (Met | undefined)[] = new Array<Met | undefined>(slots).fill(undefined);

  /** The text whose UTF-8 is the `length` bytes from `start` on. */
  read(source: Buffer, start: number, length: number): string {
    if (length > lengthMax) return source.toString('utf8', start, start + length);
    // FNV-1a.
    let hash = 0x811c9dc5;
    for (let i = start; i < start + length; i++) hash = Math.imul(hash ^ source[i]!, 0x01000193);
    const slot = (hash ^ (hash >>> 15)) & (slots - 1);
    const met = this.#met[slot];
    if (met !== undefined && isSame(met.bytes, source, start, length)) return met.text;
    const text = source.toString('utf8', start, start + length);
    this.#met[slot] = { bytes: Uint8Array.from(source.subarray(start, start + length)), text };
    return text;
  }
}

function isSame(bytes: Uint8Array, source: Uint8Array, start: number, length: number): boolean {
  if (bytes.length !== length) return false;
  for (let i = 0; i < length; i++) if (bytes[i] !== source[start + i]) return false;
  return true;
}
