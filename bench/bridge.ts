/**
 * What the packed bridge brings: records read and handed over, by the bridge and by the Kafka client's own API, in turn on
 * the same topic. CPU time is that of this process, the client's threads included; `main` is what of it holds up the main thread.
 *
 * `./dev bench bridge [--records 200000] [--bytes 1900] [--rounds 3] [--ways bridge]`.
 */
import { chooseBridge } from '../src/adapters/kafka/bridge/bridge.ts';
import { connectTopicAdmin } from '../src/adapters/kafka/admin.ts';
import { call, connect, consume, createConsumer, createProducer, disconnect, produce } from '../src/adapters/kafka/client.ts';
import type { Producer } from '../src/adapters/kafka/client.ts';
import { RecordSlab } from '../src/codec/record-slab.ts';
import { loadConfig } from '../src/config.ts';
import { table } from '../src/cli/console.ts';
import { Recording, saidDuration, sayHead } from './record.ts';
import { readSettings } from './settings.ts';
import { grouped, saidSpread, spread } from './statistics.ts';

const forms = {
  records: { default: 200_000, what: 'records that are read, and handed over, in each round' },
  bytes: { default: 1_900, what: 'bytes of a value that is read' },
  answer: { default: 300, what: 'bytes of a value that is handed over' },
  rounds: { default: 3, what: 'rounds; in each both ways take their turn' },
  partitions: { default: 8, what: 'partitions' },
  ways: { default: ['raw', 'bridge'], oneOf: ['raw', 'bridge'], what: 'raw, bridge or both' },
} as const;

const waitMs = 20_000;
const slabRecords = 2_000;
const allWays = [{ name: 'raw', choice: 'off' }, { name: 'bridge', choice: 'required' }] as const;

export async function run(args: readonly string[]): Promise<void> {
  const settings = readSettings('bridge', forms, args);
  if (settings === null) return;
  const { records, partitions, rounds } = settings;
  const ways = allWays.filter(({ name }) => settings.ways.includes(name));
  const { kafkaBrokers: brokers } = loadConfig();
  const recording = new Recording('bridge', args, settings);
  for (const { name, choice } of ways) recording.subject(name, `KAFKA_BRIDGE=${choice}`);
  sayHead('bridge', [
    `${grouped(records)} records of ${grouped(settings.bytes)} bytes read, as many of ${grouped(settings.answer)} bytes handed over, ${partitions} partitions`,
    `takes ${saidDuration(10 + rounds * records / 5_000)}`,
  ]);

  const admin = await connectTopicAdmin({ brokers, clientId: 'bench', waitMs, onWait: () => undefined });
  const [input, output] = [`bench-bridge-${process.pid}-in`, `bench-bridge-${process.pid}-out`];
  for (const topic of [input, output]) await admin.create({ name: topic, partitions, settings: {} }, -1);
  admin.close();

  /** Hands everything over, and waits until the broker has it. */
  const handOver = async (to: Producer, topic: string, value: Uint8Array): Promise<void> => {
    for (let done = 0; done < records; done += slabRecords) {
      const slab = new RecordSlab(1 << 18);
      for (let i = done; i < Math.min(records, done + slabRecords); i++) slab.append(topic, i % partitions, `key ${i % 64}`, value);
      for (let next = 0; next < slab.count; ) {
        next = await produce(to, slab, next);
        if (next < slab.count) await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    await call<void>((done) => to.flush(60_000, done));
  };
  const measured = async (round: number, subject: string, what: string, work: () => Promise<void>): Promise<void> => {
    const [cpu, busy, begun] = [process.cpuUsage(), performance.eventLoopUtilization(), performance.now()];
    await work();
    const { user, system } = process.cpuUsage(cpu);
    const figures = {
      recordsPerSecond: records / (performance.now() - begun) * 1000,
      cpuMicroseconds: (user + system) / records,
      mainMicroseconds: performance.eventLoopUtilization(busy).active * 1000 / records,
      memoryMegabytes: process.memoryUsage.rss() / 1e6,
    };
    recording.add({ round, subject, parameters: { what }, figures });
    console.log(`round ${round}  ${subject.padEnd(7)} ${what.padEnd(10)} ${grouped(figures.recordsPerSecond).padStart(8)}/s  ${figures.cpuMicroseconds.toFixed(2)} µs CPU  ${figures.mainMicroseconds.toFixed(2)} µs main  ${grouped(figures.memoryMegabytes)} MB`);
  };
  const produceSettings = { 'linger.ms': 1, 'queue.buffering.max.messages': 1_000_000, 'queue.buffering.max.kbytes': 64 << 10 };
  const openProducer = async (): Promise<Producer> => {
    const producer = createProducer(brokers, 'bench', produceSettings);
    await connect(producer, waitMs);
    producer.setPollInterval(100);
    return producer;
  };
  const input0 = await openProducer();
  await handOver(input0, input, text(settings.bytes));
  await disconnect(input0);

  for (let round = 1; round <= rounds; round++) {
    for (const { name, choice } of ways) {
      chooseBridge(choice);
      // As the fleet's own, see adapters/kafka/fleet-log.ts.
      const consumer = createConsumer(brokers, 'bench', {
        'group.id': 'bench', 'isolation.level': 'read_committed', 'enable.partition.eof': true, 'fetch.wait.max.ms': 100, 'fetch.message.max.bytes': 2 << 20, 'queued.max.messages.kbytes': 4 << 10,
      });
      await connect(consumer, waitMs);
      await measured(round, name, 'read', async () => {
        consumer.assign(Array.from({ length: partitions }, (_, partition) => ({ topic: input, partition, offset: 0 })));
        for (let taken = 0; taken < records; ) for (const batch of await consume(consumer, 2_000, 100)) taken += batch.count;
      });
      await disconnect(consumer);
      const producer = await openProducer();
      await measured(round, name, 'hand over', () => handOver(producer, output, text(settings.answer)));
      await disconnect(producer);
    }
  }
  const summary = table(['way', 'what', 'records/s', 'µs CPU a record', 'µs main thread', 'MB at most'], ways.flatMap(({ name }) => ['read', 'hand over'].map((what) => {
    const counted = recording.counted.filter((one) => one.subject === name && one.parameters['what'] === what);
    const figure = (of: string): number[] => counted.map(({ figures }) => figures[of] ?? NaN);
    const fine = (value: number): string => value.toFixed(2);
    return [name, what, saidSpread(spread(figure('recordsPerSecond'))), saidSpread(spread(figure('cpuMicroseconds')), fine), saidSpread(spread(figure('mainMicroseconds')), fine), grouped(Math.max(...figure('memoryMegabytes')))];
  })));
  recording.finish(summary);
}

/** Printable, and not one letter again and again, which would compress to nothing. */
function text(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => 32 + ((i * 7_919 + (i >> 3) * 31) % 90));
}
