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
import type { LaneBook } from './lane-book.ts';
import type { Clock, Telemetry } from './ports.ts';
import type { Decoded, DecodeStage } from './stages/decode.ts';
import type { DedupeStage } from './stages/dedupe.ts';
import type { RouteStage } from './stages/route.ts';
import type { SettleStage } from './stages/settle.ts';

export interface Pipeline {
  /** May run ahead, and for several batches at a time. */
  decode(records: RecordBatch): Promise<Decoded>;
  /** One batch of a lane at a time, in order. Either everything of the batch is in the epoch, or nothing. */
  settle(decoded: Decoded, book: LaneBook, epoch: () => Epoch, signal: AbortSignal): Promise<void>;
}

export function createPipeline(stages: {
  readonly decodeStage: DecodeStage;
  readonly routeStage: RouteStage;
  readonly dedupeStage: DedupeStage;
  readonly settleStage: SettleStage;
  readonly telemetry: Telemetry;
  /** Milliseconds of a clock that never goes back. */
  readonly monotonic: Clock;
}): Pipeline {
  const { telemetry, monotonic } = stages;
  return {
    async decode(records) {
      const begun = monotonic();
      const decoded = await stages.decodeStage(records);
      telemetry.stage('decode', (monotonic() - begun) / 1000);
      return decoded;
    },

    async settle(decoded, book, epoch, signal) {
      const work = stages.routeStage(decoded);
      const claiming = monotonic();
      await stages.dedupeStage(work, book, signal);
      // Abandoned meanwhile: the epoch that is being filled now is no longer this lane's.
      signal.throwIfAborted();
      const settling = monotonic();
      stages.settleStage(work, book, epoch());
      const settled = monotonic();
      telemetry.stage('dedupe', (settling - claiming) / 1000);
      telemetry.stage('settle', (settled - settling) / 1000);
    },
  };
}
