/**
 * What the sink asks of the outside world: a log to read, tables to write, someone to tell. Adapters implement them over
 * Kafka, ClickHouse and Prometheus.
 */
import type { WriterSchema } from '../codec/avro/writer-schema.ts';
import type { RecordBatch } from '../codec/record-batch.ts';
import type { Participant } from '../domain/participant.ts';
import type { Dependency, TopicOffset } from '../ports.ts';

/** The tables that the sink writes, one for each topic that it reads. */
export const sinkTables = ['results', 'dead_letters'] as const;
export type SinkTable = (typeof sinkTables)[number];

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

// ── Kafka ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A topic as the broker names it; `id` changes when a topic is deleted and created anew, and is '' where there is none. */
export interface SourceTopic {
  readonly name: string;
  readonly id: string;
}

/**
 * The sink's side of Kafka: one consumer in a group, `read_committed`. What it reads, and from where, is said by `flow`;
 * the group decides only which partitions are ours. Owned by one loop: no two calls of `poll` at a time.
 */
export interface SinkLog {
  /** Connects, waits for the topics to exist, joins the group. Waits Kafka out; resolves early when `signal` aborts. */
  start(signal: AbortSignal): Promise<void>;
  /** The topics as they are now. Throws `OutageError`, also where one of them is missing. */
  sources(): Promise<readonly SourceTopic[]>;
  /**
   * Records that flow, grouped by partition, in offset order; waits at most `waitMs` for the first. Must be called at
   * least every few minutes, also when nothing flows: the group would take us for dead. Throws `FatalError` when the client
   * is; an unreachable broker gives no records.
   */
  poll(options: { readonly recordsMax: number; readonly waitMs: number }): Promise<readonly RecordBatch[]>;
  /**
   * The partitions that are ours now. The object changes with each decision of the group, also when the partitions do
   * not: others may have owned them in between. Null before the first.
   */
  assignment(): readonly TopicPartition[] | null;
  /** Reads these partitions from these offsets, and no others; what was read ahead is dropped. */
  flow(places: readonly TopicOffset[]): void;
  /** Whether everything up to the end was given, and the offset of that end (which counts transaction markers). */
  endReached(place: TopicPartition): number | null;
  /** The oldest offset and the end of what is committed. Throws `OutageError`. */
  watermarks(place: TopicPartition): Promise<{ readonly low: number; readonly high: number }>;
  /** Tells Kafka how far we are, for those who look at lag. Never waits, never throws: nothing depends on it. */
  commit(places: readonly TopicOffset[]): void;
  /** Whether the last we heard of Kafka was good. */
  reachable(): boolean;
  /** Leaves the group and closes. */
  stop(): Promise<void>;
}

/** One record of the directory's topic. */
export interface DirectoryEntry {
  readonly id: string;
  /** Null: the participant was taken out. */
  readonly participant: Participant | null;
  readonly timestampMs: number;
  readonly offset: number;
}

/** The directory as the sink follows it. */
export interface DirectoryLog {
  /** The entries that were read since the last call, in the order of the topic. Never waits. */
  take(): readonly DirectoryEntry[];
}

// ── ClickHouse ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Consecutive rows of one Kafka partition and one period of the table: one insert, one part. Written once, sent as often as it takes. */
export interface RowBlock {
  readonly table: SinkTable;
  readonly topic: string;
  readonly partition: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly rows: number;
  /** ClickHouse's TabSeparated, columns in the order of `tableColumns`. */
  readonly text: Buffer;
}

/** How ClickHouse's own partitions cut a table, by days or months of UTC; `none`: not at all. */
export const periods = ['none', 'month', 'day'] as const;
export type Period = (typeof periods)[number];

/** The right to write the rows of one partition, until the next one claims it. */
export interface PartitionClaim {
  readonly table: SinkTable;
  readonly partition: number;
  /** Unique; the server refuses inserts under any claim but the newest. */
  readonly claim: string;
  /** Highest offset that the table holds of this partition; null when there is none. */
  readonly storedOffset: number | null;
  /** What a block of these rows may not reach over. */
  readonly period: Period;
}

/** Outages and refusals of ClickHouse alike are thrown as `OutageError`: the sink waits and tries again. */
export interface RowStore {
  /** Opens ClickHouse and brings its tables to this version. May be called again. */
  prepare(): Promise<void>;
  /**
   * Claims partitions of one table. When it returns, no insert under an earlier claim is running or can begin, and
   * `storedOffset` cannot change but through the new claim. Partitions that another sink claimed at the same moment are
   * left out. Throws `ForeignRowsError` when the table holds rows of another topic.
   */
  claim(table: SinkTable, source: SourceTopic, partitions: readonly number[]): Promise<readonly PartitionClaim[]>;
  /**
   * One block under a claim. `fenced`: another sink has claimed the partition, nothing was written. After an
   * `OutageError` it is not known whether the rows are there: claim again, and look.
   */
  insert(block: RowBlock, claim: PartitionClaim): Promise<'stored' | 'fenced'>;
  /**
   * Gives the materialized views some of the rows of a claimed partition of `results` that they lack, up to `storedOffset`;
   * resolves with the offset up to which all of them hold everything. To be called again while that is lower. `fenced` and
   * `OutageError` as for an insert. One call at a time.
   */
  feedViews(claim: PartitionClaim, storedOffset: number): Promise<number | 'fenced'>;
  /** Adds entries of the directory that are not there yet. May be called again with the same, by several sinks. */
  addDirectoryEntries(entries: readonly DirectoryEntry[]): Promise<void>;
  close(): Promise<void>;
}

/** The database holds rows of another topic (or of the same name, created anew): mixing them would be neither's content. */
export class ForeignRowsError extends Error {
  override readonly name = 'ForeignRowsError';
}

// ── The schema registry ─────────────────────────────────────────────────────────────────────────────────────────────

export interface ResultSchemas {
  /** One schema for each id, in order. Waits an outage of the registry out; rejects only when it is closed. */
  resolve(ids: readonly number[]): Promise<readonly WriterSchema[]>;
}

// ── What an SRE sees ────────────────────────────────────────────────────────────────────────────────────────────────

export interface SinkTelemetry {
  /** Rows that ClickHouse has acknowledged. */
  rows(table: SinkTable, count: number): void;
  /** Records not yet stored, up to the end of what is committed. */
  lag(topic: string, partition: number, records: number): void;
  /** Offsets of a partition of `results` that are stored and that the materialized views do not hold yet. */
  viewsLag(partition: number, offsets: number): void;
  /** The partition is no longer ours. */
  forget(topic: string, partition: number): void;
  dependency(dependency: Dependency, up: boolean): void;
}
