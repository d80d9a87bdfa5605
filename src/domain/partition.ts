/**
 * Which settlement partition owns a participant: `(murmur2(identifier) & 0x7fffffff) mod n`, the Java client's default
 * partitioner, so that a Java producer that keys by the debited participant hits the owner at once.
 *
 * Source: contract section 1, "Ownership"; org.apache.kafka.common.utils.Utils.murmur2.
 */
const seed = 0x9747b28c;
const multiplier = 0x5bd1e995;

/** Kafka's variant of MurmurHash2 over bytes; a signed 32-bit integer, as in Java. */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length;
  let hash = seed ^ length;
  const whole = length & ~3;
  for (let i = 0; i < whole; i += 4) {
    let word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    word = Math.imul(word, multiplier);
    word ^= word >>> 24;
    word = Math.imul(word, multiplier);
    hash = Math.imul(hash, multiplier) ^ word;
  }
  const rest = length & 3;
  if (rest === 3) hash ^= bytes[whole + 2]! << 16;
  if (rest >= 2) hash ^= bytes[whole + 1]! << 8;
  if (rest >= 1) {
    hash ^= bytes[whole]!;
    hash = Math.imul(hash, multiplier);
  }
  hash ^= hash >>> 13;
  hash = Math.imul(hash, multiplier);
  hash ^= hash >>> 15;
  return hash | 0;
}

const encoder = new TextEncoder();

/** The settlement partition of a participant identifier among `partitionCount`. */
export function settlementPartition(identifier: string, partitionCount: number): number {
  return (murmur2(encoder.encode(identifier)) & 0x7fffffff) % partitionCount;
}

/** Identifiers come from messages: a flood of invented ones must not be remembered. */
const ownersRememberedMax = 100_000;

/** As `settlementPartition`, remembering: hashing an identifier for each payment costs more than looking it up. */
export function createOwnerLookup(partitionCount: number): (identifier: string) => number {
  const owners = new Map<string, number>();
  return (identifier) => {
    let owner = owners.get(identifier);
    if (owner === undefined) {
      if (owners.size >= ownersRememberedMax) owners.clear();
      owners.set(identifier, (owner = settlementPartition(identifier, partitionCount)));
    }
    return owner;
  };
}
