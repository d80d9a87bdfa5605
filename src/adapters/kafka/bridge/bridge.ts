/**
 * The packed bridge: records by the batch, where the package's raw API makes an object, two buffers and nine strings of
 * each. A small addon of ours (bridge.c) on the very client that the package made; everything else, from rebalances to
 * transactions, stays with the package.
 *
 * Where it cannot be had (not built, another librdkafka), the raw API does the same work at a higher price, and
 * `bridgeState` says why.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { KafkaConsumer, Producer } from '@confluentinc/kafka-javascript';
import type { RecordBatch, RecordHeader } from '../../../codec/record-batch.ts';
import type { RecordSlab } from '../../../codec/record-slab.ts';
import type { KafkaBridgeChoice } from '../../../config.ts';
import { FatalError } from '../../../errors.ts';
import type { Log } from '../../../ports.ts';

export interface BridgeState {
  readonly inForce: boolean;
  /** Why, in words. */
  readonly reason: string;
}

/** What `./dev install` and the image build; see scripts/dev/build-bridge.sh. */
const builtAt = fileURLToPath(new URL('../../../../node_modules/.settlefleet/kafka-bridge.node', import.meta.url));
/** Of bridge.c: what was built from another one is not used. */
const expectedInterface = 2;
/** A batch ends soon after it has so many bytes. */
const batchBytesMax = 8 << 20;
const bytesPerRecord = 32;
/** librdkafka's codes. */
const stateError = -172;
const queueFull = -184;

type Handle = object & { readonly isHandle: unique symbol };

interface Layout {
  /** Topic, partition, records, bytes. */
  readonly groups: readonly (string | number)[];
  /** Topic, partition, offset behind the last record. */
  readonly ends: readonly (string | number)[];
  /** Group, row, key, value. */
  readonly headers?: readonly (number | string | Uint8Array | null)[];
  readonly error: number;
}

interface Addon {
  readonly bridgeInterface: number;
  attach(path: string): string;
  register(): [Handle, string];
  close(handle: Handle): void;
  take(handle: Handle, recordsMax: number, bytesMax: number, waitMs: number): Promise<Layout | null>;
  fill(handle: Handle, memory: readonly Uint8Array[]): Promise<boolean>;
  drop(handle: Handle): void;
  account(bytes: number): void;
  produce(
    handle: Handle,
    bytes: Uint8Array,
    columns: Int32Array,
    topics: readonly string[],
    headers: readonly (number | string | Uint8Array | null)[],
    first: number,
    to: number,
  ): Promise<[number, number]>;
  describe(code: number): string;
}

/** A client that has the bridge. */
interface Bridged {
  readonly addon: Addon;
  readonly handle: Handle;
  /** Batches and slabs under way: `close` waits for them. */
  readonly underWay: Set<Promise<unknown>>;
  /** Told by librdkafka together with records, and thrown when these are taken. */
  laterError: number;
}

type Client = KafkaConsumer | Producer;

let choice: KafkaBridgeChoice = 'auto';
let loaded: { readonly addon: Addon | null; readonly reason: string } | undefined;
const bridgedClients = new WeakMap<Client, Bridged>();

/** For all clients that are made from now on. */
export function chooseBridge(wanted: KafkaBridgeChoice): void {
  choice = wanted;
}

/** Whether new clients have the bridge. */
export function bridgeState(): BridgeState {
  if (choice === 'off') return { inForce: false, reason: 'KAFKA_BRIDGE is off' };
  loaded ??= load();
  return { inForce: loaded.addon !== null, reason: loaded.reason };
}

/** Says once which way records go. Throws where the bridge is required and not to be had. */
export function announceBridge(log: Log): void {
  const { inForce, reason } = bridgeState();
  if (inForce) log.info({}, 'Records go over the packed bridge');
  else if (choice === 'off') log.info({ reason }, "Records go over the Kafka client's own API");
  else if (choice === 'auto') log.warn({ reason }, "The packed bridge is not to be had: records go over the Kafka client's own API, at about three times the CPU");
  else throw unavailable(reason);
}

function unavailable(reason: string): FatalError {
  return new FatalError(`KAFKA_BRIDGE is required, and the packed bridge is not to be had: ${reason}.`);
}

function load(): NonNullable<typeof loaded> {
  const require = createRequire(import.meta.url);
  try {
    // Loaded by whoever makes clients; the path is that of the very file.
    const { features } = require('@confluentinc/kafka-javascript') as { readonly features: readonly string[] };
    if (!features.includes('plugins')) return { addon: null, reason: 'the Kafka client is built without plugins' };
    // librdkafka takes several paths with this sign between.
    if (builtAt.includes(';')) return { addon: null, reason: `the path ${builtAt} has a semicolon in it` };
    const client = Object.keys(require.cache).find((path) => path.endsWith('confluent-kafka-javascript.node'));
    if (client === undefined) return { addon: null, reason: "the Kafka client's addon is not where it is expected" };
    const addon = require(builtAt) as Addon;
    if (addon.bridgeInterface !== expectedInterface) return { addon: null, reason: 'it was built from another version of its source (./dev install builds it)' };
    const refusal = addon.attach(client);
    return refusal === '' ? { addon, reason: 'built for the librdkafka that is loaded' } : { addon: null, reason: refusal };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === 'MODULE_NOT_FOUND' ? 'it is not built (./dev install builds it where there is a C compiler)' : message.split('\n')[0]!;
    return { addon: null, reason };
  }
}

/**
 * Settings that bring the bridge to a client, and what to call with the client once it is made. They must stand before all
 * others: the client takes settings one by one, and ours is unknown before the plugin is loaded.
 */
