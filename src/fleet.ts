/**
 * The one loop that owns Kafka: it reads, gives records to lanes, answers rebalances, and commits what the lanes have
 * settled, one Kafka transaction at a time.
 *
 *     poll ──▶ lanes ──▶ epoch being filled ──(commit interval)──▶ epoch being committed
 *
 * While one epoch is committed the lanes fill the next. Nothing is ever rewound: a Kafka transaction that fails is tried
 * again as the same bytes, and when the group has moved on the lanes are thrown away as they are.
 */
import type { RecordBatch } from './codec/record-batch.ts';
import type { Position } from './domain/ledger.ts';
import type { TopicNames } from './domain/topics.ts';
import { Epoch } from './epoch.ts';
import { FatalError, invariant } from './errors.ts';
import { Lane } from './lane.ts';
import { LaneBook } from './lane-book.ts';
import { beginJourney } from './journey.ts';
import type { Pipeline } from './pipeline.ts';
import type { Claims, FleetLog, Log, Rebalance, Telemetry, Timing, TopicReader, Tracing } from './ports.ts';
import { rebuildWindow, restoreLane, TornStateError } from './restore.ts';
import type { CommittedOffsets, RebuildProgress } from './restore.ts';

export interface FleetLimits {
  readonly commitIntervalMs: number;
  /** Records taken from Kafka at a time. */
  readonly pollRecordsMax: number;
  /**
   * How long the first record waits for others while there are few: a poll, a decoder's task and a round trip to Redis cost as
   * much for one as for many.
   */
  readonly gatherMs: number;
  /** Read and not settled, in all lanes together, before reading pauses. */
  readonly pendingBytesMax: number;
  /** Settled and not yet being committed, before reading pauses: a commit may have to wait for Kafka. */
  readonly epochBytesMax: number;
  /** How long a revoked or ending worker finishes what it began. */
  readonly drainDeadlineMs: number;
  readonly dedupeWindowSeconds: number;
}

export interface FleetOptions {
  readonly log: Log;
  readonly fleetLog: FleetLog;
  readonly reader: TopicReader;
  readonly claims: Claims;
  readonly topics: TopicNames;
  readonly worker: string;
  readonly limits: FleetLimits;
  readonly timing: Timing;
  readonly telemetry: Telemetry;
  /** Left out: nothing is traced. */
  readonly tracing?: Tracing | null;
  /** Made once the number of partitions is known. */
  readonly createPipeline: (fleet: Fleet) => Pipeline;
}

/**
 * What an operator asked for: read and settle; stop reading and stay in the group; finish, leave the group and stay out. Kept
 * until the next word, whatever the group decides meanwhile.
 */
export type Duty = 'run' | 'pause' | 'drain';
/** How far it has come. */
export type DutyState = 'running' | 'pausing' | 'paused' | 'draining' | 'drained';

/** What a partition's account says at a moment. */
export interface PartitionAccount {
  readonly partition: number;
  /** Records taken and not committed, routed ones too. */
  readonly inFlight: number;
  /**
   * Outcomes that committed Kafka transactions should hold and do not (or hold and should not), found since the process began;
   * and records that were taken and are neither waiting nor settled. 0, or something is wrong.
   */
  readonly unaccounted: number;
}

/** A lane that makes no room for this long is paused, so that the others go on. */
const stuckAfterMs = 100;
const pollWaitMs = 50;
/** A poll that gives this share of what it may give comes from a backlog: there is nothing to gather. */
const backlogShare = 0.25;
/** Marker-only progress (offsets with no records) is committed this seldom. */
const idleCommitMs = 1000;
/** Records are waiting and nothing was committed for this long: not ready. */
const stalledAfterMs = 15_000;
/** A fenced member that hears nothing of it for this long would be ready and dead. */
const fencedSilenceMs = 30_000;

