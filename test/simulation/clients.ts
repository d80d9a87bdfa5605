/**
 * Raw Kafka clients over the cluster in memory, with the shape of librdkafka's (only what the adapters use), so that the
 * real fleet-log, transactions and topic-reader run over them. What librdkafka does by itself (sending again after a lost
 * answer, heartbeats, answers to the group) is done here; each effect on the cluster has its own moment.
 */
import { EventEmitter } from 'node:events';
import type { KafkaClients } from '../../src/adapters/kafka/client.ts';
import { codes } from './cluster.ts';
import type { Answer, Cluster, Component, SimPartition } from './cluster.ts';
import type { SimProcess, World } from './world.ts';

type Done<T> = (error: unknown, value?: T) => void;
type Place = { readonly topic: string; readonly partition: number; readonly offset?: number };
type Loose = { key: Buffer | null; value: Buffer | null; headers: readonly Record<string, Buffer>[] | undefined };

const timedOut = -185;
const transport = -195;
const fenced = -144;
const state = -172;

/** How badly the way to the cluster behaves; changed by the nemesis while a run goes on. */
export interface Network {
  /** Share of requests whose answer is lost: done, and not known to be. */
  lostAnswers: number;
  /** Share of requests that are slow. */
  slow: number;
  /** Share of Produce, EndTxn and TxnOffsetCommit frames that are held up, sent again, and arrive once more later. */
  heldFrames: number;
  /** Share of EndTxn requests that are never answered; half of them are done. */
  silentEnds: number;
  /** Share of records that a broker refuses for good, so that their Kafka transaction must be aborted. */
  refusedRecords: number;
}

function errorOf(code: number, message: string, flags: { readonly isFatal?: boolean; readonly isTxnRequiresAbort?: boolean } = {}): Error {
  return Object.assign(new Error(message), { code, isFatal: false, isTxnRequiresAbort: false, isRetriable: false, ...flags });
}

export function simulatedClients(options: { readonly cluster: Cluster; readonly process: SimProcess; readonly network: Network }): KafkaClients {
  return {
    createConsumer: (_brokers, _clientId, settings) => new SimConsumer(options, settings as Settings) as never,
    createProducer: (_brokers, _clientId, settings) => new SimProducer(options, settings as Settings) as never,
  };
}

type Settings = Readonly<Record<string, unknown>>;
interface Parts {
  readonly cluster: Cluster;
  readonly process: SimProcess;
  readonly network: Network;
}

class SimClient extends EventEmitter {
  protected readonly cluster: Cluster;
  protected readonly process: SimProcess;
  protected readonly network: Network;
  protected readonly world: World;
  protected closed = false;

  constructor({ cluster, process, network }: Parts) {
    super();
    this.cluster = cluster;
    this.process = process;
    this.network = network;
    this.world = cluster.world;
  }

  connect(options: { timeout: number }, done: Done<unknown>): void {
    this.request({ component: 'data', timeoutMs: options.timeout, effect: () => ({ code: 0, value: { topics: [] } }), done });
  }

  getMetadata({ topic, timeout }: { topic: string; timeout: number }, done: Done<unknown>): void {
    this.request({
      component: 'data',
      timeoutMs: timeout,
      effect: () => ({ code: 0, value: { topics: [{ name: topic, partitions: this.cluster.topics.get(topic) ?? [] }] } }),
      done,
    });
  }

  protected latency(): number {
    const { chance } = this.world;
    return chance.chance(this.network.slow) ? 5 + chance.unit() * 200 : 0.2 + chance.unit() * 2;
  }

