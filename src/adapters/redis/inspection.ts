/** A Redis as `settlefleet doctor` looks at it: what it says of itself, and its clock. It changes nothing. */
import { Redis } from 'ioredis';
import { OutageError } from '../../errors.ts';

export interface RedisFacts {
  /** Every field of INFO, by its name. */
  readonly info: ReadonlyMap<string, string>;
  /** Its clock minus ours, in milliseconds, half of the round trip taken off. */
  readonly clockOffsetMs: number;
}

/** Throws `OutageError` when it does not answer within `timeoutMs`. */
export async function inspectRedis(url: string, timeoutMs: number): Promise<RedisFacts> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectionName: 'settlefleet-doctor',
    enableReadyCheck: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
  });
  let lastError: unknown;
  redis.on('error', (error: unknown) => (lastError = error));
  // ioredis bounds the TCP handshake only.
  const timer = setTimeout(() => redis.disconnect(), timeoutMs);
  try {
    await redis.connect();
    const info = new Map([...(await redis.info()).matchAll(/^([a-z_0-9]+):(.*?)\r?$/gm)].map(([, name, value]) => [name!, value!]));
    const asked = Date.now();
    const [seconds, microseconds] = await redis.time();
    const answered = Date.now();
    return { info, clockOffsetMs: Number(seconds) * 1000 + Number(microseconds) / 1000 - (asked + answered) / 2 };
  } catch (error) {
    const told = lastError ?? error;
    throw new OutageError('redis', told instanceof Error ? told.message : String(told), { cause: error });
  } finally {
    clearTimeout(timer);
    redis.disconnect();
  }
}
