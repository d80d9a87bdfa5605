/**
 * Claims in Redis: who came first with a payment's identity, for a window. Redis is fast and forgets; what this adapter
 * adds is to notice that it forgot. A marker for each settlement partition says that the window is whole, and holds the
 * witness of the server that it was written for (scripts.ts). After FLUSHALL the marker is gone; after a restart from an
 * old snapshot, or a failover to a replica that had not received everything, the witness is another one.
 *
 * Keys, all with the fleet's namespace (8 bytes, so that two fleets can share a Redis):
 *
 *     sf<namespace>c<hash>                 a claim: its maker, with the window as TTL
 *     sf<namespace>m<partition>            the marker: run id, replication id, evictions, window, which restore
 *     sf<namespace>r<partition>:<attempt>  an attempt at rebuilding: the same, gone when Redis is emptied meanwhile
 */
import { hash, randomUUID } from 'node:crypto';

import { OutageError } from '../../errors.ts';
import type { ClaimAnswer, ClaimRequest, Claims, Clock, KnownClaim, WindowRestore } from '../../ports.ts';
import { RedisConnection } from './connection.ts';
import { packClaims, packKnownClaims } from './packing.ts';
import { beginScript, claimScript, completeScript, restoreScript } from './scripts.ts';
import type { Script } from './scripts.ts';

export interface RedisClaimsOptions {
  readonly url: string;
  /** What is this fleet's own, e.g. consumer group and results topic. Asked for when the first claim is made. */
  readonly namespace: () => string;
  readonly windowSeconds: number;
  readonly clock: Clock;
  readonly connectTimeoutMs?: number;
  readonly commandTimeoutMs?: number;
}

/** Redis serves nobody else while a script runs: 2,000 claims take it about 15 ms. */
const restoredAtOnceMax = 2_000;
/** How long an attempt at rebuilding may pause between two chunks before it must begin again. */
const attemptSeconds = 3_600;

export class RedisClaims implements Claims {
  readonly #options: RedisClaimsOptions;
  #prefixMade: string | undefined;
  #connection: Promise<RedisConnection> | undefined;

  constructor(options: RedisClaimsOptions) {
    this.#options = options;
  }

  get #prefix(): string {
    return (this.#prefixMade ??= `sf${hash('sha256', this.#options.namespace(), 'base64url').slice(0, 8)}`);
  }

  async claim(request: ClaimRequest): Promise<ClaimAnswer> {
    const { partition, keys, makers, window } = request;
    const reply = await this.#run(claimScript, [this.#marker(partition)], [
      `${this.#prefix}c`,
      packClaims(keys, makers),
      window ?? '',
    ]);
    if (reply[0] === 'windowIncomplete') return { kind: 'windowIncomplete' };
    const owners = new Array<string | null>(keys.length).fill(null);
    for (let at = 3; at < reply.length; at += 2) owners[reply[at] as number] = reply[at + 1] as string;
    return { kind: 'claimed', owners, redelivered: reply[1] as number, window: reply[2] as string };
  }

  async beginRestore(partition: number): Promise<WindowRestore> {
    const attempt = `${this.#prefix}r${partition}:${randomUUID()}`;
    await this.#run(beginScript, [attempt], [attemptSeconds]);
    return {
      add: (claims) => this.#restore(attempt, claims),
      complete: async () => {
        const reply = await this.#run(completeScript, [attempt, this.#marker(partition)], []);
        return reply[0] === 'complete';
      },
    };
  }

  /** Whether Redis answers and can be trusted with claims, found by claiming nothing. Throws `OutageError`. */
  async check(): Promise<void> {
    await this.#run(claimScript, [this.#marker(-1)], [`${this.#prefix}c`, '', '']);
  }

  /** Ends the connection at once. */
  async close(): Promise<void> {
    const connecting = this.#connection;
    this.#connection = undefined;
    if (connecting === undefined) return;
    const [opened] = await Promise.allSettled([connecting]);
    if (opened.status === 'fulfilled') opened.value.destroy();
  }

  async #restore(attempt: string, claims: readonly KnownClaim[]): Promise<boolean> {
    const { windowSeconds, clock } = this.#options;
    for (let from = 0; from < claims.length; from += restoredAtOnceMax) {
      const now = clock();
      const packed = packKnownClaims(claims.slice(from, from + restoredAtOnceMax), (claim) =>
        Math.min(windowSeconds, Math.ceil((claim.claimedAt - now) / 1_000) + windowSeconds),
      );
      const reply = await this.#run(restoreScript, [attempt], [attemptSeconds, `${this.#prefix}c`, packed]);
      if (reply[0] === 'changed') return false;
    }
    return true;
  }

  #marker(partition: number): string {
    return `${this.#prefix}m${partition}`;
  }

  /** Runs a script on the current connection, or a new one; any doubt ends the connection. Throws `OutageError`. */
  async #run(script: Script, keys: readonly string[], args: (string | Buffer | number)[]): Promise<readonly unknown[]> {
    const connection = await (this.#connection ?? this.#connect());
    try {
      const reply = await connection.run(script, keys, [this.#options.windowSeconds, ...args]);
      refuseUntrustworthy(reply);
      return reply;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  /** One connection for all callers, forgotten as soon as it ends, so that the next call opens a new one. */
  #connect(): Promise<RedisConnection> {
    const { url, connectTimeoutMs = 3_000, commandTimeoutMs = 3_000 } = this.#options;
    const forget = (): void => {
      if (this.#connection === connecting) this.#connection = undefined;
    };
    const connecting = RedisConnection.open({ url, connectTimeoutMs, commandTimeoutMs, onEnd: forget });
    connecting.catch(forget);
    this.#connection = connecting;
    return connecting;
  }
}

function refuseUntrustworthy(reply: readonly unknown[]): void {
  switch (reply[0]) {
    case 'notMaster':
      throw new OutageError('redis', `Redis is a replica (role ${String(reply[1])}), expected a master`);
    case 'evicts':
      throw new OutageError(
        'redis',
        `Redis may evict claims: maxmemory is set and maxmemory-policy is ${String(reply[1])}, expected noeviction`,
      );
    case 'unknownServer':
      throw new OutageError('redis', 'Redis does not say who it is: INFO lacks run_id, role, master_replid or maxmemory');
  }
}