export class Fleet {
  readonly #options: FleetOptions;
  readonly #lanes = new Map<number, Lane>();
  readonly #paused = new Set<number>();
  /** The group's committed offsets as each lane found them. */
  readonly #foundCommitted = new Map<number, CommittedOffsets>();
  /** What was found amiss, by partition, for as long as the process lives: nobody but a person may take it back. */
  readonly #unaccounted = new Map<number, number>();
  /** Windows of claims that are being filled again, for those who watch. */
  readonly #rebuilds = new Map<number, RebuildProgress>();
  #pipeline: Pipeline | undefined;
  #epoch = new Epoch();
  #committing: Promise<void> | null = null;
  #lastCommitBegan = 0;
  #lastCommitEnded = 0;
  /** When a poll last gave something. */
  #lastTaken = 0;
  /** The last poll gave so much that more lies behind it. */
  #isBacklog = false;
  #stopping = false;
  /** The group has said which partitions are ours, be it none. */
  #isAssigned = false;
  #started = false;
  #failure: unknown;
  /** When the group was found to have moved on; the client is to say so by an event soon. */
  #fencedAt: number | null = null;
  #progress: () => void = () => {};
  #duty: Duty = 'run';
  /** Out of the group because an operator asked for it. */
  #isOut = false;

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  get partitionCount(): number {
    return this.#options.fleetLog.partitionCount;
  }

  get deadLetterPartitionCount(): number {
    return this.#options.fleetLog.deadLetterPartitionCount;
  }

