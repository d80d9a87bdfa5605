/**
 * Results and dead letters from Kafka into ClickHouse, one row a record, exactly the topics' content whatever crashes.
 *
 * A partition that the group gives us goes through these states:
 *
 *   assigned ──claim──▶ flowing ──insert fails, or is fenced──▶ assigned
 *
 * Claiming asks ClickHouse how far it is (see the row store for what a claim guarantees); then the partition is read from
 * there, and its records are collected in a block until it is full or old enough to be inserted. When anything about
 * ClickHouse is in doubt, all blocks are dropped, since Kafka still has them, and everything is claimed anew. So memory
 * stays bounded through an outage, and there is one way back only.
 *
 * Materialized views are fed from what is stored, a little later and not for each block: nothing waits for them.
 */
import type { RecordBatch } from '../codec/record-batch.ts';
import { ConfigurationError, FatalError, OutageError } from '../errors.ts';
import type { Clock, Log, TopicOffset } from '../ports.ts';
import { appendDeadLetterRow } from './dead-letter-rows.ts';
import { ForeignRowsError } from './ports.ts';
import type {
  DirectoryEntry,
  DirectoryLog,
  PartitionClaim,
  ResultSchemas,
  RowBlock,
  RowStore,
  SinkLog,
  SinkTable,
  SinkTelemetry,
  SourceTopic,
  TopicPartition,
} from './ports.ts';
import { createResultReader } from './result-batch.ts';
import type { ResultReader } from './result-batch.ts';
import { ResultRowWriter } from './result-rows.ts';
import { periodNumber } from './period.ts';
import { keptFromMs } from './retention.ts';
import { RowText } from './row-text.ts';

export interface SinkLimits {
  /** A block is inserted when it has so many rows, so many bytes, or is so old. */
  readonly blockRowsMax: number;
  readonly blockBytesMax: number;
  readonly blockAgeMs: number;
  /** Blocks being collected and inserted, in bytes; nothing is read while there are more. */
  readonly bufferedBytesMax: number;
  readonly insertsMax: number;
  readonly retryFirstMs: number;
  readonly retryMaxMs: number;
}

export const sinkLimits: SinkLimits = {
  blockRowsMax: 20_000,
  blockBytesMax: 4 << 20,
  blockAgeMs: 1000,
  bufferedBytesMax: 32 << 20,
  insertsMax: 2,
  retryFirstMs: 250,
  retryMaxMs: 5000,
};

const recordsPerPollMax = 2000;
const pollWaitMs = 100;
const lagIntervalMs = 2000;
/** A server merges parts in the background: many partitions together insert no more often than this. */
const insertSpacingMs = 50;
/** So often at most the views are given the new rows of a partition, and so far apart are any two partitions. */
const feedIntervalMs = 2000;
const feedSpacingMs = 250;

export interface SinkOptions {
  readonly kafka: SinkLog;
  readonly directory: DirectoryLog;
  readonly store: RowStore;
  readonly schemas: ResultSchemas;
  readonly tables: ReadonlyMap<string, SinkTable>;
  readonly limits: SinkLimits;
  /** Rows that are older when they come are not stored; 0: all are. */
  readonly retentionDays: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: SinkTelemetry;
}

export interface Sink {
  /** Runs until `stop`; rejects with `FatalError` or `ConfigurationError` when it cannot go on. */
  run(): Promise<void>;
  /** Stops reading; `run` inserts what was read, for `drainMs` at most, and resolves. */
  stop(drainMs: number): void;
  reasonsNotReady(): readonly string[];
}

export function createSink(options: SinkOptions): Sink {
  return new ClickhouseSink(options);
}

/** A partition that flows. */
interface Lane {
  readonly place: TopicPartition;
  readonly table: SinkTable;
  readonly claim: PartitionClaim;
  readonly text: RowText;
  readonly resultWriter: ResultRowWriter;
  /** Blocks that end where the next row belongs to another period of the table; inserted first, in this order. */
  readonly cut: RowBlock[];
  rows: number;
  firstOffset: number;
  lastOffset: number;
  openedAt: number;
  /** Of the rows in `text`; see `periodNumber`. */
  period: number;
  /** The next offset behind what is certainly stored. */
  storedTo: number;
  /** What Kafka was told of it. */
  committedTo: number;
  inserting: boolean;
  /** The highest offset that all views hold; null where the table has none, or it is not known yet. */
  fedOffset: number | null;
  feedAt: number;
}

