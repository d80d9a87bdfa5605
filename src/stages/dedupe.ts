/**
 * Claims the identities of everything in a batch that may still settle, in one round trip, in order. Redis away is waited
 * out; a window that Redis has forgotten is rebuilt from the results topic before anything goes on.
 */
import { OutageError } from '../errors.ts';
import { claimHolder, claimKey, claimMaker } from '../domain/claim.ts';
import type { LaneBook } from '../lane-book.ts';
import type { Claims, Log, Telemetry, Timing } from '../ports.ts';
import type { Step, Work } from './route.ts';

const retryDelayMs = 100;

/** Fills in the holder of every transfer that may claim. Rejects only when `signal` is aborted. */
export type DedupeStage = (work: Work, book: LaneBook, signal: AbortSignal) => Promise<void>;

export function createDedupeStage(ports: {
  readonly claims: Claims;
  /** Makes a partition's window whole again; false when it has to be tried again. */
  readonly rebuild: (partition: number, signal: AbortSignal) => Promise<boolean>;
  readonly telemetry: Telemetry;
  readonly log: Log;
  readonly timing: Timing;
}): DedupeStage {
  return async function dedupeStage({ records, steps }, book, signal) {
    const claimants = steps.filter(
      (step): step is Extract<Step, { kind: 'transfer' }> => step.kind === 'transfer' && step.refusal === null,
    );
    if (claimants.length === 0) return;
    const request = {
      partition: records.partition,
      keys: claimants.map(({ transfer }) => claimKey(transfer)),
      makers: claimants.map(({ transfer }) => claimMaker(transfer.event, transfer.transactionIndex)),
    };
    let told = false;
    for (;;) {
      signal.throwIfAborted();
      try {
        // A window that somebody else has filled again meanwhile holds nothing of what this lane has settled and not yet
        // committed: a zombie of the partition rebuilt it from the results after Redis was emptied. So it is named.
        const answer = await ports.claims.claim({ ...request, window: book.claimsWindow });
        if (answer.kind === 'claimed') {
          book.claimsWindow = answer.window;
          let duplicates = 0;
          answer.owners.forEach((owner, i) => {
            claimants[i]!.holder = claimHolder(owner);
            if (owner !== null) duplicates++;
          });
          ports.telemetry.dependency('redis', true);
          ports.telemetry.dedupe('claimed', claimants.length - duplicates - answer.redelivered);
          ports.telemetry.dedupe('redelivered', answer.redelivered);
          ports.telemetry.dedupe('duplicate', duplicates);
          return;
        }
        const rebuilt = await ports.rebuild(records.partition, signal);
        book.claimsWindow = null;
        if (rebuilt) {
          ports.telemetry.windowRebuilt();
          continue;
        }
      } catch (error) {
        if (!(error instanceof OutageError)) throw error;
        ports.telemetry.dependency('redis', false, error.message);
        if (!told) ports.log.warn({ partition: records.partition, error: error.message }, 'Redis is away: the lane waits');
        told = true;
      }
      await ports.timing.sleep(retryDelayMs, signal);
    }
  };
}
