import type { BatchTrace } from './ports.ts';

/**
 * When a batch passed which mark on its way. Taken a few times a batch, so that the time of each result can be told apart
 * into parts that add up to the whole.
 */
export interface Journey {
  /** `handover`: it came from another lane, through the routed topic. */
  readonly from: 'kafka' | 'handover';
  /** When the Kafka client gave it; milliseconds since the epoch. */
  readonly arrivedAt: number;
  // What follows: milliseconds of a clock that never goes back.
  /** When it was taken over from the client, and its decoding began. */
  readonly takenAt: number;
  /** How long taking it over took. */
  readonly takeOverMs: number;
  /** Null: nobody asked to trace. */
  readonly trace: BatchTrace | null;
  decodedAt: number;
  /** Its turn in the lane came. */
  begunAt: number;
  routedAt: number;
  claimedAt: number;
  /** It is in the epoch. */
  settledAt: number;
  /** How many results it has there. */
  results: number;
}

export function beginJourney(start: Pick<Journey, 'from' | 'arrivedAt' | 'takenAt' | 'takeOverMs' | 'trace'>): Journey {
  return { ...start, decodedAt: 0, begunAt: 0, routedAt: 0, claimedAt: 0, settledAt: 0, results: 0 };
}
