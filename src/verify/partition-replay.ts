/**
 * One settlement partition from its first checkpoint to its cut, commit by commit: the results that a checkpoint speaks of
 * are hashed into the chain, posted to positions, and held against everything that must be true of them.
 *
 * Results say nothing of commits. A checkpoint says how many results it has more than the one before it, and where the
 * first of them came from, so a result that belongs to no commit is found by its place and does not spoil what is behind it.
 */
import { createHash } from 'node:crypto';
import { chainStart, decodeCheckpoint } from '../codec/checkpoint.ts';
import type { Checkpoint } from '../codec/checkpoint.ts';
import type { PaymentResult } from '../codec/payment-result.ts';
import { valueBytes } from '../codec/record-batch.ts';
import type { RecordBatch } from '../codec/record-batch.ts';
import { decodeRouted } from '../codec/routed.ts';
import type { Routed } from '../codec/routed.ts';
import { formatAmount } from '../domain/amount.ts';
import { claimKey } from '../domain/claim.ts';
import { createOwnerLookup } from '../domain/partition.ts';
import type { TopicNames } from '../domain/topics.ts';
import { Accounts } from './accounts.ts';
import { ClaimWindow } from './claim-window.ts';
import type { Findings } from './findings.ts';
import type { PlaceSet } from './place-set.ts';
import { placeOf, rowKey } from './result-cursor.ts';
import type { ResultCursor, ResultRow } from './result-cursor.ts';

/** How far ahead a checkpoint's first result is looked for. */
const lookAheadMax = 20_000;

export interface ReplayOptions {
  readonly partition: number;
  readonly partitionCount: number;
  readonly topics: TopicNames;
  readonly cut: Checkpoint | null;
  readonly results: ResultCursor;
  readonly checkpoints: AsyncIterable<RecordBatch>;
  readonly routed: AsyncIterable<RecordBatch>;
  /** The oldest offsets that are still there; above 0 where retention took what was before. */
  readonly resultsLow: number;
  readonly routedLow: number;
  readonly places: PlaceSet;
  readonly windowMs: number;
  /** Credits sent to other partitions, by `<from>><to>|<participant>|<currency>`. */
  readonly creditsSent: Map<string, bigint>;
  readonly findings: Findings;
}

export interface ReplayOutcome {
  /** Results held against a checkpoint. */
  readonly results: number;
  readonly commits: number;
  /** Commits whose results could not be hashed, because compaction took checkpoints between. */
  readonly unchained: number;
  /** The commit behind which everything was looked at; 0: from the beginning. Null: nothing could be. */
  readonly anchor: number | null;
  /** When the anchor was written, milliseconds since the epoch. */
  readonly anchoredAt: number;
  readonly accounts: Accounts;
  /** Claims that look like second ones: hashes may lie, so their keys are to be looked at. */
  readonly suspects: ReadonlySet<string>;
}

const genesis: Checkpoint = { commit: 0, inbound: 0, routed: 0, sequence: 0, results: 0, first: null, chain: chainStart, worker: '' };

interface Read {
  readonly checkpoint: Checkpoint;
  readonly offset: number;
  readonly writtenAt: number;
}

