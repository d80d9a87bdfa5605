/** Topics, participants, a group and a folder of one measured subject, made for it and removed behind it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import kafka from '@confluentinc/kafka-javascript';
import { call } from '../src/adapters/kafka/client.ts';
import { openGroupOffsets } from '../src/adapters/kafka/group-offsets.ts';
import { connectTransactionalPublisher } from '../src/adapters/kafka/publisher.ts';
import type { OutgoingRecord } from '../src/adapters/kafka/publisher.ts';
import type { KafkaTopicReader } from '../src/adapters/kafka/topic-reader.ts';
import { registeredEventSchema } from '../src/adapters/registry/event-schema.ts';
import { publisherOptions, topicReader } from '../src/cli/kafka-session.ts';
import { applyParticipants } from '../src/cli/participants.ts';
import { registerBoth } from '../src/cli/schemas.ts';
import { applyTopics } from '../src/cli/topics.ts';
import { loadConfig } from '../src/config.ts';
import type { Config } from '../src/config.ts';
import { topicNames } from '../src/domain/topics.ts';
import type { TopicNames } from '../src/domain/topics.ts';
import { findFaults } from './answers.ts';
import { cpuSeconds } from './usage.ts';
import { createWorkload, debitCap, participantIds } from './workload.ts';
import type { Workload, WorkloadOptions } from './workload.ts';
import type { Place } from './peers/subjects.ts';

export interface WorldOptions {
  readonly subject: string;
  readonly seed: number;
  readonly participants: number;
  readonly partitions: number;
  readonly transactions: number;
  readonly commitIntervalMs: number;
  /** How many different messages there are, see `WorkloadOptions`. */
  readonly moulds?: number;
}

export interface World {
  readonly config: Config;
  readonly topics: TopicNames;
  readonly place: Place;
  readonly workload: Workload;
  /** Of the workload: what a process of its own makes the same events from. */
  readonly workloadOptions: WorkloadOptions;
  readonly reader: KafkaTopicReader;
  /** Puts events `from` to `from + count - 1` into the inbound topic; all become visible at one moment. */
  publish(from: number, count: number): Promise<void>;
  /** Until the group stands behind the last event of each partition. `onProgress`: how many events that leaves. */
  drained(boundMs: number, onProgress?: (left: number) => void): Promise<void>;
  faults(count: number, isWhole: boolean): Promise<string[]>;
  close(): Promise<void>;
}

/** As in the issue that asked for the suite: 1% are resends, 0.5% are wrong. */
const shares = { duplicates: 0.01, wrong: 0.005 };
const askEveryMs = 20;
let worlds = 0;