  /** Runs until `stop`; throws when the process must end. */
  async run(): Promise<void> {
    const { fleetLog, limits } = this.#options;
    try {
      await fleetLog.start();
    } catch (error) {
      if (this.#stopping) return;
      throw error;
    }
    this.#pipeline = this.#options.createPipeline(this);
    this.#started = true;
    this.#lastCommitEnded = this.#options.timing.monotonic();
    while (!this.#stopping) {
      await this.#followDuty();
      await this.#makeRoom();
      await this.#gather();
      const batches = await fleetLog.poll({ recordsMax: limits.pollRecordsMax, waitMs: this.#pollWaitMs() });
      this.#notePoll(batches);
      this.#throwFailure();
      for (const batch of batches) this.#take(batch);
      this.#skipMarkers();
      for (let event = fleetLog.nextRebalance(); event !== undefined; event = fleetLog.nextRebalance()) {
        await this.#rebalance(event);
      }
      this.#commitWhenDue();
      if (this.#fencedAt !== null && this.#options.timing.monotonic() - this.#fencedAt > fencedSilenceMs) {
        throw new FatalError('The group has moved on, and the Kafka client has not noticed.');
      }
    }
    await this.#drain('the worker ends');
    await fleetLog.stop();
  }

  #take(batch: RecordBatch): void {
    const { fleetLog, topics, timing, telemetry, tracing } = this.#options;
    const lane = this.#lanes.get(batch.partition);
    if (lane === undefined) return;
    const isInbound = batch.topic === topics.inbound;
    const { takeOverMs } = fleetLog;
    const arrivedAt = timing.now() - takeOverMs;
    lane.book?.account.take(batch);
    lane.offer(
      batch,
      beginJourney({
        from: isInbound ? 'kafka' : 'handover',
        arrivedAt,
        takenAt: timing.monotonic(),
        takeOverMs,
        trace: tracing?.begin(batch, arrivedAt) ?? null,
      }),
    );
    if (isInbound) telemetry.consumed(batch.partition, batch.count);
  }

  /** Finishes what was begun, commits it, and makes `run` return. */
  stop(): void {
    this.#stopping = true;
    this.#progress();
    // Nothing was begun yet, and Kafka may stay away for long.
    if (!this.#started) this.#options.fleetLog.stop().catch((error: unknown) => this.#fail(error));
  }

  /** What an operator wants of this worker from now on; taken up within a moment. */
  ask(duty: Duty): void {
    this.#duty = duty;
    this.#progress();
  }

  dutyState(): DutyState {
    if (this.#duty === 'run') return 'running';
    if (this.#duty === 'drain') return this.#isOut ? 'drained' : 'draining';
    return this.#isWaiting() ? 'pausing' : 'paused';
  }

  /** Why this worker is not ready; empty when it is. */
  reasonsNotReady(): string[] {
    if (!this.#started) return ['kafka: not connected yet'];
    const reasons: string[] = [];
    if (this.#stopping) reasons.push('the worker is ending');
    if (this.#duty !== 'run') reasons.push(`${this.dutyState()} by an operator`);
    else if (!this.#isAssigned) reasons.push('kafka: the group has not assigned partitions yet');
    for (const lane of this.#lanes.values()) {
      if (lane.state === 'halted') reasons.push(`partition ${lane.partition} is halted: ${lane.haltReason}`);
      if (lane.state === 'restoring') reasons.push(`partition ${lane.partition} is being restored`);
    }
    for (const { partition, restored, ratio } of this.#rebuilds.values()) {
      reasons.push(`partition ${partition} waits for its window of claims: ${Math.floor(ratio * 100)}% read from the results, ${restored} claims`);
    }
    const idleForMs = this.#options.timing.monotonic() - Math.max(this.#lastCommitEnded, this.#busySince);
    if (this.#isWaiting() && idleForMs > stalledAfterMs) {
      reasons.push(`nothing was committed for ${Math.round(idleForMs / 1000)} s while records wait`);
    }
    return reasons;
  }

  /** Something was read that is not committed. */
  #isWaiting(): boolean {
    return !this.#epoch.isEmpty || this.#committing !== null || this.#pendingBytes() > 0;
  }

  /** Partitions by lane state, for those who watch. */
  lanes(): readonly { readonly partition: number; readonly state: string }[] {
    return Array.from(this.#lanes.values(), ({ partition, state }) => ({ partition, state }));
  }

  /** What each partition's account says now; one that was given away only while something is wrong with it. */
  accounts(): readonly PartitionAccount[] {
    const accounts = Array.from(this.#lanes.values(), (lane) => this.#accountOf(lane));
    for (const [partition, unaccounted] of this.#unaccounted) {
      if (!this.#lanes.has(partition)) accounts.push({ partition, inFlight: 0, unaccounted });
    }
    return accounts;
  }

  #accountOf(lane: Lane): PartitionAccount {
    const { partition, book, state } = lane;
    const { topics } = this.#options;
    let inFlight = 0;
    let unaccounted = this.#unaccounted.get(partition) ?? 0;
    for (const topic of book === null ? [] : [topics.inbound, topics.routed]) {
      inFlight += book!.account.records(topic);
      // A lane that is closed has left what it did not begin to the next owner.
      if (state === 'running') unaccounted += Math.abs(book!.account.records(topic, book!.next(topic)) - lane.pendingRecords(topic));
    }
    return { partition, inFlight, unaccounted };
  }

  /** What the worker holds in memory that is not committed. */
  bytes(): { readonly lanes: number; readonly epoch: number } {
    return { lanes: this.#pendingBytes(), epoch: this.#epoch.records.byteLength };
  }

  /** Every position that this worker owns. */
  *positions(): Iterable<Position> {
    for (const { book } of this.#lanes.values()) if (book !== null) yield* book.ledger.positions();
  }

  /** Something is amiss that no restart of a lane makes good. */
  noteUnaccounted(partition: number, outcomes: number, found: string): void {
    this.#unaccounted.set(partition, (this.#unaccounted.get(partition) ?? 0) + Math.abs(outcomes));
    this.#options.log.error({ partition, outcomes }, `Unaccounted for: ${found}`);
  }

  /**
   * Committed position of a partition as lag counts it: markers that were read past do not lag. Null: nothing was ever
   * committed; undefined: not known yet.
   */
  committedPosition(topic: string, partition: number): number | null | undefined {
    const lane = this.#lanes.get(partition);
    if (lane?.book != null) return lane.book.committed(topic);
    // Being restored, or halted.
    const found = this.#foundCommitted.get(partition);
    return found?.[topic === this.#options.topics.inbound ? 'inbound' : 'routed'];
  }

  /** The lane's book, for those who watch; null while it is not running. */
  runningBook(partition: number): LaneBook | null {
    const lane = this.#lanes.get(partition);
    return lane?.state === 'running' ? lane.book : null;
  }

  /** Makes a partition's window of claims whole again; for the dedupe stage. */
  async rebuildWindow(partition: number, signal: AbortSignal): Promise<boolean> {
    // What was settled and is not committed stands in no topic: it must get there first. The lane itself waits here, so
    // nothing of it is added meanwhile; other lanes go on.
    await this.#committing;
    if (this.#committing === null && !this.#epoch.isEmpty) this.#beginCommit();
    await this.#committing;
    signal.throwIfAborted();
    const { claims, reader, topics, timing, log, limits } = this.#options;
    const onProgress = (progress: RebuildProgress): void => void this.#rebuilds.set(partition, progress);
    onProgress({ partition, restored: 0, ratio: 0 });
    try {
      return await rebuildWindow({ partition, claims, reader, topics, clock: timing.now, log, signal, onProgress, windowSeconds: limits.dedupeWindowSeconds });
    } finally {
      this.#rebuilds.delete(partition);
    }
  }

  /** Windows of claims that are being filled again from the results topic, and how far that is. */
  rebuilds(): Iterable<RebuildProgress> {
    return this.#rebuilds.values();
  }

  // ── An operator's word ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Leaves the group once everything is committed, and joins it again. Pausing is a matter of room. */
  async #followDuty(): Promise<void> {
    const { fleetLog, log } = this.#options;
    const shouldBeOut = this.#duty === 'drain';
    if (shouldBeOut === this.#isOut) return;
    if (shouldBeOut) {
      await this.#drain('the worker leaves the group');
      fleetLog.leave();
    } else {
      fleetLog.join();
    }
    this.#isOut = shouldBeOut;
    log.info({}, shouldBeOut ? 'Drained: out of the group until an operator resumes' : 'Back in the group');
  }

  // ── Rebalances ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async #rebalance(event: Rebalance): Promise<void> {
    const { fleetLog, log } = this.#options;
    log.info({ partitions: event.partitions }, `Partitions ${event.kind}`);
    switch (event.kind) {
      case 'assigned':
        invariant(this.#lanes.size === 0, 'partitions are assigned only when those before were given back');
        fleetLog.confirm(event);
        this.#isAssigned = true;
        for (const partition of event.partitions) this.#openLane(partition);
        break;
      case 'revoked':
        await this.#drain('partitions are revoked');
        fleetLog.confirm(event);
        break;
      case 'lost':
        await this.#dropEverything();
        fleetLog.confirm(event);
        break;
    }
  }

  #openLane(partition: number): void {
    const lane = new Lane(partition, {
      pipeline: this.#pipeline!,
      epoch: () => this.#epoch,
      onFailure: (error) => this.#fail(error),
      onProgress: () => this.#progress(),
    });
    this.#lanes.set(partition, lane);
    this.#restore(lane).catch((error: unknown) => {
      if (lane.state === 'restoring') this.#fail(error);
    });
  }

  async #restore(lane: Lane): Promise<void> {
    const { fleetLog, reader, topics, worker, log, timing } = this.#options;
    const { partition } = lane;
    const begun = timing.monotonic();
    let committed = await fleetLog.committed(partition);
    this.#foundCommitted.set(partition, committed);
    try {
      const { ledger, standing } = await restoreLane({ partition, committed, reader, topics, log });
      if (lane.state !== 'restoring') return;
      lane.open(new LaneBook({ partition, ledger, standing, topics, worker }));
      await fleetLog.release(partition, standing);
      // Paused by an operator while it was being restored.
      if (this.#paused.has(partition)) fleetLog.hold(partition);
      log.info(
        { partition, inbound: standing.inbound, routed: standing.routed, sequence: ledger.sequence, milliseconds: Math.round(timing.monotonic() - begun) },
        'The lane was restored',
      );
    } catch (error) {
      if (!(error instanceof TornStateError)) throw error;
      // A process that was stopped for long may have read the offsets before, and the checkpoint after its partitions went
      // on under another owner. Nothing is torn then; it will hear of it soon.
      const before = committed;
      committed = await fleetLog.committed(partition);
      if (lane.state !== 'restoring') return;
      if (committed.inbound !== before.inbound || committed.routed !== before.routed) return this.#restore(lane);
      lane.halt(error.message);
      log.error({ partition }, `The lane halts. ${error.message}`);
    }
  }

  /** Finishes and commits what the lanes have begun, within the deadline, and closes them. */
  async #drain(why: string): Promise<void> {
    const { limits, log, timing } = this.#options;
    const lanes = Array.from(this.#lanes.values());
    const closing = Promise.all(lanes.map((lane) => lane.close()));
    const closed = new AbortController();
    const deadline = timing.sleep(limits.drainDeadlineMs, closed.signal).then(
      () => false,
      () => true,
    );
    const inTime = await Promise.race([closing.then(() => true), deadline]);
    closed.abort();
    if (!inTime) {
      const left = lanes.filter((lane) => !lane.isIdle).map((lane) => lane.partition);
      log.warn({ partitions: left }, `Not everything could be finished before ${why}: the next owner reads it again`);
      await Promise.all(lanes.map((lane) => lane.abandon()));
    }
    this.#throwFailure();
    while (!this.#epoch.isEmpty || this.#committing !== null) {
      if (this.#committing === null) this.#beginCommit();
      await this.#committing;
      this.#throwFailure();
    }
    this.#forgetLanes();
  }

  /** Another member may own the partitions already: nothing of what is not committed may be told. */
  async #dropEverything(): Promise<void> {
    await Promise.all(Array.from(this.#lanes.values(), (lane) => lane.abandon()));
    this.#epoch = new Epoch();
    // A commit under way finds out by itself, before it takes effect.
    await this.#committing;
    this.#epoch = new Epoch();
    this.#forgetLanes();
  }

  #forgetLanes(): void {
    this.#fencedAt = null;
    this.#isAssigned = false;
    this.#lanes.clear();
    this.#foundCommitted.clear();
    this.#paused.clear();
  }

  // ── Commits ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Lets records come together while there are few, never beyond the moment at which a commit is due. */
  async #gather(): Promise<void> {
    const { timing, limits } = this.#options;
    if (this.#isBacklog) return;
    const leftMs = Math.min(this.#lastTaken + limits.gatherMs - timing.monotonic(), this.#pollWaitMs());
    if (leftMs > 0) await timing.sleep(leftMs);
  }

  #notePoll(batches: readonly RecordBatch[]): void {
    const records = batches.reduce((sum, { count }) => sum + count, 0);
    if (records > 0) this.#lastTaken = this.#options.timing.monotonic();
    this.#isBacklog = records >= this.#options.limits.pollRecordsMax * backlogShare;
  }

  #pollWaitMs(): number {
    if (this.#epoch.isEmpty) return pollWaitMs;
    const dueInMs = this.#lastCommitBegan + this.#options.limits.commitIntervalMs - this.#options.timing.monotonic();
    return Math.max(1, Math.min(pollWaitMs, Math.ceil(dueInMs)));
  }

  #commitWhenDue(): void {
    if (this.#committing !== null || this.#epoch.isEmpty) return;
    const elapsed = this.#options.timing.monotonic() - this.#lastCommitBegan;
    if (elapsed >= this.#options.limits.commitIntervalMs) this.#beginCommit();
  }

  #beginCommit(): void {
    const epoch = this.#epoch;
    this.#epoch = new Epoch();
    this.#lastCommitBegan = this.#options.timing.monotonic();
    this.#committing = this.#commit(epoch)
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#committing = null;
        this.#progress();
      });
  }

  async #commit(epoch: Epoch): Promise<void> {
    const { fleetLog, telemetry, timing, log, topics, tracing } = this.#options;
    const begun = timing.monotonic();
    const transaction = epoch.seal();
    const outcome = await fleetLog.commit(transaction);
    if (outcome === 'fenced') {
      log.warn({ offsets: transaction.offsets }, 'The group has moved on: dropping what was not committed');
      for (const lane of this.#lanes.values()) await lane.abandon();
      this.#epoch = new Epoch();
      this.#fencedAt ??= timing.monotonic();
      return;
    }
    epoch.committed();
    this.#lastCommitEnded = timing.monotonic();
    for (const [partition, outcomes] of epoch.unaccounted(topics)) this.noteUnaccounted(partition, outcomes, 'a Kafka transaction does not hold what its offsets conclude');
    const report = epoch.report({ committedAt: timing.now(), sealedAt: begun, seconds: (this.#lastCommitEnded - begun) / 1000 });
    telemetry.committed(report);
    tracing?.committed(report);
  }

  /** Offsets that hold only markers of Kafka transactions: they are read past when there is nothing else. */
  #skipMarkers(): void {
    const { fleetLog, topics, timing } = this.#options;
    if (timing.monotonic() - this.#lastCommitBegan < idleCommitMs) return;
    for (const lane of this.#lanes.values()) {
      if (lane.state !== 'running' || !lane.isIdle || lane.book === null) continue;
      for (const topic of [topics.inbound, topics.routed]) {
        const drainedTo = fleetLog.position(topic, lane.partition)?.drainedTo ?? -1;
        if (drainedTo <= lane.book.next(topic)) continue;
        lane.book.advance(topic, drainedTo);
        this.#epoch.touch(lane.book);
      }
    }
  }

  // ── Room ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  #busySince = 0;

  #pendingBytes(): number {
    let bytes = 0;
    for (const lane of this.#lanes.values()) bytes += lane.pendingBytes;
    return bytes;
  }

  /**
   * Waits while there is too much read and not settled. A lane that does not move (Redis away, a schema that is not known)
   * is paused instead, so that the others go on and the group is still polled. While an operator has us pause, no lane has
   * room.
   */
  async #makeRoom(): Promise<void> {
    const { limits, fleetLog, timing } = this.#options;
    if (this.#duty === 'pause') {
      for (const lane of this.#lanes.values()) {
        if (lane.state === 'running' && !this.#paused.has(lane.partition)) this.#pause(lane);
      }
      return;
    }
    const laneBytesMax = Math.max(1 << 20, limits.pendingBytesMax / Math.max(1, this.#lanes.size));
    for (const partition of this.#paused) {
      const lane = this.#lanes.get(partition);
      if (lane === undefined || lane.pendingBytes > laneBytesMax / 2) continue;
      if (this.#epoch.records.byteLength > limits.epochBytesMax / 2) continue;
      fleetLog.resume(partition);
      this.#paused.delete(partition);
    }
    if (this.#pendingBytes() === 0) this.#busySince = timing.monotonic();
    const isFull = (lane: Lane): boolean =>
      !this.#paused.has(lane.partition) &&
      (lane.pendingBytes > laneBytesMax || this.#epoch.records.byteLength > limits.epochBytesMax);
    const begun = timing.monotonic();
    while (!this.#stopping && Array.from(this.#lanes.values()).some(isFull)) {
      this.#throwFailure();
      this.#commitWhenDue();
      if (timing.monotonic() - begun >= stuckAfterMs) {
        for (const lane of this.#lanes.values()) {
          if (isFull(lane)) this.#pause(lane);
        }
        return;
      }
      await this.#nextProgress(stuckAfterMs);
    }
  }

  #pause(lane: Lane): void {
    this.#options.fleetLog.hold(lane.partition);
    this.#paused.add(lane.partition);
  }

  async #nextProgress(atMostMs: number): Promise<void> {
    const moved = new AbortController();
    this.#progress = () => moved.abort();
    await this.#options.timing.sleep(atMostMs, moved.signal).catch(() => undefined);
    this.#progress = () => {};
  }

  // ── Failure ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#progress();
  }

  #throwFailure(): void {
    if (this.#failure === undefined) return;
    throw this.#failure instanceof FatalError
      ? this.#failure
      : new FatalError('The worker cannot go on.', { cause: this.#failure });
  }
}
