/**
 * The decoder on worker threads: batches are cut into slices, and a thread is handed a bundle of them, one that is large or
 * several that are small: under a light load each lane has a few events at a time, and a hop costs as much as ten events. The
 * lanes take turns, and a lane's batches come in their order: a later one decoded first would only wait for those before it.
 * A thread that dies or hangs is replaced; what it was on is found out by how far it had come, and only that event pays for it.
 *
 * Such an event is under suspicion: it is tried once more, alone, on a thread beside the others that exists only for this. So
 * the threads that everybody shares may be quick to suspect, which costs an innocent event little, and no other lane waits for
 * the long time after which a suspect is given up.
 *
 *     shared threads     a b c ✗ (no progress for 1 s)   d e f g h ...
 *     suspects' thread                                   ✗ (none for 5 s either: dead letter)
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Piscina } from 'piscina';
import type { WriterSchema } from '../../codec/avro/writer-schema.ts';
import {
  EventDecoder,
  decoderFailureCode,
  progressOf,
  progressWords,
  schemaIdsOf,
} from '../../codec/decode-task.ts';
import type { DecodeTask, MessageReader, Progress } from '../../codec/decode-task.ts';
import { DecodedBatchWriter, joinDecoded } from '../../codec/decoded-batch.ts';
import type { PackedDecodedBatch } from '../../codec/decoded-batch.ts';
import type { RecordBatch } from '../../codec/record-batch.ts';
import { FatalError, OutageError } from '../../errors.ts';
import type { Decoder, Log } from '../../ports.ts';
import { bundleBytes, cutBatch, isolate, sliceBytes } from './slices.ts';
import type { Slice } from './slices.ts';

/** Schema ids to schemas, one for each id, in order. Waits for the registry where it must. */
export interface WriterSchemas {
  resolve(ids: readonly number[]): Promise<readonly WriterSchema[]>;
}

export interface DecoderOptions {
  /** 0: decode in the main thread. */
  readonly threads: number;
  readonly schemas: WriterSchemas;
  readonly maxEventBytes: number;
  readonly log: Log;
  /** For `threads: 0`; the worker's entry has the same. */
  readonly readMessage: MessageReader;
  /** The worker's entry. */
  readonly entry?: URL;
  /** An event that is tried alone and makes no progress for so long is given up; one among others is suspected after a fifth of it. */
  readonly hungAfterMs?: number;
  readonly heapMaxMib?: number;
}

export interface ClosableDecoder extends Decoder {
  /** Seconds in which threads had something to do, of all threads together. */
  busySeconds(): number;
  /** Ends the threads. What is still being decoded is rejected with an `OutageError`. */
  close(): Promise<void>;
}

const workerEntry = new URL('../../../workers/decode.ts', import.meta.url);

/** One runs, one lies ready behind it, so that a thread need not wait for the main thread between two. */
const tasksPerThread = 2;
/** An event that a thread dies over is tried once more alone before it is given up: it may have been the thread's day. */
const deathsMax = 2;
/** Threads that are lost before they begin say nothing about an event; so many in a row say that none can run. */
const lostStartsMax = 5;
/** A message of 1 MiB needs some ten milliseconds. */
const hungAfterDefaultMs = 5000;
/**
 * A thread needs a few MiB, and some more for the largest event; a runaway ends here, and not with the machine's memory. The
 * larger this is, the longer it holds up the other lanes before that. With a larger young generation than
 * this, Node 24 often overshoots the limit by so much that it ends the whole process instead of the thread.
 */
const heapMaxDefaultMib = (maxEventBytes: number): number => Math.max(128, 8 * (maxEventBytes >> 20));
const youngHeapMaxMib = 16;

export function createDecoder(options: DecoderOptions): ClosableDecoder {
  return options.threads === 0 ? new InlineDecoder(options) : new ThreadedDecoder(options);
}

class InlineDecoder implements ClosableDecoder {
  readonly #options: DecoderOptions;
  readonly #decoder: EventDecoder;
  #busyMs = 0;

  constructor(options: DecoderOptions) {
    this.#options = options;
    this.#decoder = new EventDecoder(options.readMessage);
  }

