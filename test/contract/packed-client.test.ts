/**
 * What `consume`, `produce` and `disconnect` of adapters/kafka/client.ts promise, over both ways to librdkafka: the Kafka
 * client's raw API, and the packed bridge. What one gives, the other gives.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectTopicAdmin } from '../../src/adapters/kafka/admin.ts';
import type { TopicAdmin } from '../../src/adapters/kafka/admin.ts';
import { bridgeState, chooseBridge, isBridged } from '../../src/adapters/kafka/bridge/bridge.ts';
import { asError, call, connect, consume, createConsumer, createProducer, disconnect, kafkaErrorCodes, produce } from '../../src/adapters/kafka/client.ts';
import type { KafkaConsumer, Producer } from '../../src/adapters/kafka/client.ts';
import { keyBytes, valueBytes } from '../../src/codec/record-batch.ts';
import type { RecordBatch, RecordHeader } from '../../src/codec/record-batch.ts';
import { RecordSlab } from '../../src/codec/record-slab.ts';
import { stackEnvironment } from '../stack.ts';
import { until } from '../until.ts';

const boundMs = 20_000;
const partitions = 20;
let brokers: string;
let admin: TopicAdmin;
let topic: string;
const open: (KafkaConsumer | Producer)[] = [];

beforeAll(async () => {
  brokers = stackEnvironment().kafkaBrokers;
  admin = await connectTopicAdmin({ brokers, clientId: 'test', waitMs: 20_000, onWait: () => {} });
});

afterAll(() => {
  admin.close();
  chooseBridge('auto');
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => disconnect(client)));
});

interface Sent {
  readonly partition: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: readonly (readonly [string, string])[];
}

async function freshTopic(partitionCount = partitions, settings: Readonly<Record<string, string>> = {}): Promise<void> {
  topic = `packed-${randomUUID()}`;
  await admin.create({ name: topic, partitions: partitionCount, settings }, -1);
}

async function consumer(settings: Readonly<Record<string, unknown>> = {}, startOffset: 'earliest' | 'error' = 'earliest'): Promise<KafkaConsumer> {
  const opened = createConsumer(brokers, 'test', { 'group.id': randomUUID(), 'enable.partition.eof': true, 'isolation.level': 'read_committed', ...settings }, startOffset);
  open.push(opened);
  await connect(opened, boundMs);
  return opened;
}

async function producer(settings: Readonly<Record<string, unknown>> = {}): Promise<Producer> {
  const opened = createProducer(brokers, 'test', { 'linger.ms': 1, 'message.max.bytes': 1_000_000_000, ...settings });
  open.push(opened);
  await connect(opened, boundMs);
  opened.setPollInterval(10);
  return opened;
}

function slabOf(records: readonly Sent[]): RecordSlab {
  const slab = new RecordSlab(16);
  for (const { partition, key, value, headers } of records) {
    slab.append(topic, partition, key, value, headers.length === 0 ? undefined : headers.map(([name, text]): RecordHeader => ({ key: name, value: Buffer.from(text) })));
  }
  return slab;
}

async function sendAll(to: Producer, slab: RecordSlab): Promise<void> {
  const deadline = performance.now() + boundMs;
  for (let next = 0; next < slab.count; ) {
    expect(performance.now()).toBeLessThan(deadline);
    next = await produce(to, slab, next);
    if (next < slab.count) to.poll();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await call<void>((done) => to.flush(boundMs, done));
}

/** All batches until so many records came. */
async function take(from: KafkaConsumer, count: number, recordsMax = 2000): Promise<RecordBatch[]> {
  const batches: RecordBatch[] = [];
  let taken = 0;
  await until(`${count} records`, async () => {
    for (const batch of await consume(from, recordsMax, 50)) {
      batches.push(batch);
      taken += batch.count;
    }
    return taken >= count;
  }, boundMs);
  return batches;
}

const text = (bytes: Uint8Array | null): string | null => (bytes === null ? null : Buffer.from(bytes).toString());

/** Records as they were sent, each partition in its order. */
function unpack(batches: readonly RecordBatch[]): Sent[] {
  return batches.flatMap((batch) =>
    Array.from({ length: batch.count }, (_, row) => ({
      partition: batch.partition,
      key: text(keyBytes(batch, row)),
      value: text(valueBytes(batch, row)),
      headers: (batch.headers[row] ?? []).map(({ key, value }) => [key, text(value) ?? ''] as const),
    })),
  );
}

const byPartition = (records: readonly Sent[]): Sent[] => records.toSorted((a, b) => a.partition - b.partition);

function assignAll(to: KafkaConsumer, from = 0, count = partitions): void {
  to.assign(Array.from({ length: count }, (_, partition) => ({ topic, partition, offset: from })));
}

it('has the bridge where it is tested', () => {
  chooseBridge('auto');
  expect(bridgeState()).toEqual({ inForce: true, reason: expect.any(String) as string });
  chooseBridge('off');
  expect(bridgeState()).toEqual({ inForce: false, reason: 'KAFKA_BRIDGE is off' });
});

