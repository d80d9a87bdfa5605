/**
 * The directory, followed live: every worker reads the whole compacted topic and goes on reading it.
 *
 * A file of participants is published in one Kafka transaction. What was read is shown only when there is nothing more to
 * read at the moment, so that nobody decides by half a file.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeParticipant } from '../../codec/participant-record.ts';
import { Directory } from '../../domain/participant.ts';
import { keyBytes, valueBytes } from '../../codec/record-batch.ts';
import type { Participant } from '../../domain/participant.ts';
import type { DirectorySource, Log } from '../../ports.ts';
import type { DirectoryEntry } from '../../sink/ports.ts';
import { asError, connect, consume, countPartitions, createConsumer, disconnect } from './client.ts';

const requestTimeoutMs = 5000;
const retryDelayMs = 250;

export interface DirectoryFollower extends DirectorySource {
  /** Resolves when the topic was read to its end once. Waits for Kafka and for the topic. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export function createDirectoryFollower(options: {
  readonly brokers: string;
  readonly clientId: string;
  readonly topic: string;
  readonly log: Log;
  /** Told of each entry that can be read, in the order of the topic. */
  readonly onEntry?: (entry: DirectoryEntry) => void;
}): DirectoryFollower {
  const { topic, log, onEntry } = options;
  const participants = new Map<string, Participant>();
  let directory = Directory.empty;
  let consumer: ReturnType<typeof createConsumer> | undefined;
  let stopping = false;
  let starting: Promise<void> = Promise.resolve();
  let following: Promise<void> = Promise.resolve();

  const open = async (onEnd: (partition: number) => void): Promise<readonly number[]> => {
    const candidate = createConsumer(options.brokers, `${options.clientId}-directory`, {
      // A group is demanded by the client, and never joined nor committed to.
      'group.id': `${options.clientId}-directory`,
      'isolation.level': 'read_committed',
      'enable.partition.eof': true,
      'fetch.wait.max.ms': 500,
    });
    try {
      await connect(candidate, requestTimeoutMs);
      const count = await countPartitions(candidate, topic, requestTimeoutMs);
      if (count === 0) throw new Error(`topic ${topic} does not exist (settlefleet topics apply)`);
      candidate.on('partition.eof', (eof) => onEnd(eof.partition));
      const partitions = Array.from({ length: count }, (_, partition) => partition);
      candidate.assign(partitions.map((partition) => ({ topic, partition, offset: -2 })));
      consumer = candidate;
      return partitions;
    } catch (error) {
      await disconnect(candidate, 1000);
      throw error;
    }
  };

  const take = (key: Uint8Array | null, value: Uint8Array | null, offset: number, timestampMs: number): void => {
    if (key === null) return;
    const id = Buffer.from(key).toString('utf8');
    try {
      const participant = value === null ? null : decodeParticipant(id, value);
      if (participant === null) participants.delete(id);
      else participants.set(id, participant);
      onEntry?.({ id, participant, timestampMs, offset });
    } catch (error) {
      // Keeping what was known is safer than stopping the fleet over one entry.
      log.error({ participant: id, offset, error: asError(error).message }, 'An entry of the directory cannot be read: ignored');
    }
  };

  const begin = async (): Promise<void> => {
    const unread = new Set<number>();
    let ended = false;
    let told = false;
    for (;;) {
      try {
        for (const partition of await open((partition) => {
          unread.delete(partition);
          ended = true;
        })) {
          unread.add(partition);
        }
        break;
      } catch (error) {
        if (stopping) return;
        if (!told) log.warn({ reason: asError(error).message }, 'Waiting for Kafka to give the directory');
        told = true;
        await sleep(retryDelayMs);
      }
    }
    const read = async (): Promise<void> => {
      ended = false;
      const batches = await consume(consumer!, 1000, 200).catch(async () => {
        await sleep(retryDelayMs);
        return [];
      });
      for (const batch of batches) {
        for (let row = 0; row < batch.count; row++) take(keyBytes(batch, row), valueBytes(batch, row), batch.offsets[row]!, batch.timestamps[row]!);
        changed = true;
      }
      if (ended && changed) {
        changed = false;
        directory = new Directory(participants.values());
        log.info({ participants: directory.participants.size }, 'The directory was read');
      }
    };
    let changed = false;
    while (!stopping && unread.size > 0) await read();
    following = (async () => {
      while (!stopping) await read();
    })();
  };

  return {
    current: () => directory,

    start: () => (starting = begin()),

    async stop() {
      stopping = true;
      await starting;
      await following;
      if (consumer !== undefined) await disconnect(consumer);
    },
  };
}
