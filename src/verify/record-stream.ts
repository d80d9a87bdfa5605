/**
 * A partition's committed records as something to pull from, so that results, checkpoints and routed records of one
 * partition can be walked side by side with bounded memory: `TopicReader` pushes, and waits for whoever takes.
 */
import type { RecordBatch } from '../codec/record-batch.ts';
import type { TopicReader } from '../ports.ts';

/** Batches that lie ready while the one before is looked at. */
const readyMax = 2;

class Stopped extends Error {}

/** From `from` (null: the oldest) to the end that the partition has when the first batch is asked for. */
export async function* recordsOf(
  reader: TopicReader,
  place: { readonly topic: string; readonly partition: number; readonly from: number | null },
): AsyncGenerator<RecordBatch, void, undefined> {
  const ready: RecordBatch[] = [];
  let ended = false;
  let stopped = false;
  let failure: { readonly cause: unknown } | undefined;
  let wakeTaker = (): void => {};
  let wakeGiver = (): void => {};

  const reading = reader
    .readToEnd(place, async (batch) => {
      if (stopped) throw new Stopped();
      ready.push(batch);
      wakeTaker();
      while (ready.length >= readyMax && !stopped) await new Promise<void>((resolve) => (wakeGiver = resolve));
    })
    .catch((cause: unknown) => {
      if (!(cause instanceof Stopped)) failure = { cause };
    })
    .finally(() => {
      ended = true;
      wakeTaker();
    });
  try {
    for (;;) {
      const batch = ready.shift();
      if (batch !== undefined) {
        wakeGiver();
        yield batch;
      } else if (ended) {
        if (failure !== undefined) throw failure.cause;
        return;
      } else {
        await new Promise<void>((resolve) => (wakeTaker = resolve));
      }
    }
  } finally {
    stopped = true;
    wakeGiver();
    await reading;
  }
}
