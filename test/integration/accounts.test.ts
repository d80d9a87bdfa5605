/** Every event is accounted for, in each partition, all the time; and what Kafka lost before it was read is told. */
import kafka from '@confluentinc/kafka-javascript';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Bench } from './harness/bench.ts';
import { message, transaction } from './harness/directory.ts';
import { call, UpstreamProducer } from './harness/kafka.ts';
import { buildMessage } from './harness/message.ts';
import type { Service } from './harness/processes.ts';
import { createTraffic } from './harness/traffic.ts';

const partitions = 4;
const traffic = createTraffic({ seed: 7, partitions });
let bench: Bench;

beforeAll(async () => {
  bench = await Bench.create('accounts', { partitions, participants: [...traffic.participants, { id: 'COBADEFFXXX', currencies: { EUR: { debitCap: '1000.00' } } }] });
});
afterAll(() => bench?.close());

/** The accounts of all partitions over all workers, as Prometheus sees them. */
async function accounts(workers: readonly Service[], metric = 'settlefleet_unaccounted_events'): Promise<Map<string, number>> {
  const each = await Promise.all(workers.map((worker) => worker.metric(metric)));
  return new Map(each.flatMap((found) => [...found]));
}

const everyPartition = (value: number): [string, number][] => Array.from({ length: partitions }, (_, partition) => [`{partition="${partition}"}`, value]);
const sorted = (found: Map<string, number>): [string, number][] => [...found].sort();

async function send(count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => {
    const { message: spec, sending } = traffic.next();
    return bench.send(spec, sending);
  }));
}

test('nothing is unaccounted for, over wrong partitions, several debits in a message, rebalances, and a worker that is killed', async () => {
  const first = await (await bench.startWorker()).ready();
  await send(300);
  await bench.waitFor('some results', () => bench.results.length > 50);
  expect(sorted(await accounts([first]))).toEqual(everyPartition(0));
  const second = await (await bench.startWorker()).ready();
  await send(200);
  await first.kill();
  await send(200);
  await bench.atRest();
  await second.ready();
  await bench.waitFor('nothing in flight', async () => [...(await accounts([second], 'settlefleet_in_flight_events')).values()].every((count) => count === 0));
  expect(sorted(await accounts([second]))).toEqual(everyPartition(0));
  await stagesAddUp(second);
  await second.terminate();
});

/**
 * The parts of the end-to-end time are measured by themselves, by two clocks of which one counts whole milliseconds; on a busy
 * machine time passes between reading the one and the other.
 */
async function stagesAddUp(worker: Service): Promise<void> {
  const values = async (metric: string): Promise<number[]> => [...(await worker.metric(metric)).values()];
  const [whole] = await values('settlefleet_end_to_end_seconds_sum');
  const [results] = await values('settlefleet_end_to_end_seconds_count');
  const stages = await values('settlefleet_stage_seconds_sum');
  const parts = stages.reduce((sum, seconds) => sum + seconds, 0);
  expect(results).toBeGreaterThan(100);
  expect(Math.abs(parts - whole!) / results!).toBeLessThan(0.003 + (0.02 * whole!) / results!);
}

test("markers and aborted records of an upstream's own Kafka transactions are not events that are missing", async () => {
  const worker = await (await bench.startWorker()).ready();
  const upstream = await UpstreamProducer.connect(bench.brokers, { 'transactional.id': `${bench.group}-upstream` });
  const sent = [];
  for (let round = 0; round < 6; round++) {
    const payment = message(transaction({ amount: '1.00' }));
    const event = { eventId: `transactional-${round}`, createdAt: Date.now() };
    const value = bench.encode(buildMessage(payment), event);
    await upstream.begin();
    sent.push(await upstream.produce({ topic: bench.topic('inbound'), partition: 1, key: 'COBADEFFXXX', value }));
    if (round % 3 === 1) await upstream.abort();
    else await upstream.commit();
  }
  await upstream.close();
  await bench.waitFor('the four that were committed', () => bench.results.filter(({ eventId }) => eventId.startsWith('transactional-')).length === 4);
  await bench.atRest();
  const audits = async (): Promise<number> => (await worker.metric('settlefleet_audits_total')).get('{outcome="done"}')!;
  const before = await audits();
  // One may have begun before the last event came.
  await bench.waitFor('a whole comparison with Kafka, holes and all', async () => (await audits()) >= before + 2, 30_000);
  expect(sorted(await accounts([worker]))).toEqual(everyPartition(0));
  await worker.terminate();
});

test('events that Kafka deleted before they were read are unaccounted for', async () => {
  const payment = message(transaction({ amount: '1.00' }));
  const places = [];
  for (let i = 0; i < 5; i++) places.push(await bench.send(payment));
  const { partition, offset } = places[4]!;
  const admin = kafka.AdminClient.create({ 'bootstrap.servers': bench.brokers });
  await call((done) => (admin as unknown as Deleter).deleteRecords([{ topic: bench.topic('inbound'), partition, offset }], { timeout: 10_000 }, done));
  admin.disconnect();
  const worker = await (await bench.startWorker()).ready();
  await bench.outcome(places[4]!);
  const expected = everyPartition(0).map(([labels, value]) => [labels, labels === `{partition="${partition}"}` ? 4 : value]);
  await bench.waitFor('the loss to be told', async () => (await accounts([worker])).get(`{partition="${partition}"}`) === 4, 30_000);
  expect(sorted(await accounts([worker]))).toEqual(expected);
  expect(worker.output).toContain('were deleted before they were read');
});

interface Deleter {
  deleteRecords(places: readonly { topic: string; partition: number; offset: number }[], options: { timeout: number }, done: (error: never, value: unknown) => void): void;
}
