/**
 * Where a settlement partition stands, written in every Kafka transaction that moves it. On assignment it must equal the
 * group's committed offsets: if it does not, a Kafka transaction was torn, and the lane halts. The chain makes the results
 * tamper-evident: `chain` is SHA-256 over the chain before it and the keys and values of the results since, in order.
 */
export interface Checkpoint {
  /** Counts the Kafka transactions that moved the partition: 1, 2, 3. Where one is missing, compaction took it. */
  readonly commit: number;
  /** Next offset of the inbound partition. */
  readonly inbound: number;
  /** Next offset of its routed twin. */
  readonly routed: number;
  /** Of the last debit posted. */
  readonly sequence: number;
  /** How many results the partition holds in all. */
  readonly results: number;
  /**
   * The first result of this Kafka transaction, as `<inbound partition>:<inbound offset>:<transaction index>`; null where it
   * has none. Results know nothing of checkpoints, so this is how whoever reads them finds where one begins.
   */
  readonly first: string | null;
  /** Hex. */
  readonly chain: string;
  /** Who wrote it. */
  readonly worker: string;
}

export const chainStart = '0'.repeat(64);

export function encodeCheckpoint(checkpoint: Checkpoint): string {
  return JSON.stringify(checkpoint);
}

/** Throws when it is not one. */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  const value = JSON.parse(Buffer.from(bytes).toString('utf8')) as Checkpoint;
  for (const name of ['commit', 'inbound', 'routed', 'sequence', 'results'] as const) {
    if (!Number.isSafeInteger(value[name])) throw new Error(`A checkpoint's ${name} is ${value[name]}, expected an integer.`);
  }
  if (value.first !== null && !/^\d+:\d+:-?\d+$/.test(value.first)) {
    throw new Error(`A checkpoint's first is ${String(value.first)}, expected the place of a result.`);
  }
  if (!/^[0-9a-f]{64}$/.test(value.chain)) throw new Error(`A checkpoint's chain is not a SHA-256.`);
  return value;
}
