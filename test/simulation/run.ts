/**
 * One run: a fleet, upstream systems, and a nemesis that breaks things for a while; then everything heals, and the run must
 * come to rest with all promises kept.
 */
import { setFlagsFromString } from 'node:v8';
import { MemoryClaims } from '../../src/adapters/memory/claims.ts';
import { topicNames } from '../../src/domain/topics.ts';
import { findViolations, isAtRest } from './check.ts';
import type { Truth } from './check.ts';
import { Cluster } from './cluster.ts';
import type { Component, Txn } from './cluster.ts';
import type { SimEvent } from './ports.ts';
import { groupId, startWorker } from './worker.ts';
import type { Outside, SimWorker } from './worker.ts';
import { createWorkload } from './workload.ts';
import { Chance, World } from './world.ts';
import type { SimProcess } from './world.ts';

// Promises that are settled run at once, between two events, without a turn of Node's loop.
setFlagsFromString('--allow-natives-syntax');
// eslint-disable-next-line @typescript-eslint/no-implied-eval -- the only way to V8's own function; its text is constant.
const runMicrotasks = new Function('%PerformMicrotaskCheckpoint()') as () => void;

export interface RunReport {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly traceHash: number;
  readonly steps: number;
  readonly virtualSeconds: number;
  readonly events: number;
  /** What was injected, and how often. */
  readonly faults: ReadonlyMap<string, number>;
  readonly trace: readonly string[];
}

const unhandled: unknown[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(reason));

