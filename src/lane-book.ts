/**
 * What one lane knows and owes: its positions and their order, how far it has read, what it must send to other lanes, and
 * the chain over its results. It moves ahead of what is committed; when the lane is lost it is thrown away, never mended.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { chainStart, encodeCheckpoint } from './codec/checkpoint.ts';
import { encodePosition, positionKey } from './codec/position-record.ts';
import type { RecordSlab } from './codec/record-slab.ts';
import type { RecordHeader } from './codec/record-batch.ts';
import { carriedHeaders, encodeRouted } from './codec/routed.ts';
import type { CreditLeg } from './codec/routed.ts';
import type { Ledger } from './domain/ledger.ts';
import type { TopicNames } from './domain/topics.ts';
import type { Transfer } from './domain/transfer.ts';
import { LaneAccount } from './lane-account.ts';
import type { TopicOffset } from './ports.ts';

/** A routed record must stay well below a topic's max.message.bytes of 1 MiB; a transfer takes some 400 bytes. */
const transfersPerRecordMax = 1000;

export interface Standing {
  /** Next offsets; null where the partition was never read. */
  readonly inbound: number | null;
  readonly routed: number | null;
  /** Of the last Kafka transaction that moved the partition. */
  readonly commit: number;
  readonly results: number;
  readonly chain: string;
}

export const freshStanding: Standing = { inbound: null, routed: null, commit: 0, results: 0, chain: chainStart };

interface Owed {
  readonly credits: Map<string, { participant: string; currency: string; units: bigint }>;
  readonly transfers: Transfer[];
  /** What goes with some of the transfers, for their traces; null where nothing does. */
  carried: Map<Transfer, readonly RecordHeader[]> | null;
}

export class LaneBook {
  readonly partition: number;
  readonly ledger: Ledger;
  /** What came in and is not concluded. */
  readonly account: LaneAccount;
  /** The window of claims that this lane has claimed in; null before its first claim, and after it rebuilt the window. */
  claimsWindow: string | null = null;
  readonly #topics: TopicNames;
  readonly #worker: string;
  readonly #owed = new Map<number, Owed>();
  #inbound: number;
  #routed: number;
  #commit: number;
  #results: number;
  /** Of the results since the last checkpoint. */
  #first: string | null = null;
  #chain: Hash;
  readonly #committed = new Map<string, number>();

  constructor(options: {
    readonly partition: number;
    readonly ledger: Ledger;
    readonly standing: Standing;
    readonly topics: TopicNames;
    readonly worker: string;
  }) {
    this.partition = options.partition;
    this.ledger = options.ledger;
    this.account = new LaneAccount([
      [options.topics.inbound, options.standing.inbound],
      [options.topics.routed, options.standing.routed],
    ]);
    this.#topics = options.topics;
    this.#worker = options.worker;
    this.#inbound = options.standing.inbound ?? 0;
    this.#routed = options.standing.routed ?? 0;
    this.#commit = options.standing.commit;
    this.#results = options.standing.results;
    if (options.standing.inbound !== null) this.#committed.set(options.topics.inbound, options.standing.inbound);
    if (options.standing.routed !== null) this.#committed.set(options.topics.routed, options.standing.routed);
    this.#chain = createHash('sha256').update(options.standing.chain);
  }

  /** Next offset to be read of the inbound partition or of its routed twin. */
  next(topic: string): number {
    return topic === this.#topics.inbound ? this.#inbound : this.#routed;
  }

  /** Next offset as the group knows it; null before the first commit. */
  committed(topic: string): number | null {
    return this.#committed.get(topic) ?? null;
  }

  noteCommitted({ topic, offset }: TopicOffset): void {
    this.#committed.set(topic, offset);
  }

  /** Everything below `offset` is concluded. Never goes back. */
  advance(topic: string, offset: number): void {
    if (topic === this.#topics.inbound) this.#inbound = Math.max(this.#inbound, offset);
    else this.#routed = Math.max(this.#routed, offset);
  }

  /** Results that were just written, keys and values back to back; `first`: see `Checkpoint`. */
  extendChain(bytes: Uint8Array, results: number, first: string): void {
    this.#first ??= first;
    this.#chain.update(bytes);
    this.#results += results;
  }

  oweCredit(destination: number, participant: string, currency: string, units: bigint): void {
    const { credits } = this.#owedTo(destination);
    const name = `${participant}|${currency}`;
    const leg = credits.get(name);
    if (leg === undefined) credits.set(name, { participant, currency, units });
    else leg.units += units;
  }

  /** `headers`: what its owner must know of it beside what it says. */
  oweTransfer(destination: number, transfer: Transfer, headers?: readonly RecordHeader[]): void {
    const owed = this.#owedTo(destination);
    owed.transfers.push(transfer);
    if (headers !== undefined) (owed.carried ??= new Map()).set(transfer, headers);
  }

  /** Writes everything that is owed, the changed positions and the checkpoint; gives the offsets to commit with them. */
  seal(records: RecordSlab): readonly TopicOffset[] {
    this.#commit++;
    for (const [destination, owed] of this.#owed) this.#sendOwed(records, destination, owed);
    this.#owed.clear();
    for (const position of this.ledger.takeChanged()) {
      records.append(this.#topics.positions, this.partition, positionKey(position), encodePosition(position, this.#commit));
    }
    const chain = this.#chain.digest('hex');
    this.#chain = createHash('sha256').update(chain);
    const checkpoint = encodeCheckpoint({
      commit: this.#commit,
      inbound: this.#inbound,
      routed: this.#routed,
      sequence: this.ledger.sequence,
      results: this.#results,
      first: this.#first,
      chain,
      worker: this.#worker,
    });
    this.#first = null;
    records.append(this.#topics.checkpoints, this.partition, String(this.partition), checkpoint);
    return [
      { topic: this.#topics.inbound, partition: this.partition, offset: this.#inbound },
      { topic: this.#topics.routed, partition: this.partition, offset: this.#routed },
    ];
  }

  #sendOwed(records: RecordSlab, destination: number, owed: Owed): void {
    let credits: readonly CreditLeg[] = Array.from(owed.credits.values());
    let sent = 0;
    do {
      const transfers = owed.transfers.slice(sent, sent + transfersPerRecordMax);
      sent += transfers.length;
      records.append(
        this.#topics.routed,
        destination,
        null,
        encodeRouted({ from: this.partition, commit: this.#commit, credits, transfers }),
        owed.carried === null ? undefined : carriedHeaders(transfers, owed.carried),
      );
      credits = [];
    } while (sent < owed.transfers.length);
  }

  #owedTo(destination: number): Owed {
    let owed = this.#owed.get(destination);
    if (owed === undefined) this.#owed.set(destination, (owed = { credits: new Map(), transfers: [], carried: null }));
    return owed;
  }
}
