/**
 * Packs a batch of claims into one argument, so that neither client nor server handles an argument a key. A key becomes
 * the first 16 bytes of its SHA-256: short in Redis, and out of reach of whoever chooses identifiers to collide.
 */
import { hash } from 'node:crypto';

import type { KnownClaim } from '../../ports.ts';

const keyBytes = 16;
const numberBytes = 4;

/** For each claim: key (16 bytes), length of the maker (4 bytes, big-endian), maker (UTF-8). */
export function packClaims(keys: readonly string[], makers: readonly string[]): Buffer {
  let size = 0;
  for (const maker of makers) size += keyBytes + numberBytes + Buffer.byteLength(maker);
  const packed = Buffer.allocUnsafe(size);
  let at = 0;
  for (let index = 0; index < keys.length; index += 1) {
    at = writeKey(packed, at, keys[index]!);
    at = writeMaker(packed, at, makers[index]!);
  }
  return packed;
}

/** For each claim: key (16 bytes), seconds left (4 bytes), length of the maker (4 bytes), maker. */
export function packKnownClaims(
  claims: readonly KnownClaim[],
  secondsLeft: (claim: KnownClaim) => number,
): Buffer {
  let size = 0;
  for (const claim of claims) size += keyBytes + 2 * numberBytes + Buffer.byteLength(claim.maker);
  const packed = Buffer.allocUnsafe(size);
  let at = 0;
  for (const claim of claims) {
    const seconds = secondsLeft(claim);
    if (seconds <= 0) continue;
    at = writeKey(packed, at, claim.key);
    at = packed.writeUInt32BE(seconds, at);
    at = writeMaker(packed, at, claim.maker);
  }
  return packed.subarray(0, at);
}

// The one-shot hash as a binary string costs 0.8 µs here, as a Buffer of its own 1.8 µs.
function writeKey(packed: Buffer, at: number, key: string): number {
  return at + packed.write(hash('sha256', key, 'binary'), at, keyBytes, 'latin1');
}

function writeMaker(packed: Buffer, at: number, maker: string): number {
  const length = packed.write(maker, at + numberBytes, 'utf8');
  packed.writeUInt32BE(length, at);
  return at + numberBytes + length;
}
