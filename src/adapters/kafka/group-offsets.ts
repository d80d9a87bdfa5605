/**
 * The committed offsets of a group, as somebody sees them who is no member of it.
 */
import { OutageError } from '../../errors.ts';
import type { GroupOffsets, Timing } from '../../ports.ts';
import { systemTiming } from '../system/timing.ts';
import { asError, call, connect, disconnect, kafkaErrorCodes, librdkafkaClients } from './client.ts';

const requestTimeoutMs = 10_000;
/** A killed worker leaves its Kafka transaction open until the coordinator times it out. */
const stableWithinMs = 60_000;

export interface ClosableGroupOffsets extends GroupOffsets {
  close(): Promise<void>;
}

interface Answer {
  readonly topic: string;
  readonly partition: number;
  readonly offset?: number;
  readonly error?: unknown;
}

interface GroupOffsetsOptions {
  readonly brokers: string;
  readonly clientId: string;
  readonly groupId: string;
  /** Waits for Kafka transactions that are about to set them (left out); false: gives what is set now. */
  readonly stable?: boolean;
  readonly timing?: Timing;
}

/** Connects when it is first asked. */
export function createGroupOffsets(options: GroupOffsetsOptions): ClosableGroupOffsets {
  let opening: Promise<ClosableGroupOffsets> | undefined;
  return {
    async committed(places) {
      opening ??= openGroupOffsets(options).catch((error: unknown) => {
        opening = undefined;
        throw error;
      });
      return (await opening).committed(places);
    },
    async close() {
      await (await opening?.catch(() => undefined))?.close();
    },
  };
}

/** Throws when Kafka does not answer. */
export async function openGroupOffsets(options: GroupOffsetsOptions): Promise<ClosableGroupOffsets> {
  const { timing = systemTiming } = options;
  // It never subscribes, so it never joins. In read_committed the client asks for stable offsets.
  const consumer = librdkafkaClients.createConsumer(options.brokers, options.clientId, {
    'group.id': options.groupId,
    'isolation.level': options.stable === false ? 'read_uncommitted' : 'read_committed',
  });
  try {
    await connect(consumer, requestTimeoutMs);
  } catch (error) {
    await disconnect(consumer, 1000, timing);
    throw error;
  }
  const ask = (places: Parameters<GroupOffsets['committed']>[0]): Promise<Answer[]> =>
    call((done) => consumer.committed(places.map(({ topic, partition }) => ({ topic, partition })), requestTimeoutMs, done as never));

  return {
    async committed(places) {
      const deadline = timing.monotonic() + stableWithinMs;
      let answers: Answer[] | undefined;
      while (answers === undefined) {
        answers = await ask(places).catch((thrown: unknown) => {
          const error = asError(thrown);
          if (error.code !== kafkaErrorCodes.timedOut || timing.monotonic() > deadline) {
            throw new OutageError('kafka', `Kafka does not tell the group's committed offsets: ${error.message}.`, { cause: error });
          }
          return undefined;
        });
      }
      return places.map((place) => {
        const answer = answers.find((one) => one.topic === place.topic && one.partition === place.partition);
        if (answer === undefined || answer.error) throw new Error(`Kafka does not tell the committed offset of ${place.topic}-${place.partition}.`);
        return answer.offset === undefined || answer.offset < 0 ? null : answer.offset;
      });
    },
    close: () => disconnect(consumer, 5000, timing),
  };
}
