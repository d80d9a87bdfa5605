/**
 * Kills of workers under load, and how long their partitions stand still: from SIGKILL until each partition's first commit
 * by another process, as a `read_committed` reader sees it.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { decodeCheckpoint } from '../../src/codec/checkpoint.ts';
import { Bench } from '../integration/harness/bench.ts';
import { Follower } from '../integration/harness/kafka.ts';
import type { Service } from '../integration/harness/processes.ts';
import { createRandom, createTraffic } from '../integration/harness/traffic.ts';
import { until } from '../until.ts';

export interface KillsOptions {
  readonly kills: number;
  readonly workers: number;
  readonly partitions: number;
  readonly eventsPerSecond: number;
  readonly seed: number;
  readonly brokers?: string;
  /** A supervisor starts it again at once, under the same name; otherwise only once the others have taken over. */
  readonly restart: boolean;
  readonly say: (line: string) => void;
}

export interface Kill {
  /** From the kill until the last of its partitions was committed by another process, milliseconds. */
  readonly recoveryMs: number;
  /** The longest time for which a partition of a worker that lives stood still meanwhile, milliseconds. */
  readonly standstillMs: number;
  /** When the workers said what since the kill: first and last time of each, milliseconds after it. */
  readonly steps: string;
}

export async function runKills(options: KillsOptions): Promise<readonly Kill[]> {
  const traffic = createTraffic({ seed: options.seed, partitions: options.partitions });
  const random = createRandom(options.seed + 1);
  const bench = await Bench.create('kills', {
    partitions: options.partitions,
    participants: traffic.participants,
    ...(options.brokers === undefined ? {} : { brokers: options.brokers }),
  });
  const commits = new Commits(options.partitions);
  let follower: Follower | undefined;
  let sending = true;
  try {
    follower = await Follower.start({ brokers: bench.brokers, topics: [`${bench.prefix}checkpoints`], take: (records) => commits.take(records) });
    const name = (slot: number): string => `${bench.group}-slot-${slot}`;
    const start = (slot: number): Promise<Service> => bench.startWorker({ WORKER_ID: name(slot) });
    const workers = await Promise.all(Array.from({ length: options.workers }, (_, slot) => start(slot)));
    await Promise.all(workers.map((worker) => worker.ready()));
    const load = (async () => {
      while (sending) {
        const { message, sending: where } = traffic.next();
        // Every partition moves all the time, so that a standstill is one.
        await bench.send(message, { ...where, partition: random(options.partitions), key: null });
        await pause(1000 / options.eventsPerSecond);
      }
    })();
    const kills: Kill[] = [];
    while (kills.length < options.kills) {
      await commits.everywhereSince(Date.now());
      await pause(300 + random(1500));
      const slot = random(options.workers);
      const owned = commits.partitionsOf(name(slot));
      if (owned.length === 0) continue;
      const killedAt = Date.now();
      await workers[slot]!.kill();
      const restarting = options.restart ? start(slot) : undefined;
      await commits.everywhereSince(killedAt, owned);
      await commits.everywhereSince(Date.now());
      const recoveryMs = Math.max(...owned.map((partition) => commits.firstSince(partition, killedAt) - killedAt));
      const others = Array.from({ length: options.partitions }, (_, partition) => partition).filter((partition) => !owned.includes(partition));
      const standstillMs = Math.max(0, ...others.map((partition) => commits.longestGap(partition, killedAt)));
      const successor = await (restarting ?? start(slot));
      const steps = stepsSince(killedAt, killedAt + recoveryMs, [...workers.filter((_, index) => index !== slot), successor].map(({ stderr }) => stderr));
      kills.push({ recoveryMs, standstillMs, steps });
      options.say(`kill ${kills.length}: ${owned.length} partitions back after ${recoveryMs} ms, the others stood still for ${standstillMs} ms; ${steps}`);
      workers[slot] = successor;
      await workers[slot].ready();
    }
    sending = false;
    await load;
    await bench.atRest(60_000);
    return kills;
  } finally {
    sending = false;
    await follower?.stop();
    await bench.close();
  }
}

/** Where the time goes: the group finds out and everybody gives back, all join anew, lanes are restored. */
const stepWords: readonly (readonly [word: string, message: RegExp])[] = [
  ['revoked', /^Partitions revoked$/],
  ['assigned', /^Partitions assigned$/],
  ['restored', /^The lane was restored$/],
];

function stepsSince(killedAt: number, until: number, logs: readonly string[]): string {
  const lines = logs.flatMap((log) => log.split('\n').filter((line) => line.startsWith('{'))).map((line) => JSON.parse(line) as { time: string; msg: string });
  return stepWords.map(([word, message]) => {
    const times = lines.filter(({ msg }) => message.test(msg)).map(({ time }) => Date.parse(time)).filter((time) => time >= killedAt && time <= until).map((time) => time - killedAt);
    if (times.length === 0) return `${word} -`;
    return `${word} ${Math.min(...times)}-${Math.max(...times)}`;
  }).join(', ');
}

/** When each partition was committed, by whom. */
export class Commits {
  readonly #of: { readonly worker: string; readonly madeAt: number; readonly seenAt: number }[][];

  constructor(partitions: number) {
    this.#of = Array.from({ length: partitions }, () => []);
  }

  take(records: readonly { readonly partition: number; readonly timestamp: number; readonly value: Buffer | null }[]): void {
    const seenAt = Date.now();
    for (const { partition, timestamp, value } of records) {
      this.#of[partition]!.push({ worker: decodeCheckpoint(value!).worker, madeAt: timestamp, seenAt });
    }
  }

  partitionsOf(worker: string): number[] {
    return this.#of.flatMap((commits, partition) => (commits.at(-1)?.worker === worker ? [partition] : []));
  }

  /** When the first commit was seen that was begun after `since`: what the dead had begun and committed does not count. */
  firstSince(partition: number, since: number): number {
    return this.#of[partition]!.find(({ madeAt }) => madeAt > since)?.seenAt ?? Infinity;
  }

  longestGap(partition: number, since: number): number {
    let gap = 0;
    let last = since;
    for (const { seenAt } of this.#of[partition]!) {
      if (seenAt <= since) continue;
      gap = Math.max(gap, seenAt - last);
      last = seenAt;
    }
    return gap;
  }

  async everywhereSince(since: number, partitions: readonly number[] = this.#of.map((_, partition) => partition), boundMs = 60_000): Promise<void> {
    await until(`a commit in each of the partitions ${partitions.join(', ')}`, () => partitions.every((partition) => this.firstSince(partition, since) < Infinity), boundMs);
  }
}
