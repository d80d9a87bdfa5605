/**
 * Kafka in memory, as far as exactly-once depends on it: partitions with markers, aborted records and a last stable offset;
 * a transaction coordinator with producer epochs; a group coordinator with eager range assignment.
 *
 * What it answers was taken from Kafka 4.1's and librdkafka 2.15's sources, the dangerous parts on purpose: markers come
 * late, an EndTxn of the same epoch is taken whenever it comes, and offsets without a member id are taken from anybody.
 */
import type { SimProcess, World } from './world.ts';

export const codes = {
  none: 0,
  unknownTopicOrPartition: 3,
  illegalGeneration: 22,
  unknownMember: 25,
  notEnoughReplicas: 19,
  rebalanceInProgress: 27,
  invalidProducerEpoch: 47,
  invalidTxnState: 48,
  concurrentTransactions: 51,
  unstableOffset: 88,
  producerFenced: 90,
} as const;

export interface StoredRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly Record<string, Buffer>[] | undefined;
  /** Null: written outside of any Kafka transaction. */
  readonly txn: Txn | null;
  /** A marker of a Kafka transaction: it takes an offset and is given to nobody. */
  readonly isMarker: boolean;
}

/** A Kafka transaction as the coordinator knows it. */
export interface Txn {
  readonly id: number;
  readonly transactionalId: string;
  readonly pid: number;
  readonly epoch: number;
  readonly partitions: Set<SimPartition>;
  readonly groups: Set<string>;
  outcome: 'open' | 'committed' | 'aborted';
  /** Place in the order of decisions. */
  decided: number;
  markersMissing: number;
}

export class SimPartition {
  readonly topic: string;
  readonly partition: number;
  readonly records: StoredRecord[] = [];
  /** First offset of each Kafka transaction whose marker is not here yet. */
  readonly open = new Map<Txn, number>();
  /** Highest producer epoch seen by this partition. */
  readonly epochs = new Map<number, number>();

  constructor(topic: string, partition: number) {
    this.topic = topic;
    this.partition = partition;
  }

  get name(): string {
    return `${this.topic}-${this.partition}`;
  }

  get highWatermark(): number {
    return this.records.length;
  }

  get lastStableOffset(): number {
    let stable = this.records.length;
    for (const first of this.open.values()) if (first < stable) stable = first;
    return stable;
  }

  /** Whether a read_committed reader is given the record; asked below the last stable offset only. */
  isVisible(record: StoredRecord): boolean {
    return !record.isMarker && (record.txn === null || record.txn.outcome === 'committed');
  }

  /** Everything that a read_committed reader may see now. */
  committed(): StoredRecord[] {
    const stable = this.lastStableOffset;
    return this.records.filter((record) => record.offset < stable && this.isVisible(record));
  }
}

interface Coordinated {
  pid: number;
  epoch: number;
  timeoutMs: number;
  state: 'empty' | 'ongoing' | 'prepare' | 'complete';
  txn: Txn | null;
}

export interface GroupListener {
  /** The group has assigned these partitions. */
  joined(memberId: string, generation: number, partitions: readonly number[]): void;
  /** The group has moved on before that: join again. */
  refused(memberId: string): void;
}

interface Member {
  readonly id: string;
  listener: GroupListener;
  hasJoined: boolean;
  deadline: number;
  readonly sessionMs: number;
}

interface Group {
  readonly members: Map<string, Member>;
  generation: number;
  state: 'empty' | 'preparing' | 'completing' | 'stable';
  rebalance: number;
  readonly offsets: Map<string, number>;
  readonly pending: Map<Txn, Map<string, number>>;
}

export type Answer<T> = { readonly code: 0; readonly value: T } | { readonly code: number; readonly value?: undefined };
const ok = <T>(value: T): Answer<T> => ({ code: 0, value });
const fail = (code: number): Answer<never> => ({ code });
/** How often a session is looked at while its coordinator is away. */
const awayLookMs = 250;

export type Component = 'data' | 'transactions' | 'groups';

export class Cluster {
  readonly world: World;
  readonly topics = new Map<string, SimPartition[]>();
  readonly txns: Txn[] = [];
  /** Until when a part of the cluster does not answer. */
  readonly awayUntil: Record<Component, number> = { data: 0, transactions: 0, groups: 0 };
  /** A member has heard of its new assignment; for faults at that moment. */
  onAssigned: ((process: SimProcess) => void) | null = null;
  readonly watchers = new Set<(partition: SimPartition) => void>();
  readonly #coordinated = new Map<string, Coordinated>();
  readonly #groups = new Map<string, Group>();
  #nextPid = 1;
  #nextMember = 1;
  #decisions = 0;
  /** Markers that wait for a part of the cluster. */
  readonly #heldUp = new Set<() => void>();
  readonly rebalanceTimeoutMs = 120_000;
  /** Markers take up to this long. */
  markerDelayMaxMs = 5;