interface Lag {
  readonly place: TopicPartition;
  /** The next offset behind what is stored; null while ClickHouse has not told. */
  storedTo: number | null;
  /** The end of what is committed, as last heard. */
  end: number;
}

class ClickhouseSink implements Sink {
  readonly #options: SinkOptions;
  readonly #results: ResultReader;
  #started = false;
  /** The assignment that we work for; compared by identity. */
  #assignment: readonly TopicPartition[] | null = null;
  #lanes: Map<string, Lane> | null = null;
  #claimedSources: readonly SourceTopic[] = [];
  /** Counts the times that we started anew: what an earlier time began is not listened to. */
  #generation = 0;
  #claiming = false;
  #nextClaimAt = 0;
  #retryMs: number;
  #trouble: string | null = 'starting';
  #failure: Error | undefined;
  #buffered = 0;
  readonly #inserts = new Set<Promise<void>>();
  #feeding: Promise<void> | null = null;
  /** Entries of the directory that are not stored yet. */
  #entries: readonly DirectoryEntry[] = [];
  #storingEntries = false;
  readonly #lags = new Map<string, Lag>();
  #lagAsked = false;
  #lagAt = 0;
  readonly #stopping = new AbortController();
  #drainMs = 0;

  constructor(options: SinkOptions) {
    this.#options = options;
    this.#results = createResultReader(options.schemas);
    this.#retryMs = options.limits.retryFirstMs;
  }