  /**
   * A request until it is answered: sent again after a lost answer, and while the answer is one of `retryOn`. Effects happen
   * at the cluster whether or not this process still lives.
   */
  protected request<T>(request: {
    readonly component: Component;
    readonly timeoutMs: number;
    readonly effect: () => Answer<T>;
    readonly done: Done<T>;
    readonly retryOn?: readonly number[];
    /** Called when the client notices that a request was lost. */
    readonly onHiccup?: () => void;
    /** May be held up on its way. */
    readonly late?: () => void;
    /** How often, beside other frames. */
    readonly lateShare?: number;
  }): void {
    const deadline = this.world.now + request.timeoutMs;
    const { chance } = this.world;
    const retry = (afterMs: number): void => {
      this.process.after(afterMs, () => {
        if (this.closed) return request.done(errorOf(-197, 'the client is closed'));
        if (this.world.now > deadline) return request.done(errorOf(timedOut, 'Local: Timed out'));
        attempt();
      });
    };
    const attempt = (): void => {
      if (this.cluster.isAway(request.component)) {
        request.onHiccup?.();
        return retry(100 + chance.below(100));
      }
      if (request.late !== undefined && chance.chance(this.network.heldFrames * (request.lateShare ?? 1))) {
        // Held up: the client gives up on the connection, and sends it again over a new one.
        const { late } = request;
        this.world.schedule(20 + chance.below(chance.chance(0.5) ? 400 : 6000), late);
        const noticed = 10 + chance.below(100);
        this.process.after(noticed, () => request.onHiccup?.());
        return retry(noticed + 50 + chance.below(100));
      }
      const loses = chance.chance(this.network.lostAnswers);
      this.world.schedule(this.latency(), () => {
        if (this.cluster.isAway(request.component)) {
          this.process.after(50, () => request.onHiccup?.());
          return retry(150);
        }
        const answer = request.effect();
        if (loses) {
          const noticed = 10 + chance.below(300);
          this.process.after(noticed, () => request.onHiccup?.());
          return retry(noticed + 50 + chance.below(200));
        }
        if (answer.code !== 0 && request.retryOn?.includes(answer.code) === true) return retry(20 + chance.below(60));
        this.process.after(this.latency(), () => {
          if (answer.code === 0) request.done(null, answer.value);
          else request.done(errorOf(answer.code, `Broker: error ${answer.code}`));
        });
      });
    };
    attempt();
  }
}

// ── Consumer ─────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Position {
  next: number;
  eofAt: number;
  paused: boolean;
}

type GroupOp = { readonly kind: 'assign' | 'revoke'; readonly partitions: readonly number[] };
type JoinState = 'none' | 'joining' | 'waitAssign' | 'steady' | 'waitUnassign';

export class SimConsumer extends SimClient {
  readonly #settings: Settings;
  readonly #positions = new Map<string, Position & { readonly at: SimPartition }>();
  readonly #ops: GroupOp[] = [];
  #topic = '';
  #joinState: JoinState = 'none';
  #memberId = '';
  #generation = -1;
  #groupAssignment: readonly number[] | null = null;
  #lost = false;
  #lastHeartbeat = 0;
  #heartbeats = 0;
  #timeoutMs = 1000;
  #wake: (() => void) | null = null;
  #lastConsume = 0;
  #lastCallAt = 0;
  readonly #watch: (partition: SimPartition) => void;

