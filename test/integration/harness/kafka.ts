/** Kafka as anybody may use it: a producer that puts records where it is told, and a follower of committed records. */
import kafka from '@confluentinc/kafka-javascript';
import type { KafkaConsumer, LibrdKafkaError, Message, Producer, ProducerGlobalConfig } from '@confluentinc/kafka-javascript';

type Done<T> = (error: LibrdKafkaError | null | undefined, value: T) => void;

export function call<T>(start: (done: Done<T>) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => {
      if (error) reject(error instanceof Error ? error : new Error(String((error as { message?: unknown }).message ?? error)));
      else resolve(value);
    });
  });
}

export interface Header {
  readonly key: string;
  readonly value: Uint8Array | null;
}

export interface Outgoing {
  readonly topic: string;
  /** Null: the client's partitioner decides. */
  readonly partition: number | null;
  readonly key: Uint8Array | string | null;
  readonly value: Uint8Array | null;
  readonly headers?: readonly Header[];
  readonly timestamp?: number;
}

export interface Placed {
  readonly partition: number;
  readonly offset: number;
}

/** A producer of upstream's. `partitioner` is librdkafka's name for it; its own default is CRC32 (`consistent_random`). */
export class UpstreamProducer {
  readonly #producer: Producer;
  readonly #waiting = new Map<number, { resolve: (placed: Placed) => void; reject: (error: Error) => void }>();
  #next = 0;

  private constructor(producer: Producer) {
    this.#producer = producer;
  }

  static async connect(brokers: string, settings: ProducerGlobalConfig = {}, topicSettings: Record<string, unknown> = {}): Promise<UpstreamProducer> {
    const producer = new kafka.Producer({
      'bootstrap.servers': brokers,
      'client.id': 'integration-upstream',
      'enable.idempotence': true,
      'linger.ms': 2,
      'message.max.bytes': 100_000_000,
      'queue.buffering.max.messages': 2_000_000,
      'queue.buffering.max.kbytes': 1_000_000,
      'reconnect.backoff.max.ms': 500,
      log_level: 0,
      dr_cb: true,
      ...settings,
    }, topicSettings);
    producer.on('event.error', () => undefined);
    const upstream = new UpstreamProducer(producer);
    producer.on('delivery-report', (error, report) => {
      const opaque = report.opaque as number;
      const waiting = upstream.#waiting.get(opaque);
      upstream.#waiting.delete(opaque);
      if (error) waiting?.reject(new Error(`not delivered: ${error.message}`));
      else waiting?.resolve({ partition: report.partition, offset: report.offset });
    });
    await call((done) => producer.connect({ timeout: 20_000 }, done as never));
    producer.setPollInterval(20);
    if (settings['transactional.id'] !== undefined) await call((done) => producer.initTransactions(20_000, done as never));
    return upstream;
  }

