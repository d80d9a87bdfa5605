/**
 * Loaded before a worker or a sink (`NODE_OPTIONS=--import ...`): kills the process at the crash point that its environment
 * names, and lets its clock jump. It wraps methods of the client libraries, so that the product runs as it is.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import { createRequire, flushCompileCache } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import { crashVariables, lastWords, sinkPoints, workerPoints } from './crash-points.ts';
import type { SinkPoint, WorkerPoint } from './crash-points.ts';

const flushMs = 5_000;
const clockCheckMs = 100;
/** By then everything is loaded; who is killed would leave no cache behind. */
const compiledMs = 3_000;

const wanted = process.env[crashVariables.point];
let passes = Number(process.env[crashVariables.passes] ?? 0);

/** How many of a transaction's records are with the broker when the process is killed. */
const producedBefore: Readonly<Record<string, (records: number) => number>> = {
  ['first record produced; the others not' satisfies WorkerPoint]: () => 1,
  ['half of the records produced; the others not' satisfies WorkerPoint]: (records) => records >> 1,
  ['all records produced; offsets not sent' satisfies WorkerPoint]: (records) => records,
};

/** Ends the process when `point` is the one that was asked for, and has been passed often enough. */
function reach(point: WorkerPoint | SinkPoint): void {
  if (point === wanted && passes-- <= 0) die();
}

function die(): void {
  writeSync(2, `${lastWords(wanted!)}\n`);
  process.kill(process.pid, 'SIGKILL');
}