describe.each([
  { path: 'raw', choice: 'off' },
  { path: 'bridge', choice: 'required' },
] as const)('records over the $path path', ({ path, choice }) => {
  beforeAll(() => chooseBridge(choice));

  it('goes this path', async () => {
    expect([isBridged(await consumer()), isBridged(await producer())]).toEqual([path === 'bridge', path === 'bridge']);
  });

  it('carries null and empty keys and values, headers and bytes as they are, each partition in its order', async () => {
    await freshTopic();
    const sent: Sent[] = [];
    for (let i = 0; i < 5_000; i++) {
      sent.push({
        partition: (i * 7) % partitions,
        key: i % 5 === 0 ? null : i % 5 === 1 ? '' : `key ${i}`,
        value: i % 7 === 0 ? null : i % 7 === 1 ? '' : `value ${i} ${'é'.repeat(i % 100)}`,
        headers: i % 100 === 0 ? [['a', String(i)], ['a', 'again'], ['empty', '']] : [],
      });
    }
    await sendAll(await producer(), slabOf(sent));
    const from = await consumer();
    assignAll(from);
    const batches = await take(from, sent.length);
    expect(byPartition(unpack(batches))).toEqual(byPartition(sent));
    for (const batch of batches) {
      expect(batch.bytes.buffer).toBeInstanceOf(SharedArrayBuffer);
      expect([batch.keyStart.length, batch.offsets.length, batch.headers.length]).toEqual([batch.count, batch.count, batch.count]);
      expect(batch.timestamps.every((at) => Math.abs(at - Date.now()) < 120_000)).toBe(true);
    }
    for (const partition of Array.from({ length: partitions }).keys()) {
      const offsets = batches.filter((batch) => batch.partition === partition).flatMap((batch) => [...batch.offsets]);
      expect(offsets).toEqual(Array.from(offsets.keys()));
    }
  });

  it('carries records that are larger than a batch', async () => {
    await freshTopic(2, { 'max.message.bytes': '20000000' });
    const sent = Array.from({ length: 6 }, (_, i): Sent => ({ partition: i % 2, key: `${i}`, value: String(i).repeat(9 << 20), headers: [] }));
    await sendAll(await producer(), slabOf(sent));
    const from = await consumer({ 'fetch.message.max.bytes': 32 << 20, 'receive.message.max.bytes': 256 << 20 });
    assignAll(from, 0, 2);
    const seen = byPartition(unpack(await take(from, sent.length)));
    expect(seen.map(({ key, value }) => [key, value!.length, value!.slice(0, 1)])).toEqual(byPartition(sent).map(({ key, value }) => [key, value!.length, key]));
  });

  it('gives no more records at a time than were asked for', async () => {
    await freshTopic(3);
    await sendAll(await producer(), slabOf(Array.from({ length: 500 }, (_, i): Sent => ({ partition: i % 3, key: null, value: `${i}`, headers: [] }))));
    const from = await consumer();
    assignAll(from, 0, 3);
    let taken = 0;
    await until('all came', async () => {
      const batches = await consume(from, 7, 50);
      const count = batches.reduce((sum, batch) => sum + batch.count, 0);
      expect(count).toBeLessThanOrEqual(7);
      taken += count;
      return taken === 500;
    }, boundMs);
  });

  it('says how far it got when the queue is full, and goes on from there without a gap or a double', async () => {
    await freshTopic(1);
    const sent = Array.from({ length: 3_000 }, (_, i): Sent => ({ partition: 0, key: null, value: `${i}`, headers: i % 10 === 0 ? [['n', String(i)]] : [] }));
    const slab = slabOf(sent);
    const to = await producer({ 'queue.buffering.max.messages': 1_000, 'linger.ms': 200 });
    const first = await produce(to, slab, 0);
    expect(first).toBe(1_000);
    expect(await produce(to, slab, first)).toBe(1_000);
    let next = first;
    await until('all are handed over', async () => {
      next = await produce(to, slab, next);
      to.poll();
      return next === sent.length;
    }, boundMs);
    await call<void>((done) => to.flush(boundMs, done));
    const from = await consumer();
    assignAll(from, 0, 1);
    expect(unpack(await take(from, sent.length))).toEqual(sent);
  });

  it('tells where a partition ends before it gives what stands before the end, markers of Kafka transactions included', async () => {
    await freshTopic(1);
    const to = await producer({ 'transactional.id': randomUUID() });
    await call<void>((done) => to.initTransactions(boundMs, done));
    for (const value of ['kept', 'thrown away', 'kept too']) {
      await call<void>((done) => to.beginTransaction(done));
      expect(await produce(to, slabOf([{ partition: 0, key: null, value, headers: [] }]), 0)).toBe(1);
      // What was not sent yet when it is aborted takes no offset.
      await call<void>((done) => to.flush(boundMs, done));
      await call<void>((done) => (value === 'thrown away' ? to.abortTransaction(boundMs, done) : to.commitTransaction(boundMs, done)));
    }
    const from = await consumer();
    let end = -1;
    from.on('partition.eof', (eof) => (end = eof.offset));
    assignAll(from, 0, 1);
    expect(unpack(await take(from, 2)).map(({ value }) => value)).toEqual(['kept', 'kept too']);
    await until('the end is told', async () => {
      await consume(from, 10, 50);
      return end === 6;
    }, boundMs);
  });

  it('gives nothing of before a seek after it', async () => {
    await freshTopic(1);
    await sendAll(await producer(), slabOf(Array.from({ length: 1_000 }, (_, i): Sent => ({ partition: 0, key: null, value: `${i}`, headers: [] }))));
    const from = await consumer();
    assignAll(from, 0, 1);
    await take(from, 10, 10);
    for (const offset of [900, 100, 500]) {
      await call<void>((done) => from.seek({ topic, partition: 0, offset }, boundMs, done));
      const [batch] = await take(from, 1, 50);
      expect(batch!.offsets[0]).toBe(offset);
    }
  });

  it('throws what the broker says of an offset that is not there', async () => {
    await freshTopic(1);
    const from = await consumer({}, 'error');
    from.assign([{ topic, partition: 0, offset: 77 }]);
    const codes = new Set<number | undefined>();
    await until('the error is thrown', async () => {
      await consume(from, 10, 50).catch((error: unknown) => codes.add(asError(error).code));
      return codes.size > 0;
    }, boundMs);
    // librdkafka's _AUTO_OFFSET_RESET.
    expect([...codes]).toEqual([-140]);
  });

  it('refuses a partition that does not exist, and gives its code', async () => {
    await freshTopic(1);
    const to = await producer({ 'transactional.id': randomUUID() });
    await call<void>((done) => to.initTransactions(boundMs, done));
    await call<void>((done) => to.beginTransaction(done));
    await produce(to, slabOf([{ partition: 0, key: null, value: 'here', headers: [] }]), 0);
    const outcome = await call<void>((done) => to.commitTransaction(boundMs, done)).then(() => 'committed');
    expect(outcome).toBe('committed');
    await call<void>((done) => to.beginTransaction(done));
    const refused = await produce(to, slabOf([{ partition: 5, key: null, value: 'nowhere', headers: [['a', 'b']] }]), 0).catch(asError);
    expect(refused).toMatchObject({ code: kafkaErrorCodes.unknownPartition });
  });

  it('leaves what is larger than the topic takes to the commit, which throws its code', async () => {
    await freshTopic(1, { 'max.message.bytes': '1000' });
    const to = await producer({ 'transactional.id': randomUUID(), 'compression.type': 'none' });
    await call<void>((done) => to.initTransactions(boundMs, done));
    await call<void>((done) => to.beginTransaction(done));
    expect(await produce(to, slabOf([{ partition: 0, key: null, value: 'x'.repeat(5_000), headers: [] }]), 0)).toBe(1);
    const failure = await call<void>((done) => to.commitTransaction(boundMs, done)).catch(asError);
    expect(failure).toMatchObject({ code: 10 });
  });

  it('ends a wait for records when the client is closed, and neither hangs nor gives records afterwards', async () => {
    await freshTopic(1);
    const from = await consumer();
    assignAll(from, 0, 1);
    await consume(from, 10, 50);
    const begunAt = performance.now();
    // Longer than the bound of this test for the bridge, which is woken; the raw API waits its time-out.
    const waiting = consume(from, 10, path === 'bridge' ? 60_000 : 500).catch(asError);
    const closing = disconnect(from, boundMs);
    const ended = await waiting;
    await closing;
    expect(performance.now() - begunAt).toBeLessThan(10_000);
    expect(ended instanceof Error || ended.length === 0).toBe(true);
    await expect(consume(from, 10, 50)).rejects.toThrow();
    await expect(consume(from, 10, 50)).rejects.toThrow();
  });

  it('lives with clients that are closed while records and slabs are under way, many of them', async () => {
    await freshTopic(4);
    const slab = slabOf(Array.from({ length: 2_000 }, (_, i): Sent => ({ partition: i % 4, key: null, value: 'v'.repeat(500), headers: [] })));
    await sendAll(await producer(), slab);
    const lives = Array.from({ length: 25 }, async (_, i) => {
      const from = await consumer();
      assignAll(from, 0, 4);
      const to = await producer();
      const reading = (async () => {
        for (let polls = 0; polls < i; polls++) await consume(from, 100, 20);
        return await consume(from, 100, 200);
      })().catch(asError);
      const writing = produce(to, slab, 0).catch(asError);
      if (i % 2 === 0) await reading;
      await Promise.all([disconnect(from), disconnect(to)]);
      await Promise.all([reading, writing]);
    });
    await Promise.all(lives);
  });

  it('refuses to consume by a client that never connected, and closes it', async () => {
    const never = createConsumer('127.0.0.1:1', 'test', { 'group.id': 'none' });
    await expect(consume(never, 10, 50)).rejects.toThrow();
    await expect(connect(never, 300)).rejects.toThrow();
    await disconnect(never);
    const unconnected = createProducer('127.0.0.1:1', 'test', {});
    await disconnect(unconnected);
  });
});