/** To be called from a turn of its own (not from within a promise), so that microtasks can be run here. */
export function runSeed(seed: number, options: { readonly keepTrace?: boolean; readonly only?: readonly string[] } = {}): RunReport {
  const world = new World(seed, options.keepTrace === true);
  const { chance } = world;
  const faults = new Map<string, number>();
  const violations: string[] = [];
  const begun = world.now;
  unhandled.length = 0;

  // Each run has its own mix: some are almost quiet, so that what a fault hides is seen too.
  const partitions = chance.between(2, 5);
  const topics = topicNames('sim.');
  const cluster = new Cluster(world);
  for (const topic of [topics.inbound, topics.results, topics.positions, topics.routed, topics.checkpoints, topics.deadLetter]) {
    cluster.createTopic(topic, partitions);
  }
  const clock = (): number => Math.floor(world.now);
  const redis = new MemoryClaims({ clock, windowSeconds: 86_400 });
  const redisFaults = { lostAnswers: 0, slowMs: 0 };
  const decoderFaults = { waitsUntil: 0 };
  // Upstream has chance of its own, so that what it sends does not change with what breaks.
  const workload = createWorkload(new Chance(seed ^ 0x2f6e2b1), partitions);
  const inbound = new Map<string, SimEvent>();
  let directory = workload.directories[0]!;

  const outside: Outside = {
    world,
    cluster,
    redis,
    redisFaults,
    decoderFaults,
    topics,
    directory: () => directory,
    limits: {
      pollRecordsMax: chance.pick([2000, 2000, 10]),
      epochBytesMax: chance.pick([32 << 20, 32 << 20, 4000]),
      pendingBytesMax: 64 << 20,
    },
    onUnaccounted: (worker, { partition, unaccounted }) => {
      violations.push(`${worker}: ${unaccounted} outcomes of partition ${partition} are unaccounted for after a commit.`);
    },
    onLog: (worker, level, fields, message) => {
      world.note(`${worker} ${level}: ${message} ${JSON.stringify(fields, plain)}`);
      if (level === 'error' && /^(The lane halts|Unaccounted)/.test(message)) violations.push(`${worker}: ${message}`);
    },
  };
  const truth: Truth = { cluster, topics, partitions, groupId, directories: workload.directories, inbound };

  // ── The supervisor ─────────────────────────────────────────────────────────────────────────────────────────────────

  let incarnations = 0;
  let names = 0;
  let ended = false;
  const workers: SimWorker[] = [];
  const start = (workerId: string): void => {
    const worker = startWorker(outside, workerId, ++incarnations);
    worker.network.slow = slow;
    workers.push(worker);
  };
  const supervise = (): void => {
    for (const [index, worker] of [...workers.entries()].reverse()) {
      if (worker.process.alive) {
        if (worker.stopAskedAt !== null && world.now - worker.stopAskedAt > 26_000 && !worker.process.isPaused) {
          if (world.now > quietFrom + 30_000) violations.push(`${worker.process.name} was asked to end and did not within 26 s.`);
          count('hard end');
          worker.process.kill();
        }
        continue;
      }
      workers.splice(index, 1);
      if (typeof worker.end === 'object') {
        const { error } = worker.end;
        const text = `${String(error)} ${String((error as { cause?: unknown }).cause ?? '')}`;
        count('fatal');
        if (!allowedEnds.some((pattern) => pattern.test(text))) violations.push(`${worker.process.name} ended with: ${text}`);
      }
      if (!ended && workers.length < workersWanted) {
        const workerId = chance.chance(0.6) ? worker.workerId : `w${++names}`;
        world.schedule(200 + chance.below(2500), () => {
          if (!ended) start(workerId);
        });
      }
    }
    world.schedule(250, supervise);
  };

  // ── The nemesis ────────────────────────────────────────────────────────────────────────────────────────────────────

  const count = (name: string): void => {
    faults.set(name, (faults.get(name) ?? 0) + 1);
    world.note(`nemesis: ${name}`);
  };
  const some = (): SimWorker | undefined => {
    const living = workers.filter(({ process }) => process.alive);
    return living.length === 0 ? undefined : chance.pick(living);
  };
  const outage = (component: Component, forMs: number): void => {
    cluster.awayUntil[component] = Math.max(cluster.awayUntil[component], world.now + forMs);
  };
  let workersWanted = chance.between(1, 3);
  const slow = chance.pick([0, 0.02, 0.2]);
  const state = { snapshot: redis.snapshot() };
  const possible: readonly (readonly [string, () => void])[] = [
    ['kill', () => some()?.process.kill()],
    ['kill at a step', () => {
      const victim = some()?.process;
      victim?.strikeAfter(chance.between(1, 80), () => victim.kill());
    }],
    ['zombie at a step', () => {
      const victim = some()?.process;
      victim?.strikeAfter(chance.between(1, 80), () => victim.pause(chance.chance(0.5) ? chance.below(3000) : 6_500 + chance.below(8_000)));
    }],
    ['zombie from its assignment on', () => {
      // Now and then the same process sleeps over the next one too, before it has answered the first.
      let times = chance.between(1, 3);
      let first: SimProcess | null = null;
      cluster.onAssigned = (process) => {
        first ??= process;
        if (process !== first) return;
        if (--times === 0) cluster.onAssigned = null;
        process.pause(6_000 + chance.below(6_000));
      };
    }],
    ['zombie finds Redis emptied', () => {
      const forMs = 6_500 + chance.below(6_000);
      some()?.process.pause(forMs);
      world.schedule(forMs - 150 + chance.below(400), () => redis.flush());
    }],
    ['offsets forgotten', () => {
      const { offsets, members, pending } = cluster.group(groupId);
      // The broker does that to a group which nobody is in.
      if (members.size === 0 && pending.size === 0) offsets.clear();
    }],
    ['short pause', () => some()?.process.pause(50 + chance.below(3000))],
    ['zombie', () => some()?.process.pause(6_500 + chance.below(10_000))],
    ['stop', () => stop(some())],
    ['scale', () => {
      workersWanted = chance.between(1, 4);
      if (workers.length < workersWanted) start(`w${++names}`);
      else if (workers.length > workersWanted) stop(some());
    }],
    ['no transaction coordinator', () => outage('transactions', 100 + chance.below(chance.chance(0.3) ? 15_000 : 2000))],
    ['no group coordinator', () => outage('groups', 100 + chance.below(chance.chance(0.3) ? 15_000 : 2000))],
    ['no brokers', () => {
      const forMs = 100 + chance.below(chance.chance(0.2) ? 60_000 : 3000);
      outage('data', forMs);
      outage('transactions', forMs);
      outage('groups', forMs);
    }],
    ['lost answers', () => spell((worker, on) => (worker.network.lostAnswers = on ? 0.2 : 0))],
    ['held frames', () => spell((worker, on) => (worker.network.heldFrames = on ? 0.4 : 0))],
    ['silent commits', () => spell((worker, on) => (worker.network.silentEnds = on ? 0.3 : 0))],
    ['refused records', () => spell((worker, on) => (worker.network.refusedRecords = on ? 0.1 : 0))],
    ['redis emptied', () => redis.flush()],
    ['redis stale', () => redis.replaceBy(state.snapshot)],
    ['redis snapshot', () => (state.snapshot = redis.snapshot())],
    ['redis away', () => {
      redis.setAway(true);
      world.schedule(50 + chance.below(5000), () => redis.setAway(false));
    }],
    ['redis answers lost', () => {
      redisFaults.lostAnswers = 0.3;
      world.schedule(chance.below(5000), () => (redisFaults.lostAnswers = 0));
    }],
    ['redis slow', () => {
      redisFaults.slowMs = chance.pick([100, 1000]);
      world.schedule(chance.below(8000), () => (redisFaults.slowMs = 0));
    }],
    ['directory', () => (directory = chance.pick(workload.directories))],
    ['slow markers', () => {
      cluster.markerDelayMaxMs = chance.pick([5, 50, 400]);
    }],
    ['decoder waits', () => (decoderFaults.waitsUntil = world.now + chance.below(chance.chance(0.2) ? 20_000 : 2000))],
    ['clock jump', () => (world.clockSkewMs = chance.between(-60_000, 60_000))],
  ];
  const spell = (set: (worker: SimWorker, on: boolean) => void): void => {
    const struck = chance.chance(0.5) ? [...workers] : workers.slice(0, 1);
    for (const worker of struck) set(worker, true);
    world.schedule(500 + chance.below(8000), () => {
      for (const worker of struck) set(worker, false);
    });
  };
  const stop = (worker: SimWorker | undefined): void => {
    if (worker === undefined || worker.stopAskedAt !== null) return;
    worker.stopAskedAt = world.now;
    worker.process.after(0, () => worker.fleet.stop());
  };

  const troubleMs = chance.between(4_000, 25_000);
  const quietFrom = begun + troubleMs;
  const { only } = options;
  const kinds = possible.filter(([name]) => (only === undefined ? chance.chance(0.35) : only.includes(name)));
  const everyMs = chance.pick([150, 500, 1500, 4000]);
  const strike = (): void => {
    if (world.now >= quietFrom) return;
    const [name, inject] = chance.pick(kinds);
    count(name);
    inject();
    world.schedule(chance.below(2 * everyMs), strike);
  };

  const heal = (): void => {
    world.note('nemesis: all is well again');
    cluster.onAssigned = null;
    cluster.comeBack();
    for (const worker of workers) {
      worker.network.lostAnswers = worker.network.heldFrames = worker.network.silentEnds = worker.network.refusedRecords = 0;
      if (worker.process.isPaused) worker.process.pausedUntil = Math.min(worker.process.pausedUntil, world.now + 12_000);
    }
    redis.setAway(false);
    redisFaults.lostAnswers = redisFaults.slowMs = 0;
    decoderFaults.waitsUntil = 0;
    cluster.markerDelayMaxMs = 5;
    workersWanted = Math.max(1, workersWanted);
    if (workers.length === 0) start(`w${++names}`);
  };

  // ── The run ────────────────────────────────────────────────────────────────────────────────────────────────────────

  const eventsWanted = chance.between(20, 250);
  let published = 0;
  const publishOne = (): void => {
    const { partition, key, event } = workload.next(world.now);
    const offset = cluster.publish(topics.inbound, partition, key, Buffer.from(JSON.stringify(event)));
    inbound.set(`${partition}:${offset}`, event);
    published++;
  };
  const publish = (): void => {
    if (published >= eventsWanted) return;
    const burst = chance.chance(0.2) ? chance.between(2, 25) : 1;
    for (let i = 0; i < burst && published < eventsWanted; i++) publishOne();
    world.schedule(chance.unit() * 2 * burst * (troubleMs / eventsWanted), publish);
  };

  for (let i = 0; i < workersWanted; i++) start(`w${++names}`);
  world.schedule(0, publish);
  world.schedule(250, supervise);
  if (kinds.length > 0) world.schedule(chance.below(2 * everyMs), strike);
  world.schedule(troubleMs, heal);

  const go = (until: number, isDone: () => boolean): boolean => {
    let looked = world.now;
    while (world.step(until)) {
      runMicrotasks();
      if (world.now - looked > 500) {
        looked = world.now;
        if (violations.length > 0) return false;
        if (isDone()) return true;
      }
    }
    return isDone();
  };
  /** The promise of 10 s, where nothing else is amiss: whoever has a Kafka transaction open is killed. */
  const killInTheMiddle = (): void => {
    // A zombie that wakes is a fault of its own.
    while (workers.some(({ process }) => process.isPaused)) go(world.now + 15_000, () => false);
    for (let i = 0; i < 3 * partitions; i++) publishOne();
    const until = world.now + 5_000;
    let open: Txn | undefined;
    while (open?.outcome !== 'open' && world.step(until)) {
      runMicrotasks();
      open = cluster.txns.at(-1);
    }
    const owned = Number(open?.transactionalId.split('-').at(-1));
    const victim = workers.find(({ fleet }) => fleet.lanes().some(({ partition }) => partition === owned));
    if (open?.outcome !== 'open' || victim === undefined) return void violations.push('Nobody begins a Kafka transaction for what was published at rest.');
    // At any moment between its first request and its end.
    victim.process.strikeAfter(chance.between(1, 25), () => victim.process.kill());
    while (victim.process.alive && world.step(until)) runMicrotasks();
    if (!victim.process.alive) count('kill with a Kafka transaction open');
    for (let i = 0; i < partitions; i++) publishOne();
    if (!go(world.now + 10_000, () => isAtRest(truth))) violations.push(`${victim.process.name} was killed, and 10 s later not everything is answered.`);
    go(world.now + 15_000, () => false);
  };
  const deadline = quietFrom + 240_000;
  const rested = go(deadline, () => world.now > quietFrom && published >= eventsWanted && isAtRest(truth));
  if (violations.length === 0 && !rested) violations.push('The run does not come to rest within 240 s after the last fault.');
  if (violations.length === 0) {
    const recoveredMs = world.now - quietFrom;
    if (recoveredMs > 60_000) world.note(`slow recovery: ${Math.round(recoveredMs)} ms`);
    // Everything that is still on its way arrives: markers, late frames, zombies.
    go(world.now + 15_000, () => false);
    if (violations.length === 0 && chance.chance(0.3)) killInTheMiddle();
    ended = true;
    for (const worker of workers) stop(worker);
    if (violations.length === 0) go(world.now + 30_000, () => workers.every(({ process }) => !process.alive));
    for (const worker of workers) {
      if (worker.process.alive) violations.push(`${worker.process.name} was asked to end and did not within 30 s.`);
    }
  }
  if (violations.length === 0) {
    // A frame that came late may have begun a Kafka transaction which nobody ends any more but the coordinator's own timer.
    if (!isAtRest(truth) && !go(world.now + 25_000, () => isAtRest(truth))) violations.push('Something was left when all workers had ended.');
    violations.push(...findViolations(truth));
  }
  for (const reason of unhandled) violations.push(`A rejection was not handled: ${String(reason)}`);
  return {
    seed,
    violations,
    traceHash: world.traceHash >>> 0,
    steps: world.steps,
    virtualSeconds: (world.now - begun) / 1000,
    events: published,
    faults,
    trace: world.trace,
  };
}

/** A process may end so, and is started again; anything else is a fault of ours. */
const allowedEnds = [/^FatalError: The Kafka consumer failed for good/, /^FatalError: Stopped while waiting/];

function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value instanceof Error ? String(value) : value;
}
