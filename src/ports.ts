/**
 * What the fleet asks of the outside world. Each interface is a promise; its comment says what a caller may not assume.
 * Adapters implement them over the real systems, tests over memory, and one suite a port runs over both.
 *
 * An outage is thrown as `OutageError` or waited out inside the adapter, as each method says; it is never an answer.
 */
import type { PackedDecodedBatch } from './codec/decoded-batch.ts';
import type { RecordBatch, RecordHeader } from './codec/record-batch.ts';
import type { RecordSlab } from './codec/record-slab.ts';
import type { DeadLetterCode } from './domain/codes.ts';
import type { Directory } from './domain/participant.ts';
import type { Decision, EventHeader } from './domain/transfer.ts';
import type { Journey } from './journey.ts';

/** Milliseconds since the epoch. The only way to the time of day. */
export type Clock = () => number;

/** Time, and waiting for it to pass. */
export interface Timing {
  /** Milliseconds since the epoch; may jump. */
  readonly now: Clock;
  /** Milliseconds of a clock that never goes back. */
  readonly monotonic: Clock;
  /** Rejects with the signal's reason when it is aborted meanwhile. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

// ── Kafka ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A place in a topic: the offset of the next record to read. */
export interface TopicOffset {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/**
 * What the group's coordinator decided. Every event must be answered: `assigned` and `revoked` by `confirm`, in order.
 * `lost` means that another member may own the partitions already: drop everything, commit nothing.
 */
export type Rebalance =
  | { readonly kind: 'assigned'; readonly partitions: readonly number[] }
  | { readonly kind: 'revoked'; readonly partitions: readonly number[] }
  | { readonly kind: 'lost'; readonly partitions: readonly number[] };

/**
 * Everything that one Kafka transaction holds. All of it becomes visible, or nothing. It moves at least one offset: by that
 * alone is it known, when the answer was lost, whether it was committed.
 */
export interface KafkaTransaction {
  readonly records: RecordSlab;
  readonly offsets: readonly TopicOffset[];
}

/**
 * `committed`: durable, also when the answer was lost and had to be looked up. `fenced`: this member no longer owns what
 * it wanted to commit; nothing of it is visible, and a `lost` or `revoked` event is on its way.
 */
export type CommitOutcome = 'committed' | 'fenced';

/**
 * The fleet's side of Kafka: one consumer in the group, one transactional producer. Owned by one loop: no two calls of
 * `poll` at a time, no two of `commit` at a time; one of each may overlap.
 */
export interface FleetLog {
  /** The number of partitions of the inbound topic and of all that are co-partitioned with it. */
  readonly partitionCount: number;
  readonly deadLetterPartitionCount: number;
  /** Connects and joins the group. Waits for Kafka and for the topics, for as long as it takes. */
  start(): Promise<void>;
  /**
   * The next records, grouped by partition, each group in offset order; inbound and routed partitions both. Waits at most
   * `waitMs` for the first. Nothing is given for a partition that is held. Throws `FatalError` when the client is dead;
   * an unreachable broker gives no records.
   */
  poll(options: { readonly recordsMax: number; readonly waitMs: number }): Promise<readonly RecordBatch[]>;
  /** How long the last poll took to take over what the client gave; the wait for it not counted. Milliseconds. */
  readonly takeOverMs: number;
  /** The oldest rebalance event that was not taken yet. A `lost` one replaces those before it. */
  nextRebalance(): Rebalance | undefined;
  /** Answers an event. After an assignment all partitions are held until `release`. */
  confirm(rebalance: Rebalance): void;
  /** The group's committed offsets of an inbound partition and its routed twin; waits for open transactions to end. */
  committed(partition: number): Promise<{ readonly inbound: number | null; readonly routed: number | null }>;
  /** Lets records of a partition flow, from these offsets on (null: from the oldest record). */
  release(partition: number, from: { readonly inbound: number | null; readonly routed: number | null }): Promise<void>;
  /** Stops and resumes the flow of one inbound partition and its twin. What was read already is still given. */
  hold(partition: number): void;
  resume(partition: number): void;
  /**
   * One Kafka transaction, retried as the same bytes until it is certain. An outage is waited out. Throws `FatalError`
   * when this process can no longer commit.
   */
  commit(transaction: KafkaTransaction): Promise<CommitOutcome>;
  /**
   * How far a partition was read: the offset of the next record, and where the broker last said that there is nothing more
   * (-1: it has not). Markers of transactions lie between the two. Null when the partition is not released to us.
   */
  position(topic: string, partition: number): { readonly next: number; readonly drainedTo: number } | null;
  /** Leaves the group; a `revoked` event follows. Commits nothing. */
  leave(): void;
  /** Joins the group again after `leave`; an `assigned` event follows. */
  join(): void;
  /** Leaves the group and closes everything. Commits nothing. */
  stop(): Promise<void>;
}

/** Reads what the fleet wrote. `read_committed`; waits Kafka out. */
export interface TopicReader {
  /**
   * Gives every committed record of a partition from `from` (null: the oldest) up to the end that the partition has when
   * the call is made, in order, batch by batch; resolves with the next offset. Ends once `before` is passed, where that is
   * given; the last batch may reach beyond it.
   */
  readToEnd(
    place: { readonly topic: string; readonly partition: number; readonly from: number | null; readonly before?: number },
    onBatch: (batch: RecordBatch) => void | Promise<void>,
  ): Promise<number>;
  /** The first offset whose record is not older than this; the end when there is none. */
  offsetAt(topic: string, partition: number, timestampMs: number): Promise<number>;
  /** The offsets of the oldest record and of the end. */
  watermarks(topic: string, partition: number): Promise<{ readonly low: number; readonly high: number }>;
}

/** The committed offsets of the group, as somebody sees them who is no member of it. */
export interface GroupOffsets {
  /** In the order of the places, null where the group has none. Throws `OutageError` when Kafka does not answer. */
  committed(places: readonly { readonly topic: string; readonly partition: number }[]): Promise<readonly (number | null)[]>;
}

/** The directory as every worker follows it. */
export interface DirectorySource {
  /** The newest directory; the object changes when the directory does. */
  current(): Directory;
}

// ── Redis ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Claims of one batch, in order. `keys[i]` is claimed for `makers[i]`. */
export interface ClaimRequest {
  /** The settlement partition: each has its own window and its own marker. */
  readonly partition: number;
  /** Debited participant and identity. */
  readonly keys: readonly string[];
  /** Who claims: `<inbound partition>:<inbound offset>:<transaction index>:<event id>`. */
  readonly makers: readonly string[];
  /** The window that was claimed in before, null for any: in another one nothing is claimed. */
  readonly window: string | null;
}

/**
 * `claimed`: for each key null when it is now ours, or was ours before (a redelivery); else the maker who has it.
 * `windowIncomplete`: Redis was found empty, restarted or replaced, or its window was filled again by somebody else since;
 * nothing was claimed, and a restore is due.
 */
export type ClaimAnswer =
  | {
      readonly kind: 'claimed';
      readonly owners: readonly (string | null)[];
      /** How many were ours before. */
      readonly redelivered: number;
      /** Which restore made the window whole. */
      readonly window: string;
    }
  | { readonly kind: 'windowIncomplete' };

/** A claim as the results topic remembers it. */
export interface KnownClaim {
  readonly key: string;
  readonly maker: string;
  /** Milliseconds since the epoch. */
  readonly claimedAt: number;
}

/**
 * One attempt at making a partition's window whole again. Both answer `false` when Redis was emptied, restarted or replaced
 * since the attempt began: what was added may be gone, begin again. Both throw `OutageError`; then begin again too.
 */
export interface WindowRestore {
  /** Takes claims as known, thousands at a time. Never overwrites one; leaves out those that are older than the window. */
  add(claims: readonly KnownClaim[]): Promise<boolean>;
  /** Says that the window is whole. From now on `claim` claims. */
  complete(): Promise<boolean>;
}

export interface Claims {
  /**
   * Claims a whole batch in one round trip, in order, so that the second of two equal keys meets the first. All or
   * nothing is not promised: after an error some may be claimed; asking again with the same makers is safe. Throws
   * `OutageError` when Redis does not answer, or cannot be trusted with claims. Does not retry: the caller paces itself.
   */
  claim(request: ClaimRequest): Promise<ClaimAnswer>;
  /**
   * Begins to make a partition's window whole. To be called before the end of the results topic is looked up, and with no
   * Kafka transaction of the partition under way, so that no claim falls between the two. Throws `OutageError`.
   */
  beginRestore(partition: number): Promise<WindowRestore>;
}

// ── Threads ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Decodes a batch: wire format, Avro, ISO 20022. Resolves with one row an event, in order. Waits for the registry where a
 * schema is not known yet; a thread that dies or hangs is replaced, and only the event it dies over is dead-lettered.
 */
export interface Decoder {
  decode(batch: RecordBatch): Promise<PackedDecodedBatch>;
}

// ── What an SRE sees ────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What the time from an event's creation to the commit of its result is made of, one after another. `kafka`: until the client
 * gave it; `handover` instead, until the client gave it again to the lane that settles it, where another one took it in.
 * `lane`: waiting for its turn; `epoch`: waiting for the next Kafka transaction.
 */
export const stages = ['kafka', 'handover', 'consume', 'decode', 'lane', 'route', 'dedupe', 'settle', 'epoch', 'commit'] as const;
export type Stage = (typeof stages)[number];
export type Dependency = 'kafka' | 'registry' | 'redis' | 'clickhouse';

/** What a commit made durable; given once for each, after it is certain. */
export interface CommittedReport {
  /** Count by `status` and reason code (`''` when there is none), e.g. `ACSC|`, `RJCT|AM04`. */
  readonly results: ReadonlyMap<string, number>;
  /** What was settled by currency, in 10^-5 of its unit. */
  readonly settled: ReadonlyMap<string, bigint>;
  readonly deadLetters: ReadonlyMap<string, number>;
  /** Creation time of each result's event, milliseconds since the epoch. */
  readonly createdAt: readonly number[];
  /** The batches that the results came in by, in the order of `createdAt`; together they have as many. */
  readonly journeys: readonly Journey[];
  /** When the Kafka transaction began, of a clock that never goes back. */
  readonly sealedAt: number;
  /** Milliseconds since the epoch. */
  readonly committedAt: number;
  /** From `sealedAt` to the certainty. */
  readonly seconds: number;
}

/** Called once a batch, never once a record. Never throws, never waits. */
export interface Telemetry {
  consumed(partition: number, records: number): void;
  dedupe(outcome: 'claimed' | 'duplicate' | 'redelivered', count: number): void;
  committed(report: CommittedReport): void;
  aborted(): void;
  /** A partition's window of claims was filled from the results topic, because Redis did not hold it. */
  windowRebuilt(): void;
  /** The accounts were compared with Kafka, or could not be. */
  audited(outcome: 'done' | 'failed'): void;
  /** `reason`: why it is of no use, in a few words for a person. */
  dependency(dependency: Dependency, up: boolean, reason?: string): void;
}

/**
 * Follows events from whoever sent them to whoever reads their results. A worker that nobody asked to trace has none, and
 * looks for it once a batch and once a commit. Nothing here throws or waits, and nothing is told before it is committed:
 * what is thrown away with its epoch was never begun.
 */
export interface Tracing {
  /**
   * A batch was taken from Kafka; its trace travels with it, in its journey. `arrivedAt`: when the client gave it, milliseconds
   * since the epoch.
   */
  begin(records: RecordBatch, arrivedAt: number): BatchTrace;
  /** The batches in the report are durable, with all that was said of them. */
  committed(report: CommittedReport): void;
}

export interface BatchTrace {
  /** An outcome of an event; gives the headers that its result carries, undefined where there is nothing to carry on. */
  result(row: number, event: EventHeader, transactionIndex: number, decision: Decision): readonly RecordHeader[] | undefined;
  /** The record became a dead letter, which keeps the headers that it came with. */
  deadLetter(row: number, code: DeadLetterCode): void;
  /** A transfer goes to the lane that owns it; gives what must go with it, so that the trace goes on there. */
  handOver(row: number, event: EventHeader): readonly RecordHeader[] | undefined;
}

/** One metric as it stands at this moment, in the words of Prometheus. */
export interface MetricReading {
  readonly name: string;
  readonly help: string;
  /** A counter never goes back while the process lives, nor do a histogram's counts. */
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly series: readonly MetricSeries[];
}

export interface MetricSeries {
  readonly labels: Readonly<Record<string, string>>;
  /** A histogram's sum. */
  readonly value: number;
  /** Of a histogram; by bucket, not accumulated: one more count than bounds, for what is above all of them. */
  readonly buckets: { readonly bounds: readonly number[]; readonly counts: readonly number[] } | null;
}

/** Structured log lines; never an account number or a name. */
export interface Log {
  debug(fields: Readonly<Record<string, unknown>>, message: string): void;
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}
