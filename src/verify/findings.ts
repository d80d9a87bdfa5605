/**
 * What `settlefleet verify` has against a fleet: each finding names the place and what is wrong there, in words for the
 * person who is called at night.
 */
export type FindingKind =
  /** A checkpoint that cannot be, or that the group's committed offsets do not agree with. */
  | 'checkpoint'
  | 'offsets'
  /** The results since a checkpoint are not those that the next one speaks of. */
  | 'chain'
  /** A result that no checkpoint speaks of. */
  | 'unaccounted'
  | 'unreadable'
  | 'sequence'
  | 'order'
  | 'position'
  | 'placement'
  /** A second outcome of one transaction, a second claim on one identity, no outcome at all. */
  | 'double'
  | 'identity'
  | 'lost'
  /** A credit that was sent and is not owed, or the other way round. */
  | 'credit'
  | 'money'
  | 'clickhouse';

export interface Finding {
  readonly kind: FindingKind;
  readonly topic: string;
  readonly partition: number;
  /** Null where it is about the partition as a whole. */
  readonly offset: number | null;
  readonly message: string;
}

/** One fault may show at every record behind it; a person needs the first ones and the number. */
const keptPerKindMax = 50;

export class Findings {
  readonly kept: Finding[] = [];
  readonly #counts = new Map<FindingKind, number>();

  add(kind: FindingKind, topic: string, partition: number, offset: number | null, message: string): void {
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    if (count <= keptPerKindMax) this.kept.push({ kind, topic, partition, offset, message });
  }

  get total(): number {
    let total = 0;
    for (const count of this.#counts.values()) total += count;
    return total;
  }
}