  async run(): Promise<void> {
    const { kafka, store } = this.#options;
    const { signal } = this.#stopping;
    try {
      await kafka.start(signal);
      this.#started = true;
      while (!signal.aborted) {
        if (this.#failure !== undefined) throw this.#failure;
        this.#followAssignment();
        if (this.#lanes === null) this.#beginClaim();
        this.#askLag();
        await this.#readOnce();
        this.#insertWhatIsDue(false);
        this.#feedViewsWhenDue(false);
        this.#storeDirectory();
        while (this.#buffered > this.#options.limits.bufferedBytesMax && this.#inserts.size > 0) {
          await Promise.race(this.#inserts);
          this.#insertWhatIsDue(false);
        }
      }
      await this.#drain();
    } finally {
      this.#generation++;
      await kafka.stop();
      await store.close();
    }
  }

  stop(drainMs: number): void {
    this.#drainMs = drainMs;
    this.#stopping.abort();
  }

  reasonsNotReady(): readonly string[] {
    const reasons: string[] = [];
    if (this.#stopping.signal.aborted) reasons.push('stopping');
    if (!this.#started) reasons.push('waiting for Kafka and for the topics');
    else if (this.#options.kafka.assignment() === null) reasons.push('waiting for the consumer group to give partitions');
    else if (!this.#options.kafka.reachable()) reasons.push('Kafka does not answer');
    if (this.#lanes === null && this.#started) reasons.push(this.#trouble ?? 'claiming partitions in ClickHouse');
    return reasons;
  }

  // ── Which partitions, and from where ──────────────────────────────────────────────────────────────────────────────

  #followAssignment(): void {
    const assignment = this.#options.kafka.assignment();
    if (assignment === this.#assignment) return;
    this.#assignment = assignment;
    for (const { place } of this.#lags.values()) this.#options.telemetry.forget(place.topic, place.partition);
    this.#lags.clear();
    for (const place of assignment ?? []) this.#lags.set(keyOf(place), { place, storedTo: null, end: 0 });
    this.#lagAt = 0;
    this.#startAnew();
    this.#nextClaimAt = 0;
  }

  /** Lets go of everything that was read and not certainly stored. */
  #startAnew(): void {
    this.#generation++;
    this.#lanes = null;
    this.#buffered = 0;
    if (this.#assignment !== null && this.#assignment.length > 0) this.#options.kafka.flow([]);
  }

  #beginClaim(): void {
    if (this.#claiming || this.#assignment === null || this.#options.clock() < this.#nextClaimAt) return;
    // An insert of ours that is still under way is waited for: then a claim has nothing to kill.
    if (this.#inserts.size > 0 || this.#feeding !== null) return;
    this.#claiming = true;
    const generation = this.#generation;
    void this.#claimAll(this.#assignment)
      .then((lanes) => {
        // The group may have decided anew a moment ago, and the loop not have seen it.
        if (generation !== this.#generation || this.#options.kafka.assignment() !== this.#assignment) return;
        this.#lanes = new Map(lanes.map((lane) => [keyOf(lane.place), lane]));
        this.#options.kafka.flow(lanes.map(({ place, storedTo }) => ({ ...place, offset: storedTo })));
        this.#wentWell();
        this.#options.log.info({ partitions: lanes.length }, 'Partitions claimed; rows flow into ClickHouse');
      })
      .catch((error: unknown) => {
        if (generation === this.#generation) this.#wentWrong(error);
      })
      .finally(() => {
        this.#claiming = false;
      });
  }

  async #claimAll(assignment: readonly TopicPartition[]): Promise<readonly Lane[]> {
    const { store, tables } = this.#options;
    await store.prepare();
    this.#options.telemetry.dependency('clickhouse', true);
    const lanes: Lane[] = [];
    // A topic of the same name may be another one by now.
    this.#claimedSources = await this.#options.kafka.sources();
    for (const source of this.#claimedSources) {
      const table = tables.get(source.name)!;
      const partitions = assignment.filter(({ topic }) => topic === source.name).map(({ partition }) => partition);
      const claims = await store.claim(table, source, partitions);
      if (claims.length < partitions.length) {
        throw new OutageError('clickhouse', `Another sink claimed partitions of ${source.name} at the same moment.`);
      }
      for (const claim of claims) lanes.push(await this.#openLane({ topic: source.name, partition: claim.partition }, claim));
    }
    return lanes;
  }

  /** Checks that Kafka still has what follows the stored rows. */
  async #openLane(place: TopicPartition, claim: PartitionClaim): Promise<Lane> {
    const { low, high } = await this.#options.kafka.watermarks(place);
    const next = claim.storedOffset === null ? low : claim.storedOffset + 1;
    if (next > high) {
      throw new ForeignRowsError(
        `ClickHouse holds ${place.topic}-${place.partition} up to offset ${next - 1}, but the topic ends at ${high}: ` +
          'these rows are of another topic, or Kafka lost records.',
      );
    }
    if (next < low) {
      this.#options.log.error(
        { topic: place.topic, partition: place.partition, fromOffset: next, toOffset: low - 1 },
        'Kafka has deleted records before they were stored: these rows are missing for good; retention is shorter than the sink was away',
      );
    }
    const storedTo = Math.max(next, low);
    this.#setLag(place, storedTo, high);
    const text = new RowText();
    return {
      place,
      table: claim.table,
      claim,
      text,
      resultWriter: new ResultRowWriter(text),
      cut: [],
      rows: 0,
      firstOffset: -1,
      lastOffset: storedTo - 1,
      openedAt: 0,
      period: 0,
      storedTo,
      committedTo: -1,
      inserting: false,
      fedOffset: null,
      feedAt: 0,
    };
  }

  // ── From records to blocks ────────────────────────────────────────────────────────────────────────────────────────

  async #readOnce(): Promise<void> {
    const batches = await this.#options.kafka.poll({ recordsMax: recordsPerPollMax, waitMs: pollWaitMs });
    for (const batch of batches) {
      const lane = this.#lanes?.get(keyOf(batch));
      if (lane === undefined) continue;
      if (lane.table === 'results') {
        const learning = this.#results.prepare(batch);
        if (learning !== undefined) await this.#whilePolling(learning);
        // The assignment may have changed meanwhile.
        if (this.#lanes?.get(keyOf(batch)) !== lane) continue;
      }
      this.#append(lane, batch);
    }
  }

  /** Waits for the registry without being taken for dead by the group; everything is read again afterwards. */
  async #whilePolling(learning: Promise<void>): Promise<void> {
    let learned = false;
    const done = learning.then(() => {
      learned = true;
    });
    const patience = this.#options.limits.retryMaxMs;
    const timer = Promise.withResolvers<void>();
    const handle = setTimeout(timer.resolve, patience);
    try {
      await Promise.race([done, timer.promise]);
    } finally {
      clearTimeout(handle);
    }
    if (learned) return;
    done.catch(() => undefined);
    this.#wentWrong(new OutageError('registry', 'The schema registry does not answer, and a result has a schema that is not known yet.'));
  }

  #append(lane: Lane, batch: RecordBatch): void {
    const before = heldBytes(lane);
    const keptFrom = keptFromMs(this.#options.retentionDays, this.#options.clock());
    for (let row = 0; row < batch.count; row++) {
      const offset = batch.offsets[row]!;
      // A place is read from where we said; an older record would be a row twice.
      if (offset <= lane.lastOffset) continue;
      let timeMs: number;
      if (lane.table === 'dead_letters') timeMs = appendDeadLetterRow(lane.text, batch, row);
      else if (this.#results.append(lane.resultWriter, batch, row)) timeMs = lane.resultWriter.settledAtMs;
      else {
        this.#options.log.error(
          { topic: batch.topic, partition: batch.partition, offset },
          'A record of the results topic is no PaymentResult: it has no row',
        );
        continue;
      }
      // What was taken away when its time was over would come again, where nothing newer is stored behind it.
      if (timeMs < keptFrom) {
        lane.text.takeBackRow();
        continue;
      }
      const period = periodNumber(lane.claim.period, timeMs);
      if (lane.rows > 0 && period !== lane.period) lane.cut.push(takeBlock(lane, lane.text.takeAllButLast()));
      if (lane.rows === 0) {
        lane.firstOffset = offset;
        lane.openedAt = this.#options.clock();
        lane.period = period;
      }
      lane.rows++;
      lane.lastOffset = offset;
    }
    this.#buffered += heldBytes(lane) - before;
  }

  // ── From blocks to rows ───────────────────────────────────────────────────────────────────────────────────────────

  #insertWhatIsDue(all: boolean): void {
    if (this.#lanes === null) return;
    const { blockRowsMax, blockBytesMax, blockAgeMs, insertsMax, bufferedBytesMax } = this.#options.limits;
    const now = this.#options.clock();
    const ageMs = Math.max(blockAgeMs, this.#lanes.size * insertSpacingMs);
    const crowded = this.#buffered > bufferedBytesMax;
    let sameTopics: Promise<void> | undefined;
    for (const lane of this.#lanes.values()) {
      if (this.#inserts.size >= insertsMax) return;
      if ((lane.rows === 0 && lane.cut.length === 0) || lane.inserting) continue;
      const full = lane.cut.length > 0 || lane.rows >= blockRowsMax || lane.text.byteLength >= blockBytesMax;
      if (all || crowded || full || now - lane.openedAt >= ageMs) this.#beginInsert(lane, (sameTopics ??= this.#checkTopics()));
    }
  }

  /**
   * Asked after a block was read and before it is inserted: a topic that still is the one that was claimed was it all the
   * time, so the block holds its records, and not those of another one of the same name.
   */
  async #checkTopics(): Promise<void> {
    const sources = await this.#options.kafka.sources();
    if (sameSources(sources, this.#claimedSources)) return;
    throw new ForeignRowsError('A topic was created anew while the sink read it.');
  }

  #beginInsert(lane: Lane, sameTopics: Promise<void>): void {
    const generation = this.#generation;
    const block = lane.cut.shift() ?? takeBlock(lane, lane.text.take());
    lane.inserting = true;
    const insert = sameTopics
      .then(() => this.#options.store.insert(block, lane.claim))
      .then((outcome) => {
        if (outcome === 'stored') this.#options.telemetry.rows(block.table, block.rows);
        if (generation !== this.#generation) return;
        if (outcome === 'fenced') throw new OutageError('clickhouse', 'Another sink has claimed a partition of ours.');
        this.#stored(lane, block);
      })
      .catch((error: unknown) => {
        if (generation === this.#generation) this.#wentWrong(error);
      })
      .finally(() => {
        lane.inserting = false;
        this.#inserts.delete(insert);
      });
    this.#inserts.add(insert);
  }

  #stored(lane: Lane, block: RowBlock): void {
    this.#buffered -= block.text.length;
    lane.storedTo = block.lastOffset + 1;
    this.#noteLag(lane);
    this.#noteViewsLag(lane);
    this.#commit(lane);
    this.#options.telemetry.dependency('clickhouse', true);
  }

  /** Begins to feed one partition; `all` asks for what is not due yet, too. */
  #feedViewsWhenDue(all: boolean): void {
    if (this.#feeding !== null || this.#lanes === null) return;
    const now = this.#options.clock();
    for (const lane of this.#lanes.values()) {
      if (lane.table !== 'results' || (!all && now < lane.feedAt)) continue;
      const storedOffset = lane.storedTo - 1;
      if (storedOffset < 0 || (lane.fedOffset !== null && lane.fedOffset >= storedOffset)) continue;
      this.#beginFeed(lane, storedOffset, now + Math.max(feedIntervalMs, this.#lanes.size * feedSpacingMs));
      return;
    }
  }

  #beginFeed(lane: Lane, storedOffset: number, feedAt: number): void {
    const generation = this.#generation;
    this.#feeding = this.#options.store
      .feedViews(lane.claim, storedOffset)
      .then((fed) => {
        if (generation !== this.#generation) return;
        if (fed === 'fenced') throw new OutageError('clickhouse', 'Another sink has claimed a partition of ours.');
        lane.fedOffset = fed;
        this.#noteViewsLag(lane);
        // A view that is being filled goes on at once.
        if (fed >= storedOffset) lane.feedAt = feedAt;
      })
      .catch((error: unknown) => {
        if (generation === this.#generation) this.#wentWrong(error);
      })
      .finally(() => {
        this.#feeding = null;
      });
  }

  /** Nothing waits for the directory; what could not be stored is tried again when ClickHouse is back. */
  #storeDirectory(): void {
    const read = this.#options.directory.take();
    if (read.length > 0) this.#entries = [...this.#entries, ...read];
    if (this.#storingEntries || this.#entries.length === 0 || this.#lanes === null) return;
    const entries = this.#entries;
    const generation = this.#generation;
    this.#storingEntries = true;
    void this.#options.store
      .addDirectoryEntries(entries)
      .then(() => {
        this.#entries = this.#entries.slice(entries.length);
      })
      .catch((error: unknown) => {
        if (generation === this.#generation) this.#wentWrong(error);
      })
      .finally(() => {
        this.#storingEntries = false;
      });
  }

  #commit(lane: Lane): void {
    const place = this.#committable(lane);
    if (place.offset === lane.committedTo) return;
    lane.committedTo = place.offset;
    this.#options.kafka.commit([place]);
  }

  /** With nothing left in hand, behind the markers that end the partition, so that lag is seen to reach 0. */
  #committable(lane: Lane): TopicOffset {
    const end = lane.rows === 0 && lane.cut.length === 0 && !lane.inserting ? this.#options.kafka.endReached(lane.place) : null;
    return { ...lane.place, offset: Math.max(lane.storedTo, end ?? 0) };
  }

  async #drain(): Promise<void> {
    const deadline = Promise.withResolvers<void>();
    const timer = setTimeout(deadline.resolve, this.#drainMs);
    let late = false;
    void deadline.promise.then(() => {
      late = true;
    });
    try {
      while (!late && this.#lanes !== null) {
        this.#insertWhatIsDue(true);
        // What was stored while the views were fed is given to them as well.
        if (this.#inserts.size === 0) this.#feedViewsWhenDue(true);
        if (this.#inserts.size === 0 && this.#feeding === null) break;
        await Promise.race([...this.#inserts, ...(this.#feeding === null ? [] : [this.#feeding]), deadline.promise]);
      }
    } finally {
      clearTimeout(timer);
    }
    const left = [...(this.#lanes?.values() ?? [])].reduce((sum, lane) => sum + lane.rows + lane.cut.reduce((rows, block) => rows + block.rows, 0), 0);
    if (left > 0 || this.#inserts.size > 0) {
      this.#options.log.warn({ rows: left, inserts: this.#inserts.size }, 'Stopped before everything that was read was stored; it is read again');
    }
  }

  // ── What is known of the world ────────────────────────────────────────────────────────────────────────────────────

  #wentWell(): void {
    this.#retryMs = this.#options.limits.retryFirstMs;
    this.#trouble = null;
    this.#options.telemetry.dependency('clickhouse', true);
  }

  #wentWrong(error: unknown): void {
    const { log, telemetry, limits, clock } = this.#options;
    if (error instanceof ConfigurationError || error instanceof FatalError) {
      this.#failure = error;
      return;
    }
    const message = error instanceof Error ? error.message : String(error);
    if (!(error instanceof OutageError) && !(error instanceof ForeignRowsError)) {
      this.#failure = error instanceof Error ? error : new Error(message);
      return;
    }
    if (error instanceof OutageError && error.dependency === 'clickhouse') telemetry.dependency('clickhouse', false);
    if (this.#trouble !== message) log.warn({ reason: message }, 'Rows wait; trying again');
    this.#trouble = message;
    this.#startAnew();
    this.#nextClaimAt = clock() + this.#retryMs;
    this.#retryMs = Math.min(limits.retryMaxMs, this.#retryMs * 2);
  }

  #noteLag(lane: Lane): void {
    const lag = this.#lags.get(keyOf(lane.place));
    if (lag !== undefined) this.#setLag(lane.place, this.#committable(lane).offset, lag.end);
  }

  /** Not before it is known how far the views are. */
  #noteViewsLag(lane: Lane): void {
    if (lane.fedOffset === null || this.#lanes?.get(keyOf(lane.place)) !== lane) return;
    this.#options.telemetry.viewsLag(lane.place.partition, Math.max(0, lane.storedTo - 1 - lane.fedOffset));
  }

  #setLag(place: TopicPartition, storedTo: number, end: number): void {
    const lag = this.#lags.get(keyOf(place));
    if (lag === undefined) return;
    lag.storedTo = storedTo;
    lag.end = end;
    this.#options.telemetry.lag(place.topic, place.partition, Math.max(0, end - storedTo));
  }

  /** Asks Kafka for the ends now and then, one after the other; nothing waits for it. */
  #askLag(): void {
    if (this.#lagAsked || this.#options.clock() < this.#lagAt || this.#lags.size === 0) return;
    this.#lagAsked = true;
    const asked = [...this.#lags.values()];
    void (async () => {
      for (const { place } of asked) {
        // Taken before the question: rows may be stored while the answer is on its way.
        const storedBefore = this.#lanes?.get(keyOf(place))?.storedTo ?? 0;
        const { low, high } = await this.#options.kafka.watermarks(place);
        const lane = this.#lanes?.get(keyOf(place));
        const known = this.#lags.get(keyOf(place))?.storedTo ?? low;
        this.#setLag(place, lane === undefined ? known : this.#committable(lane).offset, high);
        if (lane === undefined) continue;
        if (high < storedBefore) {
          this.#wentWrong(new ForeignRowsError(`${place.topic}-${place.partition} ends at ${high}, before what is stored of it.`));
          return;
        }
        this.#commit(lane);
      }
      this.#options.telemetry.dependency('kafka', true);
    })()
      .catch(() => this.#options.telemetry.dependency('kafka', false))
      .finally(() => {
        this.#lagAsked = false;
        this.#lagAt = this.#options.clock() + lagIntervalMs;
      });
  }
}

/** What the lane has collected, as one block; the lane begins anew. */
function takeBlock(lane: Lane, text: Buffer): RowBlock {
  const { table, place, firstOffset, lastOffset, rows } = lane;
  lane.rows = 0;
  return { table, topic: place.topic, partition: place.partition, firstOffset, lastOffset, rows, text };
}

function heldBytes(lane: Lane): number {
  let bytes = lane.text.byteLength;
  for (const block of lane.cut) bytes += block.text.length;
  return bytes;
}

function sameSources(some: readonly SourceTopic[], others: readonly SourceTopic[]): boolean {
  return some.every(({ name, id }) => others.some((other) => other.name === name && other.id === id));
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic} ${partition}`;
}
