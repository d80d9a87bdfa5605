/**
 * What a lane needs before it may go on: its positions, from the changelog; where it stands, from its checkpoint and the
 * group's committed offsets, which move together or not at all; and its window of claims, from the results, when Redis has
 * forgotten it.
 *
 * The order matters. The stable committed offsets come first: once they are known, no Kafka transaction that touches the
 * partition is open. Its markers may still be on their way to the changelog, so this is read to the high watermark that is
 * seen afterwards.
 */
import { decodeCheckpoint } from './codec/checkpoint.ts';
import type { Checkpoint } from './codec/checkpoint.ts';
import { decodePaymentResult } from './codec/payment-result.ts';
import { decodePosition } from './codec/position-record.ts';
import { keyBytes, valueBytes } from './codec/record-batch.ts';
import { claimKey, claimMaker } from './domain/claim.ts';
import { Ledger } from './domain/ledger.ts';
import type { Position } from './domain/ledger.ts';
import type { TopicNames } from './domain/topics.ts';
import { freshStanding } from './lane-book.ts';
import type { Standing } from './lane-book.ts';
import type { Claims, Clock, KnownClaim, Log, TopicReader } from './ports.ts';

/** A torn state: the lane must not go on until a person has looked. */
export class TornStateError extends Error {
  override readonly name = 'TornStateError';
}

export interface CommittedOffsets {
  readonly inbound: number | null;
  readonly routed: number | null;
}

export async function restoreLane(options: {
  readonly partition: number;
  readonly committed: CommittedOffsets;
  readonly reader: TopicReader;
  readonly topics: TopicNames;
  readonly log: Log;
}): Promise<{ readonly ledger: Ledger; readonly standing: Standing }> {
  const { partition, committed, reader, topics, log } = options;
  const checkpoint = await lastCheckpoint(reader, topics.checkpoints, partition);
  const standing = agreedStanding(partition, committed, checkpoint, log);
  const positions = new Map<string, Position>();
  await reader.readToEnd({ topic: topics.positions, partition, from: null }, (batch) => {
    for (let row = 0; row < batch.count; row++) {
      const key = keyBytes(batch, row);
      if (key === null) continue;
      const value = valueBytes(batch, row);
      const name = Buffer.from(key).toString('latin1');
      if (value === null) positions.delete(name);
      else positions.set(name, decodePosition(key, value));
    }
  });
  return { ledger: new Ledger(checkpoint?.sequence ?? 0, positions.values()), standing };
}

function agreedStanding(
  partition: number,
  committed: CommittedOffsets,
  checkpoint: Checkpoint | null,
  log: Log,
): Standing {
  if (checkpoint === null) {
    if (committed.inbound === null && committed.routed === null) return freshStanding;
    throw new TornStateError(
      `Partition ${partition} has committed offsets (inbound ${committed.inbound}, routed ${committed.routed}) and no checkpoint.`,
    );
  }
  // The broker forgets the offsets of a group that was empty, or of a topic that did not move, for long
  // (offsets.retention.minutes): what it has forgotten contradicts nothing.
  if (committed.inbound === null || committed.routed === null) {
    log.warn({ partition, ...committed }, 'The group has forgotten committed offsets: going on from the checkpoint');
  }
  const agrees = (offset: number | null, expected: number): boolean => offset === null || offset === expected;
  if (!agrees(committed.inbound, checkpoint.inbound) || !agrees(committed.routed, checkpoint.routed)) {
    throw new TornStateError(
      `Partition ${partition} stands at inbound ${committed.inbound}, routed ${committed.routed} by the group's committed offsets, ` +
        `at inbound ${checkpoint.inbound}, routed ${checkpoint.routed} by its checkpoint: a Kafka transaction was torn, or offsets were moved by hand.`,
    );
  }
  return checkpoint;
}

/** The newest checkpoint of a partition: looks at the tail first, further back only while it finds none. */
export async function lastCheckpoint(reader: TopicReader, topic: string, partition: number): Promise<Checkpoint | null> {
  const { low, high } = await reader.watermarks(topic, partition);
  for (let depth = 64; ; depth *= 16) {
    const from = Math.max(low, high - depth);
    let last: Checkpoint | null = null;
    await reader.readToEnd({ topic, partition, from }, (batch) => {
      const value = valueBytes(batch, batch.count - 1);
      if (value !== null) last = decodeCheckpoint(value);
    });
    if (last !== null || from <= low) return last;
  }
}

/** How far a window of claims is filled again. */
export interface RebuildProgress {
  readonly partition: number;
  readonly restored: number;
  /** Of the results in the window, how many were read: 0 to 1. */
  readonly ratio: number;
}

/**
 * Makes a partition's window of claims whole again from its results. Everything that the lane has settled must be
 * committed before: what is in no topic yet cannot be found there. False: Redis changed meanwhile, try again.
 */
export async function rebuildWindow(options: {
  readonly partition: number;
  readonly claims: Claims;
  readonly reader: TopicReader;
  readonly topics: TopicNames;
  readonly windowSeconds: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: RebuildProgress) => void;
}): Promise<boolean> {
  const { partition, claims, reader, topics, log, onProgress } = options;
  log.warn({ partition }, 'Redis does not hold the window of claims: rebuilding it from the results topic');
  const begun = options.clock();
  let told = begun;
  const window = await claims.beginRestore(partition);
  const from = await reader.offsetAt(topics.results, partition, begun - options.windowSeconds * 1000);
  const { high } = await reader.watermarks(topics.results, partition);
  let restored = 0;
  let whole = true;
  await reader.readToEnd({ topic: topics.results, partition, from }, async (batch) => {
    options.signal.throwIfAborted();
    if (!whole) return;
    const known: KnownClaim[] = [];
    for (let row = 0; row < batch.count; row++) {
      const value = valueBytes(batch, row);
      const result = value === null ? null : decodePaymentResult(value);
      if (result === null || result.identity === null) continue;
      known.push({
        key: claimKey(result),
        maker: claimMaker(result, result.transactionIndex),
        claimedAt: result.settledAt,
      });
    }
    whole = await window.add(known);
    restored += known.length;
    const offset = batch.offsets[batch.count - 1]!;
    // The topic may have grown since its end was asked for; what is read by then is all that there is to read.
    const ratio = Math.min(1, (offset + 1 - from) / Math.max(1, high - from));
    onProgress?.({ partition, restored, ratio });
    if (options.clock() - told > 2000) {
      told = options.clock();
      log.info({ partition, restored, offset, percent: Math.floor(ratio * 100) }, 'Rebuilding the window of claims');
    }
  });
  options.signal.throwIfAborted();
  whole &&= await window.complete();
  if (whole) log.info({ partition, restored, milliseconds: options.clock() - begun }, 'The window of claims is whole again');
  return whole;
}
