/**
 * A Redis of the test's own, with what an operator does to it: commands, kills, restarts with or without what was saved,
 * replication.
 */
import { Redis } from 'ioredis';

import { startRedis } from '../stack.ts';
import type { OwnRedis } from '../stack.ts';
import { until } from '../until.ts';

export class RedisServer {
  readonly url: string;
  readonly port: number;
  readonly #part: OwnRedis;
  readonly #admin: Redis;

  private constructor(part: OwnRedis) {
    this.#part = part;
    this.url = part.url;
    this.port = part.port;
    this.#admin = new Redis(part.url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
    // It says so whenever the server is killed, which is what tests do.
    this.#admin.on('error', () => undefined);
  }

  static async start(...args: readonly string[]): Promise<RedisServer> {
    // A replica need not wait five seconds for others that may want the same copy.
    return new RedisServer(await startRedis({ args: ['--repl-diskless-sync-delay', '0', ...args] }));
  }

  /** A command of an operator's, e.g. `command('FLUSHALL')`; waits while the server is away. */
  async command(name: string, ...args: readonly string[]): Promise<unknown> {
    return this.#admin.call(name, ...args);
  }

  /** SIGKILL: nothing is saved. */
  async kill(): Promise<void> {
    await this.#part.kill();
  }

  /** Runs the server again, with what was saved. */
  async run(): Promise<void> {
    await this.#part.start();
  }

  /** Makes this server a replica of another, through another port where one is given, and waits until it holds what that one holds. */
  async follow(master: RedisServer, port = master.port): Promise<void> {
    await this.command('REPLICAOF', '127.0.0.1', String(port));
    await until(
      'the replica is in step',
      async () => String(await this.command('INFO', 'replication')).includes('master_link_status:up'),
      10_000,
    );
    await until(
      'the replica holds as many keys',
      async () => (await this.command('DBSIZE')) === (await master.command('DBSIZE')),
      10_000,
    );
  }

  async stop(): Promise<void> {
    this.#admin.disconnect();
    await this.#part.remove();
  }
}
