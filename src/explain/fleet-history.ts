/**
 * What the fleet's own topics say of the past: which Kafka transaction made something visible, by which record a credit
 * or a transfer travelled to another partition, and what a position was after a commit. Nothing here is indexed, so times
 * are used to begin near the place, and offsets decide.
 */
import { decodeCheckpoint } from '../codec/checkpoint.ts';
import type { Checkpoint } from '../codec/checkpoint.ts';
import { decodePosition, positionCommit } from '../codec/position-record.ts';
import type { Routed } from '../codec/routed.ts';
import { decodeRouted } from '../codec/routed.ts';
import type { TopicNames } from '../domain/topics.ts';
import type { TopicReader } from '../ports.ts';
import { readUntil } from './record-search.ts';

/** How far a record's timestamp may lie before the time that is looked for: clocks differ, and epochs are tried again. */
const clocksApartMs = 10_000;
/** Behind this the record that a commit sent is not: it stands in the same Kafka transaction as its checkpoint. */
const sameTransactionMs = 120_000;
/** How many records of the changelog are looked back through for the position before. */
const changelogBackMax = 1 << 18;

export interface FoundCommit {
  readonly partition: number;
  readonly checkpoint: Checkpoint;
  readonly before: Checkpoint | null;
  /** The checkpoint before it is there, so it is this commit and no other. */
  readonly exact: boolean;
  readonly offset: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export interface FoundRouted {
  readonly partition: number;
  readonly offset: number;
  readonly routed: Routed;
  readonly at: number;
}

/** What a position was around one commit, in 10^-5 of the currency's unit; null where the changelog does not say any more. */
export interface FoundPosition {
  readonly before: bigint | null;
  readonly after: bigint | null;
}

export class FleetHistory {
  readonly #reader: TopicReader;
  readonly #topics: TopicNames;
  readonly #commits: FoundCommit[] = [];

  constructor(reader: TopicReader, topics: TopicNames) {
    this.#reader = reader;
    this.#topics = topics;
  }

  /** The first commit of the partition that has come so far. `aroundMs`: not long after this time. Null: none has. */
  async commitThat(hasCome: (checkpoint: Checkpoint) => boolean, partition: number, aroundMs: number): Promise<FoundCommit | null> {
    const known = this.#commits.find((one) => one.partition === partition && one.exact && hasCome(one.checkpoint) && (one.before === null || !hasCome(one.before)));
    if (known !== undefined) return known;
    const topic = this.#topics.checkpoints;
    const { low } = await this.#reader.watermarks(topic, partition);
    let from = Math.max(low, await this.#reader.offsetAt(topic, partition, aroundMs - clocksApartMs));
    for (;;) {
      const found = await this.#firstCommit(hasCome, partition, from);
      // Where the first one that was read has come so far already, an earlier one may have.
      if (from === low || (found !== null && found.before !== null)) {
        if (found?.exact === true) this.#commits.push(found);
        return found;
      }
      from = low;
    }
  }

  async #firstCommit(hasCome: (checkpoint: Checkpoint) => boolean, partition: number, from: number): Promise<FoundCommit | null> {
    let before: Checkpoint | null = null;
    let found: FoundCommit | null = null;
    await readUntil(this.#reader, { topic: this.#topics.checkpoints, partition, from }, ({ value, offset, timestamp }) => {
      if (value === null) return false;
      const checkpoint = decodeCheckpoint(value);
      if (hasCome(checkpoint)) {
        const exact = before === null ? checkpoint.commit === 1 : before.commit + 1 === checkpoint.commit;
        found = { partition, checkpoint, before, exact, offset, at: timestamp };
        return true;
      }
      before = checkpoint;
      return false;
    });
    return found;
  }

  /** The record that a commit of another partition sent here. Null: not found. */
  async routedBy(sender: FoundCommit, destination: number, wanted: (routed: Routed) => boolean): Promise<FoundRouted | null> {
    const topic = this.#topics.routed;
    const from = await this.#reader.offsetAt(topic, destination, sender.at - sameTransactionMs);
    const first = sender.exact ? sender.checkpoint.commit : (sender.before?.commit ?? 0) + 1;
    let found: FoundRouted | null = null;
    await readUntil(this.#reader, { topic, partition: destination, from }, ({ value, offset, timestamp }) => {
      if (value === null) return false;
      const routed = decodeRouted(value);
      if (routed.from !== sender.partition || routed.commit < first) return timestamp > sender.at + sameTransactionMs;
      if (routed.commit > sender.checkpoint.commit) return true;
      if (!wanted(routed)) return false;
      found = { partition: destination, offset, routed, at: timestamp };
      return true;
    });
    return found;
  }

  /** The position before and after the whole of a commit. */
  async positionAround(commit: FoundCommit, participant: string, currency: string): Promise<FoundPosition> {
    if (!commit.exact) return { before: null, after: null };
    const topic = this.#topics.positions;
    const { partition } = commit;
    const from = await this.#reader.offsetAt(topic, partition, commit.at - sameTransactionMs);
    const name = Buffer.from(`${participant}|${currency}`);
    let after: bigint | null = null;
    let before: bigint | null = null;
    let at = -1;
    await readUntil(this.#reader, { topic, partition, from }, ({ key, value, offset, timestamp }) => {
      if (key === null || value === null || !name.equals(key)) return timestamp > commit.at + sameTransactionMs;
      const of = positionCommit(value) ?? 0;
      if (of < commit.checkpoint.commit) before = decodePosition(key, value).units;
      else if (of === commit.checkpoint.commit) {
        after = decodePosition(key, value).units;
        at = offset;
      }
      return of >= commit.checkpoint.commit;
    });
    if (after !== null && before === null) before = await this.#positionBefore(partition, name, at);
    return { before: after === null ? null : before, after };
  }

  /** The newest record of a key before an offset: a little back first, further while there is none. */
  async #positionBefore(partition: number, name: Buffer, end: number): Promise<bigint | null> {
    const topic = this.#topics.positions;
    const { low } = await this.#reader.watermarks(topic, partition);
    for (let depth = 1024; ; depth *= 16) {
      const from = Math.max(low, end - depth);
      const gaps = new CompactionGaps();
      let units: bigint | null = null;
      await readUntil(this.#reader, { topic, partition, from, before: end }, ({ key, value, offset }) => {
        if (offset >= end) return true;
        gaps.note(offset, value === null ? null : positionCommit(value));
        if (key !== null && value !== null && name.equals(key)) units = decodePosition(key, value).units;
        return false;
      });
      if (units !== null) return units;
      // Where every record from the first one on is there, and none is of this key, the position began here, at 0.
      if (from === 0 && gaps.none) return 0n;
      if (from <= low || depth >= changelogBackMax) return null;
    }
  }
}

/**
 * Whether compaction has taken records out of a row of them. Those of one commit lie side by side, and between two commits
 * lies one marker; whatever is wider has been wider before.
 */
class CompactionGaps {
  none = true;
  #next = 0;
  #commit: number | null = null;

  note(offset: number, commit: number | null): void {
    const gap = offset - this.#next;
    if (gap > (commit !== this.#commit && this.#next > 0 ? 1 : 0)) this.none = false;
    this.#next = offset + 1;
    this.#commit = commit;
  }
}
