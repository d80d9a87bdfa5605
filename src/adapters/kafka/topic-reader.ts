/**
 * Reads what the fleet wrote, to its end: the changelog on assignment, the results when a window is rebuilt, the
 * directory, dead letters.
 *
 * Two consumers, because librdkafka asks for offsets with its own isolation level: records are read `read_committed`, but
 * the end must be the high watermark that a `read_uncommitted` client sees. In read_committed the end is where the oldest
 * open transaction begins, and reading only that far would miss what is being committed at this moment.
 */
import type { RecordBatch } from '../../codec/record-batch.ts';
import type { Log, Timing, TopicReader } from '../../ports.ts';
import { systemTiming } from '../system/timing.ts';
import { asError, call, connect, consume, disconnect, librdkafkaClients } from './client.ts';
import type { KafkaClients, KafkaConsumer } from './client.ts';

const recordsMax = 2000;
/**
 * How long the client waits for a first record. The end of a partition is not one: it is heard only when the wait is over, and a
 * lane that is restored reads two ends, one after another and after those of the other lanes.
 */
const waitMs = 10;
const requestTimeoutMs = 5000;
const retryDelayMs = 250;

export interface KafkaTopicReader extends TopicReader {
  close(): Promise<void>;
}

export function createTopicReader(options: {
  readonly brokers: string;
  readonly clientId: string;
  readonly log: Log;
  /** Told whenever it is found out whether Kafka answers. */
  readonly onReachable?: (reachable: boolean) => void;
  readonly timing?: Timing;
  readonly clients?: KafkaClients;
}): KafkaTopicReader {
  const { brokers, clientId, log, timing = systemTiming, clients = librdkafkaClients } = options;
  let committed: Promise<KafkaConsumer> | undefined;
  let uncommitted: Promise<KafkaConsumer> | undefined;
  let closed = false;
  let told = false;
  // One read at a time: the consumer has one assignment.
  let turn: Promise<unknown> = Promise.resolve();

  const open = async (isolation: 'read_committed' | 'read_uncommitted'): Promise<KafkaConsumer> => {
    const consumer = clients.createConsumer(brokers, `${clientId}-reader`, {
      // A group is demanded by the client, and never joined nor committed to.
      'group.id': `${clientId}-reader`,
      'isolation.level': isolation,
      'enable.partition.eof': true,
      // The broker holds the fetch that finds the end for so long.
      'fetch.wait.max.ms': 10,
      'fetch.message.max.bytes': 4 << 20,
      'queued.max.messages.kbytes': 32 << 10,
    });
    try {
      await connect(consumer, requestTimeoutMs);
    } catch (error) {
      await disconnect(consumer, 1000, timing);
      throw error;
    }
    return consumer;
  };

  const readers = async (): Promise<{ committed: KafkaConsumer; uncommitted: KafkaConsumer }> => {
    // Lanes ask side by side: the one that comes first opens, the others wait for it.
    committed ??= open('read_committed').catch((error: unknown) => {
      committed = undefined;
      throw error;
    });
    uncommitted ??= open('read_uncommitted').catch((error: unknown) => {
      uncommitted = undefined;
      throw error;
    });
    const [forRecords, forOffsets] = await Promise.all([committed, uncommitted]);
    return { committed: forRecords, uncommitted: forOffsets };
  };

  /** Waits an outage out: tries until it works or the reader is closed. */
  const untilItWorks = async <T>(what: string, attempt: () => Promise<T>): Promise<T> => {
    for (;;) {
      if (closed) throw new Error(`The topic reader was closed while it wanted to ${what}.`);
      try {
        const value = await attempt();
        told = false;
        options.onReachable?.(true);
        return value;
      } catch (error) {
        if (closed) throw error;
        options.onReachable?.(false);
        if (!told) log.warn({ error: String(error) }, `Kafka does not answer: waiting to ${what}`);
        told = true;
        await timing.sleep(retryDelayMs);
      }
    }
  };

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = turn.then(work);
    turn = result.catch(() => undefined);
    return result;
  };

  const highWatermarks = async (topic: string, partition: number): Promise<{ low: number; high: number }> => {
    const { uncommitted: client } = await readers();
    const offsets = await call<{ lowOffset: number; highOffset: number }>((done) =>
      client.queryWatermarkOffsets(topic, partition, requestTimeoutMs, done),
    );
    return { low: offsets.lowOffset, high: offsets.highOffset };
  };

  const readFrom = async (
    place: { topic: string; partition: number },
    start: number,
    end: number,
    onBatch: (batch: RecordBatch) => void | Promise<void>,
  ): Promise<number> => {
    const { committed: consumer } = await readers();
    let position = start;
    const noteEnd = (eof: { topic: string; partition: number; offset: number }): void => {
      if (eof.topic === place.topic && eof.partition === place.partition) position = Math.max(position, eof.offset);
    };
    consumer.on('partition.eof', noteEnd);
    try {
      consumer.assign([{ topic: place.topic, partition: place.partition, offset: start }]);
      while (position < end && !closed) {
        for (const batch of await consume(consumer, recordsMax, waitMs)) {
          if (batch.topic !== place.topic || batch.partition !== place.partition) continue;
          await onBatch(batch);
          position = Math.max(position, batch.offsets[batch.count - 1]! + 1);
        }
      }
      return position;
    } finally {
      consumer.removeListener('partition.eof', noteEnd);
      consumer.unassign();
    }
  };

  return {
    readToEnd: (place, onBatch) =>
      inTurn(async () => {
        const marks = await untilItWorks(`find the end of ${place.topic}-${place.partition}`, () =>
          highWatermarks(place.topic, place.partition),
        );
        let from = Math.max(place.from ?? marks.low, marks.low);
        const upTo = Math.min(marks.high, place.before ?? marks.high);
        if (from >= upTo) return from;
        // What was given is not given again when a read is tried anew.
        const remember = async (batch: RecordBatch): Promise<void> => {
          await onBatch(batch);
          from = batch.offsets[batch.count - 1]! + 1;
        };
        // The caller's own error is no outage: it is not tried again.
        let failure: { readonly cause: unknown } | undefined;
        const end = await untilItWorks(`read ${place.topic}-${place.partition}`, async () => {
          try {
            return await readFrom(place, from, upTo, async (batch) => {
              await remember(batch).catch((cause: unknown) => {
                failure = { cause };
                throw cause;
              });
            });
          } catch (error) {
            if (failure === undefined) throw error;
            return -1;
          }
        });
        if (failure !== undefined) throw asError(failure.cause);
        return end;
      }),

    offsetAt: (topic, partition, timestampMs) =>
      untilItWorks(`look up a time in ${topic}-${partition}`, async () => {
        const { uncommitted: client } = await readers();
        const [found] = await call<{ offset: number }[]>((done) =>
          client.offsetsForTimes([{ topic, partition, offset: timestampMs }] as never, requestTimeoutMs, done as never),
        );
        if (found !== undefined && found.offset >= 0) return found.offset;
        return (await highWatermarks(topic, partition)).high;
      }),

    watermarks: (topic, partition) =>
      untilItWorks(`find the ends of ${topic}-${partition}`, () => highWatermarks(topic, partition)),

    async close() {
      closed = true;
      await turn;
      for (const opening of [committed, uncommitted]) {
        const consumer = await opening?.catch(() => undefined);
        if (consumer !== undefined) await disconnect(consumer, 5000, timing);
      }
    },
  };
}
