/**
 * Chance that can be repeated: the same seed gives the same numbers.
 *
 * Source: splitmix32, by S. Vigna's splitmix64 with the constants of Murmur3's finaliser.
 */
export interface Random {
  /** A whole number from 0 up to but not including `limit` (at most 2^32). */
  below(limit: number): number;
}

export function createRandom(seed: number): Random {
  let state = seed | 0;
  return {
    below(limit) {
      state = (state + 0x9e3779b9) | 0;
      let mixed = state ^ (state >>> 16);
      mixed = Math.imul(mixed, 0x21f0aaad);
      mixed ^= mixed >>> 15;
      mixed = Math.imul(mixed, 0x735a2d97);
      mixed ^= mixed >>> 15;
      return Math.floor(((mixed >>> 0) / 2 ** 32) * limit);
    },
  };
}