  constructor(world: World) {
    this.world = world;
  }

  createTopic(name: string, partitions: number): void {
    this.topics.set(name, Array.from({ length: partitions }, (_, partition) => new SimPartition(name, partition)));
  }

  at(topic: string, partition: number): SimPartition {
    const found = this.topics.get(topic)?.[partition];
    if (found === undefined) throw new Error(`The simulated cluster has no ${topic}-${partition}.`);
    return found;
  }

  isAway(component: Component): boolean {
    return this.awayUntil[component] > this.world.now;
  }

  // ── Records ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A producer without transactions: upstream systems. */
  publish(topic: string, partition: number, key: Buffer | null, value: Buffer | null, headers?: readonly Record<string, Buffer>[]): number {
    return this.#append(this.at(topic, partition), { key, value, headers, txn: null, isMarker: false });
  }

  #append(to: SimPartition, record: Omit<StoredRecord, 'offset' | 'timestamp'>): number {
    const offset = to.records.length;
    to.records.push({ ...record, offset, timestamp: Math.floor(this.world.now) });
    for (const watcher of this.watchers) watcher(to);
    return offset;
  }

  produce(
    producer: { readonly transactionalId: string; readonly pid: number; readonly epoch: number },
    to: SimPartition,
    records: readonly { key: Buffer | null; value: Buffer | null; headers: readonly Record<string, Buffer>[] | undefined }[],
  ): Answer<null> {
    if ((to.epochs.get(producer.pid) ?? -1) > producer.epoch) return fail(codes.invalidProducerEpoch);
    const entry = this.#coordinated.get(producer.transactionalId);
    const txn = entry?.txn;
    // KIP-890, part 1: the partition's leader asks the coordinator whether there is such a transaction.
    if (entry === undefined || txn == null || entry.state !== 'ongoing' || entry.pid !== producer.pid || txn.epoch !== producer.epoch || !txn.partitions.has(to)) {
      return fail(codes.invalidTxnState);
    }
    to.epochs.set(producer.pid, producer.epoch);
    if (!to.open.has(txn)) to.open.set(txn, to.records.length);
    for (const record of records) this.#append(to, { ...record, txn, isMarker: false });
    return ok(null);
  }

  // ── Transactions ─────────────────────────────────────────────────────────────────────────────────────────────────

  initProducerId(transactionalId: string, timeoutMs: number): Answer<{ pid: number; epoch: number }> {
    let entry = this.#coordinated.get(transactionalId);
    if (entry === undefined) {
      entry = { pid: this.#nextPid++, epoch: -1, timeoutMs, state: 'empty', txn: null };
      this.#coordinated.set(transactionalId, entry);
    }
    entry.timeoutMs = timeoutMs;
    if (entry.state === 'ongoing') {
      this.world.note(`coordinator fences ${transactionalId} and aborts its transaction`);
      entry.epoch++;
      this.#end(entry, false);
      return fail(codes.concurrentTransactions);
    }
    if (entry.state === 'prepare') return fail(codes.concurrentTransactions);
    entry.epoch++;
    entry.state = 'empty';
    this.world.note(`coordinator gives ${transactionalId} epoch ${entry.epoch}`);
    return ok({ pid: entry.pid, epoch: entry.epoch });
  }

  /** Adds partitions, or a group's offsets, to the transaction; begins it when there is none. */
  addToTransaction(
    producer: { readonly transactionalId: string; readonly pid: number; readonly epoch: number },
    partitions: readonly SimPartition[],
    group: string | null,
  ): Answer<null> {
    const entry = this.#coordinated.get(producer.transactionalId);
    if (entry === undefined || entry.pid !== producer.pid || entry.epoch !== producer.epoch) return fail(codes.producerFenced);
    if (entry.state === 'prepare') return fail(codes.concurrentTransactions);
    if (entry.state !== 'ongoing') {
      const txn: Txn = {
        id: this.txns.length,
        transactionalId: producer.transactionalId,
        pid: producer.pid,
        epoch: producer.epoch,
        partitions: new Set(),
        groups: new Set(),
        outcome: 'open',
        decided: -1,
        markersMissing: 0,
      };
      this.txns.push(txn);
      entry.txn = txn;
      entry.state = 'ongoing';
      // The coordinator looks for transactions that are too old now and then: every 10 s by default.
      this.world.schedule(entry.timeoutMs + this.world.chance.below(10_000), () => {
        if (entry.txn !== txn || entry.state !== 'ongoing') return;
        this.world.note(`coordinator times out txn ${txn.id} of ${txn.transactionalId}`);
        entry.epoch++;
        this.#end(entry, false);
      });
    }
    for (const partition of partitions) entry.txn!.partitions.add(partition);
    if (group !== null) entry.txn!.groups.add(group);
    return ok(null);
  }

  endTransaction(producer: { readonly transactionalId: string; readonly pid: number; readonly epoch: number }, commit: boolean): Answer<null> {
    const entry = this.#coordinated.get(producer.transactionalId);
    if (entry === undefined || entry.pid !== producer.pid || entry.epoch !== producer.epoch) return fail(codes.producerFenced);
    switch (entry.state) {
      case 'ongoing':
        this.#end(entry, commit);
        return ok(null);
      case 'prepare':
        return fail((entry.txn!.outcome === 'committed') === commit ? codes.concurrentTransactions : codes.invalidTxnState);
      case 'complete':
        return (entry.txn!.outcome === 'committed') === commit ? ok(null) : fail(codes.invalidTxnState);
      case 'empty':
        return fail(codes.invalidTxnState);
    }
  }

  #end(entry: Coordinated, commit: boolean): void {
    const txn = entry.txn!;
    const { epoch } = entry;
    entry.state = 'prepare';
    txn.outcome = commit ? 'committed' : 'aborted';
    txn.decided = this.#decisions++;
    this.world.note(`txn ${txn.id} of ${txn.transactionalId} is ${txn.outcome}`);
    txn.markersMissing = txn.partitions.size + txn.groups.size;
    const written = (): void => {
      if (--txn.markersMissing <= 0) entry.state = 'complete';
    };
    if (txn.markersMissing === 0) entry.state = 'complete';
    const delay = (): number => this.world.chance.unit() * (this.world.chance.chance(0.1) ? 20 : 1) * this.markerDelayMaxMs;
    for (const partition of txn.partitions) {
      this.#writeWhenUp('data', delay(), () => {
        partition.epochs.set(txn.pid, Math.max(epoch, partition.epochs.get(txn.pid) ?? -1));
        partition.open.delete(txn);
        this.#append(partition, { key: null, value: null, headers: undefined, txn, isMarker: true });
        written();
      });
    }
    for (const group of txn.groups) {
      this.#writeWhenUp('groups', delay(), () => {
        const held = this.group(group);
        const pending = held.pending.get(txn);
        held.pending.delete(txn);
        if (commit && pending !== undefined) for (const [place, offset] of pending) held.offsets.set(place, offset);
        written();
      });
    }
  }

  #writeWhenUp(component: Component, delayMs: number, write: () => void): void {
    this.world.schedule(delayMs, () => {
      if (!this.isAway(component)) return write();
      const attempt = (): void => {
        if (this.#heldUp.delete(attempt)) this.#writeWhenUp(component, 0, write);
      };
      this.#heldUp.add(attempt);
      this.world.schedule(this.awayUntil[component] - this.world.now + 1, attempt);
    });
  }

  /** Everything answers again, sooner than was planned: nothing waits for the end that was planned any more. */
  comeBack(): void {
    for (const component of ['data', 'transactions', 'groups'] as const) this.awayUntil[component] = 0;
    for (const attempt of [...this.#heldUp]) attempt();
  }

  // ── Groups ───────────────────────────────────────────────────────────────────────────────────────────────────────

  group(id: string): Group {
    let group = this.#groups.get(id);
    if (group === undefined) {
      group = { members: new Map(), generation: 0, state: 'empty', rebalance: 0, offsets: new Map(), pending: new Map() };
      this.#groups.set(id, group);
    }
    return group;
  }

  txnOffsetCommit(
    producer: { readonly transactionalId: string; readonly pid: number; readonly epoch: number },
    groupId: string,
    member: { readonly id: string; readonly generation: number },
    offsets: readonly { readonly topic: string; readonly partition: number; readonly offset: number }[],
  ): Answer<null> {
    const group = this.group(groupId);
    const entry = this.#coordinated.get(producer.transactionalId);
    const txn = entry?.txn;
    if (entry === undefined || txn == null || entry.state !== 'ongoing' || txn.epoch !== producer.epoch || !txn.groups.has(groupId)) {
      return fail(entry !== undefined && entry.epoch > producer.epoch ? codes.invalidProducerEpoch : codes.invalidTxnState);
    }
    // Without a member id and a generation nobody is checked.
    if (member.id !== '' || member.generation >= 0) {
      if (!group.members.has(member.id)) return fail(codes.unknownMember);
      if (member.generation !== group.generation) return fail(codes.illegalGeneration);
    } else this.world.note(`offsets of txn ${txn.id} are taken from nobody in particular`);
    let pending = group.pending.get(txn);
    if (pending === undefined) group.pending.set(txn, (pending = new Map()));
    for (const { topic, partition, offset } of offsets) pending.set(`${topic} ${partition}`, offset);
    return ok(null);
  }

  /** Stable offsets only: while a Kafka transaction holds one of them the answer is "unstable". */
  fetchOffsets(groupId: string, places: readonly { readonly topic: string; readonly partition: number }[]): Answer<readonly number[]> {
    const group = this.group(groupId);
    const names = places.map(({ topic, partition }) => `${topic} ${partition}`);
    for (const pending of group.pending.values()) if (names.some((name) => pending.has(name))) return fail(codes.unstableOffset);
    return ok(names.map((name) => group.offsets.get(name) ?? -1001));
  }

  heartbeat(groupId: string, memberId: string, generation: number): Answer<null> {
    const group = this.group(groupId);
    const member = group.members.get(memberId);
    if (member === undefined) return fail(codes.unknownMember);
    if (generation !== group.generation && group.state !== 'preparing') return fail(codes.illegalGeneration);
    member.deadline = this.world.now + member.sessionMs;
    if (group.state === 'preparing') return fail(codes.rebalanceInProgress);
    return ok(null);
  }

  join(groupId: string, memberId: string, sessionMs: number, listener: GroupListener): Answer<{ memberId: string }> {
    const group = this.group(groupId);
    let member = group.members.get(memberId);
    if (memberId !== '' && member === undefined) return fail(codes.unknownMember);
    if (member === undefined) {
      member = { id: `member-${this.#nextMember++}`, listener, hasJoined: false, deadline: 0, sessionMs };
      group.members.set(member.id, member);
      this.#watchSession(group, member);
    }
    member.listener = listener;
    member.hasJoined = true;
    member.deadline = this.world.now + sessionMs;
    if (group.state !== 'preparing') this.#prepare(group);
    this.#completeWhenAllJoined(group);
    return ok({ memberId: member.id });
  }

  leave(groupId: string, memberId: string): void {
    const group = this.group(groupId);
    if (group.members.has(memberId)) this.#remove(group, memberId, 'left');
  }

  #watchSession(group: Group, member: Member): void {
    // An outage may end earlier than it was to: it is looked at again and again, not waited out.
    const lookInMs = this.isAway('groups') ? awayLookMs : Math.max(10, member.deadline - this.world.now + 1);
    this.world.schedule(lookInMs, () => {
      if (group.members.get(member.id) !== member) return;
      // The coordinator is away: sessions begin anew when it is back.
      if (this.isAway('groups')) member.deadline = this.world.now + member.sessionMs;
      // A member that waits for the others in a JoinGroup is alive as long as its connection is.
      if (member.hasJoined && group.state === 'preparing') member.deadline = this.world.now + member.sessionMs;
      if (member.deadline <= this.world.now) this.#remove(group, member.id, 'timed out');
      else this.#watchSession(group, member);
    });
  }

  #remove(group: Group, memberId: string, why: string): void {
    group.members.delete(memberId);
    this.world.note(`${memberId} ${why}`);
    if (group.members.size === 0) {
      group.state = 'empty';
      group.generation++;
      return;
    }
    if (group.state !== 'preparing') this.#prepare(group, false);
    this.#completeWhenAllJoined(group);
  }

  #prepare(group: Group, keepJoined = true): void {
    group.state = 'preparing';
    const rebalance = ++group.rebalance;
    if (!keepJoined) for (const member of group.members.values()) member.hasJoined = false;
    this.world.schedule(this.rebalanceTimeoutMs, () => {
      if (group.rebalance !== rebalance || group.state !== 'preparing') return;
      for (const member of [...group.members.values()]) if (!member.hasJoined) group.members.delete(member.id);
      if (group.members.size > 0) this.#complete(group);
    });
  }

  #completeWhenAllJoined(group: Group): void {
    if (group.state !== 'preparing' || group.members.size === 0) return;
    for (const member of group.members.values()) if (!member.hasJoined) return;
    this.#complete(group);
  }

  #complete(group: Group): void {
    group.generation++;
    group.state = 'completing';
    const { generation } = group;
    const members = [...group.members.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    this.world.note(`generation ${generation} of ${members.map(({ id }) => id).join(' ')}`);
    const partitions = this.topics.values().next().value!.length;
    const each = Math.floor(partitions / members.length);
    const more = partitions % members.length;
    let next = 0;
    const assignments = members.map((member, index) => {
      const count = each + (index < more ? 1 : 0);
      const mine = Array.from({ length: count }, (_, i) => next + i);
      next += count;
      return { member, mine };
    });
    for (const member of members) {
      member.hasJoined = false;
      member.deadline = this.world.now + member.sessionMs;
    }
    // The leader's SyncGroup makes the group stable; each member hears of its own part at its own time.
    this.world.schedule(1 + this.world.chance.below(8), () => {
      if (group.generation !== generation || group.state !== 'completing') {
        for (const { member } of assignments) member.listener.refused(member.id);
        return;
      }
      group.state = 'stable';
      for (const { member, mine } of assignments) member.listener.joined(member.id, generation, mine);
    });
  }
}
