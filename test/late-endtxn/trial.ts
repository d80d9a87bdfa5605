/**
 * The late request, tried over the real fleet log: the first of two Kafka transactions has one of its requests held up on
 * the way; the client sends it again, and goes on; the held one arrives in the middle of the second. Afterwards somebody
 * who reads `read_committed` must see of each transaction all or nothing, and what the fleet believes.
 */
import { randomUUID } from 'node:crypto';
import { connectTopicAdmin } from '../../src/adapters/kafka/admin.ts';
import { call, librdkafkaClients } from '../../src/adapters/kafka/client.ts';
import type { KafkaClients, KafkaConsumer, LibrdKafkaError, TopicPartitionOffset } from '../../src/adapters/kafka/client.ts';
import { createFleetLog } from '../../src/adapters/kafka/fleet-log.ts';
import { openGroupOffsets } from '../../src/adapters/kafka/group-offsets.ts';
import type { ClosableGroupOffsets } from '../../src/adapters/kafka/group-offsets.ts';
import { createTopicReader } from '../../src/adapters/kafka/topic-reader.ts';
import type { KafkaTopicReader } from '../../src/adapters/kafka/topic-reader.ts';
import { systemTiming } from '../../src/adapters/system/timing.ts';
import { planTopics } from '../../src/cli/topic-plan.ts';
import { valueBytes } from '../../src/codec/record-batch.ts';
import { RecordSlab } from '../../src/codec/record-slab.ts';
import { topicNames } from '../../src/domain/topics.ts';
import type { TopicNames } from '../../src/domain/topics.ts';
import { FatalError } from '../../src/errors.ts';
import type { CommitOutcome, FleetLog, KafkaTransaction, Log, Timing } from '../../src/ports.ts';
import { apiKeys, commits, startFrameProxy } from './frame-proxy.ts';
import type { FrameProxy, Held, HoldMode, Request } from './frame-proxy.ts';

/** What is held up. */
export type Late = 'commit' | 'abort' | 'produce' | 'offsets' | 'init';

export interface Trial {
  readonly late: Late;
  readonly mode: HoldMode;
  /** How the second Kafka transaction is to end. */
  readonly second: 'commits' | 'aborts';
}

export interface Observation extends Trial {
  readonly outcomes: readonly [CommitOutcome | 'fatal', CommitOutcome | 'fatal'];
  /** The held request arrived while the second Kafka transaction was open. */
  readonly arrived: boolean;
  /** Why the state is torn; empty: it is not. */
  readonly torn: readonly string[];
  readonly milliseconds: number;
}

export const everyTrial: readonly Trial[] = (['commit', 'abort', 'produce', 'offsets', 'init'] as const).flatMap((late) =>
  (['reset', 'timeout'] as const).flatMap((mode) => (['aborts', 'commits'] as const).map((second) => ({ late, mode, second }))),
);

const partitions = 2;
const recordsEach = 12;
/** Of the client's requests, so that a time-out does not take a minute. */
const requestTimeoutMs = 1500;
const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} };

const matching: Readonly<Record<Late, (request: Request) => boolean>> = {
  commit: (request) => request.apiKey === apiKeys.endTxn && commits(request),
  abort: (request) => request.apiKey === apiKeys.endTxn && !commits(request),
  produce: ({ apiKey }) => apiKey === apiKeys.produce,
  offsets: ({ apiKey }) => apiKey === apiKeys.txnOffsetCommit,
  // It knows no epoch, so nobody refuses it: it ends what is open, and the producer finds itself fenced.
  init: ({ apiKey }) => apiKey === apiKeys.initProducerId,
};

export class TrialBench {
  readonly #proxy: FrameProxy;
  readonly #topics: TopicNames;
  readonly #group: string;
  readonly #isDefended: boolean;
  readonly #reader: KafkaTopicReader;
  readonly #offsets: ClosableGroupOffsets;
  #log: FleetLog | undefined;
  #members = 0;
  #next = 0;
  /** The application's view: its partitions were taken away. */
  #isLost = false;
  #beforeOffsets: () => Promise<void> = async () => {};
  #beforeCommit: () => Promise<void> = async () => {};

