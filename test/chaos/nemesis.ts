/**
 * What is done to the parts, besides killing processes of the fleet: strands that run side by side, each with a deck of
 * faults that is shuffled by the seed and gone through again and again. A fault gives proof that it really happened.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { TcpProxy } from '../integration/harness/tcp-proxy.ts';
import type { Random } from '../integration/harness/traffic.ts';
import type { OwnBroker } from '../stack.ts';
import type { Fleet } from './fleet.ts';
import type { Ledger } from './ledger.ts';
import { emptyDisk, fillDisk } from './parts.ts';
import type { Watch } from './watch.ts';
import type { World } from './world.ts';

/** Null: it did not really happen. */
export type Fault = (random: Random) => Promise<string | null>;

export interface Strand {
  readonly name: string;
  readonly faults: Readonly<Record<string, Fault>>;
  /** Between the end of one fault and the next. */
  readonly pauseMs: readonly [number, number];
}

interface Stage {
  readonly world: World;
  readonly fleet: Fleet;
  readonly watch: Watch;
}

/** Partitions of the internal topics; scripts/dev/components/kafka.properties. */
const internalPartitions = 8;

/** A Redis that has just been emptied holds a few, and has nothing to forget. */
export const keysOfWeight = 20;

/** A sink on a busy machine takes so long until it inserts; struck in vain, it would have to begin again. */
const insertBoundMs = 60_000;

export const emptied = 'Redis emptied (FLUSHALL)';

export function strandsOf(stage: Stage): Strand[] {
  const strands: Strand[] = [
    { name: 'brokers', faults: brokerFaults(stage), pauseMs: [6_000, 18_000] },
    { name: 'redis', faults: redisFaults(stage), pauseMs: [2_000, 6_000] },
    { name: 'clickhouse', faults: clickhouseFaults(stage), pauseMs: [1_000, 4_000] },
    { name: 'connections', faults: connectionFaults(stage), pauseMs: [3_000, 10_000] },
    { name: 'group and clocks', faults: groupFaults(stage), pauseMs: [6_000, 15_000] },
  ];
  return strands;
}

/** Runs until `signal`, then until each fault has really happened once, or `lateSignal`. Gives the kinds that never did. */
export async function runStrand(strand: Strand, options: { ledger: Ledger; random: Random; signal: AbortSignal; lateSignal: AbortSignal }): Promise<string[]> {
  const { ledger, random, signal, lateSignal } = options;
  const missing = (): string[] => Object.keys(strand.faults).filter((kind) => ledger.count(kind) === 0);
  const [pauseMin, pauseMax] = strand.pauseMs;
  let deck: string[] = [];
  while (!lateSignal.aborted && !(signal.aborted && missing().length === 0)) {
    if (deck.length === 0) deck = shuffled(signal.aborted ? missing() : Object.keys(strand.faults), random);
    const kind = deck.pop()!;
    if (signal.aborted && ledger.count(kind) > 0) continue;
    await pause(signal.aborted ? pauseMin : pauseMin + random(pauseMax - pauseMin), undefined, { signal: lateSignal }).catch(() => undefined);
    if (lateSignal.aborted) break;
    const injection = ledger.begin(kind);
    ledger.end(injection, await strand.faults[kind]!(random));
  }
  return missing();
}

export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const deck = [...items];
  for (let i = deck.length - 1; i > 0; i--) {
    const j = random(i + 1);
    [deck[i], deck[j]] = [deck[j]!, deck[i]!];
  }
  return deck;
}

