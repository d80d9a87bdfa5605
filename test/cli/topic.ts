/** Writes and reads topics in tests of commands, with the same clients that the product has. */
import { createTopicReader } from '../../src/adapters/kafka/topic-reader.ts';
import { connectPublisher } from '../../src/adapters/kafka/publisher.ts';
import type { Acknowledgement, OutgoingRecord } from '../../src/adapters/kafka/publisher.ts';
import { commandLog } from '../../src/cli/console.ts';
import { keyBytes, valueBytes } from '../../src/codec/record-batch.ts';

export interface ReadRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** Every committed record of a topic, partition by partition. */
export async function readTopic(brokers: string, topic: string, partitions: number): Promise<ReadRecord[]> {
  const reader = createTopicReader({ brokers, clientId: 'test', log: commandLog });
  const records: ReadRecord[] = [];
  try {
    for (let partition = 0; partition < partitions; partition++) {
      await reader.readToEnd({ topic, partition, from: null }, (batch) => {
        for (let row = 0; row < batch.count; row++) {
          const key = keyBytes(batch, row);
          const value = valueBytes(batch, row);
          records.push({
            partition,
            offset: batch.offsets[row]!,
            key: key === null ? null : Buffer.from(key).toString(),
            value: value === null ? null : Buffer.from(value),
            headers: Object.fromEntries((batch.headers[row] ?? []).map((header) => [header.key, Buffer.from(header.value ?? []).toString()])),
          });
        }
      });
    }
  } finally {
    await reader.close();
  }
  return records;
}

export async function publish(brokers: string, records: readonly OutgoingRecord[]): Promise<Acknowledgement[]> {
  const publisher = await connectPublisher({ brokers, clientId: 'test', waitMs: 10_000, onWait: () => undefined });
  try {
    return await Promise.all(records.map((record) => publisher.publish(record)));
  } finally {
    await publisher.close();
  }
}
