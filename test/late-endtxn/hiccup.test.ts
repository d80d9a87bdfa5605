/** When the client tells of a hiccup only as late as it tells of the end of the commit that the hiccup hit. */
import { expect, it } from 'vitest';
import type { KafkaClients, KafkaConsumer, Producer } from '../../src/adapters/kafka/client.ts';
import { createTransactions } from '../../src/adapters/kafka/transactions.ts';
import { systemTiming } from '../../src/adapters/system/timing.ts';
import { RecordSlab } from '../../src/codec/record-slab.ts';

type Done = (error: null) => void;
const hiccup = { fac: 'FAIL', message: '[thrd:TxnCoordinator]: TxnCoordinator: 127.0.0.1:9092: Disconnected (after 7ms in state UP)' };

/** Producers that succeed at once, and tell of a hiccup right behind the answer to a commit. */
function clientsThatTellLate(): { readonly clients: KafkaClients; readonly made: () => number } {
  let made = 0;
  const createProducer = (): Producer => {
    made++;
    let tell: (event: unknown) => void = () => {};
    const now = (done: Done): void => done(null);
    return {
      on: (name: string, listener: (event: unknown) => void) => void (name === 'event.log' && (tell = listener)),
      connect: (_: unknown, done: Done) => now(done),
      setPollInterval: () => undefined,
      initTransactions: (_: number, done: Done) => now(done),
      beginTransaction: now,
      produce: () => undefined,
      sendOffsetsToTransaction: (_: unknown, __: unknown, ___: number, done: Done) => now(done),
      commitTransaction: (_: number, done: Done) => {
        setImmediate(() => tell(hiccup));
        done(null);
      },
      disconnect: now,
    } as unknown as Producer;
  };
  return { clients: { createProducer, createConsumer: () => { throw new Error('no consumer is made here'); } }, made: () => made };
}

it('the producer is replaced before the next Kafka transaction begins', async () => {
  const { clients, made } = clientsThatTellLate();
  const silent = () => undefined;
  const transactions = createTransactions({
    brokers: '', clientId: '', transactionalIdOf: () => 'late', transactionTimeoutMs: 10_000, timing: systemTiming, clients,
    log: { debug: silent, info: silent, warn: silent, error: silent }, onAborted: silent, onReachable: silent,
  });
  const owner = { consumer: {} as KafkaConsumer, lost: () => false, committed: () => Promise.resolve([]) };
  transactions.takeOver([0], owner);
  const transaction = { records: new RecordSlab(), offsets: [] };
  for (let i = 1; i <= 5; i++) {
    expect(await transactions.commit(transaction, owner)).toBe('committed');
    expect(made(), `producers at commit ${i}`).toBe(i);
  }
  await transactions.stop();
});
