/** One measured drain of one subject on topics of its own, with every answer looked at afterwards. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openGroupOffsets } from '../src/adapters/kafka/group-offsets.ts';
import { connectTransactionalPublisher } from '../src/adapters/kafka/publisher.ts';
import type { OutgoingRecord, TransactionalPublisher } from '../src/adapters/kafka/publisher.ts';
import type { KafkaTopicReader } from '../src/adapters/kafka/topic-reader.ts';
import { registeredEventSchema } from '../src/adapters/registry/event-schema.ts';
import { publisherOptions, topicReader } from '../src/cli/kafka-session.ts';
import { applyParticipants } from '../src/cli/participants.ts';
import { registerBoth } from '../src/cli/schemas.ts';
import { applyTopics } from '../src/cli/topics.ts';
import { createPaymentEventEncoder } from '../src/codec/payment-event.ts';
import { decodePaymentResult } from '../src/codec/payment-result.ts';
import { valueBytes } from '../src/codec/record-batch.ts';
import { loadConfig } from '../src/config.ts';
import type { Config } from '../src/config.ts';
import { generateEvents, partitionOf } from '../src/demo/generate.ts';
import type { GeneratedEvent } from '../src/demo/generate.ts';
import { topicNames } from '../src/domain/topics.ts';
import type { Participant } from '../src/domain/participant.ts';
import { cpuSeconds, memoryPeakMegabytes } from './usage.ts';
import type { Place, Running, Subject } from './peers/subjects.ts';

export interface DrainOptions {
  readonly seed: number;
  readonly events: number;
  /** Drained before the clock runs; 0: cold, the clock runs from the start of the processes. */
  readonly warm: number;
  readonly workers: number;
  readonly participants: number;
  readonly partitions: number;
  readonly sink: boolean;
}

export interface DrainFigures {
  readonly events: number;
  readonly seconds: number;
  readonly cpu: { readonly subject: number; readonly kafka: number; readonly redis: number };
  /** Of the largest process of the subject. */
  readonly memoryMegabytes: number;
  /** Why the figures do not count. */
  readonly faults: readonly string[];
}

const drainBoundMs = 300_000;
const askEveryMs = 20;

