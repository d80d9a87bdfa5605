/**
 * The raw client of @confluentinc/kafka-javascript behind promises, and the settings that every client of ours shares.
 *
 * Only the raw API (librdkafka's own shape) is used: the KafkaJS-like layer makes a promise for each message and hides
 * what exactly-once needs to see.
 */
import kafka from '@confluentinc/kafka-javascript';
import type {
  Assignment,
  ConsumerGlobalConfig,
  KafkaConsumer,
  LibrdKafkaError,
  Message,
  Metadata,
  Producer,
  ProducerGlobalConfig,
  TopicPartitionOffset,
} from '@confluentinc/kafka-javascript';
import { packRecords } from '../../codec/record-batch.ts';
import type { LooseRecord, RecordBatch, RecordHeader } from '../../codec/record-batch.ts';
import type { RecordHeader as Header } from '../../codec/record-batch.ts';
import type { Timing } from '../../ports.ts';
import type { RecordSlab } from '../../codec/record-slab.ts';
import { systemTiming } from '../system/timing.ts';
import { bridgeSettings, closeBridge, isBridged, producePacked, takePacked } from './bridge/bridge.ts';

export type { KafkaConsumer, LibrdKafkaError, Message, Producer, TopicPartitionOffset };

/** librdkafka's own error codes that the adapters look at. Source: rdkafka.h, rd_kafka_resp_err_t. */
export const kafkaErrorCodes = {
  transport: -195,
  allBrokersDown: -187,
  timedOut: -185,
  revokePartitions: -174,
  assignPartitions: -175,
  fatal: -150,
  fenced: -144,
  queueFull: -184,
  unknownTopicOrPartition: 3,
  unknownPartition: -190,
} as const;

/** What the d.ts of the package leaves out, and what we use of it. */
interface ConsumerExtras {
  setDefaultIsTimeoutOnlyForFirstMessage(value: boolean): void;
  assignmentLost(): boolean;
}

/** Settings of every client: names in the broker's logs, and reconnects quick enough that an outage's end is noticed. */
function sharedSettings(brokers: string, clientId: string) {
  return {
    'bootstrap.servers': brokers,
    'client.id': clientId,
    'reconnect.backoff.ms': 50,
    'reconnect.backoff.max.ms': 1000,
    'socket.keepalive.enable': true,
    'broker.address.family': 'any' as const,
    // Our own logger tells of an outage once; librdkafka would tell of each attempt.
    log_level: 3,
  };
}

export function createConsumer(
  brokers: string,
  clientId: string,
  settings: ConsumerGlobalConfig,
  startOffset: 'earliest' | 'error' = 'earliest',
): KafkaConsumer & ConsumerExtras {
  const bridge = bridgeSettings();
  const consumer = new kafka.KafkaConsumer(
    { ...bridge.settings, ...sharedSettings(brokers, clientId), 'enable.auto.commit': false, ...settings },
    { 'auto.offset.reset': startOffset },
  ) as KafkaConsumer & ConsumerExtras;
  bridge.adopt(consumer);
  consumer.setDefaultIsTimeoutOnlyForFirstMessage(true);
  // Without a listener an 'event.error' would be thrown; outages are reported by those who wait for something.
  consumer.on('event.error', () => {});
  return consumer;
}

export function createProducer(brokers: string, clientId: string, settings: ProducerGlobalConfig): Producer {
  const bridge = bridgeSettings();
  const producer = new kafka.Producer({
    ...bridge.settings,
    ...sharedSettings(brokers, clientId),
    'enable.idempotence': true,
    'compression.type': 'lz4',
    ...settings,
  });
  bridge.adopt(producer);
  producer.on('event.error', () => {});
  return producer;
}

/** Where raw clients come from: librdkafka, or a cluster in memory (test/simulation). */
export interface KafkaClients {
  readonly createConsumer: typeof createConsumer;
  readonly createProducer: typeof createProducer;
}

export const librdkafkaClients: KafkaClients = { createConsumer, createProducer };

interface Connectable {
  connect(options: { timeout: number }, callback: (error: LibrdKafkaError | null, metadata: Metadata) => void): unknown;
  disconnect(callback: (error: unknown) => void): unknown;
}

/** Connects; throws when no broker answers within `timeoutMs`. The client is of no use after that. */
export function connect(client: KafkaConsumer | Producer, timeoutMs: number): Promise<Metadata> {
  return call((done) => (client as unknown as Connectable).connect({ timeout: timeoutMs }, done));
}