  async decode(batch: RecordBatch): Promise<PackedDecodedBatch> {
    const { schemas, maxEventBytes, log } = this.#options;
    const known = await schemas.resolve(schemaIdsOf(batch, maxEventBytes));
    const parts: PackedDecodedBatch[] = [];
    for (const slice of cutBatch(batch, 1)) {
      // Heartbeats, commits and health checks share this thread.
      if (parts.length > 0) await nextTurn();
      const task = taskOf(batch, slice, known, maxEventBytes);
      const begun = performance.now();
      parts.push(this.#decoder.decode(task));
      this.#busyMs += performance.now() - begun;
      tellFailures(log, batch, task);
    }
    return parts.length === 0 ? emptyBatch() : joinDecoded(parts);
  }

  busySeconds(): number {
    return this.#busyMs / 1000;
  }

  async close(): Promise<void> {}
}

/** One batch on its way through the threads. */
interface Job {
  readonly batch: RecordBatch;
  readonly schemas: readonly WriterSchema[];
  readonly waiting: Slice[];
  readonly done: { readonly from: number; readonly packed: PackedDecodedBatch }[];
  running: number;
  /** Slices of one event each that wait for the suspects' thread. */
  suspects: number;
  /** Rejected already; what still runs for it is thrown away. */
  failed: boolean;
  readonly resolve: (packed: PackedDecodedBatch) => void;
  readonly reject: (error: Error) => void;
}

interface Cut {
  readonly job: Job;
  readonly slice: Slice;
}

/** A slice on its way. */
interface Part extends Cut {
  readonly task: DecodeTask;
}

/** What a thread was handed at once; it decodes the parts in order. */
interface Running {
  readonly parts: readonly Part[];
  readonly abort: AbortController;
  /** It runs on the suspects' thread. */
  readonly isSuspect: boolean;
  lastRows: number;
  lastStep: Progress['step'];
  ticksWithout: number;
  hung: boolean;
}

type DecoderPool = Piscina<readonly DecodeTask[], readonly PackedDecodedBatch[]>;

const ticksUntilSuspected = 20;
/** Suspicion comes so much sooner than the end: most of the time a message takes less than a hundredth of even this. */
const suspicionShare = 5;
const ticksUntilHung = ticksUntilSuspected * suspicionShare;

class ThreadedDecoder implements ClosableDecoder {
  readonly #options: DecoderOptions;
  readonly #pool: DecoderPool;
  /** Batches with slices that wait, by partition, oldest first; the partition whose turn is next comes first. */
  readonly #lanes = new Map<number, Job[]>();
  readonly #suspects: Cut[] = [];
  /** One thread, while there are suspects. */
  #suspectsPool: DecoderPool | undefined;
  readonly #running = new Set<Running>();
  readonly #tickMs: number;
  #watch: NodeJS.Timeout | undefined;
  #dispatching: NodeJS.Immediate | undefined;
  #ticksWithoutThreads = 0;
  #busyMs = 0;
  /** When `#busyMs` was last brought up to date. */
  #busyAt = 0;
  #closed = false;

  constructor(options: DecoderOptions) {
    this.#options = options;
    this.#tickMs = (options.hungAfterMs ?? hungAfterDefaultMs) / ticksUntilHung;
    this.#pool = this.#createPool(options.threads, tasksPerThread);
  }

