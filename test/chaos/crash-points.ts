/**
 * Where a process is killed: between two effects. Most points lie in the process itself, around a call of the Kafka client,
 * of ioredis or of the ClickHouse client (preload.ts); some lie on the wire, where a broker has got a request and the
 * process has no answer (broker-proxy.ts). The product's own code knows of none of them.
 */

/** What has happened; what has not. */
export const workerPoints = [
  'transaction begun; nothing produced',
  'first record produced; the others not',
  'half of the records produced; the others not',
  'all records produced; offsets not sent',
  'offsets sent; commit not asked for',
  'commit answered; not taken up',
  'commit taken up; nothing begun',
  'initTransactions answered; not taken up',
  'claims made; the answer not heard',
  'window restore begun; nothing added',
  'window restore added; not completed',
  'assignment taken; nothing restored',
  'lane restored; its partition not released',
  'partitions released; nothing read',
  'revoked and drained; not given back',
  'told to end and drained; the group not left',
] as const;

/** A request that a broker never gets, or an answer that the worker never gets. Key: the request. */
export const wirePoints = {
  'EndTxn on its way; it never arrives': { apiKey: 26, withheld: 'request' },
  'EndTxn arrived; not answered': { apiKey: 26, withheld: 'answer' },
  'TxnOffsetCommit arrived; not answered': { apiKey: 28, withheld: 'answer' },
  'InitProducerId arrived; not answered': { apiKey: 22, withheld: 'answer' },
  'SyncGroup arrived; the assignment not heard': { apiKey: 14, withheld: 'answer' },
} as const satisfies Readonly<Record<string, Trap>>;

export const sinkPoints = [
  'claim row stored; older inserts not ended',
  'older inserts ended; stored offset not read',
  'stored offset read; nothing inserted',
  'block full; not inserted',
  'block inserted; not taken up',
] as const;

export interface Trap {
  /** Kafka's number of the request. Source: kafka.apache.org/protocol. */
  readonly apiKey: number;
  readonly withheld: 'request' | 'answer';
}

export type WorkerPoint = (typeof workerPoints)[number];
export type WirePoint = keyof typeof wirePoints;
export type SinkPoint = (typeof sinkPoints)[number];
export type CrashPoint = WorkerPoint | WirePoint | SinkPoint;

export const wirePointNames = Object.keys(wirePoints) as WirePoint[];

export function isWirePoint(point: CrashPoint): point is WirePoint {
  return point in wirePoints;
}

/** Points that come by only once Redis has forgotten its window. */
export function needsEmptyRedis(point: CrashPoint): boolean {
  return point.startsWith('window restore');
}

/** The point that comes by only once the process was told to end. */
export const endingPoint: CrashPoint = 'told to end and drained; the group not left';

/** How often a point may be passed before it kills: those that come by with each commit, more often than the others. */
export function passesMax(point: CrashPoint): number {
  if (/^(transaction|first|half|all|offsets|commit|claims|EndTxn|TxnOffsetCommit)/.test(point)) return 12;
  if (/^(lane restored|partitions released|window restore added|block)/.test(point)) return 3;
  return 1;
}

/** How preload.ts is told, in the environment of the process. */
export const crashVariables = { point: 'CHAOS_CRASH_POINT', passes: 'CHAOS_CRASH_PASSES', clockFile: 'CHAOS_CLOCK_FILE' } as const;

/** What preload.ts says on standard error right before the end. */
export function lastWords(point: string): string {
  return `chaos: killed at "${point}"`;
}
