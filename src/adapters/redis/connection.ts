/**
 * One connection to Redis, used until its first error and then thrown away. ioredis can hand a reply to the wrong promise
 * when a connection is cut in the middle of a pipeline (ioredis#800), so no connection outlives a doubt, nothing is sent
 * again behind our back, and every reply must echo the nonce of its request.
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';

import { Redis } from 'ioredis';

import { OutageError } from '../../errors.ts';
import type { Script } from './scripts.ts';

export interface ConnectionOptions {
  /** `redis://` or `rediss://`. */
  readonly url: string;
  readonly connectTimeoutMs: number;
  readonly commandTimeoutMs: number;
  /** Called when the connection cannot be used any more, for whatever reason; more than once is possible. */
  readonly onEnd: () => void;
}

/** Since 7.0 SET takes NX and GET together, EXPIRE takes GT, and INFO takes several sections. */
const redisVersionMin = 7;

export class RedisConnection {
  readonly #redis: Redis;
  readonly #noncePrefix = randomBytes(6).toString('hex');
  readonly #onEnd: () => void;
  #requests = 0;
  #destroyed = false;
  #gathering = false;

  private constructor(redis: Redis, onEnd: () => void) {
    this.#redis = redis;
    this.#onEnd = onEnd;
  }

  /** Connects within the time-out to a Redis that is new enough. Throws `OutageError`. */
  static async open(options: ConnectionOptions): Promise<RedisConnection> {
    const redis = new Redis(options.url, {
      lazyConnect: true,
      connectionName: 'settlefleet-claims',
      disableClientInfo: true,
      enableReadyCheck: false,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
      connectTimeout: options.connectTimeoutMs,
      commandTimeout: options.commandTimeoutMs,
    });
    let lastError: unknown;
    // Without a listener ioredis prints the error; what it says of a lost connection is less than what it says here.
    redis.on('error', (error: unknown) => (lastError = error));
    redis.on('close', options.onEnd);
    const connection = new RedisConnection(redis, options.onEnd);
    // ioredis bounds the TCP handshake only; a peer that accepts and never answers is met by this timer.
    const timer = setTimeout(() => connection.destroy(), options.connectTimeoutMs);
    try {
      await redis.connect();
      await connection.#refuseOldServer();
      return connection;
    } catch (error) {
      connection.destroy();
      throw outage('Redis cannot be reached', lastError ?? error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs one script in one round trip; gives what follows the nonce in its reply. Throws `OutageError`. */
  async run(
    script: Script,
    keys: readonly string[],
    args: readonly (string | Buffer | number)[],
  ): Promise<readonly unknown[]> {
    this.#gatherWrites();
    this.#requests += 1;
    const nonce = `${this.#noncePrefix}${this.#requests.toString(36)}`;
    const reply = await this.#evaluate(script, keys, [nonce, ...args]);
    if (!Array.isArray(reply) || reply[0] !== nonce) {
      throw new OutageError('redis', `Redis gave the reply of another request: expected nonce ${nonce}`);
    }
    return reply.slice(1);
  }

  /** Ends the connection at once; what is under way is answered with an error. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#onEnd();
    this.#redis.disconnect();
    // `disconnect` waits two seconds for a peer that no longer answers. There is no stream before the first attempt.
    (this.#redis.stream as Socket | undefined)?.destroy();
  }

  /** What is asked within one turn of the event loop goes out in one write: lanes whose batches came together claim together. */
  #gatherWrites(): void {
    if (this.#gathering || this.#destroyed) return;
    this.#gathering = true;
    const { stream } = this.#redis;
    stream.cork();
    setImmediate(() => {
      this.#gathering = false;
      stream.uncork();
    });
  }

  async #evaluate(script: Script, keys: readonly string[], args: (string | Buffer | number)[]): Promise<unknown> {
    try {
      return await this.#redis.evalsha(script.digest, keys.length, ...keys, ...args);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) {
        throw outage('Redis did not do what it was asked', error);
      }
    }
    try {
      return await this.#redis.eval(script.source, keys.length, ...keys, ...args);
    } catch (error) {
      throw outage('Redis did not do what it was asked', error);
    }
  }

  async #refuseOldServer(): Promise<void> {
    const version = /^redis_version:(\d+)([^\r\n]*)/m.exec(await this.#redis.info('server'));
    if (version !== null && Number(version[1]) >= redisVersionMin) return;
    const found = version === null ? 'no version' : `${version[1]}${version[2]}`;
    throw new OutageError('redis', `Redis ${redisVersionMin}.0 or newer is needed, found ${found}`);
  }
}

/** An error of the client in one line, without the arguments of the command. */
function outage(what: string, error: unknown): OutageError {
  if (error instanceof OutageError) return error;
  // A host with several addresses fails with an AggregateError, whose own message is empty.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const message = first instanceof Error ? first.message : String(first);
  return new OutageError('redis', `${what}: ${message}`, { cause: error });
}