export class PartitionReplay {
  readonly #options: ReplayOptions;
  readonly #accounts: Accounts;
  readonly #claims: ClaimWindow;
  readonly #suspects = new Set<string>();
  readonly #ownerOf: (identifier: string) => number;
  readonly #routed: RoutedCursor;
  #before: Read | null = null;
  #sequence = 0;
  #ownOffset = -1;
  #ownIndex = -1;
  #results = 0;
  #commits = 0;
  #unchained = 0;
  #anchor: number | null = null;
  #anchoredAt = 0;

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#ownerOf = createOwnerLookup(options.partitionCount);
    this.#accounts = new Accounts(true);
    this.#claims = new ClaimWindow(options.windowMs);
    this.#routed = new RoutedCursor(options.routed[Symbol.asyncIterator]());
  }

  async run(): Promise<ReplayOutcome> {
    const { cut, resultsLow } = this.#options;
    try {
      if (cut !== null) {
        for await (const read of this.#checkpoints()) {
          if (read.checkpoint.commit > cut.commit) break;
          if (this.#anchor === null && !(await this.#begin(read))) this.#before = read;
          else await this.#commit(read);
        }
      } else if (resultsLow === 0) this.#anchor = 0;
    } finally {
      await this.#routed.close();
    }
    return {
      results: this.#results,
      commits: this.#commits,
      unchained: this.#unchained,
      anchor: this.#anchor,
      anchoredAt: this.#anchoredAt,
      accounts: this.#accounts,
      suspects: this.#suspects,
    };
  }

  /** Results behind the cut: what a checkpoint written since does not speak of belongs to nobody. */
  async tail(newest: Checkpoint | null): Promise<void> {
    const { partition, topics, findings, results, cut } = this.#options;
    const accounted = (newest?.results ?? 0) - (cut?.results ?? 0);
    let seen = 0;
    let first = -1;
    while ((await results.have(1)) > 0) {
      const row = results.at(0);
      if (first < 0) first = row.offset;
      seen++;
      if (this.#anchor !== null && accounted <= 0) this.#unaccounted(row, `behind commit ${cut?.commit ?? 0}, the last one`);
      results.drop(1);
    }
    if (this.#anchor !== null && accounted > 0 && seen > accounted) {
      findings.add('unaccounted', topics.results, partition, first, `from here on there are ${seen} results; commits ${(cut?.commit ?? 0) + 1} to ${newest?.commit} speak of ${accounted}`);
    }
  }

  async *#checkpoints(): AsyncGenerator<Read> {
    const { partition, topics, findings } = this.#options;
    for await (const batch of this.#options.checkpoints) {
      for (let row = 0; row < batch.count; row++) {
        const value = valueBytes(batch, row);
        const offset = batch.offsets[row]!;
        try {
          if (value !== null) yield { checkpoint: decodeCheckpoint(value), offset, writtenAt: batch.timestamps[row]! };
        } catch (error) {
          findings.add('checkpoint', topics.checkpoints, partition, offset, `this record cannot be read as a checkpoint: ${String(error)}`);
        }
      }
    }
  }

  /** Finds out whether everything from this checkpoint on can be followed. */
  async #begin({ checkpoint, writtenAt }: Read): Promise<boolean> {
    const { resultsLow, routedLow, results } = this.#options;
    let before = this.#before?.checkpoint;
    if (checkpoint.commit === 1) {
      before = genesis;
      this.#before = { checkpoint: genesis, offset: -1, writtenAt };
    }
    if (before === undefined || before.commit + 1 !== checkpoint.commit || before.routed < routedLow) return false;
    if (resultsLow > 0 || before !== genesis) {
      this.#accounts.forget();
      if (checkpoint.first === null) return false;
      const ahead = await this.#findAnywhere(checkpoint.first, checkpoint.sequence);
      if (ahead < 0) return false;
      results.drop(ahead);
    }
    this.#anchor = before.commit;
    this.#anchoredAt = writtenAt;
    this.#sequence = before.sequence;
    return true;
  }

  /** Like `find`, but passes over results that lie before everything the checkpoint speaks of. */
  async #findAnywhere(place: string, sequence: number): Promise<number> {
    const { results } = this.#options;
    for (;;) {
      const ahead = await results.find(place, lookAheadMax);
      const there = await results.have(lookAheadMax);
      if (ahead >= 0 || there < lookAheadMax) return ahead;
      let last: number | null = null;
      for (let i = there - 1; i >= 0 && last === null; i--) last = results.at(i).result?.sequence ?? null;
      if (last === null || last >= sequence) return -1;
      results.drop(there);
    }
  }

  async #commit(read: Read): Promise<void> {
    const { partition, topics, findings } = this.#options;
    const { checkpoint, offset } = read;
    const before = this.#before!.checkpoint;
    const say = (message: string): void => findings.add('checkpoint', topics.checkpoints, partition, offset, `commit ${checkpoint.commit}: ${message}`);
    if (checkpoint.commit <= before.commit) {
      say(`this checkpoint stands behind that of commit ${before.commit}`);
      return;
    }
    if (checkpoint.inbound < before.inbound || checkpoint.routed < before.routed || checkpoint.results < before.results) {
      say(
        `it goes back, from inbound ${before.inbound}, routed ${before.routed}, ${before.results} results ` +
          `to inbound ${checkpoint.inbound}, routed ${checkpoint.routed}, ${checkpoint.results} results`,
      );
    }
    const follows = checkpoint.commit === before.commit + 1;
    const count = Math.max(0, checkpoint.results - before.results);
    const taken = await this.#findFirst(checkpoint, follows, count);
    await this.#arrivals(checkpoint);
    if (follows) this.#followChain(before, checkpoint, taken, count);
    else this.#unchained += checkpoint.commit - before.commit;
    for (let i = 0; i < taken; i++) this.#post(this.#options.results.at(i), before, checkpoint);
    this.#options.results.drop(taken);
    this.#accounts.endCommit();
    if (this.#sequence !== checkpoint.sequence) {
      findings.add('sequence', topics.checkpoints, partition, offset, `commit ${checkpoint.commit}: its sequence is ${checkpoint.sequence}, the last result's is ${this.#sequence}`);
      this.#sequence = checkpoint.sequence;
    }
    this.#results += taken;
    this.#commits++;
    this.#before = read;
  }

  /** Passes over results that belong to no commit; gives how many of the commit's own lie ready. */
  async #findFirst(checkpoint: Checkpoint, follows: boolean, count: number): Promise<number> {
    const { partition, topics, findings, results } = this.#options;
    if (count === 0) return 0;
    if (follows && checkpoint.first !== null) {
      const ahead = await results.find(checkpoint.first, lookAheadMax);
      if (ahead < 0) {
        const next = (await results.have(1)) > 0 ? results.at(0).offset : null;
        findings.add('chain', topics.results, partition, next, `the results of commit ${checkpoint.commit} are not here: the first of them is that of inbound ${checkpoint.first}`);
        this.#accounts.forget();
        this.#sequence = checkpoint.sequence;
        return 0;
      }
      for (let i = 0; i < ahead; i++) this.#unaccounted(results.at(i), `before commit ${checkpoint.commit}`);
      results.drop(ahead);
    }
    const there = await results.have(count);
    if (there < count) {
      findings.add('chain', topics.results, partition, null, `commit ${checkpoint.commit} has ${count} results, and only ${there} are here`);
    }
    return there;
  }

  #unaccounted(row: ResultRow, where: string): void {
    const { partition, topics, findings, places } = this.#options;
    const { result } = row;
    let what = 'it cannot be read';
    if (result !== null) {
      const doubles = places.has(result.inboundPartition, result.inboundOffset, result.transactionIndex);
      what = `${nameOf(result)}${doubles ? ', which has a result already' : ''}`;
    }
    findings.add('unaccounted', topics.results, partition, row.offset, `no checkpoint speaks of this result, ${where}: ${what}`);
    this.#placement(row);
  }

  #followChain(before: Checkpoint, checkpoint: Checkpoint, taken: number, count: number): void {
    const { partition, topics, findings, results } = this.#options;
    if (taken < count) return;
    const hash = createHash('sha256').update(before.chain);
    for (let i = 0; i < taken; ) i = hashRun(hash, results, i, taken);
    if (hash.digest('hex') === checkpoint.chain) return;
    const places = taken === 0 ? 'It has no results' : `Its results are those at offsets ${results.at(0).offset} to ${results.at(taken - 1).offset}`;
    findings.add(
      'chain',
      topics.results,
      partition,
      taken === 0 ? null : results.at(0).offset,
      `the chain breaks at commit ${checkpoint.commit} (worker ${checkpoint.worker}): its checkpoint does not hash what lies between it and commit ${before.commit}. ${places}`,
    );
  }

  /** The credits that this commit took from the routed partition. */
  async #arrivals(checkpoint: Checkpoint): Promise<void> {
    const { partition, topics, findings } = this.#options;
    for await (const { routed, offset } of this.#routed.until(this.#before!.checkpoint.routed, checkpoint.routed)) {
      if (routed === null) findings.add('unreadable', topics.routed, partition, offset, 'this routed record cannot be read');
      else for (const leg of routed.credits) this.#accounts.arrive(`${leg.participant}|${leg.currency}`, leg.units);
    }
  }

  #post(row: ResultRow, before: Checkpoint, checkpoint: Checkpoint): void {
    const { partition, topics, findings, places, creditsSent } = this.#options;
    const { result, offset } = row;
    if (result === null) {
      findings.add('unreadable', topics.results, partition, offset, 'this value cannot be read as a PaymentResult');
      this.#accounts.forget();
      return;
    }
    this.#placement(row);
    if (!places.add(result.inboundPartition, result.inboundOffset, result.transactionIndex)) {
      findings.add('double', topics.results, partition, offset, `a second result of ${nameOf(result)}`);
    }
    if (result.inboundPartition === partition) this.#order(result, offset, before, checkpoint);
    if (result.identity !== null) {
      const key = claimKey(result);
      if (!this.#claims.claim(key, result.receivedAt, result.settledAt)) this.#suspects.add(key);
    }
    if (result.status !== 'ACSC') return;
    const { sequence, amount, positionAfter, debitedParticipant, creditedParticipant, currency } = result;
    if (sequence === null || amount === null || positionAfter === null || debitedParticipant === null || creditedParticipant === null || currency === null) {
      findings.add('unreadable', topics.results, partition, offset, `${nameOf(result)} is settled, and lacks its sequence, amount, position, currency or a participant`);
      return;
    }
    if (sequence !== this.#sequence + 1) {
      findings.add('sequence', topics.results, partition, offset, `its sequence is ${sequence}, expected ${this.#sequence + 1}`);
    }
    this.#sequence = sequence;
    const expected = this.#accounts.debit(`${debitedParticipant}|${currency}`, amount, positionAfter);
    if (expected !== null) {
      findings.add(
        'position',
        topics.results,
        partition,
        offset,
        `positionAfter of ${debitedParticipant} is ${formatAmount(positionAfter)} ${currency}, the results and credits before it make ${formatAmount(expected)}`,
      );
    }
    const owner = this.#ownerOf(creditedParticipant);
    const name = `${creditedParticipant}|${currency}`;
    if (owner === partition) this.#accounts.credit(name, amount);
    else {
      const way = `${partition}>${owner}|${name}`;
      creditsSent.set(way, (creditsSent.get(way) ?? 0n) + amount);
    }
  }

  #placement(row: ResultRow): void {
    const { partition, topics, findings } = this.#options;
    const { result, offset } = row;
    if (result === null) return;
    const { debitedParticipant, inboundPartition } = result;
    const owner = debitedParticipant === null ? inboundPartition : this.#ownerOf(debitedParticipant);
    if (owner !== partition) {
      const whose = debitedParticipant ?? `inbound partition ${inboundPartition}`;
      findings.add('placement', topics.results, partition, offset, `this result belongs into partition ${owner}, which owns ${whose}`);
    }
    if (debitedParticipant === null) return;
    const key = rowKey(row);
    if (key === null || !isText(key, debitedParticipant)) {
      const found = key === null ? 'null' : JSON.stringify(Buffer.from(key).toString('utf8'));
      findings.add('placement', topics.results, partition, offset, `its key is ${found}, expected the debited participant ${debitedParticipant}`);
    }
  }

  /** What came in by the partition's own inbound partition is decided in the order of its offsets. */
  #order(result: PaymentResult, offset: number, before: Checkpoint, checkpoint: Checkpoint): void {
    const { partition, topics, findings } = this.#options;
    const { inboundOffset, transactionIndex } = result;
    if (inboundOffset < before.inbound || inboundOffset >= checkpoint.inbound) {
      findings.add('order', topics.results, partition, offset, `${nameOf(result)} is not between ${before.inbound} and ${checkpoint.inbound}, which its commit took in`);
    } else if (inboundOffset < this.#ownOffset || (inboundOffset === this.#ownOffset && transactionIndex < this.#ownIndex)) {
      findings.add('order', topics.results, partition, offset, `${nameOf(result)} stands behind that of inbound ${partition}:${this.#ownOffset}:${this.#ownIndex}`);
    }
    this.#ownOffset = inboundOffset;
    this.#ownIndex = transactionIndex;
  }
}