export function bridgeSettings(): { readonly settings: Record<string, string>; readonly adopt: (client: Client) => void } {
  const { inForce, reason } = bridgeState();
  const addon = loaded?.addon;
  if (!inForce || addon == null) {
    if (choice === 'required') throw unavailable(reason);
    return { settings: {}, adopt: () => undefined };
  }
  const [handle, number] = addon.register();
  return {
    settings: { 'plugin.library.paths': builtAt, 'settlefleet.bridge': number },
    adopt: (client) => bridgedClients.set(client, { addon, handle, underWay: new Set(), laterError: 0 }),
  };
}

/** Whether records of this client go over the bridge. */
export function isBridged(client: Client): boolean {
  return bridgedClients.has(client);
}

/**
 * Up to `recordsMax` records, about 8 MiB at most; waits at most `waitMs` for the first. One batch for each partition, in
 * shared memory. Ends of partitions are emitted by the client before it resolves, as the raw API does.
 */
export async function takePacked(consumer: KafkaConsumer, recordsMax: number, waitMs: number): Promise<RecordBatch[]> {
  const bridged = bridgedClients.get(consumer)!;
  if (bridged.laterError !== 0) {
    const code = bridged.laterError;
    bridged.laterError = 0;
    throw clientError(bridged.addon, code);
  }
  return await whileUnderWay(bridged, takeOne(consumer, bridged, recordsMax, waitMs));
}

async function takeOne(consumer: KafkaConsumer, bridged: Bridged, recordsMax: number, waitMs: number): Promise<RecordBatch[]> {
  const { addon, handle } = bridged;
  const layout = await addon.take(handle, recordsMax, batchBytesMax, waitMs);
  if (layout === null) throw clientError(addon, stateError);
  const { groups, ends, headers, error } = layout;
  const batches: RecordBatch[] = [];
  if (groups.length > 0) {
    const memory: Uint8Array[] = [];
    try {
      for (let at = 0; at < groups.length; at += 4) {
        const [topic, partition, count, size] = groups.slice(at, at + 4) as [string, number, number, number];
        const shared = sharedMemory(addon, count * bytesPerRecord + size);
        memory.push(new Uint8Array(shared));
        batches.push(batchOver(shared, topic, partition, count));
      }
    } catch (failure) {
      addon.drop(handle);
      throw failure;
    }
    if (!(await addon.fill(handle, memory))) throw clientError(addon, stateError);
    if (headers !== undefined) addHeaders(batches, headers);
  }
  for (let at = 0; at < ends.length; at += 3) {
    consumer.emit('partition.eof', { topic: ends[at] as string, partition: ends[at + 1] as number, offset: ends[at + 2] as number });
  }
  if (error !== 0) {
    if (batches.length === 0) throw clientError(addon, error);
    bridged.laterError = error;
  }
  return batches;
}

/**
 * V8 does not count shared memory when it decides whether to collect garbage, and the bridge makes little else: batches that
 * nobody holds would lie around by the hundred megabytes. So it is told.
 */
function sharedMemory(addon: Addon, bytes: number): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(bytes);
  addon.account(bytes);
  collected.register(shared, { addon, bytes });
  return shared;
}

const collected = new FinalizationRegistry<{ readonly addon: Addon; readonly bytes: number }>(({ addon, bytes }) => addon.account(-bytes));

/** The columns as bridge.c lays them out: see `copy_out` there. */
function batchOver(shared: SharedArrayBuffer, topic: string, partition: number, count: number): RecordBatch {
  const column = (index: number): Int32Array => new Int32Array(shared, count * (16 + 4 * index), count);
  return {
    topic,
    partition,
    count,
    bytes: new Uint8Array(shared, count * bytesPerRecord),
    keyStart: column(0),
    keyLength: column(1),
    valueStart: column(2),
    valueLength: column(3),
    offsets: new Float64Array(shared, 0, count),
    timestamps: new Float64Array(shared, count * 8, count),
    headers: new Array<null>(count).fill(null),
  };
}

function addHeaders(batches: readonly RecordBatch[], flat: NonNullable<Layout['headers']>): void {
  for (let at = 0; at < flat.length; at += 4) {
    const headers = batches[flat[at] as number]!.headers as (RecordHeader[] | null)[];
    const row = flat[at + 1] as number;
    (headers[row] ??= []).push({ key: flat[at + 2] as string, value: flat[at + 3] as Uint8Array | null });
  }
}

/**
 * Hands records of a slab over, from `first` on; resolves to how many of the slab are handed over now, fewer than all when
 * the client's queue is full. Throws as the raw `produce` does. Nothing may be appended to the slab meanwhile.
 */
export async function producePacked(producer: Producer, slab: RecordSlab, first: number): Promise<number> {
  const bridged = bridgedClients.get(producer)!;
  const { addon, handle } = bridged;
  const { bytes, columns, topics, headers } = slab.packed();
  const [next, error] = await whileUnderWay(bridged, addon.produce(handle, bytes, columns, topics, headers, first, slab.count));
  if (error !== 0 && error !== queueFull) throw clientError(addon, error);
  return next;
}

/** Nothing new begins, and what is under way has ended: the client may be disconnected. */
export async function closeBridge(client: Client): Promise<void> {
  const bridged = bridgedClients.get(client);
  if (bridged === undefined) return;
  bridged.addon.close(bridged.handle);
  await Promise.allSettled(bridged.underWay);
}

async function whileUnderWay<T>(bridged: Bridged, work: Promise<T>): Promise<T> {
  bridged.underWay.add(work);
  try {
    return await work;
  } finally {
    bridged.underWay.delete(work);
  }
}

/** In the shape of the package's errors. */
function clientError(addon: Addon, code: number): Error & { readonly code: number } {
  const words = addon.describe(code);
  return Object.assign(new Error(words), { code, errno: code, origin: 'local' as const });
}