  private constructor(options: { brokers: string; group: string; proxy: FrameProxy; topics: TopicNames; isDefended: boolean; offsets: ClosableGroupOffsets }) {
    this.#proxy = options.proxy;
    this.#topics = options.topics;
    this.#isDefended = options.isDefended;
    this.#offsets = options.offsets;
    this.#group = options.group;
    this.#reader = createTopicReader({ brokers: options.brokers, clientId: 'late-reader', log: quiet });
  }

  /** `isDefended`: false makes the fleet log deaf to every sign of a hiccup, as it would be without the defence. */
  static async create(brokers: string, isDefended: boolean): Promise<TrialBench> {
    const group = `late-${randomUUID()}`;
    const prefix = `${group}.`;
    const admin = await connectTopicAdmin({ brokers, clientId: 'late-admin', waitMs: 20_000, onWait: () => {} });
    for (const plan of planTopics({ topicPrefix: prefix, maxEventBytes: 1 << 20, dedupeWindowSeconds: 86_400 }, partitions)) await admin.create(plan, -1);
    admin.close();
    const offsets = await openGroupOffsets({ brokers, clientId: 'late-offsets', groupId: group });
    return new TrialBench({ brokers, group, proxy: await startFrameProxy(brokers), topics: topicNames(prefix), isDefended, offsets });
  }

  async close(): Promise<void> {
    await this.#log?.stop();
    await this.#reader.close();
    await this.#offsets.close();
    await this.#proxy.close();
  }

  async run(trial: Trial): Promise<Observation> {
    const begunAt = performance.now();
    const from = await this.#ends();
    let held: Held | undefined;
    if (trial.late === 'init') {
      await this.#log?.stop();
      this.#log = undefined;
    } else await this.#member();
    void this.#proxy.hold(matching[trial.late], trial.mode).then((taken) => (held = taken));
    const log = await this.#member();
    // Who does not poll for two minutes is put out of the group.
    await log.poll({ recordsMax: 1, waitMs: 0 });
    const first = this.#transaction();
    const second = this.#transaction();
    let arrived = false;
    const deliver = async (): Promise<void> => {
      if (held === undefined) return;
      const late = held;
      held = undefined;
      await late.release();
      arrived = true;
    };

    // Only an abort can be late whose Kafka transaction is aborted.
    this.#isLost = false;
    this.#beforeOffsets = async () => void (this.#isLost = trial.late === 'abort');
    const outcomes: [CommitOutcome | 'fatal', CommitOutcome | 'fatal'] = [await this.#commit(log, first), 'fatal'];

    this.#isLost = false;
    this.#beforeOffsets = async () => {
      if (trial.late !== 'offsets') await deliver();
    };
    this.#beforeCommit = async () => {
      if (trial.late === 'offsets') await deliver();
      this.#isLost = trial.second === 'aborts';
    };
    outcomes[1] = await this.#commit(outcomes[0] === 'fatal' ? await this.#member() : log, second);
    this.#beforeOffsets = this.#beforeCommit = async () => {};
    this.#isLost = false;
    this.#proxy.disarm();

