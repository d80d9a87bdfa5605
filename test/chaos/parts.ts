/** Redis with its replica, and ClickHouse as a process of its own, each behind a proxy, and what can be done to them. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { chooseFreePort } from '../../scripts/dev/stack/ports.ts';
import { TcpProxy } from '../integration/harness/tcp-proxy.ts';
import { startRedis } from '../stack.ts';
import type { OwnRedis } from '../stack.ts';
import { until } from '../until.ts';
import type { ServerWord } from './clickhouse-server.ts';

const startMs = 300_000;
const followMs = 120_000;
const aloneMaxMs = 30_000;

export class RedisPair {
  readonly proxy: TcpProxy;
  readonly #servers: readonly OwnRedis[];
  #master = 0;
  readonly #disk: string | null;

  private constructor(servers: readonly OwnRedis[], proxy: TcpProxy, disk: string | null) {
    this.#servers = servers;
    this.proxy = proxy;
    this.#disk = disk;
  }

  /** `disk`: where the first of them keeps its append-only file; null: neither keeps anything. */
  static async start(disk: string | null): Promise<RedisPair> {
    const quick = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'];
    const kept = disk === null ? [] : ['--appendonly', 'yes', '--appendfsync', 'everysec', '--dir', disk];
    const servers = await Promise.all([startRedis({ args: [...quick, ...kept] }), startRedis({ args: quick })]);
    const pair = new RedisPair(servers, await TcpProxy.start(servers[0].port), disk);
    await pair.#follow();
    return pair;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.proxy.port}`;
  }

  get master(): OwnRedis {
    return this.#servers[this.#master]!;
  }

  get #replica(): OwnRedis {
    return this.#servers[1 - this.#master]!;
  }

  /** Whether the master writes to the disk that can be full. */
  get isOnDisk(): boolean {
    return this.#disk !== null && this.#master === 0;
  }

  /** FLUSHALL; gives how many keys are gone. */
  async empty(): Promise<number> {
    return this.#ask(this.master, async (redis) => {
      const keys = await redis.dbsize();
      await redis.flushall();
      return keys;
    });
  }

  async keys(): Promise<number> {
    return this.#ask(this.master, (redis) => redis.dbsize());
  }

  /** SIGKILL and a start after a while: empty, or with what its append-only file holds. */
  async bounce(downMs: number): Promise<void> {
    await this.master.kill();
    await pause(downMs);
    await this.master.start();
    await this.#follow();
  }

  /**
   * The replica stops receiving, the master goes on alone until it has so many keys more, or for some seconds, and is given
   * up; gives how many keys were lost with it.
   */
  async failOver({ leastLost }: { leastLost: number }): Promise<number> {
    const nowhere = await chooseFreePort();
    await this.#ask(this.#replica, (redis) => redis.replicaof('127.0.0.1', nowhere));
    const stale = await this.#ask(this.#replica, (redis) => redis.dbsize());
    const deadline = performance.now() + aloneMaxMs;
    while ((await this.keys()) - stale < leastLost && performance.now() < deadline) await pause(100);
    const held = await this.keys();
    await this.#ask(this.#replica, (redis) => redis.replicaof('NO', 'ONE'));
    this.#master = 1 - this.#master;
    this.proxy.pointTo(this.master.port);
    await this.#follow();
    return held - stale;
  }

  async close(): Promise<void> {
    await this.proxy.stop();
    await Promise.all(this.#servers.map((server) => server.remove()));
  }

  async #follow(): Promise<void> {
    const { port } = this.master;
    await this.#ask(this.#replica, (redis) => redis.replicaof('127.0.0.1', port));
    await until('the replica has what the master has', () =>
      this.#ask(this.#replica, async (redis) => (await redis.info('replication')).includes('master_link_status:up')), followMs);
  }

  async #ask<T>(server: OwnRedis, question: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = new Redis(server.url, { lazyConnect: true, maxRetriesPerRequest: 3 });
    redis.on('error', () => undefined);
    try {
      return await question(redis);
    } finally {
      redis.disconnect();
    }
  }
}

export class ClickhouseServer {
  readonly proxy: TcpProxy;
  readonly #folder: string;
  readonly #logFile: string;
  readonly #port: number;
  #child: ChildProcess | undefined;
  #heard: (word: ServerWord) => void = () => {};

  private constructor(folder: string, logFile: string, port: number, proxy: TcpProxy) {
    this.#folder = folder;
    this.#logFile = logFile;
    this.#port = port;
    this.proxy = proxy;
  }

  static async start(folder: string, logFile: string): Promise<ClickhouseServer> {
    mkdirSync(folder, { recursive: true });
    const port = await chooseFreePort();
    const server = new ClickhouseServer(folder, logFile, port, await TcpProxy.start(port));
    await server.start();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.proxy.port}`;
  }

  async start(): Promise<void> {
    const log = openSync(this.#logFile, 'a');
    const child = spawn(process.execPath, [join(import.meta.dirname, 'clickhouse-server.ts'), this.#folder, String(this.#port)], { stdio: ['ignore', log, log, 'ipc'] });
    closeSync(log);
    this.#child = child;
    let isReady = false;
    child.on('message', (word: ServerWord) => {
      isReady ||= word === 'ready';
      this.#heard(word);
    });
    await until('ClickHouse answers', () => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`ClickHouse ended, its log is ${this.#logFile}`);
      return isReady;
    }, startMs);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** It kills itself in the middle of the next insert; false when none began in time, or it was over before. */
  async dieWithinInsert(boundMs: number): Promise<boolean> {
    const child = this.#child;
    if (child === undefined) return false;
    let isWithin = false;
    this.#heard = (word) => (isWithin = word === 'begun');
    child.send('die within the next insert');
    await Promise.race([once(child, 'exit'), pause(boundMs)]);
    await this.kill();
    this.#heard = () => {};
    return isWithin;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async close(): Promise<void> {
    this.signal('SIGCONT');
    await this.kill();
    await this.proxy.stop();
  }
}

/** Fills the file system of `folder` to its last byte; gives how many bytes that took. */
export function fillDisk(folder: string): number {
  const file = openSync(join(folder, 'ballast'), 'w');
  let filled = 0;
  try {
    for (let size = 1 << 20; size >= 1; ) {
      try {
        filled += writeSync(file, Buffer.alloc(size));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        size >>= 1;
      }
    }
  } finally {
    closeSync(file);
  }
  return filled;
}

export function emptyDisk(folder: string): void {
  rmSync(join(folder, 'ballast'), { force: true });
}
