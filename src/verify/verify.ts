/**
 * `settlefleet verify`: everything that the fleet promises, computed anew from Kafka alone and compared with what it says.
 *
 * It may run while the fleet runs. Each partition is looked at up to its cut, which is the newest checkpoint when the run
 * begins: whatever is read must be explained up to there, and what came later is left alone.
 */
import { decodeCheckpoint } from '../codec/checkpoint.ts';
import type { Checkpoint } from '../codec/checkpoint.ts';
import { decodePosition, positionCommit } from '../codec/position-record.ts';
import { decodePaymentResult } from '../codec/payment-result.ts';
import { keyBytes, valueBytes } from '../codec/record-batch.ts';
import { formatAmount } from '../domain/amount.ts';
import { claimKey } from '../domain/claim.ts';
import type { TopicNames } from '../domain/topics.ts';
import type { Clock, TopicReader } from '../ports.ts';
import { lastCheckpoint } from '../restore.ts';
import { compareWithClickhouse } from './clickhouse.ts';
import type { AskClickhouse, StoredRows } from './clickhouse.ts';
import { checkCredits } from './credits.ts';
import { Findings } from './findings.ts';
import type { Finding } from './findings.ts';
import { checkNothingLost, noteDeadLetters } from './outcomes.ts';
import { nameOf, PartitionReplay } from './partition-replay.ts';
import type { ReplayOutcome } from './partition-replay.ts';
import { PlaceSet } from './place-set.ts';
import { recordsOf } from './record-stream.ts';
import { ResultCursor } from './result-cursor.ts';
import { rowChecksum, RowSums } from './row-sums.ts';

/** A busy partition commits between any two looks; then offsets on both sides of the checkpoint say enough. */
const cutAttemptsMax = 5;
/** How far apart the clocks of two workers may be. */
const clocksApartMs = 60_000;

export interface VerifyOptions {
  readonly topics: TopicNames;
  readonly partitions: number;
  readonly deadLetterPartitions: number;
  readonly windowSeconds: number;
  /** Readers of their own, because one reads one partition at a time; closed by the caller. */
  readonly readers: { readonly results: TopicReader; readonly checkpoints: TopicReader; readonly routed: TopicReader; readonly any: TopicReader };
  /** Stable committed offsets of the group. */
  readonly committed: (places: readonly { readonly topic: string; readonly partition: number }[]) => Promise<readonly (number | null)[]>;
  /** Null: ClickHouse is not compared. */
  readonly ask: AskClickhouse | null;
  readonly clock: Clock;
  readonly onProgress: (text: string) => void;
}

export interface PartitionReport {
  readonly partition: number;
  readonly commit: number;
  readonly results: number;
  readonly sequence: number;
  readonly positions: number;
  /** Everything behind this commit was looked at; 0 is the beginning, null: nothing could be. */
  readonly verifiedFromCommit: number | null;
  readonly unchainedCommits: number;
  readonly clickhouse: StoredRows | null;
}

export interface VerifyReport {
  readonly partitions: readonly PartitionReport[];
  readonly results: number;
  readonly deadLetters: number;
  /** Positions and credits under way, by currency: 0 each. */
  readonly sums: ReadonlyMap<string, bigint>;
  readonly recordsUnderWay: number;
  readonly findings: readonly Finding[];
  /** More than `findings` holds, where one fault shows at many records. */
  readonly findingsTotal: number;
  readonly notes: readonly string[];
  readonly seconds: number;
}

/** Null: it never committed. */
type Cut = Checkpoint | null;

interface ChangelogEntry {
  readonly units: bigint;
  readonly offset: number;
}