    const torn = await this.#compare(from, [first, second], outcomes);
    return { ...trial, outcomes, arrived, torn, milliseconds: performance.now() - begunAt };
  }

  async #commit(log: FleetLog, transaction: Marked): Promise<CommitOutcome | 'fatal'> {
    try {
      return await log.commit(transaction);
    } catch (error) {
      if (!(error instanceof FatalError)) throw error;
      // The process would end here and a fresh one begin.
      await log.stop();
      this.#log = undefined;
      return 'fatal';
    }
  }

  async #member(): Promise<FleetLog> {
    if (this.#log !== undefined) return this.#log;
    const log = createFleetLog({
      brokers: this.#proxy.brokers,
      groupId: this.#group,
      workerId: `${this.#group}-${++this.#members}`,
      topics: this.#topics,
      sessionTimeoutMs: 20_000,
      transactionTimeoutMs: 10_000,
      gatherMs: 10,
      log: quiet,
      onAborted: () => {},
      onReachable: () => {},
      clients: this.#clients(),
      timing: this.#timing(),
    });
    await log.start();
    const deadline = performance.now() + 30_000;
    for (;;) {
      const event = log.nextRebalance();
      if (event?.kind === 'assigned') {
        log.confirm(event);
        break;
      }
      if (performance.now() > deadline) throw new Error('no assignment within 30 s');
      await log.poll({ recordsMax: 1, waitMs: 50 });
    }
    return (this.#log = log);
  }

  #clients(): KafkaClients {
    return {
      createConsumer: (...args) => {
        const consumer = librdkafkaClients.createConsumer(...args);
        const assignmentLost = consumer.assignmentLost.bind(consumer);
        consumer.assignmentLost = () => this.#isLost || assignmentLost();
        return consumer;
      },
      createProducer: (brokers, clientId, settings) => {
        const producer = librdkafkaClients.createProducer(brokers, clientId, { 'socket.timeout.ms': requestTimeoutMs, ...settings });
        const sendOffsets = producer.sendOffsetsToTransaction.bind(producer);
        producer.sendOffsetsToTransaction = ((offsets, consumer, timeoutMs, done) => {
          const flushed = call<void>((flush) => producer.flush(10_000, flush));
          flushed
            .then(() => this.#beforeOffsets())
            .then(() => sendOffsets(offsets, consumer, timeoutMs, (error) => {
              if (error) done(error);
              else this.#beforeCommit().then(() => done(error), done as (error: unknown) => void);
            }))
            .catch(done as (error: unknown) => void);
        }) as SendOffsets as typeof producer.sendOffsetsToTransaction;
        if (!this.#isDefended) {
          const on = producer.on.bind(producer) as (name: string, listener: unknown) => typeof producer;
          producer.on = ((name: string, listener: unknown) => (name === 'event.log' ? producer : on(name, listener))) as typeof producer.on;
        }
        return producer;
      },
    };
  }

  /** Without the defence no commit seems slow. */
  #timing(): Timing {
    return this.#isDefended ? systemTiming : { ...systemTiming, monotonic: () => 0 };
  }

  #transaction(): Marked {
    const mark = `T${this.#next++}`;
    const offset = this.#next;
    const records = new RecordSlab();
    for (let i = 0; i < recordsEach; i++) records.append(this.#topics.results, i % partitions, mark, `${mark} ${i}`);
    return { mark, records, offsets: [{ topic: this.#topics.inbound, partition: 0, offset }, { topic: this.#topics.routed, partition: 0, offset }] };
  }

  async #ends(): Promise<readonly number[]> {
    const ends: number[] = [];
    for (let partition = 0; partition < partitions; partition++) ends.push((await this.#reader.watermarks(this.#topics.results, partition)).high);
    return ends;
  }

  /** What everybody sees against what the fleet was told. */
  async #compare(from: readonly number[], transactions: readonly Marked[], outcomes: Observation['outcomes']): Promise<string[]> {
    const seen = new Map<string, number>();
    for (let partition = 0; partition < partitions; partition++) {
      await this.#reader.readToEnd({ topic: this.#topics.results, partition, from: from[partition]! }, (batch) => {
        for (let row = 0; row < batch.count; row++) {
          const value = Buffer.from(valueBytes(batch, row)!).toString();
          seen.set(value, (seen.get(value) ?? 0) + 1);
        }
      });
    }
    const torn: string[] = [];
    let committed: number | null = null;
    transactions.forEach(({ mark, offsets }, i) => {
      const times = Array.from({ length: recordsEach }, (_, record) => seen.get(`${mark} ${record}`) ?? 0);
      const visible = times.filter((count) => count > 0).length;
      if (times.some((count) => count > 1)) torn.push(`records of ${mark} are seen twice`);
      if (visible !== 0 && visible !== recordsEach) torn.push(`${visible} of ${recordsEach} records of ${mark} are seen`);
      const outcome = outcomes[i]!;
      if (outcome === 'committed' && visible < recordsEach) torn.push(`${mark} was committed, and ${visible} of ${recordsEach} records are seen`);
      if (outcome === 'fenced' && visible > 0) torn.push(`${mark} was given up, and ${visible} of ${recordsEach} records are seen`);
      if (visible === recordsEach) committed = offsets[0]!.offset;
    });
    if (committed === null) return torn;
    const [inbound] = await this.#offsets.committed([{ topic: this.#topics.inbound, partition: 0 }]);
    if (inbound !== committed) torn.push(`the group stands at ${inbound}, the last records that are seen belong to ${String(committed)}`);
    return torn;
  }
}

type Done = (error: LibrdKafkaError) => void;
type SendOffsets = (offsets: TopicPartitionOffset[], consumer: KafkaConsumer, timeoutMs: number, done: Done) => void;

interface Marked extends KafkaTransaction {
  readonly mark: string;
}
