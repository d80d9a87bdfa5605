/**
 * What `FleetLog` promises (src/ports.ts), over a real broker: by the packed bridge, and by the Kafka client's raw API.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectTopicAdmin } from '../../src/adapters/kafka/admin.ts';
import type { TopicAdmin } from '../../src/adapters/kafka/admin.ts';
import { chooseBridge } from '../../src/adapters/kafka/bridge/bridge.ts';
import { createFleetLog } from '../../src/adapters/kafka/fleet-log.ts';
import { connectPublisher, connectTransactionalPublisher } from '../../src/adapters/kafka/publisher.ts';
import type { Publisher } from '../../src/adapters/kafka/publisher.ts';
import { createTopicReader } from '../../src/adapters/kafka/topic-reader.ts';
import type { KafkaTopicReader } from '../../src/adapters/kafka/topic-reader.ts';
import { planTopics } from '../../src/cli/topic-plan.ts';
import type { RecordBatch } from '../../src/codec/record-batch.ts';
import { valueBytes } from '../../src/codec/record-batch.ts';
import { RecordSlab } from '../../src/codec/record-slab.ts';
import { topicNames } from '../../src/domain/topics.ts';
import type { FleetLog, Log, Rebalance } from '../../src/ports.ts';
import { stackEnvironment } from '../stack.ts';

const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const prefix = `fleet-log-${randomUUID().slice(0, 8)}.`;
const topics = topicNames(prefix);
const partitions = 2;
let brokers: string;
let admin: TopicAdmin;
let publisher: Publisher;
let reader: KafkaTopicReader;
let group: string;
const open: FleetLog[] = [];

beforeAll(async () => {
  brokers = stackEnvironment().kafkaBrokers;
  const shared = { brokers, clientId: 'test', waitMs: 20_000, onWait: () => {} };
  admin = await connectTopicAdmin(shared);
  for (const plan of planTopics({ topicPrefix: prefix, maxEventBytes: 1 << 20, dedupeWindowSeconds: 86_400 }, partitions)) {
    await admin.create(plan, -1);
  }
  publisher = await connectPublisher(shared);
  reader = createTopicReader({ brokers, clientId: `test-${prefix}`, log: quiet });
});

afterAll(async () => {
  admin.close();
  await publisher.close();
  await reader.close();
});

afterEach(async () => {
  for (const log of open.splice(0)) await log.stop();
});

async function member(name: string, groupId = group): Promise<FleetLog> {
  const log = createFleetLog({
    brokers,
    groupId,
    workerId: `${name}-${groupId}`,
    topics,
    sessionTimeoutMs: 6000,
    transactionTimeoutMs: 10_000,
    gatherMs: 10,
    log: quiet,
    onAborted: () => {},
    onReachable: () => {},
  });
  open.push(log);
  await log.start();
  return log;
}

/** Polls until an event comes. */
async function rebalance(log: FleetLog, boundMs = 20_000): Promise<Rebalance> {
  const deadline = performance.now() + boundMs;
  while (performance.now() < deadline) {
    const event = log.nextRebalance();
    if (event !== undefined) return event;
    await log.poll({ recordsMax: 100, waitMs: 50 });
  }
  throw new Error('no rebalance event within the bound');
}

/** Polls until `count` records came or the bound is over. */
async function take(log: FleetLog, count: number, boundMs = 10_000): Promise<string[]> {
  const values: string[] = [];
  const deadline = performance.now() + boundMs;
  while (values.length < count && performance.now() < deadline) {
    for (const batch of await log.poll({ recordsMax: 100, waitMs: 50 })) values.push(...texts(batch));
  }
  return values;
}

function texts(batch: RecordBatch): string[] {
  return Array.from({ length: batch.count }, (_, row) => Buffer.from(valueBytes(batch, row)!).toString());
}

async function publish(partition: number, values: readonly string[]): Promise<number> {
  let first = -1;
  for (const value of values) {
    const { offset } = await publisher.publish({ topic: topics.inbound, partition, key: null, value });
    if (first < 0) first = offset;
  }
  return first;
}

