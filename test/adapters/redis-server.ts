/**
 * A Redis of the test's own: a real server on a free port with its own folder, that can be killed, restarted with or
 * without its snapshot, and replicated.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Redis } from 'ioredis';

import { until } from '../until.ts';

export class RedisServer {
  readonly port: number;
  readonly #directory: string;
  readonly #settings: readonly string[];
  #process: ChildProcess | undefined;
  #admin: Redis | undefined;

  private constructor(port: number, directory: string, settings: readonly string[]) {
    this.port = port;
    this.#directory = directory;
    this.#settings = settings;
  }

  /** Starts a server; `settings` as on redis-server's command line. */
  static async start(...settings: readonly string[]): Promise<RedisServer> {
    const directory = await mkdtemp(join(tmpdir(), 'settlefleet-redis-'));
    const server = new RedisServer(await freePort(), directory, settings);
    await server.run();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** A command of an operator's, e.g. `command('FLUSHALL')`. */
  async command(name: string, ...args: readonly string[]): Promise<unknown> {
    if (this.#admin === undefined) throw new Error('this Redis is not running');
    return await this.#admin.call(name, ...args);
  }

  /** Runs the process again, with what is in its folder. */
  async run(): Promise<void> {
    // A replica need not wait five seconds for others that may want the same copy.
    const fixed = ['--bind', '127.0.0.1', '--save', '', '--repl-diskless-sync-delay', '0'];
    const own = ['--port', String(this.port), '--dir', this.#directory];
    const child = spawn('redis-server', [...own, ...fixed, ...this.#settings], { stdio: 'ignore' });
    this.#process = child;
    this.#admin = new Redis(this.port, '127.0.0.1', { retryStrategy: () => 20, maxRetriesPerRequest: null });
    this.#admin.on('error', () => undefined);
    await until('Redis answers', async () => (await this.command('PING')) === 'PONG', 10_000);
  }

  /** SIGKILL: nothing is saved. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#admin?.disconnect();
    this.#admin = undefined;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** Makes this server a replica of another, and waits until it holds what that one holds. */
  async follow(master: RedisServer): Promise<void> {
    await this.command('REPLICAOF', '127.0.0.1', String(master.port));
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
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}