// ── Brokers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function brokerFaults({ world, fleet }: Stage): Record<string, Fault> {
  const { bench, brokers } = world;
  const leaderOf = async (topic: string, partition: number): Promise<OwnBroker | undefined> => {
    const leader = await bench.offsets.leader(topic, partition).catch(() => -1);
    return brokers.find(({ nodeId }) => nodeId === leader);
  };
  const roles: Readonly<Record<string, (random: Random) => Promise<OwnBroker | undefined>>> = {
    'the leader of an inbound partition': (random) => leaderOf(bench.topic('inbound'), random(bench.partitions)),
    'the transaction coordinator of a worker': async (random) => {
      for (let i = 0; i < 100 && fleet.workers.length === 0; i++) await pause(100);
      const members = fleet.workers.length;
      if (members === 0) return undefined;
      // A member's transactional id is that of its lowest partition; the range assignor deals them out so.
      const lowest = Math.min(bench.partitions - 1, random(members) * Math.ceil(bench.partitions / members));
      return leaderOf('__transaction_state', partitionOfName(`${bench.topic('inbound')}.${bench.group}.partition-${lowest}`));
    },
    'the group coordinator': () => leaderOf('__consumer_offsets', partitionOfName(bench.group)),
  };
  const acts: Readonly<Record<string, (broker: OwnBroker, random: Random) => Promise<string>>> = {
    killed: async (broker, random) => {
      await broker.kill();
      await pause(1_000 + random(5_000));
      await broker.start();
      return `node ${broker.nodeId}, SIGKILL, answers again`;
    },
    stopped: async (broker, random) => {
      await broker.stop();
      await pause(random(3_000));
      await broker.start();
      return `node ${broker.nodeId}, SIGTERM, answers again`;
    },
    frozen: async (broker, random) => {
      const forMs = 3_000 + random(5_000);
      broker.signal('SIGSTOP');
      await pause(forMs);
      broker.signal('SIGCONT');
      return `node ${broker.nodeId}, SIGSTOP for ${forMs} ms`;
    },
  };
  const faults: Record<string, Fault> = {};
  for (const [act, strike] of Object.entries(acts)) {
    for (const [role, find] of Object.entries(roles)) {
      faults[`broker ${act}: ${role}`] = async (random) => {
        const broker = await find(random);
        return broker === undefined ? null : strike(broker, random);
      };
    }
  }
  return faults;
}

/** Where Kafka keeps what it knows of a group or of a transactional id: Java's hash of the name. */
function partitionOfName(name: string): number {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) | 0;
  return (hash & 0x7fffffff) % internalPartitions;
}

// ── Redis ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function redisFaults({ world }: Stage): Record<string, Fault> {
  const { redis, disks } = world;
  return {
    [emptied]: async () => {
      const keys = await redis.empty();
      return keys >= keysOfWeight ? `${keys} keys gone` : null;
    },
    'Redis killed and started': async (random) => {
      const held = await redis.keys();
      await redis.bounce(random(2_000));
      return held > 0 ? `${held} keys before, ${await redis.keys()} after` : null;
    },
    'Redis failed over to a stale replica': async (random) => {
      const lost = await redis.failOver({ leastLost: 1 + random(50) });
      return lost > 0 ? `${lost} of the last claims were not there any more` : null;
    },
    'Redis frozen': async (random) => {
      const forMs = 1_000 + random(4_000);
      redis.master.signal('SIGSTOP');
      await pause(forMs);
      redis.master.signal('SIGCONT');
      return `SIGSTOP for ${forMs} ms`;
    },
    'Redis: a reply cut in its middle': async (random) => spoiled(redis.proxy, () => redis.proxy.spoilNextReply({ kind: 'cutAfter', bytes: 1 + random(40) })),
    'Redis: a reply lost': async () => spoiled(redis.proxy, () => redis.proxy.spoilNextReply({ kind: 'swallow' })),
    'Redis slow': async (random) => flowing(redis.proxy, 30 + random(300), 2_000 + random(3_000)),
    'Redis cut off': async (random) => flowing(redis.proxy, 'refuse', 1_000 + random(3_000)),
    ...(disks === null ? {} : {
      'disk full under Redis': async (random: Random) => {
        // The one on the disk must be the master.
        if (!redis.isOnDisk) await redis.failOver({ leastLost: 0 });
        if (!redis.isOnDisk) return null;
        const bytes = fillDisk(disks.redis);
        await pause(2_000 + random(3_000));
        emptyDisk(disks.redis);
        return `${bytes} bytes filled the file system of its append-only file`;
      },
    }),
  };
}

// ── ClickHouse ───────────────────────────────────────────────────────────────────────────────────────────────────────

function clickhouseFaults({ world }: Stage): Record<string, Fault> {
  const { clickhouse, disks } = world;
  return {
    'ClickHouse killed and away': async (random) => {
      await clickhouse.kill();
      await pause(random(3_000));
      await clickhouse.start();
      return 'SIGKILL, answers again';
    },
    'ClickHouse killed in the middle of an insert': async (random) => {
      const isWithin = await clickhouse.dieWithinInsert(insertBoundMs);
      await pause(random(1_000));
      await clickhouse.start();
      return isWithin ? 'the insert had begun and had no end' : null;
    },
    'ClickHouse frozen': async (random) => {
      const forMs = 1_000 + random(4_000);
      clickhouse.signal('SIGSTOP');
      await pause(forMs);
      clickhouse.signal('SIGCONT');
      return `SIGSTOP for ${forMs} ms`;
    },
    'ClickHouse cut off': async (random) => flowing(clickhouse.proxy, 'refuse', 1_000 + random(3_000)),
    'ClickHouse slow': async (random) => flowing(clickhouse.proxy, 100 + random(400), 2_000 + random(3_000)),
    'ClickHouse: a reply lost with its connection': async (random) => spoiled(clickhouse.proxy, () => clickhouse.proxy.spoilNextReply({ kind: 'cutAfter', bytes: random(20) })),
    ...(disks === null ? {} : {
      'disk full under ClickHouse': async (random: Random) => {
        const bytes = fillDisk(disks.clickhouse);
        await pause(2_000 + random(3_000));
        emptyDisk(disks.clickhouse);
        return `${bytes} bytes filled the file system of its data`;
      },
    }),
  };
}

