/**
 * Makes and looks at topics. The package's admin client can create and describe; what it cannot, reading and changing
 * the settings of a topic that exists, `topic-settings.ts` asks of the broker itself.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import kafka from '@confluentinc/kafka-javascript';
import type { IAdminClient } from '@confluentinc/kafka-javascript';
import { CommandError, OutageError } from '../../errors.ts';
import { asError, call } from './client.ts';

const requestTimeoutMs = 5000;
const retryDelayMs = 250;
const topicAlreadyExists = 36;
const unknownTopic = 3;

/** A topic as it should be. */
export interface TopicPlan {
  readonly name: string;
  readonly partitions: number;
  /** Kafka's names and values of topic settings. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface ExistingTopic {
  readonly partitions: number;
  readonly replicationFactor: number;
}

export interface TopicAdmin {
  /** The topics of these names that exist. */
  describe(names: readonly string[]): Promise<ReadonlyMap<string, ExistingTopic>>;
  /** Resolves once the topic can be used. `replicationFactor` -1: the broker's default. */
  create(plan: TopicPlan, replicationFactor: number): Promise<'created' | 'existed'>;
  close(): void;
}

/**
 * Connects, waiting up to `waitMs` for Kafka; `onWait` is told once when it does not answer at first. Throws
 * `OutageError` when the time is over.
 */
export async function connectTopicAdmin(options: {
  readonly brokers: string;
  readonly clientId: string;
  readonly waitMs: number;
  readonly onWait: () => void;
}): Promise<TopicAdmin> {
  const client = kafka.AdminClient.create({
    'bootstrap.servers': options.brokers,
    'client.id': options.clientId,
    'reconnect.backoff.max.ms': 1000,
    log_level: 3,
  }, { error: () => undefined });
  const deadline = performance.now() + options.waitMs;
  for (let attempt = 0; ; attempt++) {
    try {
      await call<string[]>((done) => client.listTopics({ timeout: 2000 }, done));
      return topicAdmin(client);
    } catch (error) {
      if (performance.now() > deadline) {
        client.disconnect();
        throw new OutageError(
          'kafka',
          `Kafka at ${options.brokers} did not answer within ${options.waitMs / 1000} s: ${asError(error).message}.`,
        );
      }
      if (attempt === 0) options.onWait();
      await sleep(retryDelayMs);
    }
  }
}

function topicAdmin(client: IAdminClient): TopicAdmin {
  const describe = async (names: readonly string[]): Promise<Map<string, ExistingTopic>> => {
    const topics = await call<readonly { name: string; error?: { code: number; message: string }; partitions: readonly { replicas?: readonly unknown[] }[] }[]>(
      (done) => client.describeTopics([...names], { timeout: requestTimeoutMs }, done as never),
    );
    const found = new Map<string, ExistingTopic>();
    for (const topic of topics) {
      if (topic.error !== undefined && topic.error.code === unknownTopic) continue;
      if (topic.error !== undefined && topic.error.code !== 0) {
        throw new OutageError('kafka', `Kafka does not describe topic ${topic.name}: ${topic.error.message}.`);
      }
      found.set(topic.name, {
        partitions: topic.partitions.length,
        replicationFactor: topic.partitions[0]?.replicas?.length ?? 0,
      });
    }
    return found;
  };

  return {
    describe,
    async create(plan, replicationFactor) {
      try {
        await call<void>((done) =>
          client.createTopic(
            {
              topic: plan.name,
              num_partitions: plan.partitions,
              replication_factor: replicationFactor,
              config: plan.settings,
            },
            requestTimeoutMs,
            done,
          ),
        );
      } catch (error) {
        if (asError(error).code === topicAlreadyExists) return 'existed';
        throw new CommandError(`Kafka does not create topic ${plan.name}: ${asError(error).message}.`, { cause: error });
      }
      // The controller knows the topic at once, the broker's metadata a moment later.
      const deadline = performance.now() + 30_000;
      while (((await describe([plan.name])).get(plan.name)?.partitions ?? 0) < plan.partitions) {
        if (performance.now() > deadline) throw new OutageError('kafka', `Kafka does not show the new topic ${plan.name}.`);
        await sleep(50);
      }
      return 'created';
    },
    close: () => client.disconnect(),
  };
}