// Threads of the process load this file too.
if (isMainThread) {
  if (workerPoints.some((point) => point === wanted)) await watchWorker();
  if (sinkPoints.some((point) => point === wanted)) await watchSink();
  const clockFile = process.env[crashVariables.clockFile];
  if (clockFile !== undefined) letClockJump(clockFile);
  setTimeout(flushCompileCache, compiledMs).unref();
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- methods of several libraries, of which only the callback is looked at
type Method = (this: any, ...args: any[]) => any;
type Prototype = Record<string, Method>;

/** Replaces a method by what `make` makes of the original. */
function wrap(prototype: unknown, name: string, make: (original: Method) => Method): void {
  const owner = prototype as Prototype;
  owner[name] = make(owner[name]!);
}

/** Calls `heard` with the answer's error before the callback, which is the last argument, gets it. */
function beforeCallback(prototype: unknown, name: string, heard: (error: unknown) => void): void {
  wrap(prototype, name, (original) => function (...args) {
    const done = args.at(-1) as (error: unknown, value: unknown) => void;
    return original.call(this, ...args.slice(0, -1), (error: unknown, value: unknown) => {
      heard(error);
      done(error, value);
    });
  });
}

async function watchWorker(): Promise<void> {
  const { default: kafka } = await import('@confluentinc/kafka-javascript');
  watchTransactions(kafka.Producer.prototype);
  watchGroup(kafka.KafkaConsumer.prototype);
  const { Redis } = await import('ioredis');
  await watchClaims(Redis.prototype);
}

function watchTransactions(producer: unknown): void {
  const unlessFailed = (point: WorkerPoint) => (error: unknown): void => {
    if (!error) reach(point);
  };
  beforeCallback(producer, 'initTransactions', unlessFailed('initTransactions answered; not taken up'));
  beforeCallback(producer, 'beginTransaction', unlessFailed('transaction begun; nothing produced'));
  beforeCallback(producer, 'commitTransaction', (error) => {
    if (error) return;
    reach('commit answered; not taken up');
    // Behind everything that the answer sets in motion by promises.
    if (wanted === 'commit taken up; nothing begun') setImmediate(() => setImmediate(() => reach('commit taken up; nothing begun')));
  });

  const share = producedBefore[wanted ?? ''];
  if (share !== undefined) holdRecords(producer as Prototype, share);
  beforeCallback(producer, 'sendOffsetsToTransaction', unlessFailed('offsets sent; commit not asked for'));
}

/** How many records there are is known when the offsets follow: until then they wait here, by whichever way they go. */
function holdRecords(producer: Prototype, share: (records: number) => number): void {
  const held: unknown[][] = [];
  const produce = producer['produce']!;
  producer['produce'] = (...args) => held.push(args) > 0;
  const handOver = holdSlabs(share);
  wrap(producer, 'sendOffsetsToTransaction', (original) => function (this: Prototype, ...args) {
    const records = held.splice(0);
    const isDue = records.length > 1 && passes-- <= 0;
    for (const record of isDue ? records.slice(0, share(records.length)) : records) produce.apply(this, record);
    handOver().then(
      (areDue) => {
        if (isDue || areDue) this['flush']!(flushMs, () => die());
        else original.apply(this, args);
      },
      (error: unknown) => (args.at(-1) as (error: unknown) => void)(error),
    );
  });
}

/** The same for the packed bridge, which is handed a slab at a time. Returns what hands over: true when it is time to die. */
function holdSlabs(share: (records: number) => number): () => Promise<boolean> {
  type Slab = [handle: unknown, bytes: unknown, columns: unknown, topics: unknown, headers: unknown, first: number, to: number];
  const held: Slab[] = [];
  let bridge: Prototype;
  try {
    bridge = createRequire(import.meta.url)('../../node_modules/.settlefleet/kafka-bridge.node') as Prototype;
  } catch {
    return () => Promise.resolve(false);
  }
  const produce = bridge['produce'] as (...args: Slab) => Promise<[next: number, code: number]>;
  bridge['produce'] = (...args) => {
    held.push(args as Slab);
    return Promise.resolve([args[6], 0]);
  };
  return async () => {
    const slabs = held.splice(0);
    const count = slabs.reduce((sum, [, , , , , first, to]) => sum + to - first, 0);
    const isDue = count > 1 && passes-- <= 0;
    let left = isDue ? share(count) : count;
    for (const [handle, bytes, columns, topics, headers, first, to] of slabs) {
      const records = Math.min(left, to - first);
      left -= records;
      const [, code] = await produce(handle, bytes, columns, topics, headers, first, first + records);
      if (code !== 0) throw Object.assign(new Error('The bridge did not take the records.'), { code });
    }
    return isDue;
  };
}

function watchGroup(consumer: unknown): void {
  /** Of several consumers only the group's member subscribes. */
  const members = new WeakSet<object>();
  const around = (name: string, watch: (original: Method, self: unknown, args: unknown[]) => unknown): void =>
    wrap(consumer, name, (original) => function (this: object, ...args) {
      return members.has(this) ? watch(original, this, args) : (original.apply(this, args) as unknown);
    });
  wrap(consumer, 'subscribe', (original) => function (this: object, ...args) {
    members.add(this);
    return original.apply(this, args) as unknown;
  });
  around('assign', (original, self, args) => {
    original.apply(self, args);
    if ((args[0] as unknown[]).length > 0) reach('assignment taken; nothing restored');
  });
  around('seek', (original, self, args) => {
    reach('lane restored; its partition not released');
    original.apply(self, args);
  });
  around('resume', (original, self, args) => {
    original.apply(self, args);
    reach('partitions released; nothing read');
  });
  around('unassign', (original, self, args) => {
    if (!(self as { assignmentLost(): boolean }).assignmentLost()) reach('revoked and drained; not given back');
    original.apply(self, args);
  });
  around('disconnect', (original, self, args) => {
    reach('told to end and drained; the group not left');
    return original.apply(self, args) as unknown;
  });
}

async function watchClaims(redis: unknown): Promise<void> {
  const { beginScript, claimScript, restoreScript } = await import('../../src/adapters/redis/scripts.ts');
  const points = new Map<string, WorkerPoint>([
    [claimScript.digest, 'claims made; the answer not heard'],
    [beginScript.digest, 'window restore begun; nothing added'],
    [restoreScript.digest, 'window restore added; not completed'],
  ]);
  for (const name of ['evalsha', 'eval']) {
    wrap(redis, name, (original) => async function (script: string, keyCount: number, firstKey: string, ...args) {
      const answer = (await original.call(this, script, keyCount, firstKey, ...args)) as unknown;
      const point = points.get(name === 'eval' ? createHash('sha1').update(script).digest('hex') : script);
      // Partition -1 is the question whether Redis answers; it claims nothing.
      if (point !== undefined && !firstKey.endsWith('m-1')) reach(point);
      return answer;
    });
  }
}

async function watchSink(): Promise<void> {
  const { createClient } = await import('@clickhouse/client');
  const prototype: unknown = Object.getPrototypeOf(createClient());
  wrap(prototype, 'exec', (original) => async function (request: { query: string }) {
    const { query } = request;
    const isBlock = query.startsWith('INSERT') && query.includes('input(');
    if (isBlock) reach('block full; not inserted');
    const answer = (await original.call(this, request)) as unknown;
    if (isBlock) reach('block inserted; not taken up');
    else if (query.includes('INSERT INTO payments.sink_claims')) reach('claim row stored; older inserts not ended');
    else if (query.startsWith('KILL QUERY')) reach('older inserts ended; stored offset not read');
    else if (/^SELECT \w+_partition, max\(\w+_offset\)/.test(query)) reach('stored offset read; nothing inserted');
    return answer;
  });
}

/** The file says by how many milliseconds the clock is off. What runs by the monotonic clock notices nothing, as in the world. */
function letClockJump(file: string): void {
  const SystemDate = Date;
  let offset = 0;
  const now = (): number => SystemDate.now() + offset;
  globalThis.Date = class extends SystemDate {
    constructor(...args: []) {
      if (args.length === 0) super(now());
      else super(...args);
    }

    static override now(): number {
      return now();
    }
  } as DateConstructor;
  setInterval(() => (offset = Number(readFileSync(file, 'utf8')) || 0), clockCheckMs).unref();
}
