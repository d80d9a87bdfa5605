/**
 * One pass through everything that a worker does, part after part, each by the product's own code and each measured alone:
 * so it can be seen where the CPU goes, and whether the parts add up to the whole.
 *
 * Of each part the first quarter warms up and is not measured.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createFleetLog } from '../src/adapters/kafka/fleet-log.ts';
import { connectTransactionalPublisher } from '../src/adapters/kafka/publisher.ts';
import type { OutgoingRecord } from '../src/adapters/kafka/publisher.ts';
import { sessionTimeoutMs, transactionTimeoutMs } from '../src/adapters/kafka/timeouts.ts';
import { createDecoder } from '../src/adapters/piscina/decoder.ts';
import type { WriterSchemas } from '../src/adapters/piscina/decoder.ts';
import { resultSchemaId } from '../src/adapters/registry/result-schema.ts';
import { RedisClaims } from '../src/adapters/redis/claims.ts';
import { systemTiming } from '../src/adapters/system/timing.ts';
import { commandLog } from '../src/cli/console.ts';
import { publisherOptions, topicReader } from '../src/cli/kafka-session.ts';
import { DecodedBatchWriter } from '../src/codec/decoded-batch.ts';
import type { EventDocument } from '../src/codec/decode-task.ts';
import { readPaymentMessage } from '../src/codec/iso20022/payment-reader.ts';
import { encodePosition, positionKey } from '../src/codec/position-record.ts';
import { valueBytes } from '../src/codec/record-batch.ts';
import type { RecordBatch } from '../src/codec/record-batch.ts';
import { Ledger } from '../src/domain/ledger.ts';
import { Directory } from '../src/domain/participant.ts';
import { settlementPartition } from '../src/domain/partition.ts';
import { Epoch } from '../src/epoch.ts';
import { freshStanding, LaneBook } from '../src/lane-book.ts';
import type { KafkaTransaction, Telemetry } from '../src/ports.ts';
import { restoreLane } from '../src/restore.ts';
import { createDecodeStage } from '../src/stages/decode.ts';
import type { Decoded } from '../src/stages/decode.ts';
import { createDedupeStage } from '../src/stages/dedupe.ts';
import { createRouteStage } from '../src/stages/route.ts';
import type { Work } from '../src/stages/route.ts';
import { createSettleStage } from '../src/stages/settle.ts';
import { fleet } from './peers/subjects.ts';
import { openWorld, partsUsage, usageBetween } from './world.ts';
import { participantIds } from './workload.ts';
import type { World } from './world.ts';

export interface PartsOptions {
  readonly seed: number;
  readonly events: number;
  readonly positions: number;
  /** Events in a Kafka transaction. */
  readonly epochEvents: number;
  readonly onPart: (name: string) => void;
}

export interface PartFigures {
  /** Events, or whatever the part counts, in the measured share. */
  readonly count: number;
  readonly seconds: number;
  /** CPU seconds: of this process, or of the sink's; of the broker and of Redis. */
  readonly cpu: { readonly own: number; readonly kafka: number; readonly redis: number };
}

export const chainParts = ['consume', 'decode', 'route', 'dedupe', 'settle', 'commit'] as const;
/** `avro` and `parse` are what `decode` is made of; what it takes beyond them is the way to the threads and back. */
export const partNames = [...chainParts, 'avro', 'parse', 'sink', 'restore'] as const;
export type PartName = (typeof partNames)[number];

const batchesUnderWay = 4;
const drainBoundMs = 120_000;
const silentTelemetry: Telemetry = {
  consumed() {}, dedupe() {}, committed() {}, aborted() {}, windowRebuilt() {}, audited() {}, dependency() {},
};

export async function measureParts(options: PartsOptions): Promise<Record<PartName, PartFigures>> {
  const world = await openWorld({ subject: 'parts', seed: options.seed, participants: 64, partitions: 8, transactions: 1, commitIntervalMs: 100 });
  try {
    options.onPart('preparing');
    await world.publish(0, options.events);
    const chain = await measureChain(world, options);
    options.onPart('sink');
    const sink = await measureSink(world);
    return { ...chain, sink, restore: await measureRestore(options) };
  } finally {
    await world.close();
  }
}

// ── The chain of a worker ───────────────────────────────────────────────────────────────────────────────────────────

