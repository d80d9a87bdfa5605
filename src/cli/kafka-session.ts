/**
 * What commands that read and write topics begin with: Kafka must answer within a minute, and the topics must be there.
 */
import { CommandError } from '../errors.ts';
import { connectTopicAdmin } from '../adapters/kafka/admin.ts';
import type { ExistingTopic } from '../adapters/kafka/admin.ts';
import type { PublisherOptions } from '../adapters/kafka/publisher.ts';
import { createTopicReader } from '../adapters/kafka/topic-reader.ts';
import type { KafkaTopicReader } from '../adapters/kafka/topic-reader.ts';
import type { Config } from '../config.ts';
import { commandLog, tell } from './console.ts';

export const kafkaWaitMs = 60_000;

/** How a command connects: it waits for Kafka for a minute, and says so once. */
export function publisherOptions(config: Config, clientId: string): PublisherOptions {
  return {
    brokers: config.kafkaBrokers,
    clientId: `settlefleet-${clientId}`,
    waitMs: kafkaWaitMs,
    onWait: () => tell(`Kafka at ${config.kafkaBrokers} does not answer yet: waiting up to ${kafkaWaitMs / 1000} s.`),
  };
}

export function topicReader(config: Config, clientId: string): KafkaTopicReader {
  return createTopicReader({ brokers: config.kafkaBrokers, clientId: `settlefleet-${clientId}`, log: commandLog });
}

/** The topics of these names, in their order. Throws `CommandError` when one is missing. */
export async function requireTopics(config: Config, clientId: string, names: readonly string[]): Promise<ExistingTopic[]> {
  const admin = await connectTopicAdmin(publisherOptions(config, clientId));
  try {
    const present = await admin.describe(names);
    return names.map((name) => {
      const topic = present.get(name);
      if (topic !== undefined) return topic;
      throw new CommandError(`There is no topic ${name} at ${config.kafkaBrokers}: make it with "settlefleet topics apply".`);
    });
  } finally {
    admin.close();
  }
}