export async function verifyFleet(options: VerifyOptions): Promise<VerifyReport> {
  const begunAt = options.clock();
  const { topics, partitions, readers, onProgress } = options;
  const findings = new Findings();
  const notes: string[] = [];
  const newest = (partition: number): Promise<Checkpoint | null> => lastCheckpoint(readers.any, topics.checkpoints, partition).catch(() => null);

  const cuts: Cut[] = [];
  for (let partition = 0; partition < partitions; partition++) cuts.push(await takeCut(options, partition, findings, notes));
  const changelogs: Changelog[] = [];
  for (let partition = 0; partition < partitions; partition++) {
    changelogs.push(await readChangelog(options, partition, cuts[partition]?.commit ?? 0, findings));
  }

  const places = new PlaceSet();
  const creditsSent = new Map<string, bigint>();
  const outcomes: ReplayOutcome[] = [];
  const sums: RowSums[] = [];
  let read = 0;
  for (let partition = 0; partition < partitions; partition++) {
    const rowSums = new RowSums();
    sums.push(rowSums);
    const cut = cuts[partition]!;
    const [results, routed] = [await readers.any.watermarks(topics.results, partition), await readers.any.watermarks(topics.routed, partition)];
    const cursor = new ResultCursor(recordsOf(readers.results, { topic: topics.results, partition, from: null }), (row) => {
      if (options.ask !== null && row.result !== null) rowSums.add(row.offset, rowChecksum(row.result), row.result.settledAt);
      if ((++read & 0x3fff) === 0) onProgress(`partition ${partition} of ${partitions}: ${read} results`);
    });
    try {
      const replay = new PartitionReplay({
        partition,
        partitionCount: partitions,
        topics,
        cut,
        results: cursor,
        checkpoints: recordsOf(readers.checkpoints, { topic: topics.checkpoints, partition, from: null }),
        routed: recordsOf(readers.routed, { topic: topics.routed, partition, from: null }),
        resultsLow: results.low,
        routedLow: routed.low,
        places,
        windowMs: options.windowSeconds * 1000,
        creditsSent,
        findings,
      });
      const outcome = await replay.run();
      outcomes.push(outcome);
      await checkTail(options, partition, replay, cursor);
      noteOutcome(partition, outcome, cut, results.low, notes);
      comparePositions(options, partition, outcome, changelogs[partition]!, findings);
      await confirmDoubleClaims(options, partition, outcome.suspects, findings);
    } finally {
      await cursor.close();
    }
  }

  onProgress('credits between partitions');
  for (let partition = 0; partition < partitions; partition++) {
    const { beyondCut } = changelogs[partition]!;
    if (beyondCut === null) continue;
    const commit = (await newest(partition))?.commit ?? 0;
    if (beyondCut.commit > commit) {
      findings.add('position', topics.positions, partition, beyondCut.offset, `this record says that it is of commit ${beyondCut.commit}, the partition's last one is ${commit}`);
    }
  }
  const credits = await checkCredits({
    topics,
    reader: readers.any,
    cuts: cuts.map((cut, partition) => ({ commit: cut?.commit ?? 0, routed: cut?.routed ?? 0, anchor: outcomes[partition]!.anchor })),
    positions: changelogs.flatMap(({ entries }) => Array.from(entries, ([name, { units }]) => [name, units] as const)),
    creditsSent,
    places,
    newestCommit: async (partition) => (await newest(partition))?.commit ?? 0,
    findings,
  });

  onProgress('events without an outcome');
  const deadLetters = await noteDeadLetters({ topics, reader: readers.any, partitions: options.deadLetterPartitions, places, findings });
  await checkAllOutcomes(options, cuts, outcomes, places, findings);

  let stored: StoredRows[] | null = null;
  if (options.ask !== null) {
    onProgress('ClickHouse');
    stored = await compareWithClickhouse({ topics, reader: readers.results, ask: options.ask, clock: options.clock, sums, findings });
  }

  return {
    partitions: cuts.map((cut, partition) => ({
      partition,
      commit: cut?.commit ?? 0,
      results: outcomes[partition]!.results,
      sequence: cut?.sequence ?? 0,
      positions: changelogs[partition]!.entries.size,
      verifiedFromCommit: outcomes[partition]!.anchor,
      unchainedCommits: outcomes[partition]!.unchained,
      clickhouse: stored?.[partition] ?? null,
    })),
    results: outcomes.reduce((sum, { results }) => sum + results, 0),
    deadLetters,
    sums: credits.sums,
    recordsUnderWay: credits.recordsUnderWay,
    findings: findings.kept,
    findingsTotal: findings.total,
    notes,
    seconds: (options.clock() - begunAt) / 1000,
  };
}

/**
 * The newest checkpoint, held against the group's committed offsets. They move in one Kafka transaction, so offsets looked
 * up before the checkpoint cannot be ahead of it, and offsets looked up after it cannot be behind; where both are the same,
 * it must be exactly these.
 */