async function measureChain(world: World, { events, epochEvents, onPart }: PartsOptions): Promise<Record<Exclude<PartName, 'sink' | 'restore'>, PartFigures>> {
  const { config, topics, workloadOptions: { schema } } = world;
  const partitionCount = 8;
  const schemas: WriterSchemas = { resolve: async (ids) => ids.map((id) => (id === schema.id ? { id, kind: 'avro', texts: [schema.text] } : { id, kind: 'unknown' })) };
  const decoding = { schemas, maxEventBytes: config.maxEventBytes, log: commandLog };
  const log = createFleetLog({
    brokers: config.kafkaBrokers, groupId: config.consumerGroup, workerId: `${config.consumerGroup}-parts`, topics, sessionTimeoutMs, transactionTimeoutMs, gatherMs: 10, log: commandLog,
    onAborted: () => undefined, onReachable: () => undefined,
  });
  const claims = new RedisClaims({ url: config.redisUrl, namespace: () => config.consumerGroup, windowSeconds: 3_600, clock: Date.now });
  try {
    await log.start();

    onPart('consume');
    const batches: RecordBatch[] = [];
    let taken = 0;
    const consuming = startMeter();
    while (taken < events) {
      for (const batch of await log.poll({ recordsMax: 2_000, waitMs: 50 })) {
        batches.push(batch);
        taken += batch.count;
      }
      for (let event = log.nextRebalance(); event !== undefined; event = log.nextRebalance()) {
        log.confirm(event);
        if (event.kind === 'assigned') for (const partition of event.partitions) await log.release(partition, await log.committed(partition));
      }
      if (taken > events / 4) consuming.begin(taken);
    }
    const consume = consuming.end(taken);
    const batchOf = metered(batches, ({ count }) => count);

    onPart('avro');
    const documents: EventDocument[][] = [];
    const avroDecoder = createDecoder({ ...decoding, threads: 0, readMessage: (document) => void documents.at(-1)!.push(document) });
    const avro = await batchOf(async (batch) => {
      documents.push([]);
      await avroDecoder.decode(batch);
    });
    await avroDecoder.close();

    onPart('parse');
    const writer = new DecodedBatchWriter();
    const parse = await metered(documents, ({ length }) => length)(async (some) => {
      writer.reset();
      for (const document of some) {
        writer.beginEvent();
        readPaymentMessage(document, writer);
      }
      writer.pack();
    });

    onPart('decode');
    const decoder = createDecoder({ ...decoding, threads: 1, readMessage: readPaymentMessage });
    const decodeStage = createDecodeStage({ decoder, inboundTopic: topics.inbound });
    const decoded: Decoded[] = [];
    const underWay: Promise<Decoded>[] = [];
    const decode = await batchOf(async (batch) => {
      underWay.push(decodeStage(batch));
      if (underWay.length >= batchesUnderWay) decoded.push(await underWay.shift()!);
    }, async () => void decoded.push(...(await Promise.all(underWay))));
    await decoder.close();
    const decodedOf = metered(decoded, ({ records }) => records.count);

    onPart('route');
    const directory = new Directory(participantIds(64).map((id) => ({ id, name: id, aliases: [], debitCaps: new Map([['EUR', 900_000_000_000_000n]]) })));
    const routeStage = createRouteStage({ directory: () => directory, partitionCount });
    const works: Work[] = [];
    const route = await decodedOf(async (one) => void works.push(routeStage(one)));
    const worksOf = metered(works, ({ records }) => records.count);

    onPart('dedupe');
    const books = Array.from({ length: partitionCount }, (_, partition) => new LaneBook({ partition, ledger: new Ledger(), standing: freshStanding, topics, worker: 'parts' }));
    const dedupeStage = createDedupeStage({
      claims, telemetry: silentTelemetry, log: commandLog, timing: systemTiming,
      rebuild: async (partition) => (await claims.beginRestore(partition)).complete(),
    });
    const { signal } = new AbortController();
    const dedupe = await worksOf((work) => dedupeStage(work, books[work.records.partition]!, signal));

    onPart('settle');
    const settleStage = createSettleStage({ clock: Date.now, topics, partitionCount, deadLetterPartitionCount: log.deadLetterPartitionCount, resultSchemaId: await resultSchemaId({ url: config.schemaRegistryUrl, prefix: config.topicPrefix, log: commandLog }), worker: 'parts' });
    const transactions: { readonly transaction: KafkaTransaction; readonly events: number }[] = [];
    let epoch = new Epoch();
    let filled = 0;
    const seal = (): void => {
      transactions.push({ transaction: epoch.seal(), events: filled });
      epoch = new Epoch();
      filled = 0;
    };
    const settle = await worksOf(async (work) => {
      settleStage(work, books[work.records.partition]!, epoch, null);
      filled += work.records.count;
      if (filled >= epochEvents) seal();
    }, async () => {
      if (filled > 0) seal();
    });

    onPart('commit');
    const commit = await metered(transactions, (one) => one.events)(async ({ transaction }) => {
      const outcome = await log.commit(transaction);
      if (outcome !== 'committed') throw new Error(`a Kafka transaction was ${outcome}`);
    });
    return { consume, decode, route, dedupe, settle, commit, avro, parse };
  } finally {
    await claims.close();
    await log.stop();
  }
}

// ── Beside the chain ────────────────────────────────────────────────────────────────────────────────────────────────