/** Closes a client; never throws, and gives up waiting after `timeoutMs`. */
export async function disconnect(client: KafkaConsumer | Producer, timeoutMs = 5000, timing: Timing = systemTiming): Promise<void> {
  const closed = new AbortController();
  const closing = closeBridge(client).then(() => new Promise<void>((resolve) => {
    const done = (): void => {
      closed.abort();
      resolve();
    };
    try {
      // The producer's own disconnect flushes first, which is not wanted of a dead one.
      const raw = client as unknown as { _disconnect?: Connectable['disconnect'] } & Connectable;
      if (raw._disconnect) raw._disconnect(done);
      else raw.disconnect(done);
    } catch {
      // Not connected: nothing to close.
      done();
    }
  }));
  await Promise.race([closing, timing.sleep(timeoutMs, closed.signal).catch(() => undefined)]);
}

/** Runs a call of the raw API that answers by callback. */
export function call<T>(
  start: (done: (error: LibrdKafkaError | null | undefined, value?: T) => void) => unknown,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    start((error, value) => {
      if (error) reject(asError(error));
      else resolve(value as T);
    });
  });
}

/** The raw API gives errors that are not always Errors. */
export function asError(error: unknown): Error & { readonly code?: number; readonly isFatal?: boolean; readonly isTxnRequiresAbort?: boolean; readonly isRetriable?: boolean } {
  if (error instanceof Error) return error;
  return Object.assign(new Error(String((error as { message?: string }).message ?? error)), error);
}

/**
 * Up to `recordsMax` records, one batch for each partition; waits at most `waitMs` for the first. By the packed bridge where
 * the client has it.
 */
export async function consume(consumer: KafkaConsumer, recordsMax: number, waitMs: number): Promise<RecordBatch[]> {
  if (isBridged(consumer)) return await takePacked(consumer, recordsMax, waitMs);
  consumer.setDefaultConsumeTimeout(waitMs);
  return packMessages(await call<Message[]>((done) => consumer.consume(recordsMax, done)));
}

/**
 * Hands the records of a slab over, from `first` on; resolves to how many are handed over now, fewer than all when the
 * client's queue is full. By the packed bridge where the client has it. Nothing may be appended to the slab meanwhile.
 */
export async function produce(producer: Producer, records: RecordSlab, first: number): Promise<number> {
  if (isBridged(producer)) return await producePacked(producer, records, first);
  for (let i = first; i < records.count; i++) {
    const headers = records.headers(i);
    try {
      producer.produce(
        records.topic(i),
        records.partition(i),
        records.value(i),
        records.key(i),
        undefined,
        undefined,
        headers === undefined ? undefined : clientHeaders(headers),
      );
    } catch (thrown) {
      if (asError(thrown).code !== kafkaErrorCodes.queueFull) throw thrown;
      return i;
    }
  }
  return records.count;
}

/** The number of partitions of a topic; 0 when there is no such topic. */
export async function countPartitions(client: KafkaConsumer | Producer, topic: string, timeoutMs: number): Promise<number> {
  const metadata = await call<Metadata>((done) => client.getMetadata({ topic, timeout: timeoutMs }, done));
  return metadata.topics.find((candidate) => candidate.name === topic)?.partitions.length ?? 0;
}

/** Packs what `consume` gave: one batch for each run of a partition, partitions in the order of their first record. */
function packMessages(messages: readonly Message[]): RecordBatch[] {
  const groups = new Map<string, { topic: string; partition: number; records: LooseRecord[] }>();
  let last: { topic: string; partition: number; records: LooseRecord[] } | undefined;
  for (const message of messages) {
    if (last === undefined || last.partition !== message.partition || last.topic !== message.topic) {
      const name = `${message.topic} ${message.partition}`;
      last = groups.get(name);
      if (last === undefined) {
        last = { topic: message.topic, partition: message.partition, records: [] };
        groups.set(name, last);
      }
    }
    last.records.push({
      key: bytesOf(message.key),
      value: message.value,
      offset: message.offset,
      timestamp: message.timestamp ?? 0,
      headers: message.headers === undefined ? null : message.headers.map(looseHeader),
    });
  }
  return Array.from(groups.values(), (group) => packRecords(group.topic, group.partition, group.records));
}

function bytesOf(key: Message['key']): Uint8Array | null {
  if (key === null || key === undefined) return null;
  return typeof key === 'string' ? Buffer.from(key) : key;
}

function looseHeader(header: Readonly<Record<string, unknown>>): RecordHeader {
  for (const [key, value] of Object.entries(header)) {
    return { key, value: typeof value === 'string' ? Buffer.from(value) : (value as Uint8Array | null) };
  }
  return { key: '', value: null };
}

/** Headers as the producer takes them. It drops those with a null value silently, so these become empty. */
export function clientHeaders(headers: readonly Header[]): Record<string, Buffer>[] {
  return headers.map(({ key, value }) => ({ [key]: value === null ? Buffer.alloc(0) : Buffer.from(value) }));
}

/** Partitions as the consumer takes them. */
export function toppars(topic: string, partitions: readonly number[]): Assignment[] {
  return partitions.map((partition) => ({ topic, partition }));
}