export function nameOf(result: PaymentResult): string {
  const { eventId } = result;
  return `the event ${eventId} at inbound ${placeOf(result)}`;
}

/** Hashes rows from `from` on that lie back to back in one batch; gives the row after them. */
function hashRun(hash: { update(bytes: Uint8Array): unknown }, results: ResultCursor, from: number, end: number): number {
  const { batch, index } = results.at(from);
  let next = from + 1;
  let last = index;
  while (next < end && results.at(next).batch === batch && results.at(next).index === last + 1) {
    last++;
    next++;
  }
  const start = batch.keyStart[index]! >= 0 ? batch.keyStart[index]! : batch.valueStart[index]!;
  hash.update(batch.bytes.subarray(start, batch.valueStart[last]! + batch.valueLength[last]!));
  return next;
}

function isText(bytes: Uint8Array, text: string): boolean {
  if (bytes.length === text.length) {
    let i = 0;
    while (i < bytes.length && bytes[i] === text.charCodeAt(i)) i++;
    if (i === bytes.length) return true;
  }
  return Buffer.from(bytes).toString('utf8') === text;
}

/** Routed records by their offset; null where one cannot be read. */
class RoutedCursor {
  readonly #batches: AsyncIterator<RecordBatch>;
  #batch: RecordBatch | null = null;
  #row = 0;
  #ended = false;

  constructor(batches: AsyncIterator<RecordBatch>) {
    this.#batches = batches;
  }

  /** Records from offset `from` to `end`, exclusive; offsets asked for never go back. */
  async *until(from: number, end: number): AsyncGenerator<{ readonly routed: Routed | null; readonly offset: number }> {
    if (from >= end) return;
    for (;;) {
      if (this.#batch === null || this.#row >= this.#batch.count) {
        if (this.#ended) return;
        const next = await this.#batches.next();
        this.#row = 0;
        if (next.done === true) {
          this.#ended = true;
          this.#batch = null;
          return;
        }
        this.#batch = next.value;
      }
      const offset = this.#batch.offsets[this.#row]!;
      if (offset >= end) return;
      const value = valueBytes(this.#batch, this.#row++);
      if (offset < from) continue;
      yield { routed: readRouted(value), offset };
    }
  }

  async close(): Promise<void> {
    await this.#batches.return?.();
  }
}

export function readRouted(value: Uint8Array | null): Routed | null {
  try {
    return value === null ? null : decodeRouted(value);
  } catch {
    return null;
  }
}
