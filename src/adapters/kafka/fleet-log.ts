/**
 * The fleet's side of Kafka over the raw client: a consumer in the group, and Kafka transactions in its name.
 *
 * Only the inbound topic is subscribed. Its routed twin (same partition number) is assigned beside it, so that whoever
 * owns the one owns the other, whatever the assignor does.
 *
 * A rebalance callback answers an assignment at once, with everything held. If it waited until positions are restored, the
 * group could go on to its next generation meanwhile without telling us, and we would commit old lanes in its name.
 *
 * A client that has lost an assignment is replaced by a fresh one. It tells of a loss by one mark, which the answer to any
 * rebalance removes, and what it asked for before stands in a queue:
 *
 *     1. the process is stopped for longer than its session; the client marks the assignment as lost, and joins anew
 *     2. the process is stopped again: that assignment, still in the queue, is lost too, and the client joins once more
 *     3. we answer the first, which removes the mark; the second looks as good as the third
 *
 * Nothing that the client says then can be told from what was true a generation ago. A fresh one has no queue.
 */
import { FatalError } from '../../errors.ts';
import { coPartitioned } from '../../domain/topics.ts';
import type { TopicNames } from '../../domain/topics.ts';
import { recordsFrom } from '../../codec/record-batch.ts';
import type { RecordBatch } from '../../codec/record-batch.ts';
import type { CommitOutcome, FleetLog, KafkaTransaction, Log, Rebalance, Timing } from '../../ports.ts';
import { systemTiming } from '../system/timing.ts';
import { asError, call, connect, consume, countPartitions, disconnect, kafkaErrorCodes, librdkafkaClients } from './client.ts';
import type { KafkaClients } from './client.ts';
import { createTransactions } from './transactions.ts';
import type { GroupMember } from './transactions.ts';

const requestTimeoutMs = 5000;
const retryDelayMs = 250;
const errorPauseMs = 50;
const leaveTimeoutMs = 10_000;
/** librdkafka's OFFSET_BEGINNING. */
const oldest = -2;

export interface FleetLogOptions {
  readonly brokers: string;
  readonly groupId: string;
  readonly workerId: string;
  readonly topics: TopicNames;
  readonly sessionTimeoutMs: number;
  readonly transactionTimeoutMs: number;
  /** How long the broker lets records come together before it answers; a whole number, at least 1. */
  readonly gatherMs: number;
  readonly log: Log;
  readonly onAborted: () => void;
  readonly onReachable: (reachable: boolean) => void;
  readonly timing?: Timing;
  readonly clients?: KafkaClients;
}

type Consumer = ReturnType<KafkaClients['createConsumer']>;