/** The sink stores what the chain told, and then all of it once more, which is measured: it is warm by then. */
async function measureSink(world: World): Promise<PartFigures> {
  const { config, topics, reader } = world;
  const records: OutgoingRecord[] = [];
  for (let partition = 0; partition < 8; partition++) {
    await reader.readToEnd({ topic: topics.results, partition, from: null }, (batch) => {
      for (let row = 0; row < batch.count; row++) records.push({ topic: topics.results, partition, key: null, value: Buffer.from(valueBytes(batch, row)!) });
    });
  }
  const [sink] = await fleet.startSink!(world.place);
  const publisher = await connectTransactionalPublisher({ ...publisherOptions(config, 'bench-results'), transactionalId: `${topics.results}-bench` });
  try {
    const rows = async (): Promise<number> => {
      const metrics = await fetch(`http://127.0.0.1:${sink!.metricsPort}/metrics`).then((answer) => answer.text(), () => '');
      return Number(/^settlefleet_sink_rows_total\{table="results"\} (\d+)/m.exec(metrics)?.[1] ?? 0);
    };
    const stored = async (wanted: number): Promise<void> => {
      const deadline = performance.now() + drainBoundMs;
      while ((await rows()) < wanted) {
        if (performance.now() > deadline || sink!.exited()) throw new Error(`the sink stored ${await rows()} rows, not ${wanted}: ${sink!.lastWords()}`);
        await sleep(50);
      }
    };
    await stored(records.length);
    await publisher.publishAll(records);
    const before = { ...partsUsage([sink!.pid]), at: performance.now() };
    await stored(2 * records.length);
    const spent = usageBetween(before, partsUsage([sink!.pid]));
    return { count: records.length, seconds: (performance.now() - before.at) / 1000, cpu: { own: spent.subject, kafka: spent.kafka, redis: 0 } };
  } finally {
    await publisher.close();
    await sink!.end();
  }
}

/** What lanes do on assignment, all partitions side by side, from a changelog that holds one record for each position. */
async function measureRestore({ seed, positions: count, onPart }: PartsOptions): Promise<PartFigures> {
  onPart('restore');
  const world = await openWorld({ subject: 'restore', seed, participants: 64, partitions: 8, transactions: 1, commitIntervalMs: 100 });
  const { config, topics } = world;
  const publisher = await connectTransactionalPublisher({ ...publisherOptions(config, 'bench-positions'), transactionalId: `${topics.positions}-bench` });
  function* changelog(): Generator<OutgoingRecord> {
    let i = 0;
    for (const participant of participantIds(count)) {
      const position = { participant, currency: 'EUR', units: BigInt(i++) * 123_000n - 60_000_000n };
      yield { topic: topics.positions, partition: settlementPartition(participant, 8), key: positionKey(position), value: encodePosition(position, 1) };
    }
  }
  try {
    await publisher.publishAll(changelog());
  } finally {
    await publisher.close();
  }
  const reader = topicReader(config, 'bench-restore');
  try {
    const meter = startMeter();
    meter.begin(0);
    const committed = { inbound: null, routed: null };
    const lanes = await Promise.all(Array.from({ length: 8 }, (_, partition) => restoreLane({ partition, committed, reader, topics, log: commandLog })));
    const restored = lanes.reduce((sum, { ledger }) => sum + [...ledger.positions()].length, 0);
    if (restored < count) throw new Error(`${restored} of ${count} positions were restored`);
    return meter.end(restored);
  } finally {
    await reader.close();
    await world.close();
  }
}

// ── Meters ──────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Meter {
  /** From here on it counts; only the first call does anything. */
  begin(count: number): void;
  end(count: number): PartFigures;
}

function startMeter(): Meter {
  const look = () => {
    const { user, system } = process.cpuUsage();
    return { at: performance.now(), usage: { ...partsUsage([]), subject: (user + system) / 1e6 } };
  };
  let begun: (ReturnType<typeof look> & { readonly count: number }) | undefined;
  return {
    begin: (count) => void (begun ??= { ...look(), count }),
    end(count) {
      const now = look();
      const spent = usageBetween(begun!.usage, now.usage);
      return { count: count - begun!.count, seconds: (now.at - begun!.at) / 1000, cpu: { own: spent.subject, kafka: spent.kafka, redis: spent.redis } };
    },
  };
}

/** Does something with each item, one after another, and measures all but the first quarter. */
function metered<T>(items: readonly T[], countOf: (item: T) => number): (work: (item: T) => Promise<void>, last?: () => Promise<void>) => Promise<PartFigures> {
  const total = items.reduce((sum, item) => sum + countOf(item), 0);
  return async (work, last) => {
    const meter = startMeter();
    let done = 0;
    for (const item of items) {
      if (done >= total / 4) meter.begin(done);
      await work(item);
      done += countOf(item);
    }
    await last?.();
    return meter.end(done);
  };
}
