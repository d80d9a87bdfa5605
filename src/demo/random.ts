/**
 * Random numbers from a seed, so that a run can be repeated event by event.
 *
 * Source: Chris Doty-Humphrey, PractRand, `sfc32`.
 */
export interface Random {
  /** 0 to `below` - 1. */
  integer(below: number): number;
  /** True in this share of the calls. */
  chance(share: number): boolean;
  pick<T>(from: readonly T[]): T;
  /** A version 4 UUID in lower case. */
  uuid(): string;
  /** Decimal digits. */
  digits(count: number): string;
}

export function createRandom(seed: number): Random {
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  let c = seed | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 15; i++) next();

  const integer = (below: number): number => Math.floor((next() / 0x1_0000_0000) * below);
  return {
    integer,
    chance: (share) => next() / 0x1_0000_0000 < share,
    pick: (from) => from[integer(from.length)]!,
    uuid() {
      const hex = [next(), next(), next(), next()].map((word) => word.toString(16).padStart(8, '0')).join('');
      const variant = '89ab'[next() & 3]!;
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
    },
    digits(count) {
      let digits = '';
      while (digits.length < count) digits += String(next()).padStart(10, '0').slice(-6);
      return digits.slice(0, count);
    },
  };
}