/** Null where the subject cannot run on this machine. */
export async function measureDrain(subject: Subject, options: DrainOptions): Promise<DrainFigures | null> {
  if (subject.lacking() !== null) return null;
  const folder = await mkdtemp(join(tmpdir(), 'settlefleet-bench-'));
  const name = `bench-${process.pid}-${options.seed}-${subject.name}`;
  const config = { ...loadConfig(), topicPrefix: `${name}.`, consumerGroup: name };
  const topics = topicNames(config.topicPrefix);
  const place: Place = { config, topics, folder, environment: {
    TOPIC_PREFIX: config.topicPrefix, CONSUMER_GROUP: name, CLICKHOUSE_URL: `chdb:${join(folder, 'clickhouse')}`, SCHEMA_CACHE_DIR: join(folder, 'schemas'), LOG_LEVEL: 'warn',
  } };
  const silent = (): void => undefined;
  await applyTopics(config, { partitions: options.partitions }, silent);
  await registerBoth(config, silent);
  const participants = inventParticipants(options.participants);
  await writeFile(join(folder, 'participants.json'), JSON.stringify(participants.map(({ id }) => ({ id, name: id, currencies: { EUR: { debitCap: '9000000000.00' } } }))));
  await applyParticipants(config, join(folder, 'participants.json'), false, silent);

  const reader = topicReader(config, 'bench');
  const backlog = await createBacklog(config, participants, options);
  const running: Running[] = [];
  try {
    let begun = 0;
    const start = async (): Promise<void> => {
      begun = performance.now();
      running.push(...(await subject.start(place, options.workers)));
      if (options.sink) running.push(...(await subject.startSink!(place)));
    };
    if (options.warm > 0) {
      await start();
      await backlog.publish(options.warm);
      await drained(config, reader, options.partitions);
    }
    const before = partsUsage(running.map(({ pid }) => pid));
    await backlog.publish(options.events);
    if (options.warm > 0) begun = performance.now();
    else await start();
    await drained(config, reader, options.partitions);
    const seconds = (performance.now() - begun) / 1000;
    const after = partsUsage(running.map(({ pid }) => pid));
    const faults = subject.answers ? await findFaults(reader, config, options.partitions, backlog.sent, subject.name === 'fleet') : [];
    return {
      events: options.events,
      seconds,
      cpu: { subject: after.subject - before.subject, kafka: after.kafka - before.kafka, redis: after.redis - before.redis },
      memoryMegabytes: Math.max(...running.map(({ pid }) => memoryPeakMegabytes(pid))),
      faults,
    };
  } finally {
    for (const child of running) await child.end();
    await backlog.close();
    await reader.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function inventParticipants(count: number): Participant[] {
  const letter = (n: number): string => String.fromCharCode(65 + (n % 26));
  return Array.from({ length: count }, (_, i) => {
    const id = `B${letter(i / 17_576)}${letter(i / 676)}${letter(i / 26)}DE${letter(i)}FXXX`;
    return { id, name: id, aliases: [], debitCaps: new Map([['EUR', 900_000_000_000_000n]]) };
  });
}

interface Backlog {
  readonly sent: Map<string, GeneratedEvent>;
  /** So many more events, visible at once. */
  publish(count: number): Promise<void>;
  close(): Promise<void>;
}

async function createBacklog(config: Config, participants: readonly Participant[], options: DrainOptions): Promise<Backlog> {
  const topic = topicNames(config.topicPrefix).inbound;
  const schema = await registeredEventSchema({ url: config.schemaRegistryUrl, subject: `${topic}-value`, waitMs: 60_000, onWait: () => undefined });
  const encode = createPaymentEventEncoder(JSON.parse(schema.text), schema.id);
  const publisher: TransactionalPublisher = await connectTransactionalPublisher({ ...publisherOptions(config, 'bench'), transactionalId: `${topic}-bench` });
  const events = generateEvents({
    seed: options.seed, count: options.warm + options.events, participants, duplicates: 0.01, misdirected: 0, wrong: 0.005, capped: 0, source: 'bench',
  });
  const sent = new Map<string, GeneratedEvent>();
  return {
    sent,
    async publish(count) {
      const records: OutgoingRecord[] = [];
      for (let i = 0; i < count; i++) {
        const { value: event } = events.next();
        const generated = event as GeneratedEvent;
        const value = encode({ ...generated.event, createdAt: Date.now() });
        records.push({ topic, partition: partitionOf(generated, options.partitions), key: generated.key, value: generated.spoil === null ? value : generated.spoil(value) });
        // The document is of no use any more, and there may be a million of them.
        sent.set(generated.event.eventId, { ...generated, event: { ...generated.event, document: Buffer.alloc(0) } });
      }
      await publisher.publishAll(records);
    },
    close: () => publisher.close(),
  };
}

/** Until the group stands behind the last event of each partition; upstream's own transaction marker comes after that. */
async function drained(config: Config, reader: KafkaTopicReader, partitions: number): Promise<void> {
  const { inbound } = topicNames(config.topicPrefix);
  const places = Array.from({ length: partitions }, (_, partition) => ({ topic: inbound, partition }));
  const ends = await Promise.all(places.map(async ({ topic, partition }) => (await reader.watermarks(topic, partition)).high));
  const group = await openGroupOffsets({ brokers: config.kafkaBrokers, clientId: 'bench', groupId: config.consumerGroup });
  const deadline = performance.now() + drainBoundMs;
  try {
    for (;;) {
      const committed = await group.committed(places);
      if (committed.every((offset, i) => (offset ?? 0) >= ends[i]! - 1)) return;
      if (performance.now() > deadline) throw new Error(`not drained after ${drainBoundMs / 1000} s: ${committed.join(' ')} of ${ends.join(' ')}`);
      await sleep(askEveryMs);
    }
  } finally {
    await group.close();
  }
}

/** `isOurs`: each answer must be the expected one; peers do not hold messages against the XSD, and need one answer to each. */
async function findFaults(reader: KafkaTopicReader, config: Config, partitions: number, sent: ReadonlyMap<string, GeneratedEvent>, isOurs: boolean): Promise<string[]> {
  const { results, deadLetter } = topicNames(config.topicPrefix);
  const faults: string[] = [];
  const answered = new Set<string>();
  let deadLetters = 0;
  for (let partition = 0; partition < partitions; partition++) {
    await reader.readToEnd({ topic: results, partition, from: null }, (batch) => {
      for (let row = 0; row < batch.count; row++) {
        const result = decodePaymentResult(valueBytes(batch, row)!);
        const event = sent.get(result.eventId);
        if (event === undefined) faults.push(`${result.eventId} was never sent`);
        else if (answered.has(result.eventId)) faults.push(`${result.eventId} has two answers`);
        else if ((isOurs || event.kind === 'plain' || event.kind === 'duplicate') && !isExpected(event, result)) {
          faults.push(`${event.kind} ${result.eventId}: ${result.status} ${result.reasonCode ?? ''} where ${JSON.stringify(event.expected)} was expected`);
        }
        answered.add(result.eventId);
      }
    });
    await reader.readToEnd({ topic: deadLetter, partition, from: null }, (batch) => void (deadLetters += batch.count));
  }
  if (answered.size + deadLetters !== sent.size) faults.push(`${answered.size} results and ${deadLetters} dead letters for ${sent.size} events`);
  const expectedLetters = [...sent.values()].filter(({ expected }) => expected.kind === 'deadLetter').length;
  if (isOurs && deadLetters !== expectedLetters) faults.push(`${deadLetters} dead letters, ${expectedLetters} expected`);
  return faults;
}

function isExpected({ expected }: GeneratedEvent, { status, reasonCode }: { readonly status: string; readonly reasonCode: string | null }): boolean {
  switch (expected.kind) {
    case 'settled':
      return status === 'ACSC';
    case 'settledOrCapped':
      return status === 'ACSC' || reasonCode === 'AM04';
    case 'rejected':
      return reasonCode === expected.code;
    case 'deadLetter':
      return false;
  }
}

/** CPU seconds so far, of the subject's processes and of the stack's. */
function partsUsage(pids: readonly number[]): { subject: number; kafka: number; redis: number } {
  const state = JSON.parse(readFileSync(join(process.env['STACK_DIRECTORY']!, 'state.json'), 'utf8')) as { processes: { name: string; pid: number }[] };
  const of = (name: string): number => cpuSeconds(state.processes.find((own) => own.name === name)?.pid ?? 0);
  return { subject: pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0), kafka: of('kafka'), redis: of('redis') };
}