  /** Resolves when the broker has it. */
  produce(record: Outgoing): Promise<Placed> {
    const opaque = this.#next++;
    const placed = new Promise<Placed>((resolve, reject) => this.#waiting.set(opaque, { resolve, reject }));
    const value = record.value === null ? null : Buffer.from(record.value);
    const key = record.key === null ? null : Buffer.from(record.key);
    const headers = record.headers?.map(({ key: name, value: bytes }) => ({ [name]: bytes === null ? null : Buffer.from(bytes) }));
    this.#producer.produce(record.topic, record.partition, value, key, record.timestamp ?? null, opaque, headers as never);
    return placed;
  }

  async begin(): Promise<void> {
    await call((done) => this.#producer.beginTransaction(done as never));
  }

  async commit(): Promise<void> {
    await call((done) => this.#producer.commitTransaction(20_000, done as never));
  }

  async abort(): Promise<void> {
    await call((done) => this.#producer.abortTransaction(20_000, done as never));
  }

  async close(): Promise<void> {
    await Promise.race([
      call((done) => this.#producer.disconnect(2_000, done as never)).catch(() => undefined),
      new Promise((resolve) => setTimeout(resolve, 4_000).unref()),
    ]);
  }
}

export interface Received {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly Header[];
}

function received(message: Message): Received {
  const { key, value } = message;
  return {
    topic: message.topic,
    partition: message.partition,
    offset: message.offset,
    timestamp: message.timestamp ?? -1,
    key: key === null || key === undefined ? null : Buffer.from(key as Buffer),
    value: value ?? null,
    headers: (message.headers ?? []).flatMap((header) =>
      Object.entries(header as Record<string, Buffer | string | null>).map(([name, bytes]) => ({
        key: name,
        value: bytes === null ? null : Buffer.from(bytes as Buffer),
      }))),
  };
}

function newConsumer(brokers: string, group: string, settings: Record<string, unknown>): KafkaConsumer {
  const consumer = new kafka.KafkaConsumer({
    'bootstrap.servers': brokers,
    'client.id': 'integration-reader',
    'group.id': group,
    'enable.auto.commit': false,
    'isolation.level': 'read_committed',
    'fetch.wait.max.ms': 20,
    'reconnect.backoff.max.ms': 500,
    log_level: 0,
    ...settings,
  } as never, { 'auto.offset.reset': 'earliest' });
  consumer.on('event.error', () => undefined);
  (consumer as unknown as { setDefaultIsTimeoutOnlyForFirstMessage(value: boolean): void }).setDefaultIsTimeoutOnlyForFirstMessage(true);
  return consumer;
}

/** Follows whole topics from their beginning and hands over each committed record, in the order of its partition. */
export class Follower {
  readonly #consumer: KafkaConsumer;
  readonly #take: (records: Received[]) => Promise<void> | void;
  /** The last offset of each partition: after an outage of a broker the client may begin anew. */
  readonly #last = new Map<string, number>();
  #running = true;
  #loop: Promise<void> = Promise.resolve();
  failure: unknown;

  private constructor(consumer: KafkaConsumer, take: (records: Received[]) => Promise<void> | void) {
    this.#consumer = consumer;
    this.#take = take;
  }

  static async start(options: {
    brokers: string;
    topics: readonly string[];
    take: (records: Received[]) => Promise<void> | void;
  }): Promise<Follower> {
    const consumer = newConsumer(options.brokers, 'integration-follower', {});
    await call((done) => consumer.connect({ timeout: 20_000 }, done as never));
    const assignment: { topic: string; partition: number; offset: number }[] = [];
    for (const topic of options.topics) {
      const count = await partitionCount(consumer, topic);
      for (let partition = 0; partition < count; partition++) assignment.push({ topic, partition, offset: -2 });
    }
    consumer.assign(assignment);
    const follower = new Follower(consumer, options.take);
    follower.#loop = follower.#run();
    return follower;
  }

  async #run(): Promise<void> {
    this.#consumer.setDefaultConsumeTimeout(50);
    while (this.#running) {
      try {
        const messages = await call<Message[]>((done) => this.#consumer.consume(2_000, done as never));
        const fresh = messages.filter((message) => this.#isFresh(message));
        if (fresh.length > 0) await this.#take(fresh.map(received));
      } catch (error) {
        // An outage of Kafka is part of some tests: what is remembered is the last error only.
        this.failure = error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  #isFresh({ topic, partition, offset }: Message): boolean {
    const place = `${topic} ${partition}`;
    if (offset <= (this.#last.get(place) ?? -1)) return false;
    this.#last.set(place, offset);
    return true;
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#loop;
    await Promise.race([
      call((done) => this.#consumer.disconnect(done as never)).catch(() => undefined),
      new Promise((resolve) => setTimeout(resolve, 4_000).unref()),
    ]);
  }
}

async function partitionCount(client: KafkaConsumer | Producer, topic: string): Promise<number> {
  const metadata = await call<{ topics: { name: string; partitions: unknown[] }[] }>((done) => client.getMetadata({ topic, timeout: 10_000 }, done as never));
  const count = metadata.topics.find(({ name }) => name === topic)?.partitions.length ?? 0;
  if (count === 0) throw new Error(`there is no topic ${topic}`);
  return count;
}

/** End offsets and committed offsets, as Kafka itself tells them. */
export class OffsetReader {
  readonly #consumer: KafkaConsumer;

  private constructor(consumer: KafkaConsumer) {
    this.#consumer = consumer;
  }

  static async connect(brokers: string, group: string): Promise<OffsetReader> {
    // read_uncommitted, so that the end is the high watermark.
    const consumer = newConsumer(brokers, group, { 'isolation.level': 'read_uncommitted' });
    await call((done) => consumer.connect({ timeout: 20_000 }, done as never));
    return new OffsetReader(consumer);
  }

  partitions(topic: string): Promise<number> {
    return partitionCount(this.#consumer, topic);
  }

  /** The node that leads a partition; -1 where there is none for the moment. */
  async leader(topic: string, partition: number): Promise<number> {
    const metadata = await call<{ topics: { name: string; partitions: { id: number; leader: number }[] }[] }>((done) => this.#consumer.getMetadata({ topic, timeout: 10_000 }, done as never));
    return metadata.topics.find(({ name }) => name === topic)?.partitions.find(({ id }) => id === partition)?.leader ?? -1;
  }

  async end(topic: string, partition: number): Promise<number> {
    const { highOffset } = await call<{ highOffset: number }>((done) => this.#consumer.queryWatermarkOffsets(topic, partition, 10_000, done as never));
    return highOffset;
  }

  /** Null where nothing was committed. */
  async committed(topic: string, partition: number): Promise<number | null> {
    const [answer] = await call<{ offset?: number }[]>((done) => this.#consumer.committed([{ topic, partition }], 10_000, done as never));
    return answer?.offset === undefined || answer.offset < 0 ? null : answer.offset;
  }

  async lag(topic: string): Promise<number> {
    let lag = 0;
    const count = await this.partitions(topic);
    for (let partition = 0; partition < count; partition++) {
      lag += (await this.end(topic, partition)) - ((await this.committed(topic, partition)) ?? 0);
    }
    return lag;
  }

  async close(): Promise<void> {
    await Promise.race([
      call((done) => this.#consumer.disconnect(done as never)).catch(() => undefined),
      new Promise((resolve) => setTimeout(resolve, 4_000).unref()),
    ]);
  }
}

/** Reads whole topics once, to where they ended when the call began, `read_committed`. */
export async function readTopics(brokers: string, topics: readonly string[]): Promise<Received[]> {
  const consumer = newConsumer(brokers, 'integration-reader', { 'enable.partition.eof': true });
  await call((done) => consumer.connect({ timeout: 20_000 }, done as never));
  try {
    const open = new Set<string>();
    const assignment: { topic: string; partition: number; offset: number }[] = [];
    for (const topic of topics) {
      const count = await partitionCount(consumer, topic);
      for (let partition = 0; partition < count; partition++) {
        assignment.push({ topic, partition, offset: -2 });
        open.add(`${topic} ${partition}`);
      }
    }
    consumer.on('partition.eof', ({ topic, partition }) => open.delete(`${topic} ${partition}`));
    consumer.assign(assignment);
    consumer.setDefaultConsumeTimeout(50);
    const records: Received[] = [];
    const deadline = performance.now() + 60_000;
    while (open.size > 0) {
      if (performance.now() > deadline) throw new Error(`not read to the end within 60 s: ${[...open].join(', ')}`);
      const messages = await call<Message[]>((done) => consumer.consume(2_000, done as never));
      for (const message of messages) records.push(received(message));
    }
    return records;
  } finally {
    await Promise.race([
      call((done) => consumer.disconnect(done as never)).catch(() => undefined),
      new Promise((resolve) => setTimeout(resolve, 4_000).unref()),
    ]);
  }
}
