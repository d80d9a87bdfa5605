/**
 * What exactly-once is compared with: the same records by a plain idempotent producer, each commit flushed, and an ordinary
 * offset commit behind it. A crash between the two settles payments twice. For measurements only.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { call, connect, disconnect, produce } from '../../../src/adapters/kafka/client.ts';
import type { Producer } from '../../../src/adapters/kafka/client.ts';
import type { Transactions, TransactionsOptions } from '../../../src/adapters/kafka/transactions.ts';

const flushMs = 30_000;

export function createTransactions({ brokers, clientId, clients }: TransactionsOptions): Transactions {
  let opening: Promise<Producer> | undefined;
  const open = async (): Promise<Producer> => {
    // As the transactional one, without its id.
    const producer = clients.createProducer(brokers, clientId, {
      'linger.ms': 1, 'queue.buffering.max.messages': 1_000_000, 'queue.buffering.max.kbytes': 256 << 10, 'message.max.bytes': 1_000_000_000,
    });
    await connect(producer, 5_000);
    producer.setPollInterval(100);
    return producer;
  };

  return {
    takeOver() {
      opening ??= open();
      opening.catch(() => undefined);
    },
    async commit({ records, offsets }, owner) {
      const producer = await (opening ??= open());
      for (let next = 0; next < records.count; ) {
        next = await produce(producer, records, next);
        if (next < records.count) await sleep(5);
      }
      await call<void>((done) => producer.flush(flushMs, done));
      if (owner.lost()) return 'fenced';
      owner.consumer.commit([...offsets]);
      return 'committed';
    },
    async stop() {
      const producer = await opening?.catch(() => undefined);
      if (producer !== undefined) await disconnect(producer, 5_000);
    },
  };
}