describe.each([
  { path: 'packed bridge', choice: 'required' },
  { path: 'raw API', choice: 'off' },
] as const)('FleetLog over Kafka by the $path', ({ choice }) => {
  beforeAll(() => chooseBridge(choice));

  it('gives nothing of an assigned partition before it is released, and then from the offset asked for', async () => {
    group = randomUUID();
    const first = await publish(0, ['a', 'b', 'c', 'd']);
    const log = await member('one');
    const event = await rebalance(log);
    expect(event).toEqual({ kind: 'assigned', partitions: [0, 1] });
    log.confirm(event);
    expect(await take(log, 1, 500)).toEqual([]);
    await log.release(0, { inbound: first + 2, routed: null });
    expect(await take(log, 2)).toEqual(['c', 'd']);
  });

  it('holds and resumes a partition without losing or repeating a record', async () => {
    group = randomUUID();
    const log = await member('one');
    log.confirm(await rebalance(log));
    const first = await publish(1, ['1', '2', '3']);
    await log.release(1, { inbound: first, routed: null });
    const seen = await take(log, 1);
    log.hold(1);
    await publish(1, ['4', '5', '6']);
    seen.push(...(await take(log, 9, 500)));
    log.resume(1);
    seen.push(...(await take(log, 6 - seen.length)));
    expect(seen).toEqual(['1', '2', '3', '4', '5', '6']);
    expect(await take(log, 1, 300)).toEqual([]);
  });

  it('commits records and offsets together', async () => {
    group = randomUUID();
    const log = await member('one');
    log.confirm(await rebalance(log));
    expect(await log.committed(0)).toEqual({ inbound: null, routed: null });
    const records = new RecordSlab();
    records.append(topics.results, 0, 'key', 'result');
    records.append(topics.deadLetter, 1, null, null, [{ key: 'dlq.code', value: Buffer.from('NOT_FRAMED') }]);
    const { high } = await reader.watermarks(topics.results, 0);
    expect(
      await log.commit({
        records,
        offsets: [
          { topic: topics.inbound, partition: 0, offset: 7 },
          { topic: topics.routed, partition: 0, offset: 3 },
        ],
      }),
    ).toBe('committed');
    expect(await log.committed(0)).toEqual({ inbound: 7, routed: 3 });
    const seen: string[] = [];
    await reader.readToEnd({ topic: topics.results, partition: 0, from: high }, (batch) => void seen.push(...texts(batch)));
    expect(seen).toEqual(['result']);
    const letters: unknown[] = [];
    await reader.readToEnd({ topic: topics.deadLetter, partition: 1, from: null }, (batch) => {
      letters.push([batch.keyStart[0], batch.valueStart[0], batch.headers[0]!.map((header) => [header.key, Buffer.from(header.value!).toString()])]);
    });
    expect(letters).toEqual([[-1, -1, [['dlq.code', 'NOT_FRAMED']]]]);
  });

  it('gives partitions to a second member only after the first has confirmed', async () => {
    group = randomUUID();
    const one = await member('one');
    one.confirm(await rebalance(one));
    const two = await member('two');
    const joining = rebalance(two);
    const revoked = await rebalance(one);
    expect(revoked).toEqual({ kind: 'revoked', partitions: [0, 1] });
    // Still the owner: what was begun may be committed.
    const records = new RecordSlab();
    records.append(topics.results, 1, 'key', 'late but ours');
    expect(await one.commit({ records, offsets: [{ topic: topics.inbound, partition: 1, offset: 5 }] })).toBe('committed');
    one.confirm(revoked);
    const [again, other] = await Promise.all([rebalance(one), joining]);
    expect([...again.partitions, ...other.partitions].sort()).toEqual([0, 1]);
    expect((await two.committed(1)).inbound).toBe(5);
  });

  it('does not commit what belongs to partitions that were given back', async () => {
    group = randomUUID();
    const log = await member('one');
    log.confirm(await rebalance(log));
    await member('two');
    const revoked = await rebalance(log);
    log.confirm(revoked);
    const { high } = await reader.watermarks(topics.results, 0);
    const records = new RecordSlab();
    records.append(topics.results, 0, 'key', 'too late');
    const outcome = await log.commit({ records, offsets: [{ topic: topics.inbound, partition: 0, offset: 9 }] });
    const seen: string[] = [];
    await reader.readToEnd({ topic: topics.results, partition: 0, from: high }, (batch) => void seen.push(...texts(batch)));
    expect([outcome, seen]).toEqual(['fenced', []]);
  });

  it('says where a partition ends behind the markers of Kafka transactions', async () => {
    group = randomUUID();
    const log = await member('one');
    log.confirm(await rebalance(log));
    const upstream = await connectTransactionalPublisher({ brokers, clientId: 'upstream', waitMs: 20_000, onWait: () => {}, transactionalId: group });
    const { high: first } = await reader.watermarks(topics.inbound, 0);
    await upstream.publishAll([{ topic: topics.inbound, partition: 0, key: null, value: 'in a transaction' }]);
    await upstream.close();
    // The record, and the marker, which is written a little later than the commit is answered.
    const end = first + 2;
    await log.release(0, { inbound: first, routed: null });
    expect(await take(log, 1)).toEqual(['in a transaction']);
    const deadline = performance.now() + 5000;
    while (log.position(topics.inbound, 0)?.drainedTo !== end && performance.now() < deadline) {
      await log.poll({ recordsMax: 10, waitMs: 50 });
    }
    expect(log.position(topics.inbound, 0)).toEqual({ next: end - 1, drainedTo: end });
  });
});
