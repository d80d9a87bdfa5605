/**
 * The committed offsets of a group, as somebody sees them who is no member of it.
 */
import type { Timing } from '../../ports.ts';
import { systemTiming } from '../system/timing.ts';
import { call, connect, disconnect, librdkafkaClients } from './client.ts';

const requestTimeoutMs = 10_000;

export interface GroupOffsets {
  /** In the order of the places, null where the group has none. Waits for Kafka transactions that are about to set them. */
  committed(places: readonly { readonly topic: string; readonly partition: number }[]): Promise<readonly (number | null)[]>;
  close(): Promise<void>;
}

/** Throws when Kafka does not answer. */
export async function openGroupOffsets(options: {
  readonly brokers: string;
  readonly clientId: string;
  readonly groupId: string;
  readonly timing?: Timing;
}): Promise<GroupOffsets> {
  const { timing = systemTiming } = options;
  // It never subscribes, so it never joins. In read_committed the client asks for stable offsets.
  const consumer = librdkafkaClients.createConsumer(options.brokers, options.clientId, {
    'group.id': options.groupId,
    'isolation.level': 'read_committed',
  });
  try {
    await connect(consumer, requestTimeoutMs);
  } catch (error) {
    await disconnect(consumer, 1000, timing);
    throw error;
  }
  return {
    async committed(places) {
      const answers = await call<{ topic: string; partition: number; offset?: number; error?: unknown }[]>((done) =>
        consumer.committed(places.map(({ topic, partition }) => ({ topic, partition })), requestTimeoutMs, done as never),
      );
      return places.map((place) => {
        const answer = answers.find((one) => one.topic === place.topic && one.partition === place.partition);
        if (answer === undefined || answer.error) throw new Error(`Kafka does not tell the committed offset of ${place.topic}-${place.partition}.`);
        return answer.offset === undefined || answer.offset < 0 ? null : answer.offset;
      });
    },
    close: () => disconnect(consumer, 5000, timing),
  };
}