export function createFleetLog(options: FleetLogOptions): FleetLog {
  const { topics, log, timing = systemTiming, clients = librdkafkaClients } = options;
  let consumer: Consumer | undefined;
  /** It has lost an assignment: `poll` replaces it. */
  let isWorn = false;
  /** Clients that were replaced, on their way out of the group. */
  let closing: Promise<unknown> = Promise.resolve();
  let isMember = true;
  let partitionCount = 0;
  let deadLetterPartitionCount = 0;
  let takeOverMs = 0;
  let stopping = false;
  let stopped = false;
  /** The first is what the process ends with. */
  const failures: FatalError[] = [];
  const rebalances: Rebalance[] = [];
  const toldBy = new WeakMap<Rebalance, Consumer>();
  /** Partitions assigned to us, by whether their records flow. */
  const assigned = new Map<number, 'awaitingRelease' | 'flowing' | 'held'>();
  /** Counts assignments: what was begun under one must not end under the next. */
  let generation = 0;
  /** Next offset to be read by us, and the end that the broker last told, by topic and partition. */
  const positions = new Map<string, { topic: string; partition: number; next: number; drainedTo: number }>();

  const transactions = createTransactions({
    brokers: options.brokers,
    clientId: options.workerId,
    transactionalIdOf: (partition) => `${topics.inbound}.${options.groupId}.partition-${partition}`,
    transactionTimeoutMs: options.transactionTimeoutMs,
    timing,
    clients,
    log,
    onAborted: options.onAborted,
    onReachable: options.onReachable,
  });

  const client = (): Consumer => {
    if (consumer === undefined) throw new FatalError('The Kafka consumer was used before it was started.');
    return consumer;
  };

  const throwFailure = (): void => {
    const [first] = failures;
    if (first !== undefined) throw first;
  };

  const both = (partition: number) => [
    { topic: topics.inbound, partition },
    { topic: topics.routed, partition },
  ];

  const forgetAssignment = (): void => {
    generation++;
    assigned.clear();
    positions.clear();
  };

  const tell = (kind: Rebalance['kind'], partitions: readonly number[], by: Consumer): void => {
    const rebalance = { kind, partitions };
    toldBy.set(rebalance, by);
    rebalances.push(rebalance);
  };

  const onRebalance = (asked: Consumer, error: unknown, assignment: readonly { topic: string; partition: number }[]): void => {
    const code = (error as { code?: number } | undefined)?.code;
    const partitions = assignment.filter((place) => place.topic === topics.inbound).map((place) => place.partition);
    try {
      if (stopping || isWorn || asked !== consumer) {
        asked.unassign();
      } else if (code !== kafkaErrorCodes.assignPartitions) {
        tell(asked.assignmentLost() ? 'lost' : 'revoked', partitions, asked);
      } else if (asked.assignmentLost()) {
        // It went to somebody else while it waited for us. Taking it would remove the mark.
        asked.unassign();
        isWorn = true;
        forgetAssignment();
        tell('lost', partitions, asked);
      } else {
        const places = partitions.flatMap(both);
        forgetAssignment();
        for (const partition of partitions) assigned.set(partition, 'awaitingRelease');
        asked.assign(places.map((place) => ({ ...place, offset: 0 })));
        if (places.length > 0) asked.pause(places);
        tell('assigned', partitions, asked);
      }
    } catch (thrown) {
      // A callback of the client has no caller to throw to.
      if (!stopping) failures.push(new FatalError('The Kafka client refused a rebalance.', { cause: thrown }));
    }
  };

  const openConsumer = async (): Promise<Consumer> => {
    const candidate: Consumer = clients.createConsumer(options.brokers, options.workerId, {
      'group.id': options.groupId,
      'isolation.level': 'read_committed',
      'partition.assignment.strategy': 'range',
      'session.timeout.ms': options.sessionTimeoutMs,
      // How soon a member hears of a rebalance, and all wait for the last one. The client looks at it once a second.
      'heartbeat.interval.ms': 500,
      'max.poll.interval.ms': 120_000,
      'enable.auto.offset.store': false,
      'enable.partition.eof': true,
      // The broker answers when so much has come together, or so late: else it answers, and is asked again, for each record.
      'fetch.min.bytes': 1 << 20,
      'fetch.wait.max.ms': options.gatherMs,
      'fetch.message.max.bytes': 2 << 20,
      'queued.max.messages.kbytes': 4 << 10,
      'fetch.queue.backoff.ms': 10,
      // A topic that is not there yet must be noticed soon once it is.
      'topic.metadata.refresh.interval.ms': 30_000,
      'allow.auto.create.topics': false,
      rebalance_cb: (error: unknown, assignment: readonly { topic: string; partition: number }[]) => onRebalance(candidate, error, assignment),
    });
    candidate.on('partition.eof', (eof) => {
      const position = candidate === consumer ? positions.get(`${eof.topic} ${eof.partition}`) : undefined;
      if (position !== undefined) position.drainedTo = eof.offset;
    });
    candidate.on('event.error', (error) => {
      if (candidate !== consumer) return;
      if ((error as { isFatal?: boolean }).isFatal === true || error.code === kafkaErrorCodes.fatal) {
        failures.push(new FatalError(`The Kafka consumer failed for good: ${error.message}`, { cause: error }));
      }
    });
    try {
      await connect(candidate, requestTimeoutMs);
    } catch (error) {
      await disconnect(candidate, 1000, timing);
      throw error;
    }
    return candidate;
  };

  const replaceConsumer = async (): Promise<void> => {
    const fresh = await openConsumer();
    log.warn({}, 'An assignment was lost: joining the group anew, by a fresh client');
    closing = Promise.all([closing, disconnect(client(), leaveTimeoutMs, timing)]);
    consumer = fresh;
    isWorn = false;
    if (isMember) consumer.subscribe([topics.inbound]);
  };

  /** Tries until it works; says once that it waits. */
  const untilItWorks = async <T>(what: string, attempt: () => Promise<T | undefined>): Promise<T> => {
    let told = false;
    for (;;) {
      if (stopping) throw new FatalError(`Stopped while waiting to ${what}.`);
      let reason = 'not yet';
      try {
        const value = await attempt();
        if (value !== undefined) {
          options.onReachable(true);
          return value;
        }
      } catch (error) {
        if (error instanceof FatalError) throw error;
        reason = asError(error).message;
        options.onReachable(false);
      }
      if (!told) log.warn({ reason }, `Waiting for Kafka to ${what}`);
      told = true;
      await timing.sleep(retryDelayMs);
    }
  };

  const findPartitionCount = async (): Promise<number | undefined> => {
    const counts = new Map<string, number>();
    for (const topic of [...coPartitioned(topics), topics.deadLetter]) {
      const count = await countPartitions(client(), topic, requestTimeoutMs);
      if (count === 0) throw new Error(`topic ${topic} does not exist (settlefleet topics apply)`);
      counts.set(topic, count);
    }
    const inbound = counts.get(topics.inbound)!;
    deadLetterPartitionCount = counts.get(topics.deadLetter)!;
    for (const topic of coPartitioned(topics)) {
      if (counts.get(topic) !== inbound) {
        throw new FatalError(
          `Topic ${topic} has ${counts.get(topic)} partitions, ${topics.inbound} has ${inbound}: they must be equal.`,
        );
      }
    }
    return inbound;
  };

  const committedOffsets = (places: readonly { topic: string; partition: number }[]): Promise<readonly (number | null)[]> =>
    untilItWorks('tell the committed offsets', async () => {
      // In read_committed the client asks for stable offsets: those of an open transaction are waited for.
      const answers = await call<{ topic: string; partition: number; offset?: number; error?: unknown }[]>((done) =>
        client().committed(
          places.map(({ topic, partition }) => ({ topic, partition })),
          requestTimeoutMs,
          done as never,
        ),
      );
      return places.map((place) => {
        const answer = answers.find((one) => one.topic === place.topic && one.partition === place.partition);
        if (answer === undefined || answer.error) throw new Error(`no committed offset for ${place.topic}-${place.partition}`);
        return answer.offset === undefined || answer.offset < 0 ? null : answer.offset;
      });
    });

  /** This member as it is now: lost as soon as the group may see it otherwise. */
  const currentMember = (partitions: readonly number[]): GroupMember => {
    const begunUnder = generation;
    const owns = partitions.every((partition) => assigned.has(partition));
    return {
      consumer: client(),
      lost: () => !owns || generation !== begunUnder || failures.length > 0 || client().assignmentLost(),
      committed: committedOffsets,
    };
  };

  const setFlow = (partition: number, flow: 'flowing' | 'held'): void => {
    if (assigned.get(partition) === undefined || assigned.get(partition) === 'awaitingRelease') return;
    assigned.set(partition, flow);
    if (flow === 'held') client().pause(both(partition));
    else client().resume(both(partition));
  };

  return {
    get partitionCount() {
      return partitionCount;
    },
    get deadLetterPartitionCount() {
      return deadLetterPartitionCount;
    },
    get takeOverMs() {
      return takeOverMs;
    },

    async start() {
      consumer = await untilItWorks('answer', openConsumer);
      partitionCount = await untilItWorks('have the topics', findPartitionCount);
      client().subscribe([topics.inbound]);
    },

    async poll({ recordsMax, waitMs }) {
      throwFailure();
      let taken;
      try {
        if (isWorn) await replaceConsumer();
        taken = await consume(client(), recordsMax, waitMs);
      } catch (thrown) {
        const error = asError(thrown);
        if (error.isFatal === true || error.code === kafkaErrorCodes.fatal) {
          throw new FatalError(`The Kafka consumer failed for good: ${error.message}`, { cause: error });
        }
        // An unreachable broker, or a topic that is gone for the moment: there is nothing to read now.
        await timing.sleep(errorPauseMs);
        return [];
      }
      throwFailure();
      if (taken.length === 0) return [];
      const packing = timing.monotonic();
      const batches: RecordBatch[] = [];
      for (const batch of taken) {
        const flow = assigned.get(batch.partition);
        if (flow === undefined || flow === 'awaitingRelease') continue;
        const position = positions.get(`${batch.topic} ${batch.partition}`);
        if (position === undefined) continue;
        // A seek waits for a thread of the pool. One of an earlier assignment that comes late takes the partition back, and
        // what was settled already would be read again.
        const fresh = recordsFrom(batch, position.next);
        if (fresh === null) continue;
        position.next = fresh.offsets[fresh.count - 1]! + 1;
        batches.push(fresh);
      }
      takeOverMs = timing.monotonic() - packing;
      return batches;
    },

    nextRebalance() {
      const lost = rebalances.findLastIndex((rebalance) => rebalance.kind === 'lost');
      if (lost > 0) rebalances.splice(0, lost);
      return rebalances.shift();
    },

    confirm(rebalance) {
      // An assignment was answered when it came.
      if (rebalance.kind === 'assigned') {
        if (rebalance.partitions.length > 0) transactions.takeOver(rebalance.partitions, currentMember(rebalance.partitions));
        return;
      }
      // By a client that was replaced since.
      if (toldBy.get(rebalance) !== consumer) return;
      isWorn ||= client().assignmentLost();
      forgetAssignment();
      client().unassign();
    },

    async committed(partition) {
      const [inbound, routed] = await committedOffsets(both(partition));
      return { inbound: inbound ?? null, routed: routed ?? null };
    },

    async release(partition, from) {
      const begunUnder = generation;
      const isOurs = (): boolean => generation === begunUnder && assigned.get(partition) === 'awaitingRelease';
      for (const [topic, offset] of [
        [topics.inbound, from.inbound],
        [topics.routed, from.routed],
      ] as const) {
        await untilItWorks(`seek in ${topic}-${partition}`, async () => {
          if (!isOurs()) return true;
          await call<void>((done) => client().seek({ topic, partition, offset: offset ?? oldest }, requestTimeoutMs, done));
          return true;
        });
        if (!isOurs()) return;
        positions.set(`${topic} ${partition}`, { topic, partition, next: offset ?? 0, drainedTo: -1 });
      }
      assigned.set(partition, 'flowing');
      client().resume(both(partition));
    },

    hold: (partition) => setFlow(partition, 'held'),
    resume: (partition) => setFlow(partition, 'flowing'),

    async commit(transaction: KafkaTransaction): Promise<CommitOutcome> {
      const member = currentMember(transaction.offsets.map((place) => place.partition));
      return member.lost() ? 'fenced' : transactions.commit(transaction, member);
    },

    position(topic, partition) {
      const position = positions.get(`${topic} ${partition}`);
      return position === undefined ? null : { next: position.next, drainedTo: position.drainedTo };
    },

    leave() {
      isMember = false;
      client().unsubscribe();
    },

    join() {
      isMember = true;
      if (!isWorn) client().subscribe([topics.inbound]);
    },

    async stop() {
      if (stopped) return;
      stopped = stopping = true;
      await transactions.stop();
      if (consumer !== undefined) await disconnect(consumer, leaveTimeoutMs, timing);
      await closing;
    },
  };
}
