/**
 * One assigned partition with its order: batches are decoded ahead and settled one after another. A lane that is closed
 * finishes the batch it settles and drops the rest, which nobody has heard of and the next owner reads again.
 *
 *     restoring ──▶ running ──▶ closed
 *         └────────────┴──▶ halted          (its state is torn: it must not go on, the others do)
 */
import type { RecordBatch } from './codec/record-batch.ts';
import type { Epoch } from './epoch.ts';
import type { Journey } from './journey.ts';
import type { LaneBook } from './lane-book.ts';
import type { Pipeline } from './pipeline.ts';
import type { Decoded } from './stages/decode.ts';

export type LaneState = 'restoring' | 'running' | 'halted' | 'closed';

const legalNext: Readonly<Record<LaneState, readonly LaneState[]>> = {
  restoring: ['running', 'halted', 'closed'],
  running: ['halted', 'closed'],
  halted: ['closed'],
  closed: [],
};

export interface LanePorts {
  readonly pipeline: Pipeline;
  /** The epoch that is being filled now; asked for only in the moment of writing. */
  readonly epoch: () => Epoch;
  /** A broken invariant or a dead dependency: the process must end. */
  readonly onFailure: (error: unknown) => void;
  /** Something was settled: the commit may be due, there may be room again. */
  readonly onProgress: () => void;
}

export class Lane {
  readonly partition: number;
  readonly #ports: LanePorts;
  readonly #abort = new AbortController();
  #state: LaneState = 'restoring';
  #haltReason: string | null = null;
  #book: LaneBook | null = null;
  #tail: Promise<void> = Promise.resolve();
  /** Read and not yet settled. */
  #pendingBatches = 0;
  #pendingBytes = 0;
  readonly #pendingRecords = new Map<string, number>();
  #giveUpDecoding: () => void = () => {};

  constructor(partition: number, ports: LanePorts) {
    this.partition = partition;
    this.#ports = ports;
  }

  get state(): LaneState {
    return this.#state;
  }

  get haltReason(): string | null {
    return this.#haltReason;
  }

  /** Aborted when the lane is closed. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get book(): LaneBook | null {
    return this.#book;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Records of a topic that were read and are not yet settled. */
  pendingRecords(topic: string): number {
    return this.#pendingRecords.get(topic) ?? 0;
  }

  get isIdle(): boolean {
    return this.#pendingBatches === 0;
  }

  open(book: LaneBook): void {
    this.#enter('running');
    this.#book = book;
  }

  halt(reason: string): void {
    this.#enter('halted');
    this.#haltReason = reason;
  }

  /** Takes the next batch of the partition or its twin. Decoding begins at once, settling when its turn comes. */
  offer(records: RecordBatch, journey: Journey): void {
    if (this.#state !== 'running') return;
    this.#pendingBatches++;
    this.#pendingBytes += records.bytes.length;
    this.#pendingRecords.set(records.topic, this.pendingRecords(records.topic) + records.count);
    const decoded = this.#ports.pipeline.decode(records, journey);
    // The failure is met in turn, below; until then it must not count as unhandled.
    decoded.catch(() => undefined);
    this.#tail = this.#tail.then(() => this.#settle(records, decoded, journey));
  }

  /** Takes no more; resolves when what is being settled is in the epoch. Nobody waits for what is still being decoded. */
  async close(): Promise<void> {
    if (this.#state !== 'closed') this.#enter('closed');
    this.#giveUpDecoding();
    await this.#tail;
  }

  /** As `close`, and whatever is being waited for is given up. */
  async abandon(): Promise<void> {
    this.#abort.abort();
    await this.close();
  }

  async #settle(records: RecordBatch, decoding: Promise<Decoded>, journey: Journey): Promise<void> {
    try {
      if (this.#state !== 'running') return;
      const decoded = await this.#untilClosed(decoding);
      // Closed meanwhile: what was not begun is left to the next owner.
      if (decoded === null || (this.#state as LaneState) !== 'running') return;
      await this.#untilAbandoned(this.#ports.pipeline.settle(decoded, journey, this.#book!, this.#ports.epoch, this.signal));
    } catch (error) {
      if (!this.signal.aborted) this.#ports.onFailure(error);
    } finally {
      this.#pendingBatches--;
      this.#pendingBytes -= records.bytes.length;
      this.#pendingRecords.set(records.topic, this.pendingRecords(records.topic) - records.count);
      this.#ports.onProgress();
    }
  }

  /**
   * Null when the lane is closed first: decoding may wait for the registry, for as long as that is away. Batches come here
   * one at a time, so one way out is enough; a race against one promise for the whole life would keep every batch.
   */
  #untilClosed(decoding: Promise<Decoded>): Promise<Decoded | null> {
    return new Promise((resolve, reject) => {
      this.#giveUpDecoding = () => resolve(null);
      decoding.then(resolve, reject);
    });
  }

  /**
   * Rejects as soon as the lane is abandoned. A window that is being rebuilt waits for the commit under way, and a commit
   * that was fenced waits for all lanes to give up: without this they would wait for each other.
   */
  #untilAbandoned(settling: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => reject(this.signal.reason as Error);
      if (this.signal.aborted) giveUp();
      this.signal.addEventListener('abort', giveUp, { once: true });
      const done = (): void => this.signal.removeEventListener('abort', giveUp);
      settling.then(resolve, reject).then(done, done);
    });
  }

  #enter(next: LaneState): void {
    if (!legalNext[this.#state].includes(next)) {
      throw new Error(`Lane ${this.partition} is ${this.#state} and cannot become ${next}.`);
    }
    this.#state = next;
  }
}