  constructor(parts: Parts, settings: Settings) {
    super(parts);
    this.#settings = settings;
    this.#lastConsume = this.world.now;
    this.#watch = (partition) => {
      const position = this.#positions.get(partition.name);
      if (position === undefined || position.paused) return;
      this.#wakeSoon();
    };
    this.cluster.watchers.add(this.#watch);
    this.process.onKilled(() => this.cluster.watchers.delete(this.#watch));
  }

  /** As librdkafka gives it to a producer, at this moment. */
  get groupMetadata(): { readonly group: string; readonly id: string; readonly generation: number } {
    return { group: this.#groupId, id: this.#memberId, generation: this.#generation };
  }

  get #groupId(): string {
    return this.#settings['group.id'] as string;
  }

  get #sessionMs(): number {
    return (this.#settings['session.timeout.ms'] as number | undefined) ?? 45_000;
  }

  get #isCommittedReader(): boolean {
    return this.#settings['isolation.level'] !== 'read_uncommitted';
  }

  setDefaultIsTimeoutOnlyForFirstMessage(): void {}

  setDefaultConsumeTimeout(timeoutMs: number): void {
    this.#timeoutMs = timeoutMs;
  }

  assignmentLost(): boolean {
    return this.#lost;
  }

  subscribe([topic]: readonly string[]): void {
    this.#topic = topic!;
    this.#join();
  }

  // ── Group ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #join(): void {
    this.#joinState = 'joining';
    this.#generation = -1;
    this.#groupAssignment = null;
    this.#heartbeats++;
    this.request({
      component: 'groups',
      timeoutMs: 1e9,
      effect: () =>
        this.closed || !this.process.alive
          ? { code: 0, value: { memberId: '' } }
          : this.cluster.join(this.#groupId, this.#memberId, this.#sessionMs, {
              joined: (memberId, generation, partitions) => {
                this.process.after(this.latency(), () => this.#joined(memberId, generation, partitions));
              },
              refused: (memberId) => {
                this.process.after(this.latency(), () => {
                  if (this.closed || this.#joinState !== 'joining') return;
                  this.#memberId = memberId;
                  this.#join();
                });
              },
            }),
      done: (error, value) => {
        if (error !== null) {
          this.#memberId = '';
          if (this.#joinState === 'joining' && !this.closed) this.process.after(100, () => this.#join());
          return;
        }
        const { memberId } = value!;
        // A client that is closed while it joins leaves once it knows who it is: the broker tells the member id before it lets it wait
        // for the others (KIP-394), and the client leaves in that name.
        if (this.closed && memberId !== '') this.world.schedule(this.latency(), () => this.cluster.leave(this.#groupId, memberId));
        else if (this.#memberId === '') this.#memberId = memberId;
      },
    });
  }

  #joined(memberId: string, generation: number, partitions: readonly number[]): void {
    if (this.closed || this.#joinState !== 'joining') return;
    this.#memberId = memberId;
    this.#generation = generation;
    this.#groupAssignment = partitions;
    this.#joinState = 'waitAssign';
    this.#ops.push({ kind: 'assign', partitions });
    this.#lastHeartbeat = this.world.now;
    const round = ++this.#heartbeats;
    this.#heartbeatLater(round);
    this.#watchSession(round);
    this.cluster.onAssigned?.(this.process);
    this.#wakeSoon();
  }

  /** librdkafka looks at its own clock too. Whoever was stopped for long finds out by it soon after, not at once. */
  #watchSession(round: number): void {
    this.process.after(100 + this.world.chance.below(900), () => {
      if (this.closed || round !== this.#heartbeats) return;
      if (this.world.now - this.#lastHeartbeat <= this.#sessionMs) return this.#watchSession(round);
      this.#memberId = '';
      this.#revokeLost('no heartbeat was answered in time');
    });
  }

  #heartbeatLater(round: number): void {
    this.process.after(1000, () => {
      if (this.closed || round !== this.#heartbeats) return;
      if (this.world.now - this.#lastConsume > ((this.#settings['max.poll.interval.ms'] as number | undefined) ?? 300_000)) {
        this.cluster.leave(this.#groupId, this.#memberId);
        this.#memberId = '';
        return this.#revokeLost('nobody polled');
      }
      const sentAs = this.#memberId;
      const generation = this.#generation;
      this.request({
        component: 'groups',
        timeoutMs: this.#sessionMs,
        effect: () => this.cluster.heartbeat(this.#groupId, sentAs, generation),
        done: (error) => {
          if (this.closed || round !== this.#heartbeats) return;
          const code = (error as { code?: number } | null)?.code ?? 0;
          if (code === 0 || code === codes.rebalanceInProgress) this.#lastHeartbeat = this.world.now;
          if (code === codes.rebalanceInProgress && this.#joinState === 'steady') this.#revoke();
          else if (code === codes.unknownMember) {
            this.#memberId = '';
            return this.#revokeLost('the group does not know this member');
          } else if (code === codes.illegalGeneration) {
            this.#generation = -1;
            return this.#revokeLost('the group has another generation');
          }
          this.#heartbeatLater(round);
        },
      });
    });
  }

  #revoke(): void {
    this.#joinState = 'waitUnassign';
    this.#ops.push({ kind: 'revoke', partitions: this.#groupAssignment ?? [] });
    this.#wakeSoon();
  }

  #revokeLost(why: string): void {
    this.world.note(`${this.process.name} has lost its assignment: ${why}`);
    if (this.#groupAssignment !== null) this.#lost = true;
    // Worse than librdkafka, which keeps the generation for a while: without both nobody is checked.
    if (this.#memberId === '') this.#generation = -1;
    // While an answer of the application is waited for, the client joins anew without asking it again.
    if (this.#joinState === 'steady') {
      this.#revoke();
      this.#heartbeats++;
    } else this.#join();
  }

  assign(places: readonly Place[]): void {
    this.#positions.clear();
    for (const { topic, partition, offset } of places) {
      const at = this.cluster.at(topic, partition);
      this.#positions.set(at.name, { at, next: offset === undefined || offset < 0 ? 0 : offset, eofAt: -1, paused: false });
    }
    this.#lost = false;
    if (this.#joinState === 'waitAssign') this.#joinState = 'steady';
    this.#wakeSoon();
  }

  unassign(): void {
    this.#positions.clear();
    this.#lost = false;
    if (this.#joinState === 'waitUnassign') {
      if (this.closed) this.#joinState = 'none';
      else this.#join();
    }
  }

  // ── Flow ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  pause(places: readonly Place[]): void {
    for (const position of this.#find(places)) position.paused = true;
  }

  resume(places: readonly Place[]): void {
    for (const position of this.#find(places)) position.paused = false;
    this.#wakeSoon();
  }

  #find(places: readonly Place[]): Position[] {
    return places.flatMap(({ topic, partition }) => this.#positions.get(`${topic}-${partition}`) ?? []);
  }

  seek({ topic, partition, offset }: Place, _timeoutMs: number, done: Done<void>): void {
    const fails = this.world.chance.chance(0.02);
    this.process.after(this.latency(), () => {
      const position = this.#positions.get(`${topic}-${partition}`);
      if (position === undefined || fails) return done(errorOf(state, 'Local: Erroneous state'));
      position.next = offset === undefined || offset < 0 ? 0 : offset;
      position.eofAt = -1;
      this.#wakeSoon();
      done(null);
    });
  }

  consume(recordsMax: number, done: Done<unknown[]>): void {
    this.#lastConsume = this.world.now;
    const deadline = this.world.now + this.#timeoutMs;
    let isOver = false;
    const attempt = (isLast: boolean): void => {
      if (isOver) return;
      const op = this.#ops.shift();
      if (op !== undefined) {
        isOver = true;
        this.#wake = null;
        const after = this.world.chance.chance(0.5);
        if (after) this.process.after(0.05, () => done(null, []));
        // Calls into JavaScript keep their order among themselves.
        const at = Math.max(this.world.now + 0.1 + this.world.chance.unit() * 2, this.#lastCallAt + 0.01);
        this.#lastCallAt = at;
        this.process.after(at - this.world.now, () => this.#callRebalance(op));
        if (!after) this.process.after(0.8, () => done(null, []));
        return;
      }
      const { messages, ends } = this.cluster.isAway('data') ? { messages: [], ends: [] } : this.#take(recordsMax);
      if (messages.length === 0 && ends.length === 0 && !isLast) return;
      isOver = true;
      this.#wake = null;
      this.process.after(this.world.chance.unit() * 0.3, () => {
        if (messages.length === 0 && this.cluster.isAway('data') && this.world.chance.chance(0.2)) {
          return done(errorOf(transport, 'Local: Broker transport failure'));
        }
        for (const end of ends) this.emit('partition.eof', end);
        done(null, messages);
      });
    };
    this.#wake = () => attempt(false);
    this.process.after(0, () => attempt(false));
    this.process.after(deadline - this.world.now, () => attempt(true));
  }

  #wakeSoon(): void {
    this.process.after(this.latency(), () => this.#wake?.());
  }

  #take(recordsMax: number): { messages: unknown[]; ends: { topic: string; partition: number; offset: number }[] } {
    const messages: unknown[] = [];
    const ends: { topic: string; partition: number; offset: number }[] = [];
    const { chance } = this.world;
    let room = chance.chance(0.3) ? chance.between(1, Math.min(recordsMax, 8)) : recordsMax;
    for (const position of this.#positions.values()) {
      if (position.paused || room === 0) continue;
      const { at } = position;
      const end = this.#isCommittedReader ? at.lastStableOffset : at.highWatermark;
      while (position.next < end && room > 0) {
        const record = at.records[position.next]!;
        position.next++;
        if (record.isMarker || (this.#isCommittedReader && !at.isVisible(record))) continue;
        room--;
        messages.push({
          topic: at.topic,
          partition: at.partition,
          offset: record.offset,
          key: record.key,
          value: record.value,
          timestamp: record.timestamp,
          headers: record.headers,
          size: record.value?.length ?? 0,
        });
      }
      if (position.next >= end && position.eofAt !== position.next) {
        position.eofAt = position.next;
        ends.push({ topic: at.topic, partition: at.partition, offset: position.next });
      }
    }
    return { messages, ends };
  }

  #callRebalance(op: GroupOp): void {
    const call = this.#settings['rebalance_cb'] as ((this: unknown, error: unknown, places: readonly Place[]) => void) | undefined;
    call?.call(this, { code: op.kind === 'assign' ? -175 : -174 }, op.partitions.map((partition) => ({ topic: this.#topic, partition })));
  }

  // ── Questions ──────────────────────────────────────────────────────────────────────────────────────────────────────

  committed(places: readonly Place[], timeoutMs: number, done: Done<unknown>): void {
    this.request({
      component: 'groups',
      timeoutMs,
      retryOn: [codes.unstableOffset],
      effect: () => this.cluster.fetchOffsets(this.#groupId, places),
      done: (error, offsets) => {
        if (error !== null) done(error);
        else done(null, places.map(({ topic, partition }, i) => ({ topic, partition, offset: offsets![i] })));
      },
    });
  }

  queryWatermarkOffsets(topic: string, partition: number, timeoutMs: number, done: Done<unknown>): void {
    this.request({
      component: 'data',
      timeoutMs,
      effect: () => {
        const at = this.cluster.at(topic, partition);
        return { code: 0, value: { lowOffset: 0, highOffset: this.#isCommittedReader ? at.lastStableOffset : at.highWatermark } };
      },
      done,
    });
  }

  offsetsForTimes(places: readonly Place[], timeoutMs: number, done: Done<unknown>): void {
    this.request({
      component: 'data',
      timeoutMs,
      effect: () => ({
        code: 0,
        value: places.map(({ topic, partition, offset }) => {
          const found = this.cluster.at(topic, partition).records.find((record) => record.timestamp >= offset!);
          return { topic, partition, offset: found?.offset ?? -1 };
        }),
      }),
      done,
    });
  }

  disconnect(done: Done<unknown>): void {
    const leave = (): void => {
      this.closed = true;
      this.#wake = null;
      this.cluster.watchers.delete(this.#watch);
      const id = this.#memberId;
      if (id !== '') this.world.schedule(this.latency(), () => this.cluster.leave(this.#groupId, id));
      this.process.after(this.latency() + 2, () => done(null));
    };
    if (this.#joinState === 'steady') {
      this.#joinState = 'waitUnassign';
      this.process.after(1, () => {
        this.closed = true;
        this.#callRebalance({ kind: 'revoke', partitions: this.#groupAssignment ?? [] });
        leave();
      });
    } else leave();
  }
}

// ── Producer ─────────────────────────────────────────────────────────────────────────────────────────────────────────

class SimProducer extends SimClient {
  readonly #settings: Settings;
  #pid = -1;
  #epoch = -1;
  #error: Error | null = null;
  #queue: { readonly to: SimPartition; readonly record: Loose }[] = [];
  #flushing = 0;
  #isFlushDue = false;
  #isOpen = false;
  #isRegistered = false;
  #whenFlushed: (() => void) | null = null;
  #toldAt = -Infinity;

  constructor(parts: Parts, settings: Settings) {
    super(parts);
    this.#settings = settings;
  }

  get #self(): { readonly transactionalId: string; readonly pid: number; readonly epoch: number } {
    return { transactionalId: this.#settings['transactional.id'] as string, pid: this.#pid, epoch: this.#epoch };
  }

  setPollInterval(): void {}
  poll(): void {}

  readonly #hiccup = (): void => {
    // The same failure is told once in 30 s.
    if (this.world.now - this.#toldAt < 30_000) return;
    this.#toldAt = this.world.now;
    if (((this.#settings['log_level'] as number | undefined) ?? 3) < 6) return;
    this.emit('event.log', { severity: 6, fac: 'FAIL', message: '[thrd:TxnCoordinator]: TxnCoordinator: Disconnected (after 4711ms in state UP)' });
  };

  /** Of the group's coordinator, or of a partition's leader: another connection. */
  readonly #brokerHiccup = (): void => {
    if (((this.#settings['log_level'] as number | undefined) ?? 3) < 6) return;
    this.emit('event.log', { severity: 6, fac: 'FAIL', message: '[thrd:127.0.0.1:9092/1]: 127.0.0.1:9092/1: Disconnected (after 4711ms in state UP)' });
  };

  initTransactions(timeoutMs: number, done: Done<void>): void {
    const init = (): Answer<{ pid: number; epoch: number }> =>
      this.cluster.initProducerId(this.#self.transactionalId, this.#settings['transaction.timeout.ms'] as number);
    this.request({
      component: 'transactions',
      timeoutMs,
      retryOn: [codes.concurrentTransactions],
      effect: init,
      onHiccup: this.#hiccup,
      late: () => void init(),
      lateShare: 0.1,
      done: (error, value) => {
        if (error !== null) return done(error);
        this.#pid = value!.pid;
        this.#epoch = value!.epoch;
        done(null);
      },
    });
  }

  beginTransaction(done: Done<void>): void {
    this.process.after(0.05, () => {
      if (this.#error !== null) return done(this.#error);
      if (this.#isOpen) return done(errorOf(state, 'Local: Erroneous state: a transaction is open'));
      this.#isOpen = true;
      this.#isRegistered = false;
      done(null);
    });
  }

  produce(
    topic: string,
    partition: number,
    value: Buffer | null,
    key: Buffer | null,
    _timestamp?: unknown,
    _opaque?: unknown,
    headers?: readonly Record<string, Buffer>[],
  ): void {
    if (this.#error !== null) throw this.#error;
    if (!this.#isOpen) throw errorOf(state, 'Local: Erroneous state: no transaction');
    this.#queue.push({
      to: this.cluster.at(topic, partition),
      record: { key: key === null ? null : Buffer.from(key), value: value === null ? null : Buffer.from(value), headers },
    });
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    this.process.after(1, () => this.#flush());
  }

  #flush(): void {
    this.#isFlushDue = false;
    const queue = this.#queue;
    this.#queue = [];
    if (queue.length === 0 || this.closed) return;
    const groups = new Map<SimPartition, Loose[]>();
    for (const { to, record } of queue) {
      const group = groups.get(to);
      if (group === undefined) groups.set(to, [record]);
      else group.push(record);
    }
    this.#flushing++;
    const self = this.#self;
    const add = (): Answer<null> => this.cluster.addToTransaction(self, [...groups.keys()], null);
    const partDone = (): void => {
      if (--this.#flushing === 0 && this.#queue.length === 0) this.#whenFlushed?.();
    };
    this.request({
      component: 'transactions',
      timeoutMs: 60_000,
      retryOn: [codes.concurrentTransactions],
      effect: add,
      onHiccup: this.#hiccup,
      late: () => void add(),
      done: (error) => {
        if (error !== null || !this.#isOpen) {
          if (error !== null) this.#fail(error);
          return partDone();
        }
        this.#isRegistered = true;
        for (const [to, records] of groups) {
          const parts = records.length > 1 && this.world.chance.chance(0.3) ? [records.splice(0, this.world.chance.between(1, records.length - 1)), records] : [records];
          this.#flushing++;
          this.#send(to, parts, partDone);
        }
        partDone();
      },
    });
  }

  #send(to: SimPartition, parts: readonly Loose[][], done: () => void): void {
    const [part, ...rest] = parts;
    if (part === undefined || this.#error !== null) return done();
    // A batch that is sent again is known by its sequence number.
    let wasTaken = false;
    const self = this.#self;
    const produce = (): Answer<null> => {
      if (wasTaken) return { code: 0, value: null };
      if (this.world.chance.chance(this.network.refusedRecords)) return { code: codes.notEnoughReplicas };
      const answer = this.cluster.produce(self, to, part);
      wasTaken = answer.code === 0;
      return answer;
    };
    this.request({
      component: 'data',
      timeoutMs: 60_000,
      effect: produce,
      onHiccup: this.#brokerHiccup,
      late: () => void produce(),
      lateShare: 0.3,
      done: (error) => {
        if (error !== null) {
          this.#fail(error);
          return done();
        }
        this.#send(to, rest, done);
      },
    });
  }

  #fail(thrown: unknown): void {
    const code = (thrown as { code?: number }).code ?? 0;
    this.#error ??=
      code === codes.producerFenced || code === codes.invalidProducerEpoch
        ? errorOf(this.world.chance.chance(0.5) ? fenced : codes.invalidProducerEpoch, 'Local: This instance has been fenced by a newer instance', { isFatal: true })
        : code === codes.invalidTxnState
          ? errorOf(code, 'Broker: The producer attempted a transactional operation in an invalid state', { isFatal: true })
          : errorOf(code, (thrown as Error).message, { isTxnRequiresAbort: true });
  }

  sendOffsetsToTransaction(offsets: readonly { topic: string; partition: number; offset: number }[], consumer: SimConsumer, timeoutMs: number, done: Done<void>): void {
    if (this.#error !== null) return this.process.after(0.05, () => done(this.#error));
    const deadline = this.world.now + timeoutMs;
    this.process.after(this.world.chance.unit(), () => {
      const { group, id, generation } = consumer.groupMetadata;
      const self = this.#self;
      const commit = (): Answer<null> => this.cluster.txnOffsetCommit(self, group, { id, generation }, offsets);
      const finish = (error: unknown): void => {
        if (error === null) return done(null);
        this.#fail(error);
        done(this.#error);
      };
      this.request({
        component: 'transactions',
        timeoutMs: deadline - this.world.now,
        retryOn: [codes.concurrentTransactions],
        effect: () => this.cluster.addToTransaction(self, [], group),
        onHiccup: this.#hiccup,
        late: () => void this.cluster.addToTransaction(self, [], group),
        done: (error) => {
          if (error !== null) return finish(error);
          this.#isRegistered = true;
          this.request({
            component: 'groups',
            timeoutMs: Math.max(1, deadline - this.world.now),
            effect: commit,
            onHiccup: this.#brokerHiccup,
            late: () => {
              if (this.cluster.isAway('groups')) return;
              this.world.note(`a late TxnOffsetCommit arrives: ${commit().code}`);
            },
            done: finish,
          });
        },
      });
    });
  }

  commitTransaction(timeoutMs: number, done: Done<void>): void {
    const end = (): void => {
      this.#whenFlushed = null;
      if (this.#error !== null) return done(this.#error);
      this.#endTransaction(true, timeoutMs, done);
    };
    if (this.#error !== null) return this.process.after(0.05, () => done(this.#error));
    if (this.#flushing === 0 && this.#queue.length === 0) end();
    else this.#whenFlushed = end;
  }

  abortTransaction(timeoutMs: number, done: Done<void>): void {
    this.#queue = [];
    if ((this.#error as { isFatal?: boolean } | null)?.isFatal === true) return this.process.after(0.05, () => done(this.#error));
    const end = (): void => {
      this.#whenFlushed = null;
      if (!this.#isRegistered) {
        this.#isOpen = false;
        this.#error = null;
        return this.process.after(0.1, () => done(null));
      }
      this.#endTransaction(false, timeoutMs, done);
    };
    if (this.#flushing === 0) end();
    else this.#whenFlushed = end;
  }

  #endTransaction(commit: boolean, timeoutMs: number, done: Done<void>): void {
    const self = this.#self;
    const effect = (): Answer<null> => this.cluster.endTransaction(self, commit);
    if (this.world.chance.chance(this.network.silentEnds)) {
      if (this.world.chance.chance(0.5)) this.world.schedule(this.latency(), () => void effect());
      return this.process.after(this.world.chance.between(50, timeoutMs), () => {
        this.#error ??= errorOf(timedOut, 'Local: Timed out', { isTxnRequiresAbort: true });
        done(this.#error);
      });
    }
    this.request({
      component: 'transactions',
      timeoutMs,
      retryOn: [codes.concurrentTransactions],
      effect,
      onHiccup: this.#hiccup,
      late: () => {
        if (this.cluster.isAway('transactions')) return;
        this.world.note(`a late EndTxn of ${self.transactionalId} epoch ${self.epoch} arrives: ${effect().code}`);
      },
      done: (error) => {
        if (error !== null) {
          this.#fail(error);
          return done(this.#error);
        }
        this.#isOpen = false;
        this.#isRegistered = false;
        this.#error = null;
        done(null);
      },
    });
  }

  _disconnect(done: Done<unknown>): void {
    this.closed = true;
    this.process.after(this.latency(), () => done(null));
  }
}
