/**
 * What happens to a batch of records, and in what order.
 *
 *     decode   in worker threads; the next batches may be decoded while this one is settled
 *     route    which partition owns each debited participant; what is refused by message and directory alone
 *     dedupe   one round trip: who claims each payment's identity
 *     settle   decisions in order, postings, results and dead letters into the epoch; never waits
 *
 * The epoch is then committed, with everything in it, in one Kafka transaction (see fleet.ts).
 */
import type { RecordBatch } from './codec/record-batch.ts';
import type { Epoch } from './epoch.ts';
import type { Journey } from './journey.ts';
import type { LaneBook } from './lane-book.ts';
import type { Clock } from './ports.ts';
import type { Decoded, DecodeStage } from './stages/decode.ts';
import type { DedupeStage } from './stages/dedupe.ts';
import type { RouteStage } from './stages/route.ts';
import type { SettleStage } from './stages/settle.ts';

export interface Pipeline {
  /** May run ahead, and for several batches at a time. */
  decode(records: RecordBatch, journey: Journey): Promise<Decoded>;
  /** One batch of a lane at a time, in order. Either everything of the batch is in the epoch, or nothing. */
  settle(decoded: Decoded, journey: Journey, book: LaneBook, epoch: () => Epoch, signal: AbortSignal): Promise<void>;
}

export function createPipeline(stages: {
  readonly decodeStage: DecodeStage;
  readonly routeStage: RouteStage;
  readonly dedupeStage: DedupeStage;
  readonly settleStage: SettleStage;
  /** Milliseconds of a clock that never goes back. */
  readonly monotonic: Clock;
}): Pipeline {
  const { monotonic } = stages;
  return {
    async decode(records, journey) {
      const decoded = await stages.decodeStage(records);
      journey.decodedAt = monotonic();
      return decoded;
    },

    async settle(decoded, journey, book, epoch, signal) {
      journey.begunAt = monotonic();
      // Counted before any stage that could lose one.
      book.account.owe(decoded.records, outcomesOwed(decoded));
      const work = stages.routeStage(decoded);
      journey.routedAt = monotonic();
      await stages.dedupeStage(work, book, signal);
      // Abandoned meanwhile: the epoch that is being filled now is no longer this lane's.
      signal.throwIfAborted();
      journey.claimedAt = monotonic();
      const filling = epoch();
      const before = filling.resultCount;
      stages.settleStage(work, book, filling, journey.trace);
      journey.settledAt = monotonic();
      journey.results = filling.resultCount - before;
      filling.noteJourney(journey);
    },
  };
}

/** One for each transaction, one for an event that ends as a whole; an event that the decoder left out is owed as well. */
function outcomesOwed(decoded: Decoded): number {
  if (decoded.kind === 'routed') return decoded.routed.reduce((sum, { transfers }) => sum + transfers.length, 0);
  return decoded.decoded.outcomeCount + decoded.records.count - decoded.decoded.eventCount;
}
