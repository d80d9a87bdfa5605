/** Which partition owns a participant: the Java client's default partitioner, written anew from its description. */

/** Kafka's murmur2 (seed 0x9747b28c) as an unsigned 32-bit number. */
export function murmur2(bytes: Uint8Array): number {
  const multiplier = 0x5bd1e995;
  const length = bytes.length;
  let hash = (0x9747b28c ^ length) | 0;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    let word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    word = Math.imul(word, multiplier);
    word ^= word >>> 24;
    word = Math.imul(word, multiplier);
    hash = Math.imul(hash, multiplier) ^ word;
  }
  const left = length - at;
  if (left === 3) hash ^= bytes[at + 2]! << 16;
  if (left >= 2) hash ^= bytes[at + 1]! << 8;
  if (left >= 1) {
    hash ^= bytes[at]!;
    hash = Math.imul(hash, multiplier);
  }
  hash ^= hash >>> 13;
  hash = Math.imul(hash, multiplier);
  hash ^= hash >>> 15;
  return hash >>> 0;
}

export function owningPartition(identifier: string, partitions: number): number {
  return (murmur2(Buffer.from(identifier, 'utf8')) & 0x7fffffff) % partitions;
}
