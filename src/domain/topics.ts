/**
 * The topics of one fleet, by their prefix.
 *
 * Source: contract section 1; `routed` and `checkpoints` are internal and may change.
 */
export interface TopicNames {
  readonly inbound: string;
  readonly results: string;
  readonly deadLetter: string;
  readonly participants: string;
  readonly positions: string;
  /** Twin of the inbound topic: credit legs and transactions that another partition took in. */
  readonly routed: string;
  /** One compacted record for each partition and commit: where the partition stands, chained by hashes. */
  readonly checkpoints: string;
}

export function topicNames(prefix: string): TopicNames {
  return {
    inbound: `${prefix}inbound`,
    results: `${prefix}results`,
    deadLetter: `${prefix}dead-letter`,
    participants: `${prefix}participants`,
    positions: `${prefix}positions`,
    routed: `${prefix}routed`,
    checkpoints: `${prefix}checkpoints`,
  };
}

/** The topics that must have as many partitions as the inbound topic. */
export function coPartitioned(names: TopicNames): readonly string[] {
  return [names.inbound, names.results, names.positions, names.routed, names.checkpoints];
}
