/**
 * Publishes PaymentEvents as any upstream system would: by the contract alone, with the schema that is registered.
 */
import { connectPublisher } from '../adapters/kafka/publisher.ts';
import type { Acknowledgement } from '../adapters/kafka/publisher.ts';
import type { SendTracing } from '../adapters/opentelemetry/sending.ts';
import { registeredEventSchema } from '../adapters/registry/event-schema.ts';
import { createPaymentEventEncoder } from '../codec/payment-event.ts';
import type { PaymentEvent } from '../codec/payment-event.ts';
import type { Config } from '../config.ts';
import { topicNames } from '../domain/topics.ts';
import { tellerOf } from '../exports.ts';
import { commandLog, tell } from './console.ts';
import { publisherOptions, requireTopics } from './kafka-session.ts';

const registryWaitMs = 60_000;

export interface EventPublisher {
  /** The value that `publish` would send. */
  encode(event: PaymentEvent): Buffer;
  /** Resolves once Kafka has acknowledged it. `key`: the debited participant where it is known. */
  publish(event: PaymentEvent, key: string | null): Promise<Acknowledgement>;
  /** Any bytes, to any partition (null: by the key). */
  publishRaw(record: { readonly key: Uint8Array | string | null; readonly value: Uint8Array | null; readonly partition: number | null }): Promise<Acknowledgement>;
  close(): Promise<void>;
}

export async function connectEventPublisher(config: Config, clientId: string): Promise<EventPublisher> {
  const topic = topicNames(config.topicPrefix).inbound;
  await requireTopics(config, clientId, [topic]);
  const schema = await registeredEventSchema({
    url: config.schemaRegistryUrl,
    subject: `${topic}-value`,
    waitMs: registryWaitMs,
    onWait: (url) => tell(`The registry at ${url} does not answer yet: waiting up to ${registryWaitMs / 1000} s.`),
  });
  const encode = createPaymentEventEncoder(JSON.parse(schema.text), schema.id);
  const publisher = await connectPublisher(publisherOptions(config, clientId));
  const tracing = await startTracing(config, clientId, topic);
  return {
    encode,
    async publish(event, key) {
      const value = encode(event);
      if (tracing === null) return publisher.publish({ topic, partition: null, key, value });
      const sending = tracing.begin(event.eventId, value.length);
      try {
        const place = await publisher.publish({ topic, partition: null, key, value, headers: sending.headers });
        sending.acknowledged(place);
        return place;
      } catch (error) {
        sending.failed(error instanceof Error ? error : new Error(String(error)));
        throw error;
      }
    },
    publishRaw: (record) => publisher.publish({ topic, ...record }),
    async close() {
      await publisher.close();
      await tracing?.close();
    },
  };
}

/** Null where the settings want no traces; nothing of it is loaded then. */
async function startTracing(config: Config, clientId: string, topic: string): Promise<SendTracing | null> {
  const { traces } = config.telemetry;
  if (traces === null) return null;
  const { createSendTracing } = await import('../adapters/opentelemetry/sending.ts');
  return createSendTracing({ settings: traces, teller: tellerOf(clientId, config), topic, log: commandLog });
}
