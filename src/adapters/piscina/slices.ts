/**
 * How a batch is cut for the threads: into runs of consecutive events, small enough that several threads share a large
 * batch and that no batch holds up another's for long, large enough that a thread hop costs nothing for each event.
 */
import type { RecordBatch } from '../../codec/record-batch.ts';

/** Rows `from` up to but not including `to`. */
export interface Slice {
  readonly from: number;
  readonly to: number;
  /** How often a thread died or hung over this very event; counted for slices of one event. */
  readonly deaths: number;
  /** How often a thread was lost before it began. */
  readonly lostStarts: number;
}

/** A hop costs about as much as 20 KB of decoding. */
const bytesMin = 128 << 10;
/** About 10 ms of one thread. */
const bytesMax = 512 << 10;
/** A thread is handed small slices together until they come to this. */
export const bundleBytes = bytesMin;

export function sliceBytes(batch: RecordBatch, { from, to }: Pick<Slice, 'from' | 'to'>): number {
  let bytes = 0;
  for (let row = from; row < to; row++) bytes += batch.valueLength[row]!;
  return bytes;
}

export function cutBatch(batch: RecordBatch, threadCount: number): Slice[] {
  const total = sliceBytes(batch, { from: 0, to: batch.count });
  const target = Math.min(bytesMax, Math.max(bytesMin, Math.ceil(total / Math.max(1, threadCount))));
  const slices: Slice[] = [];
  let from = 0;
  let size = 0;
  for (let row = 0; row < batch.count; row++) {
    size += batch.valueLength[row]!;
    if (size < target && row + 1 < batch.count) continue;
    slices.push({ from, to: row + 1, deaths: 0, lostStarts: 0 });
    from = row + 1;
    size = 0;
  }
  return slices;
}

/** What is left to try after a thread died or hung at row `suspect`: those before it, it alone, and those behind it. */
export function isolate(slice: Slice, suspect: number): Slice[] {
  const parts: Slice[] = [];
  if (suspect > slice.from) parts.push({ from: slice.from, to: suspect, deaths: 0, lostStarts: 0 });
  parts.push({ from: suspect, to: suspect + 1, deaths: slice.to - slice.from === 1 ? slice.deaths + 1 : 1, lostStarts: 0 });
  if (suspect + 1 < slice.to) parts.push({ from: suspect + 1, to: slice.to, deaths: 0, lostStarts: 0 });
  return parts;
}
