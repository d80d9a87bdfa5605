/**
 * Producers for those who are not the fleet: commands, the demo, generators. One publishes record by record and knows
 * what was acknowledged where, one publishes sets of records as a whole or not at all.
 *
 * Records without a partition go where Java's default partitioner would put them (contract section 1, "Ownership").
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { OutageError } from '../../errors.ts';
import type { RecordHeader } from '../../codec/record-batch.ts';
import { asError, call, clientHeaders, connect, createProducer, disconnect, kafkaErrorCodes } from './client.ts';
import type { Producer } from './client.ts';

const connectAttemptMs = 2000;
const retryDelayMs = 250;
const transactionTimeoutMs = 60_000;
/** The client compares the uncompressed size; the broker's topic decides what is too large. */
const messageBytesMax = 1_000_000_000;
const queueRecordsMax = 100_000;

export interface OutgoingRecord {
  readonly topic: string;
  /** Null: chosen by the key as Java's default partitioner does, any where the key is null. */
  readonly partition: number | null;
  readonly key: Uint8Array | string | null;
  readonly value: Uint8Array | string | null;
  readonly headers?: readonly RecordHeader[] | null;
  /** Milliseconds since the epoch; left out: now. */
  readonly timestamp?: number;
}

export interface Acknowledgement {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export interface PublisherOptions {
  readonly brokers: string;
  readonly clientId: string;
  /** How long to wait for Kafka at the start, and for each acknowledgement. */
  readonly waitMs: number;
  /** Told once when Kafka does not answer at first. */
  readonly onWait: () => void;
}

export interface Publisher {
  /**
   * Resolves when every in-sync replica has the record; throws `OutageError` when it is not acknowledged in time, or
   * refused. Waits while too many are under way. Idempotent: never doubled by the client.
   */
  publish(record: OutgoingRecord): Promise<Acknowledgement>;
  close(): Promise<void>;
}

export interface TransactionalPublisher {
  /**
   * All of them in one Kafka transaction, or none. Throws `OutageError` when it is not certain that they are there. Each is
   * taken only when there is room for it, and its bytes are copied then.
   */
  publishAll(records: Iterable<OutgoingRecord>): Promise<void>;
  close(): Promise<void>;
}

interface Pending {
  readonly resolve: (acknowledgement: Acknowledgement) => void;
  readonly reject: (error: Error) => void;
  readonly topic: string;
}

export async function connectPublisher(options: PublisherOptions): Promise<Publisher> {
  const producer = await connectWithin(options, () =>
    createProducer(options.brokers, options.clientId, {
      ...shared,
      dr_cb: true,
      'linger.ms': 5,
      ...acknowledgedWithin(options.waitMs),
    }),
  );
  let underWay = 0;
  producer.on('delivery-report', (error, report) => {
    underWay--;
    const pending = report.opaque as Pending;
    if (error as unknown) pending.reject(unacknowledged(pending.topic, error));
    else pending.resolve({ topic: report.topic, partition: report.partition, offset: report.offset });
  });
  producer.setPollInterval(10);

  return {
    async publish(record) {
      while (underWay >= queueRecordsMax) await sleep(5);
      underWay++;
      return await new Promise<Acknowledgement>((resolve, reject) => {
        const pending: Pending = { resolve, reject, topic: record.topic };
        produce(producer, record, pending).catch((error: unknown) => {
          underWay--;
          reject(unacknowledged(record.topic, error));
        });
      });
    },
    close: () => disconnect(producer),
  };
}

/**
 * `transactionalId` fences: whoever connects with it ends what an earlier holder has under way, and only the last one
 * can publish. So a command that reads first and publishes then connects first.
 */
export async function connectTransactionalPublisher(
  options: PublisherOptions & { readonly transactionalId: string },
): Promise<TransactionalPublisher> {
  const producer = await connectWithin(options, () =>
    createProducer(options.brokers, options.clientId, {
      ...shared,
      'transactional.id': options.transactionalId,
      'transaction.timeout.ms': transactionTimeoutMs,
    }),
  );
  producer.setPollInterval(10);
  try {
    await call<void>((done) => producer.initTransactions(options.waitMs, done));
  } catch (error) {
    await disconnect(producer);
    throw new OutageError('kafka', `Kafka's transaction coordinator does not answer: ${asError(error).message}.`, {
      cause: error,
    });
  }

  return {
    async publishAll(records) {
      try {
        await call<void>((done) => producer.beginTransaction(done));
        for (const record of records) await produce(producer, record, undefined);
        await call<void>((done) => producer.commitTransaction(transactionTimeoutMs, done));
      } catch (error) {
        const abortFailure = await call<void>((done) => producer.abortTransaction(5000, done)).then(
          () => undefined,
          (failure: unknown) => failure,
        );
        const outcome = abortFailure === undefined ? 'nothing of it was published' : 'look whether it was published';
        throw new OutageError(
          'kafka',
          `The Kafka transaction did not commit: ${asError(error).message}; ${outcome}.`,
          { cause: error },
        );
      }
    },
    close: () => disconnect(producer),
  };
}

const shared = {
  partitioner: 'murmur2_random',
  'message.max.bytes': messageBytesMax,
  'queue.buffering.max.messages': queueRecordsMax * 2,
  'queue.buffering.max.kbytes': 256 << 10,
} as const;

/** A topic's setting, which the client takes among the producer's; its types do not know that. */
function acknowledgedWithin(waitMs: number): Record<string, number> {
  return { 'message.timeout.ms': waitMs };
}

async function connectWithin(options: PublisherOptions, create: () => Producer): Promise<Producer> {
  const deadline = performance.now() + options.waitMs;
  for (let attempt = 0; ; attempt++) {
    const producer = create();
    try {
      await connect(producer, connectAttemptMs);
      return producer;
    } catch (error) {
      await disconnect(producer, 1000);
      if (performance.now() > deadline) {
        throw new OutageError(
          'kafka',
          `Kafka at ${options.brokers} did not answer within ${options.waitMs / 1000} s: ${asError(error).message}.`,
          { cause: error },
        );
      }
      if (attempt === 0) options.onWait();
      await sleep(retryDelayMs);
    }
  }
}

async function produce(producer: Producer, record: OutgoingRecord, opaque: unknown): Promise<void> {
  for (;;) {
    try {
      producer.produce(
        record.topic,
        record.partition ?? -1,
        bytesOf(record.value),
        bytesOf(record.key),
        record.timestamp,
        opaque,
        record.headers == null ? undefined : clientHeaders(record.headers.map(withValue)),
      );
      return;
    } catch (error) {
      if (asError(error).code !== kafkaErrorCodes.queueFull) throw error;
      await sleep(5);
    }
  }
}

/** The client drops a header whose value is null; an empty one is the nearest that it sends. */
function withValue({ key, value }: RecordHeader): RecordHeader {
  return { key, value: value ?? Buffer.alloc(0) };
}

function bytesOf(data: Uint8Array | string | null): Buffer | null {
  if (data === null) return null;
  return typeof data === 'string' ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

function unacknowledged(topic: string, error: unknown): OutageError {
  return new OutageError('kafka', `Kafka did not take a record for ${topic}: ${asError(error).message}.`, { cause: error });
}