async function takeCut(options: VerifyOptions, partition: number, findings: Findings, notes: string[]): Promise<Cut> {
  const { topics, readers } = options;
  const places = [
    { topic: topics.inbound, partition },
    { topic: topics.routed, partition },
  ];
  for (let attempt = 1; ; attempt++) {
    const before = await options.committed(places);
    let checkpoint: Checkpoint | null;
    try {
      checkpoint = await lastCheckpoint(readers.any, topics.checkpoints, partition);
    } catch (error) {
      if (!(error instanceof SyntaxError) && !String(error).includes('checkpoint')) throw error;
      const { high } = await readers.any.watermarks(topics.checkpoints, partition);
      findings.add('checkpoint', topics.checkpoints, partition, high, `the newest checkpoint, before this offset, cannot be read: ${String(error)}`);
      return null;
    }
    const after = await options.committed(places);
    if (checkpoint === null) {
      if (before.every((offset) => offset === null)) return checkpoint;
      findings.add('offsets', topics.checkpoints, partition, null, `the group has committed offsets (inbound ${before[0]}, routed ${before[1]}), and there is no checkpoint`);
      return checkpoint;
    }
    const standing = [checkpoint.inbound, checkpoint.routed];
    const behind = standing.some((offset, i) => before[i] !== null && offset < before[i]!);
    const ahead = standing.some((offset, i) => after[i] !== null && offset > after[i]!);
    const moved = before.some((offset, i) => offset !== after[i]);
    if (!behind && !ahead && moved && attempt < cutAttemptsMax) continue;
    if (behind || ahead) {
      findings.add(
        'offsets',
        topics.checkpoints,
        partition,
        null,
        `the checkpoint of commit ${checkpoint.commit} stands at inbound ${checkpoint.inbound}, routed ${checkpoint.routed}, the group's committed offsets at ` +
          `inbound ${after[0]}, routed ${after[1]}: a Kafka transaction was torn, or offsets were moved by hand`,
      );
    } else if (after.some((offset) => offset === null)) {
      notes.push(`Partition ${partition}: the group has forgotten committed offsets, the checkpoint stands alone.`);
    }
    return checkpoint;
  }
}

interface Changelog {
  /** By `participant|currency`, as they were at the cut. */
  readonly entries: ReadonlyMap<string, ChangelogEntry>;
  /** The newest record of a commit behind the cut. */
  readonly beyondCut: { readonly offset: number; readonly commit: number } | null;
}

async function readChangelog(options: VerifyOptions, partition: number, cutCommit: number, findings: Findings): Promise<Changelog> {
  const { topics, readers } = options;
  const entries = new Map<string, ChangelogEntry>();
  let beyondCut: { offset: number; commit: number } | null = null;
  await readers.any.readToEnd({ topic: topics.positions, partition, from: null }, (batch) => {
    for (let row = 0; row < batch.count; row++) {
      const key = keyBytes(batch, row);
      const value = valueBytes(batch, row);
      const offset = batch.offsets[row]!;
      if (key === null) continue;
      if (value === null) {
        entries.delete(Buffer.from(key).toString('utf8'));
        continue;
      }
      try {
        const { participant, currency, units } = decodePosition(key, value);
        const commit = positionCommit(value);
        if (commit !== null && commit > cutCommit) {
          if (beyondCut === null || commit > beyondCut.commit) beyondCut = { offset, commit };
        } else entries.set(`${participant}|${currency}`, { units, offset });
      } catch (error) {
        findings.add('unreadable', topics.positions, partition, offset, String(error instanceof Error ? error.message : error));
      }
    }
  });
  return { entries, beyondCut };
}

async function checkTail(options: VerifyOptions, partition: number, replay: PartitionReplay, cursor: ResultCursor): Promise<void> {
  if ((await cursor.have(1)) === 0) return;
  // The end of the results was looked up when they began to be read: every one of them is older than what is asked now.
  await replay.tail(await lastCheckpoint(options.readers.any, options.topics.checkpoints, partition).catch(() => null));
}

