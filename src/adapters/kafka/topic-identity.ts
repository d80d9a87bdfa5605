/**
 * What tells a topic from another one of the same name: the id that the cluster gave it. Claims in Redis belong to a results
 * topic; when topics are made anew and Redis is kept, what it remembers is about payments that nobody knows any more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import kafka from '@confluentinc/kafka-javascript';
import type { Log } from '../../ports.ts';
import { asError, call, connect, createConsumer, disconnect } from './client.ts';

const requestTimeoutMs = 5000;
const retryDelayMs = 250;

/** Waits for Kafka and for the topic, until `signal` is aborted. */
export async function readTopicId(options: {
  readonly brokers: string;
  readonly clientId: string;
  readonly topic: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}): Promise<string> {
  const { brokers, clientId, topic, log, signal } = options;
  let told = false;
  for (;;) {
    signal.throwIfAborted();
    const consumer = createConsumer(brokers, `${clientId}-identity`, { 'group.id': `${clientId}-identity` });
    try {
      await connect(consumer, requestTimeoutMs);
      const admin = kafka.AdminClient.createFrom(consumer);
      const [description] = await call<{ readonly topicId?: { readonly base64?: string }; readonly error?: unknown }[]>((done) =>
        admin.describeTopics([topic], { timeout: requestTimeoutMs }, done as never),
      );
      // The package's types call it base64str; what it gives is base64 (1.10.1, src/common.cc).
      const id = description?.topicId?.base64;
      if (id === undefined || id === '' || description?.error) throw new Error(`topic ${topic} does not exist (settlefleet topics apply)`);
      return id;
    } catch (error) {
      if (!told) log.warn({ reason: asError(error).message }, `Waiting for Kafka to describe ${topic}`);
      told = true;
    } finally {
      await disconnect(consumer, 1000);
    }
    await sleep(retryDelayMs, undefined, { signal });
  }
}