export async function openWorld(options: WorldOptions): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'settlefleet-bench-'));
  const name = `bench-${process.pid}-${++worlds}-${options.subject}`;
  const config = { ...loadConfig(), topicPrefix: `${name}.`, consumerGroup: name };
  const topics = topicNames(config.topicPrefix);
  const silent = (): void => undefined;
  const place: Place = { config, topics, folder, commitIntervalMs: options.commitIntervalMs, environment: {
    TOPIC_PREFIX: config.topicPrefix, CONSUMER_GROUP: name, CLICKHOUSE_URL: `chdb:${join(folder, 'clickhouse')}`, SCHEMA_CACHE_DIR: join(folder, 'schemas'),
    LOG_LEVEL: 'warn', COMMIT_INTERVAL_MS: String(options.commitIntervalMs),
  } };
  await applyTopics(config, { partitions: options.partitions }, silent);
  await registerBoth(config, silent);
  const directory = participantIds(options.participants).map((id) => ({ id, name: id, currencies: { EUR: { debitCap } } }));
  await writeFile(join(folder, 'participants.json'), JSON.stringify(directory));
  await applyParticipants(config, join(folder, 'participants.json'), false, silent);

  const schema = await registeredEventSchema({ url: config.schemaRegistryUrl, subject: `${topics.inbound}-value`, waitMs: 60_000, onWait: silent });
  const workloadOptions = { seed: options.seed, participants: options.participants, partitions: options.partitions, transactions: options.transactions, schema, ...shares, ...(options.moulds === undefined ? {} : { moulds: options.moulds }) };
  const workload = createWorkload(workloadOptions);
  const reader = topicReader(config, 'bench');
  const publisher = await connectTransactionalPublisher({ ...publisherOptions(config, 'bench'), transactionalId: `${topics.inbound}-bench` });

  function* records(from: number, count: number): Generator<OutgoingRecord> {
    const createdAt = Date.now();
    for (let index = from; index < from + count; index++) {
      const { partition, key, value } = workload.make(index, createdAt);
      yield { topic: topics.inbound, partition, key, value };
    }
  }

  return {
    config, topics, place, workload, workloadOptions, reader,
    publish: (from, count) => publisher.publishAll(records(from, count)),
    drained: (boundMs, onProgress) => drained(config, reader, { partitions: options.partitions, boundMs, onProgress: onProgress ?? silent }),
    faults: (count, isWhole) => findFaults({
      reader, topics, partitions: options.partitions, workload, seed: options.seed, count, transactions: options.transactions, isWhole,
    }),
    async close() {
      await publisher.close();
      await reader.close();
      // A long run would otherwise fill the disk with what nobody reads any more.
      await deleteTopics(config, Object.values(topics));
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Upstream's own transaction marker comes after the last event of a partition, and a commit may end before it. */
async function drained(config: Config, reader: KafkaTopicReader, { partitions, boundMs, onProgress }: { readonly partitions: number; readonly boundMs: number; readonly onProgress: (left: number) => void }): Promise<void> {
  const { inbound } = topicNames(config.topicPrefix);
  const places = Array.from({ length: partitions }, (_, partition) => ({ topic: inbound, partition }));
  const ends: number[] = [];
  for (const { topic, partition } of places) ends.push((await reader.watermarks(topic, partition)).high);
  const group = await openGroupOffsets({ brokers: config.kafkaBrokers, clientId: 'bench', groupId: config.consumerGroup });
  const deadline = performance.now() + boundMs;
  try {
    for (;;) {
      const committed = await group.committed(places);
      const left = committed.reduce<number>((sum, offset, i) => sum + Math.max(0, ends[i]! - 1 - (offset ?? 0)), 0);
      if (left === 0) return;
      onProgress(left);
      if (performance.now() > deadline) throw new Error(`not drained after ${boundMs / 1000} s: ${left} events are left`);
      await sleep(askEveryMs);
    }
  } finally {
    await group.close();
  }
}

async function deleteTopics(config: Config, names: readonly string[]): Promise<void> {
  const admin = kafka.AdminClient.create({ 'bootstrap.servers': config.kafkaBrokers, 'client.id': 'bench', log_level: 3 }, { error: () => undefined });
  try {
    for (const name of names) await call<void>((done) => admin.deleteTopic(name, 5_000, done as never)).catch(() => undefined);
  } finally {
    admin.disconnect();
  }
}

export interface PartsUsage {
  readonly subject: number;
  readonly kafka: number;
  readonly redis: number;
}

/** CPU seconds so far, of the subject's processes and of the stack's; of the latter 0 where they are containers. */
export function partsUsage(pids: readonly number[]): PartsUsage {
  const state = JSON.parse(readFileSync(join(process.env['STACK_DIRECTORY']!, 'state.json'), 'utf8')) as { processes: { name: string; pid: number }[] };
  const of = (name: string): number => cpuSeconds(state.processes.find((own) => own.name === name)?.pid ?? 0);
  return { subject: pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0), kafka: of('kafka'), redis: of('redis') };
}

export function usageBetween(before: PartsUsage, after: PartsUsage): PartsUsage {
  return { subject: after.subject - before.subject, kafka: after.kafka - before.kafka, redis: after.redis - before.redis };
}