  #createPool(threads: number, tasksPerThread: number): DecoderPool {
    const { entry, heapMaxMib, maxEventBytes, log } = this.#options;
    const pool = new Piscina<readonly DecodeTask[], readonly PackedDecodedBatch[]>({
      filename: (entry ?? workerEntry).href,
      minThreads: threads,
      maxThreads: threads,
      concurrentTasksPerWorker: tasksPerThread,
      // We never hand over more than the threads take; the queue is for those that are being replaced.
      maxQueue: threads * tasksPerThread,
      recordTiming: false,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: heapMaxMib ?? heapMaxDefaultMib(maxEventBytes), maxYoungGenerationSizeMb: youngHeapMaxMib },
    });
    pool.on('error', (error: unknown) => {
      log.warn({ error: String(error) }, 'an idle decoder thread died and is replaced');
    });
    return pool;
  }

  async decode(batch: RecordBatch): Promise<PackedDecodedBatch> {
    const { schemas, maxEventBytes, threads } = this.#options;
    if (batch.count === 0) return emptyBatch();
    const ids = schemaIdsOf(batch, maxEventBytes);
    const known = ids.length === 0 ? [] : await schemas.resolve(ids);
    if (this.#closed) throw closedError();
    return new Promise((resolve, reject) => {
      const waiting = cutBatch(batch, threads);
      const job: Job = { batch, schemas: known, waiting, done: [], running: 0, suspects: 0, failed: false, resolve, reject };
      this.#laneOf(job).push(job);
      this.#dispatchSoon();
    });
  }

  /** A thread has something to do as long as there is a task for it, be it the only one of the two that it may hold. */
  busySeconds(): number {
    const now = performance.now();
    this.#busyMs += Math.min(this.#running.size, this.#options.threads) * (now - this.#busyAt);
    this.#busyAt = now;
    return this.#busyMs / 1000;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#watch);
    for (const job of this.#takeAllWaiting()) fail(job, closedError());
    await Promise.all([this.#pool.destroy(), this.#suspectsPool?.destroy()]);
  }

  /** All lanes' batches of one poll come in the same turn of the event loop. */
  #dispatchSoon(): void {
    this.#dispatching ??= setImmediate(() => {
      this.#dispatching = undefined;
      this.#dispatch();
    });
  }

  #dispatch(): void {
    this.#dispatchSuspect();
    while (this.#runningOrdinary() < this.#options.threads * tasksPerThread) {
      const bundle = this.#takeBundle();
      if (bundle.length === 0) return;
      void this.#run(bundle, this.#pool);
    }
  }

  #takeBundle(): Cut[] {
    const bundle: Cut[] = [];
    let bytes = 0;
    while (bytes < bundleBytes) {
      const next = this.#takeNext();
      if (next === undefined) break;
      bundle.push(next);
      bytes += sliceBytes(next.job.batch, next.slice);
    }
    return bundle;
  }

  #laneOf({ batch }: Job): Job[] {
    let jobs = this.#lanes.get(batch.partition);
    if (jobs === undefined) this.#lanes.set(batch.partition, (jobs = []));
    return jobs;
  }

  /** Batches of which something waits, for a shared thread or the suspects' one; one may stand here twice. */
  #takeAllWaiting(): Job[] {
    const waiting = [...Array.from(this.#lanes.values()).flat(), ...this.#suspects.splice(0).map(({ job }) => job)];
    this.#lanes.clear();
    return waiting;
  }

  /** A slice of the oldest batch of the lane whose turn it is; that lane comes last then. */
  #takeNext(): Cut | undefined {
    for (const [partition, jobs] of this.#lanes) {
      this.#lanes.delete(partition);
      while (jobs[0] !== undefined && (jobs[0].failed || jobs[0].waiting.length === 0)) jobs.shift();
      const job = jobs[0];
      const slice = job?.waiting.shift();
      if (job === undefined || slice === undefined) continue;
      if (job.waiting.length === 0) jobs.shift();
      if (jobs.length > 0) this.#lanes.set(partition, jobs);
      return { job, slice };
    }
    return undefined;
  }

  /** One at a time. */
  #dispatchSuspect(): void {
    if (this.#closed || this.#running.size > this.#runningOrdinary()) return;
    for (let next = this.#suspects.shift(); next !== undefined; next = this.#suspects.shift()) {
      next.job.suspects--;
      if (next.job.failed) continue;
      this.#suspectsPool ??= this.#createPool(1, 1);
      void this.#run([next], this.#suspectsPool);
      return;
    }
    const idle = this.#suspectsPool;
    this.#suspectsPool = undefined;
    idle?.destroy().catch((error: unknown) => this.#options.log.warn({ error: String(error) }, 'the thread of suspected events did not end'));
  }

  #runningOrdinary(): number {
    let count = 0;
    for (const { isSuspect } of this.#running) if (!isSuspect) count++;
    return count;
  }

  async #run(bundle: readonly Cut[], pool: DecoderPool): Promise<void> {
    const parts = partsOf(bundle, this.#options.maxEventBytes);
    const abort = new AbortController();
    const running: Running = { parts, abort, isSuspect: pool !== this.#pool, lastRows: -1, lastStep: 'avro', ticksWithout: 0, hung: false };
    this.busySeconds();
    this.#running.add(running);
    for (const { job } of parts) job.running++;
    this.#watch ??= setInterval(() => this.#look(), this.#tickMs);
    let packed: readonly PackedDecodedBatch[] | null = null;
    let lost: unknown;
    try {
      packed = await pool.run(parts.map(({ task }) => task), { signal: abort.signal });
    } catch (error) {
      lost = error;
    }
    this.busySeconds();
    this.#running.delete(running);
    for (const [i, part] of parts.entries()) {
      const { job } = part;
      // One after another: a batch with several parts here is not whole before the last of them.
      job.running--;
      if (this.#closed) fail(job, closedError());
      if (job.failed) continue;
      if (packed === null) this.#threadLost(part, running, lost);
      else this.#finished(part, packed[i]!);
    }
    if (this.#running.size === 0 && this.#lanes.size === 0 && this.#suspects.length === 0) {
      clearInterval(this.#watch);
      this.#watch = undefined;
    }
    this.#dispatch();
  }

  #finished({ job, slice, task }: Part, packed: PackedDecodedBatch): void {
    tellFailures(this.#options.log, job.batch, task);
    job.done.push({ from: slice.from, packed });
    this.#resolveWhenWhole(job);
  }

  /** Only the part that the thread was on is suspected; the others of its bundle are decoded again as they are. */
  #threadLost(part: Part, { parts, hung }: Running, error: unknown): void {
    const { job, slice } = part;
    const suspect = parts.find(({ task }) => isBegun(task) && !isDone(task));
    if (part === suspect) this.#suspect(part, hung ? 'hung' : 'died', error);
    else if (suspect !== undefined) this.#again(job, [slice]);
    // The thread was lost over another bundle, or never started: nothing is known about these events.
    else if (slice.lostStarts + 1 >= lostStartsMax) fail(job, startError(error));
    else this.#again(job, [{ ...slice, lostStarts: slice.lostStarts + 1 }]);
  }

  #suspect({ job, slice, task }: Part, what: 'hung' | 'died', error: unknown): void {
    const progress = progressOf(task.progress);
    const suspect = slice.from + progress.row;
    const place = { partition: job.batch.partition, offset: job.batch.offsets[suspect], step: progress.step };
    if (slice.to - slice.from === 1 && slice.deaths + 1 >= deathsMax) {
      this.#options.log.error({ ...place, error: String(error) }, `a decoder thread ${what} over an event again; dead-lettering it`);
      const reason = `the decoder ${what} over it, ${slice.deaths + 1} times`;
      job.done.push({ from: slice.from, packed: deadLetterBatch(decoderFailureCode(progress.step), reason) });
      this.#resolveWhenWhole(job);
      return;
    }
    this.#options.log.warn({ ...place, error: String(error) }, `a decoder thread ${what} and is replaced; its events are tried again`);
    this.#again(job, isolate(slice, suspect));
  }

  #again(job: Job, slices: readonly Slice[]): void {
    const suspected = slices.filter(({ deaths }) => deaths > 0);
    job.suspects += suspected.length;
    for (const slice of suspected) this.#suspects.push({ job, slice });
    const others = slices.filter(({ deaths }) => deaths === 0);
    if (others.length === 0) return;
    // It stands in its lane only while something of it waits; it is older than what stands there now.
    if (job.waiting.length === 0) this.#laneOf(job).unshift(job);
    job.waiting.push(...others);
  }

  #resolveWhenWhole(job: Job): void {
    if (job.running > 0 || job.waiting.length > 0 || job.suspects > 0) return;
    job.done.sort((a, b) => a.from - b.from);
    job.resolve(joinDecoded(job.done.map((part) => part.packed)));
  }

  /**
   * Looks at all running tasks. It counts its own turns and does not measure time: after the whole process was stopped
   * for a while, a thread gets as many turns as before to show progress.
   */
  #look(): void {
    // Once a new thread failed to start, Piscina starts no more, and its tasks would wait for ever.
    this.#ticksWithoutThreads = this.#pool.threads.length === 0 ? this.#ticksWithoutThreads + 1 : 0;
    if (this.#ticksWithoutThreads >= ticksUntilHung) {
      for (const job of new Set([...this.#takeAllWaiting(), ...Array.from(this.#running).flatMap(({ parts }) => parts.map(({ job }) => job))])) fail(job, startError('none runs'));
      for (const running of this.#running) running.abort.abort();
      return;
    }
    for (const running of this.#running) {
      const { rows, step } = progressOver(running.parts);
      // Not begun: it lies behind another bundle, or its thread is still starting. The suspects' thread has no other.
      if (rows < 0 && !running.isSuspect) continue;
      if (rows !== running.lastRows || step !== running.lastStep) {
        running.lastRows = rows;
        running.lastStep = step;
        running.ticksWithout = 0;
      } else if (++running.ticksWithout >= (running.isSuspect ? ticksUntilHung : ticksUntilSuspected)) {
        running.hung = true;
        running.abort.abort();
      }
    }
  }
}

function partsOf(bundle: readonly Cut[], maxEventBytes: number): Part[] {
  // One piece of shared memory for all parts.
  const progress = new SharedArrayBuffer(bundle.length * progressWords * 4);
  return bundle.map(({ job, slice }, i) => ({ job, slice, task: taskOf(job.batch, slice, job.schemas, maxEventBytes, new Int32Array(progress, i * progressWords * 4, progressWords)) }));
}

function isBegun({ progress }: DecodeTask): boolean {
  return progressOf(progress).row >= 0;
}

function isDone({ progress, valueStart }: DecodeTask): boolean {
  return progressOf(progress).row === valueStart.length;
}

/** Rows that were begun in all parts together, less one: -1 when there is none yet; and the step of the one that was begun last. */
function progressOver(parts: readonly Part[]): { readonly rows: number; readonly step: Progress['step'] } {
  let rows = -1;
  let step: Progress['step'] = 'avro';
  for (const { task } of parts) {
    const progress = progressOf(task.progress);
    if (progress.row < 0) break;
    rows += progress.row + 1;
    step = progress.step;
  }
  return { rows, step };
}

function taskOf(batch: RecordBatch, slice: Slice, schemas: readonly WriterSchema[], maxEventBytes: number, progress: DecodeTask['progress'] = new Int32Array(progressWords)): DecodeTask {
  return {
    bytes: batch.bytes,
    valueStart: sharedRows(batch.valueStart, slice),
    valueLength: sharedRows(batch.valueLength, slice),
    maxEventBytes,
    schemas,
    progress,
  };
}

/** A view of memory that is not shared would be sent with all that lies around it. */
function sharedRows(column: Int32Array, slice: Slice): Int32Array {
  return column.buffer instanceof SharedArrayBuffer ? column.subarray(slice.from, slice.to) : column.slice(slice.from, slice.to);
}

function tellFailures(log: Log, batch: RecordBatch, task: DecodeTask): void {
  const { failureCount } = progressOf(task.progress);
  if (failureCount === 0) return;
  log.error({ partition: batch.partition, events: failureCount }, 'the decoder failed over events; their dead letters say how');
}

function fail(job: Job, error: Error): void {
  job.failed = true;
  job.waiting.length = 0;
  job.reject(error);
}

function startError(cause: unknown): FatalError {
  return new FatalError(`decoder threads cannot start: ${String(cause)}`, { cause });
}

function closedError(): OutageError {
  return new OutageError('decoder', 'the decoder is closed');
}

function deadLetterBatch(code: 'AVRO_INVALID' | 'XML_INVALID', reason: string): PackedDecodedBatch {
  const writer = new DecodedBatchWriter();
  writer.beginEvent();
  writer.setDeadLetter(code, reason);
  return writer.pack();
}

function emptyBatch(): PackedDecodedBatch {
  return new DecodedBatchWriter().pack();
}