function noteOutcome(partition: number, outcome: ReplayOutcome, cut: Checkpoint | null, resultsLow: number, notes: string[]): void {
  if (outcome.anchor === null && cut !== null && cut.results > 0) {
    notes.push(`Partition ${partition}: no checkpoint is left whose results are all there (they begin at offset ${resultsLow}); nothing could be computed anew.`);
  } else if ((outcome.anchor ?? 0) > 0) {
    notes.push(`Partition ${partition}: looked at behind commit ${outcome.anchor}; what was before was taken by retention or compaction.`);
  }
  if (outcome.unchained > 0) notes.push(`Partition ${partition}: compaction took checkpoints among ${outcome.unchained} commits, whose results could not be hashed.`);
}

function comparePositions(options: VerifyOptions, partition: number, outcome: ReplayOutcome, changelog: Changelog, findings: Findings): void {
  const { topics } = options;
  if (outcome.anchor === null) return;
  const { accounts } = outcome;
  for (const [name, account] of accounts.all) {
    const entry = changelog.entries.get(name);
    if (!account.known || account.units === (entry?.units ?? 0n)) continue;
    const says = entry === undefined ? 'has no position' : `says ${formatAmount(entry.units)}`;
    findings.add('position', topics.positions, partition, entry?.offset ?? null, `the changelog ${says} for ${name}, the results and credits make ${formatAmount(account.units)}`);
  }
  if (outcome.anchor > 0) return;
  for (const [name, { units, offset }] of changelog.entries) {
    if (units === 0n || accounts.all.has(name)) continue;
    findings.add('position', topics.positions, partition, offset, `the changelog says ${formatAmount(units)} for ${name}, which no result or credit ever touched`);
  }
}

/** Hashes said that these were claimed twice within the window; the texts decide. */
async function confirmDoubleClaims(options: VerifyOptions, partition: number, suspects: ReadonlySet<string>, findings: Findings): Promise<void> {
  if (suspects.size === 0) return;
  const { topics, readers, windowSeconds } = options;
  const held = new Map<string, { offset: number; earliest: number }>();
  await readers.any.readToEnd({ topic: topics.results, partition, from: null }, (batch) => {
    for (let row = 0; row < batch.count; row++) {
      const value = valueBytes(batch, row);
      if (value === null) continue;
      const result = decodePaymentResult(value);
      const key = claimKey(result);
      if (result.identity === null || !suspects.has(key)) continue;
      const before = held.get(key);
      const offset = batch.offsets[row]!;
      if (before !== undefined && result.settledAt < before.earliest + windowSeconds * 1000) {
        findings.add('identity', topics.results, partition, offset, `${nameOf(result)} claims ${result.identity} of ${result.debitedParticipant}, which the result at offset ${before.offset} holds`);
      }
      held.set(key, { offset, earliest: Math.min(result.receivedAt, result.settledAt) });
    }
  });
}

async function checkAllOutcomes(options: VerifyOptions, cuts: readonly Cut[], outcomes: readonly ReplayOutcome[], places: PlaceSet, findings: Findings): Promise<void> {
  const { topics, readers } = options;
  // An event that was taken in after every partition's first commit that was looked at has its outcome behind that commit,
  // wherever it went.
  if (outcomes.some(({ anchor }) => anchor === null)) return;
  const whole = outcomes.every(({ anchor }) => anchor === 0);
  const since = outcomes.reduce((latest, { anchoredAt }) => Math.max(latest, anchoredAt), 0) + clocksApartMs;
  for (let partition = 0; partition < cuts.length; partition++) {
    const cut = cuts[partition]!;
    if (cut === null) continue;
    const from = whole ? 0 : await inboundSince(readers.any, topics, partition, since);
    const { low } = await readers.any.watermarks(topics.inbound, partition);
    await checkNothingLost({ topics, reader: readers.any, partition, from: Math.max(from ?? cut.inbound, low), end: cut.inbound, places, findings });
  }
}

/** Next inbound offset as of the first checkpoint that is not older than this; null where there is none. */
async function inboundSince(reader: TopicReader, topics: TopicNames, partition: number, since: number): Promise<number | null> {
  const from = await reader.offsetAt(topics.checkpoints, partition, since);
  for await (const batch of recordsOf(reader, { topic: topics.checkpoints, partition, from })) {
    const value = valueBytes(batch, 0);
    return value === null ? null : decodeCheckpoint(value).inbound;
  }
  return null;
}
