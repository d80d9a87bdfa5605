/**
 * Publishes PaymentEvents as any upstream system would: by the contract alone, with the schema that is registered.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry';
import { connectPublisher } from '../adapters/kafka/publisher.ts';
import type { Acknowledgement } from '../adapters/kafka/publisher.ts';
import { registryAddress } from '../adapters/registry/client.ts';
import { createPaymentEventEncoder } from '../codec/payment-event.ts';
import type { PaymentEvent } from '../codec/payment-event.ts';
import { withoutSecrets } from '../config.ts';
import type { Config } from '../config.ts';
import { topicNames } from '../domain/topics.ts';
import { CommandError, OutageError } from '../errors.ts';
import { tell } from './console.ts';
import { publisherOptions, requireTopics } from './kafka-session.ts';

const schemaFile = new URL('../../schemas/payment-event.avsc', import.meta.url);
const registryWaitMs = 60_000;
const retryDelayMs = 250;

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
  const schemaText = await readFile(schemaFile, 'utf8');
  const encode = createPaymentEventEncoder(JSON.parse(schemaText), await registeredId(config, `${topic}-value`, schemaText));
  const publisher = await connectPublisher(publisherOptions(config, clientId));
  return {
    encode,
    publish: (event, key) => publisher.publish({ topic, partition: null, key, value: encode(event) }),
    publishRaw: (record) => publisher.publish({ topic, ...record }),
    close: () => publisher.close(),
  };
}

/** The id under which the subject has our schema. Waits for the registry for a minute, and says so. */
async function registeredId(config: Config, subject: string, schema: string): Promise<number> {
  const { url, credentials } = registryAddress(config.schemaRegistryUrl);
  const registry = new SchemaRegistry(
    { host: url, retry: { retries: 0 }, ...(credentials === null ? {} : { auth: credentials }) },
  );
  const deadline = performance.now() + registryWaitMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await registry.getRegistryIdBySchema(subject, { type: SchemaType.AVRO, schema });
    } catch (error) {
      const { status, message } = error as { status?: number; message?: string };
      if (status === 404 || (error as Error).name === 'ConfluentSchemaRegistryError') {
        throw new CommandError(
          `The registry at ${withoutSecrets(url)} does not have our schema under ${subject}: run "settlefleet schemas register".`,
        );
      }
      if (performance.now() > deadline) {
        throw new OutageError('registry', `The registry at ${withoutSecrets(url)} did not answer within ${registryWaitMs / 1000} s: ${message}.`);
      }
      if (attempt === 0) tell(`The registry at ${withoutSecrets(url)} does not answer yet: waiting up to ${registryWaitMs / 1000} s.`);
      await sleep(retryDelayMs);
    }
  }
}