// ── Connections to brokers and registry ──────────────────────────────────────────────────────────────────────────────

function connectionFaults({ world }: Stage): Record<string, Fault> {
  const { brokerProxies, registry } = world;
  const one = (random: Random): TcpProxy => brokerProxies[random(brokerProxies.length)]!;
  const registryAway = (mode: 'cut' | 'hold' | { status: number; body: string }): Fault => async (random) => {
    const before = registry.requests;
    registry.set(mode);
    await pause(2_000 + random(4_000));
    // Workers that start ask it; one that starts meanwhile waits.
    for (let i = 0; i < 100 && registry.requests === before; i++) await pause(100);
    const refused = registry.requests - before;
    registry.set('pass');
    return refused > 0 ? `${refused} requests met it` : null;
  };
  return {
    'Kafka: connections of the workers to one broker cut': async (random) => {
      const proxy = one(random);
      proxy.takeStruck();
      proxy.cut();
      const { connections } = proxy.takeStruck();
      return connections > 0 ? `${connections} connections` : null;
    },
    'Kafka: one broker cut off from the workers': async (random) => flowing(one(random), 'refuse', 1_000 + random(5_000)),
    'Kafka: one broker slow': async (random) => flowing(one(random), 50 + random(250), 2_000 + random(4_000)),
    'Kafka: one broker holds what it is sent': async (random) => flowing(one(random), 'hold', 1_000 + random(6_000)),
    'Kafka: all brokers cut off from the workers': async (random) => {
      const struck = await Promise.all(brokerProxies.map((proxy) => flowing(proxy, 'refuse', 1_000 + random(3_000))));
      return struck.find((proof) => proof !== null) ?? null;
    },
    'registry away': registryAway('cut'),
    'registry silent': registryAway('hold'),
    'registry answers with errors': registryAway({ status: 500, body: '{"error_code":50001,"message":"injected"}' }),
  };
}

async function flowing(proxy: TcpProxy, flow: 'refuse' | 'hold' | number, forMs: number): Promise<string | null> {
  proxy.takeStruck();
  proxy.set(flow);
  await pause(forMs);
  proxy.set('pass');
  const { connections, bytes } = proxy.takeStruck();
  if (flow === 'refuse') return connections > 0 ? `${connections} connections ended in ${forMs} ms` : null;
  return bytes > 0 ? `${bytes} bytes late, ${flow === 'hold' ? `held for ${forMs} ms` : `by ${flow} ms`}` : null;
}

async function spoiled(proxy: TcpProxy, spoil: () => void): Promise<string | null> {
  proxy.takeStruck();
  spoil();
  let struck = 0;
  for (let i = 0; i < 100 && struck === 0; i++) {
    await pause(50);
    struck += proxy.takeStruck().connections;
  }
  return struck > 0 ? 'the reply was on its way' : null;
}

// ── The group, and clocks ────────────────────────────────────────────────────────────────────────────────────────────

function groupFaults({ fleet, watch }: Stage): Record<string, Fault> {
  const jump = (offsetMs: number, howMany: 'one' | 'all'): Fault => async (random) => {
    const files = howMany === 'all' ? fleet.clockFiles : [fleet.clockFiles[random(fleet.clockFiles.length - 2)]!];
    const seen = watch.resultsByWrongClock;
    for (const file of files) writeFileSync(file, String(offsetMs));
    for (let i = 0; i < 300 && watch.resultsByWrongClock === seen; i++) await pause(100);
    await pause(random(4_000));
    for (const file of files) writeFileSync(file, '0');
    const results = watch.resultsByWrongClock - seen;
    return results > 0 ? `${results} results were settled by a clock that was off by ${offsetMs / 1000} s` : null;
  };
  return {
    'rebalance storm': async () => {
      const joined = await fleet.storm();
      return joined > 1 ? `${joined} workers joined, were given partitions and left` : null;
    },
    'clock of one worker an hour ahead, and back': jump(3_600_000, 'one'),
    'clock of one worker an hour behind, and back': jump(-3_600_000, 'one'),
    'clocks of all twenty minutes ahead, and back': jump(1_200_000, 'all'),
  };
}
