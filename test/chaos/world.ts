/**
 * Everything that the fleet runs on, each part behind a proxy and able to be struck:
 *
 *     workers ──▶ proxy ──▶ three brokers (their own listener, advertised as the proxies)
 *             ──▶ proxy ──▶ Redis, with a replica
 *             ──▶ proxy ──▶ registry
 *     sinks   ──▶ proxy ──▶ ClickHouse
 *
 * Upstream, and whoever watches, go to the brokers directly.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chooseFreePort } from '../../scripts/dev/stack/ports.ts';
import { Bench } from '../integration/harness/bench.ts';
import type { ParticipantEntry } from '../integration/harness/bench.ts';
import { HttpProxy } from '../integration/harness/http-proxy.ts';
import { stackEnvironment, startKafkaCluster } from '../stack.ts';
import type { OwnBroker } from '../stack.ts';
import { BrokerProxy, Traps } from './broker-proxy.ts';
import { ClickhouseServer, RedisPair } from './parts.ts';

const redisDiskMegabytes = 64;
const clickhouseDiskMegabytes = 1024;

export interface WorldOptions {
  readonly name: string;
  readonly partitions: number;
  readonly participants: readonly ParticipantEntry[];
  /** For data and logs; whoever made it removes it. */
  readonly folder: string;
  /** Parts keep their data on small file systems of their own, so that these can be full. Needs `canMount`. */
  readonly smallDisks: boolean;
}

export class World {
  readonly brokers: readonly OwnBroker[];
  readonly brokerProxies: readonly BrokerProxy[];
  readonly traps: Traps;
  readonly redis: RedisPair;
  readonly clickhouse: ClickhouseServer;
  readonly registry: HttpProxy;
  readonly bench: Bench;
  /** File systems that can be full; null: there are none. */
  readonly disks: { readonly redis: string; readonly clickhouse: string } | null;
  /** What was started, the last first. */
  readonly #closing: (() => Promise<unknown>)[];

  private constructor(parts: Pick<World, 'brokers' | 'brokerProxies' | 'traps' | 'redis' | 'clickhouse' | 'registry' | 'bench' | 'disks'>, closing: (() => Promise<unknown>)[]) {
    this.brokers = parts.brokers;
    this.brokerProxies = parts.brokerProxies;
    this.traps = parts.traps;
    this.redis = parts.redis;
    this.clickhouse = parts.clickhouse;
    this.registry = parts.registry;
    this.bench = parts.bench;
    this.disks = parts.disks;
    this.#closing = closing;
  }

  static async create(options: WorldOptions): Promise<World> {
    const { folder } = options;
    const closing: (() => Promise<unknown>)[] = [];
    const started = async <T>(starting: Promise<T>, close: (part: T) => Promise<unknown>): Promise<T> => {
      const part = await starting;
      closing.unshift(() => close(part));
      return part;
    };
    try {
      const mounted = (name: string, megabytes: number): Promise<string> =>
        started(Promise.resolve(mountSmallDisk(folder, name, megabytes)), async (path) => execFileSync('umount', [path]));
      const disks = options.smallDisks ? { redis: await mounted('redis', redisDiskMegabytes), clickhouse: await mounted('clickhouse', clickhouseDiskMegabytes) } : null;
      const traps = new Traps();
      const taken = new Set<number>();
      const choose = (): Promise<number[]> => Promise.all([1, 2, 3].map(() => chooseFreePort({ taken })));
      const [advertisedPorts, listenerPorts] = [await choose(), await choose()];
      const [brokerProxies, brokers, redis, clickhouse, registry] = await Promise.all([
        started(
          Promise.all(advertisedPorts.map((port, i) => BrokerProxy.before(listenerPorts[i]!, port, traps))),
          (proxies) => Promise.all(proxies.map((proxy) => proxy.stop())),
        ),
        started(startKafkaCluster({ advertisedPorts, listenerPorts }), (nodes) => Promise.all(nodes.map((node) => node.remove()))),
        started(RedisPair.start(disks?.redis ?? null), (pair) => pair.close()),
        started(ClickhouseServer.start(disks?.clickhouse ?? join(folder, 'clickhouse'), join(folder, 'clickhouse.log')), (server) => server.close()),
        started(HttpProxy.start(stackEnvironment().schemaRegistryUrl), (proxy) => proxy.stop()),
      ]);
      const bench = await started(
        Bench.create(options.name, {
          partitions: options.partitions,
          participants: options.participants,
          brokers: brokers.map((broker) => broker.brokers).join(','),
          environment: {
            KAFKA_BROKERS: advertisedPorts.map((port) => `127.0.0.1:${port}`).join(','),
            REDIS_URL: redis.url,
            CLICKHOUSE_URL: clickhouse.url,
            SCHEMA_REGISTRY_URL: registry.url,
          },
        }),
        (opened) => opened.close(),
      );
      return new World({ brokers, brokerProxies, traps, redis, clickhouse, registry, bench, disks }, closing);
    } catch (error) {
      for (const close of closing) await close();
      throw error;
    }
  }

  /** Every connection passes again. */
  heal(): void {
    for (const proxy of [...this.brokerProxies, this.redis.proxy, this.clickhouse.proxy]) proxy.set('pass');
    this.registry.set('pass');
  }

  async close(): Promise<void> {
    this.heal();
    for (const close of this.#closing.splice(0)) await close().catch((error: unknown) => console.error(`at the end: ${String(error)}`));
  }
}

function mountSmallDisk(folder: string, name: string, megabytes: number): string {
  const path = join(folder, `${name}-disk`);
  mkdirSync(path, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', path]);
  return path;
}
