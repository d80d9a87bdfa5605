/**
 * The sink's side of Kafka over the raw client. The group says which partitions are ours; where reading begins is told by
 * `flow`, since Kafka's committed offsets are for those who look at lag, and never trusted.
 *
 * A rebalance callback answers at once and lets nothing flow. Each `flow` hands the client a whole new assignment: what it
 * had read ahead is dropped with the old one, so no record of an earlier place can slip in behind a seek.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import kafka from '@confluentinc/kafka-javascript';
import type { IAdminClient, TopicDescription } from '@confluentinc/kafka-javascript';
import { FatalError, OutageError } from '../../errors.ts';
import type { Log } from '../../ports.ts';
import type { SinkLog, SourceTopic, TopicPartition } from '../../sink/ports.ts';
import {
  asError,
  call,
  connect,
  consume,
  createConsumer,
  disconnect,
  kafkaErrorCodes,
} from './client.ts';
import type { LibrdKafkaError, TopicPartitionOffset } from './client.ts';

const requestTimeoutMs = 5000;
const retryDelayMs = 250;
const errorPauseMs = 50;

export interface SinkLogOptions {
  readonly brokers: string;
  readonly groupId: string;
  readonly clientId: string;
  readonly topics: readonly string[];
  readonly sessionTimeoutMs: number;
  readonly log: Log;
}

export function createSinkLog(options: SinkLogOptions): SinkLog {
  const { log, topics } = options;
  let consumer: ReturnType<typeof createConsumer> | undefined;
  let admin: IAdminClient | undefined;
  let assigned: readonly TopicPartition[] | null = null;
  let failure: FatalError | undefined;
  let up = false;
  let stopping = false;
  const ends = new Map<string, number>();

  const client = (): ReturnType<typeof createConsumer> => {
    if (consumer === undefined) throw new Error('The sink log was used before it was started.');
    return consumer;
  };

  const onRebalance = (error: LibrdKafkaError, partitions: readonly { topic: string; partition: number }[]): void => {
    try {
      ends.clear();
      if (error.code === kafkaErrorCodes.assignPartitions) {
        assigned = partitions.map(({ topic, partition }) => ({ topic, partition }));
        client().assign([]);
      } else {
        assigned = [];
        client().unassign();
      }
    } catch (thrown) {
      if (!stopping) failure = new FatalError('The Kafka client refused a rebalance.', { cause: thrown });
    }
  };

  const open = async (): Promise<void> => {
    const opened = createConsumer(options.brokers, options.clientId, {
      'group.id': options.groupId,
      'isolation.level': 'read_committed',
      'enable.partition.eof': true,
      'partition.assignment.strategy': 'range',
      'session.timeout.ms': options.sessionTimeoutMs,
      'heartbeat.interval.ms': Math.max(100, Math.floor(options.sessionTimeoutMs / 10)),
      'fetch.wait.max.ms': 100,
      'queued.max.messages.kbytes': 16 << 10,
      'fetch.message.max.bytes': 1 << 20,
      'fetch.max.bytes': 16 << 20,
      // A dead letter may be as large as a request to a broker; a client that cannot take one answer stands still for ever.
      'receive.message.max.bytes': 256 << 20,
      'allow.auto.create.topics': false,
      rebalance_cb: onRebalance as never,
    } as never);
    opened.on('partition.eof', (eof: TopicPartitionOffset) => ends.set(keyOf(eof), eof.offset));
    opened.on('event.error', (raised) => {
      const error = asError(raised);
      if (error.code === kafkaErrorCodes.allBrokersDown || error.code === kafkaErrorCodes.transport) up = false;
      if (error.code === kafkaErrorCodes.fatal || error.isFatal === true) {
        failure = new FatalError(`The Kafka client is dead: ${error.message}`, { cause: error });
      }
    });
    try {
      await connect(opened, requestTimeoutMs);
    } catch (error) {
      await disconnect(opened, 1000);
      throw error;
    }
    consumer = opened;
  };

  /** The topics' identifiers; undefined while one of them is missing. */
  const describe = async (): Promise<readonly SourceTopic[] | undefined> => {
    // A client of its own: made from the consumer, it would wait for ever for answers that the consumer's queue swallows.
    admin ??= kafka.AdminClient.create(
      { 'bootstrap.servers': options.brokers, 'client.id': options.clientId, 'reconnect.backoff.max.ms': 1000, log_level: 3 },
      { error: () => undefined },
    );
    const asked = admin;
    const descriptions = await call<TopicDescription[]>((done) =>
      asked.describeTopics([...topics], { timeout: requestTimeoutMs }, done),
    );
    const found: SourceTopic[] = [];
    for (const name of topics) {
      const description = descriptions.find((candidate) => candidate.name === name);
      if (description === undefined || description.error?.code === kafkaErrorCodes.unknownTopicOrPartition) return undefined;
      if (description.error !== undefined && description.error.code !== 0) throw asError(description.error);
      found.push({ name, id: identifierOf(description.topicId) });
    }
    return found;
  };

  return {
    async start(signal) {
      let told = '';
      for (;;) {
        try {
          if (consumer === undefined) await open();
          up = true;
          if ((await describe()) !== undefined) {
            client().subscribe([...topics]);
            return;
          }
          if (told !== 'topics') log.warn({ topics }, 'Waiting for the topics to be created');
          told = 'topics';
        } catch (error) {
          up = false;
          if (told !== 'kafka') log.warn({ error: String(error) }, 'Kafka does not answer: waiting');
          told = 'kafka';
        }
        if (signal.aborted) return;
        await sleep(retryDelayMs);
      }
    },

    async sources() {
      const found = await describe().catch((error: unknown) => {
        up = false;
        throw new OutageError('kafka', 'Kafka does not describe the topics.', { cause: error });
      });
      if (found === undefined) throw new OutageError('kafka', `One of the topics ${topics.join(', ')} is missing.`);
      return found;
    },

    async poll({ recordsMax, waitMs }) {
      if (failure !== undefined) throw failure;
      try {
        const batches = await consume(client(), recordsMax, waitMs);
        if (batches.length > 0) up = true;
        return batches;
      } catch (thrown) {
        const error = asError(thrown);
        if (error.code === kafkaErrorCodes.fatal || error.isFatal === true) {
          throw new FatalError(`The Kafka client is dead: ${error.message}`, { cause: error });
        }
        // Everything else is the network's or the broker's, and passes; the client reconnects by itself.
        log.debug({ error: error.message, code: error.code }, 'Nothing could be read from Kafka');
        await sleep(errorPauseMs);
        return [];
      }
    },

    assignment: () => assigned,

    flow(places) {
      ends.clear();
      client().assign(places.map(({ topic, partition, offset }) => ({ topic, partition, offset })));
    },

    endReached: (place) => ends.get(keyOf(place)) ?? null,

    async watermarks({ topic, partition }) {
      try {
        const offsets = await call<{ lowOffset: number; highOffset: number }>((done) =>
          client().queryWatermarkOffsets(topic, partition, requestTimeoutMs, done),
        );
        up = true;
        return { low: offsets.lowOffset, high: offsets.highOffset };
      } catch (error) {
        up = false;
        throw new OutageError('kafka', `Kafka does not tell the ends of ${topic}-${partition}.`, { cause: error });
      }
    },

    commit(places) {
      if (places.length === 0) return;
      try {
        client().commit(places.map(({ topic, partition, offset }) => ({ topic, partition, offset })));
      } catch (error) {
        log.debug({ error: String(error) }, 'The offsets for the lag were not taken');
      }
    },

    reachable: () => up,

    async stop() {
      stopping = true;
      admin?.disconnect();
      if (consumer !== undefined) await disconnect(consumer);
    },
  };
}

/** In hexadecimal; '' for the identifier zero, which an old broker gives. (The text form has two names in the package.) */
function identifierOf(id: TopicDescription['topicId']): string {
  const whole = (BigInt.asUintN(64, id.mostSignificantBits) << 64n) | BigInt.asUintN(64, id.leastSignificantBits);
  return whole === 0n ? '' : whole.toString(16).padStart(32, '0');
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic} ${partition}`;
}
