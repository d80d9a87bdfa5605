/**
 * The supervisor: places for workers and sinks, each of which always has a process, and the fate of each process. Whoever
 * ends without a cause that was injected is a finding.
 */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Service } from '../integration/harness/processes.ts';
import type { Random } from '../integration/harness/traffic.ts';
import { crashVariables, endingPoint, isWirePoint, lastWords, needsEmptyRedis, passesMax, wirePoints } from './crash-points.ts';
import type { CrashPoint } from './crash-points.ts';
import type { Injection, Ledger } from './ledger.ts';
import type { Watch } from './watch.ts';
import type { World } from './world.ts';

export type Fate =
  /** At the first time that the point comes by, or after so many times as chance wants. */
  | { readonly kind: 'crash'; readonly point: CrashPoint; readonly isAtOnce?: boolean }
  | { readonly kind: 'killed'; readonly afterMs: number }
  | { readonly kind: 'frozen'; readonly afterMs: number; readonly frozenMs: number }
  /** SIGTERM while the group rebalances. */
  | { readonly kind: 'ends' }
  /** Nothing, until the fleet is unleashed. */
  | { readonly kind: 'spared' }
  /** Nothing, to the end of the fates. */
  | { readonly kind: 'leftAlone' };

export type Role = 'worker' | 'sink';

const sessionTimeoutMs = 6_000;
/** In which a crash point must come by; a process that is started on a busy machine takes its time. */
const fateBoundMs = 60_000;
const endBoundMs = 40_000;
const stormGuests = 3;
const stormJoinMs = 15_000;
/** A woken zombie may end by itself: it finds itself fenced. */
const wokenMs = 60_000;

export const randomKill: Readonly<Record<Role, string>> = { worker: 'worker killed at random', sink: 'sink killed at random' };
export const zombie: Readonly<Record<Role, string>> = { worker: 'worker frozen beyond its session (zombie)', sink: 'sink frozen beyond its session (zombie)' };
export const endedInRebalance = 'SIGTERM during a rebalance';
export const crashKind = (point: CrashPoint): string => `crash point: ${point}`;

/** A process and what was done to it. */
export class Life {
  readonly service: Service;
  readonly role: Role;
  /** WORKER_ID. */
  readonly id: string;
  readonly startedAt = performance.now();
  readonly ended: Promise<unknown>;
  wokenAt = -Infinity;
  frozen = false;
  terminated = false;
  killedBy: Injection | null = null;

  constructor(service: Service, role: Role, id: string) {
    this.service = service;
    this.role = role;
    this.id = id;
    this.ended = service.hasEnded ? Promise.resolve() : once(service.child, 'close');
  }

  get isWorking(): boolean {
    return this.role === 'sink' ? this.service.stderr.includes('Partitions claimed') : this.service.stderr.includes('The lane was restored');
  }

  /** Partitions that it had, as it said itself last. */
  get partitions(): readonly number[] {
    const said = [...this.service.stderr.matchAll(/"partitions":\[([\d,]*)\],"msg":"Partitions (assigned|revoked|lost)"/g)].at(-1);
    return said?.[2] === 'assigned' && said[1] !== '' ? said[1]!.split(',').map(Number) : [];
  }

  get rebalances(): number {
    return this.service.stderr.split('"msg":"Partitions revoked"').length;
  }

  async freeze(forMs: number): Promise<boolean> {
    this.frozen = true;
    this.service.signal('SIGSTOP');
    const begun = performance.now();
    await Promise.race([pause(forMs), this.ended]);
    const stood = !this.service.hasEnded && stateOf(this.service.child.pid!) === 'T' && performance.now() - begun >= forMs - 50;
    this.service.signal('SIGCONT');
    this.frozen = false;
    this.wokenAt = performance.now();
    return stood;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

function stateOf(pid: number): string {
  const status = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return status.slice(status.lastIndexOf(')') + 2, status.lastIndexOf(')') + 3);
}

interface Place {
  readonly role: Role;
  readonly index: number;
  readonly clockFile: string;
  life: Life | undefined;
}

export interface FleetPlan {
  readonly workers: number;
  readonly sinks: number;
  /** What becomes of the next process in a place. */
  readonly nextFate: (role: Role, place: number) => Fate;
}

export class Fleet {
  readonly problems: string[] = [];
  /** How workers and sinks that ended by themselves, for a cause that was injected, said so. */
  readonly endedByThemselves = new Map<string, number>();
  readonly #world: World;
  readonly #watch: Watch;
  readonly #ledger: Ledger;
  readonly #random: Random;
  readonly #plan: FleetPlan;
  readonly #places: Place[];
  /** Hundreds of processes are started: what the first of them compiled serves the others. */
  readonly #compileCache: string;
  readonly #onFindings: () => void;
  /** Redis is to forget its window now: somebody is to die while it is rebuilt. */
  readonly #emptyRedis: () => Promise<void>;
  readonly #stopping = new AbortController();
  readonly #unleashed = new AbortController();
  #keeping: Promise<unknown> = Promise.resolve();
  #starts = 0;

  constructor(options: { world: World; watch: Watch; ledger: Ledger; random: Random; plan: FleetPlan; folder: string; emptyRedis: () => Promise<void>; onFindings: () => void }) {
    this.#world = options.world;
    this.#watch = options.watch;
    this.#ledger = options.ledger;
    this.#random = options.random;
    this.#plan = options.plan;
    this.#emptyRedis = options.emptyRedis;
    this.#onFindings = options.onFindings;
    this.#compileCache = join(options.folder, 'compile-cache');
    const places = (role: Role, count: number): Place[] => Array.from({ length: count }, (_, index) => {
      const clockFile = join(options.folder, `clock-${role}-${index}`);
      writeFileSync(clockFile, '0');
      return { role, index, clockFile, life: undefined };
    });
    this.#places = [...places('worker', options.plan.workers), ...places('sink', options.plan.sinks)];
  }

  /** Workers that live and work at this moment. */
  get workers(): readonly Life[] {
    return this.#places.flatMap(({ role, life }) => (role === 'worker' && life?.isWorking === true && !life.service.hasEnded && !life.frozen ? [life] : []));
  }

  get clockFiles(): readonly string[] {
    return this.#places.map(({ clockFile }) => clockFile);
  }

  start(): void {
    this.#keeping = Promise.all(this.#places.map((place) => this.#keep(place)));
  }

  /** Whoever was spared so far is not any more. */
  unleash(): void {
    this.#unleashed.abort();
  }

  /** Ends the fates: the processes that carry one are replaced by others that carry none. */
  async calm(): Promise<void> {
    this.#stopping.abort();
    await this.#keeping;
    await Promise.all(this.#places.map(async (place) => {
      place.life = await this.#begin(place, { kind: 'spared' });
      await this.#untilWorking(place.life);
    }));
  }

  /** SIGTERM to all; whoever does not end with 0 in time is a finding. */
  async end(): Promise<void> {
    await Promise.all(this.#places.map(async ({ life }) => {
      if (life !== undefined && !life.service.hasEnded) await this.#terminate(life);
    }));
  }

  /** SIGKILL, wherever it is now; the kill of a worker is timed until others have committed its partitions. */
  async kill(life: Life, kind: string, proof = 'SIGKILL'): Promise<Injection> {
    const injection = this.#ledger.begin(kind);
    this.#died(life, injection);
    await life.service.kill();
    this.#ledger.end(injection, proof);
    return injection;
  }

  /** Workers that join and leave: each is a rebalance of the whole group. Gives how many got partitions before they left. */
  async storm(): Promise<number> {
    const { bench } = this.#world;
    let joined = 0;
    for (let i = 0; i < stormGuests && !this.#stopping.signal.aborted; i++) {
      const id = `${bench.group}-guest-${++this.#starts}`;
      const guest = new Life(await bench.startWorker({ WORKER_ID: id }), 'worker', id);
      const deadline = performance.now() + stormJoinMs;
      while (guest.partitions.length === 0 && !guest.service.hasEnded && performance.now() < deadline) await this.#wait(guest, 50);
      if (guest.partitions.length > 0) joined++;
      await this.#terminate(guest);
    }
    return joined;
  }

  async #keep(place: Place): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const fate = this.#plan.nextFate(place.role, place.index);
      let life: Life;
      try {
        life = await this.#begin(place, fate);
      } catch (error) {
        // On a busy machine a process may not be up in time; it was killed then. One that ended has said why.
        const text = String(error);
        if (!text.includes('did not start')) throw error;
        if (!/Error/.test(text.replace(/^Error: /, ''))) continue;
        this.problems.push(text);
        this.#onFindings();
        return;
      }
      place.life = life;
      await this.#meet(life, fate);
      this.#world.traps.remove(life.id);
      if (!life.service.hasEnded) await life.service.kill();
      this.#judge(life);
    }
  }

  async #begin(place: Place, fate: Fate): Promise<Life> {
    const { role } = place;
    const { bench, traps } = this.#world;
    // A name of its own, or the place's: then it finds what the one before it has left behind.
    const id = `${bench.group}-${role}-${place.index}${this.#random(2) === 0 ? '' : `-${++this.#starts}`}`;
    const environment: Record<string, string> = { WORKER_ID: id, NODE_OPTIONS: `--import=${join(import.meta.dirname, 'preload.ts')}`, UV_THREADPOOL_SIZE: '8', NODE_COMPILE_CACHE: this.#compileCache, [crashVariables.clockFile]: place.clockFile };
    let injection: Injection | undefined;
    const caught: { life?: Life } = {};
    if (fate.kind === 'crash') {
      const passes = fate.isAtOnce === true ? 0 : this.#random(passesMax(fate.point));
      if (isWirePoint(fate.point)) {
        const { point } = fate;
        traps.set(id, wirePoints[point], passes, () => {
          injection = this.#ledger.begin(crashKind(point));
          if (caught.life !== undefined) void this.#sprung(caught.life, injection);
        });
      } else Object.assign(environment, { [crashVariables.point]: fate.point, [crashVariables.passes]: String(passes) });
    }
    const service = role === 'worker' ? await bench.startWorker(environment) : await bench.startSink(environment);
    const life = new Life(service, role, id);
    caught.life = life;
    if (injection !== undefined) void this.#sprung(life, injection);
    return life;
  }

  async #sprung(life: Life, injection: Injection): Promise<void> {
    this.#died(life, injection);
    await life.service.kill();
    this.#ledger.end(injection, 'the proxy withheld it, then SIGKILL');
  }

  #died(life: Life, cause: Injection): void {
    life.killedBy = cause;
    if (life.role === 'worker') this.#watch.killed(life.id, life.partitions, cause);
  }

  /** Lives through its fate; returns when the process may be replaced. */
  async #meet(life: Life, fate: Fate): Promise<void> {
    switch (fate.kind) {
      case 'crash':
        return this.#meetCrash(life, fate.point);
      case 'killed': {
        await this.#untilWorking(life);
        await this.#wait(life, fate.afterMs);
        if (!life.service.hasEnded && !this.#stopping.signal.aborted) await this.kill(life, randomKill[life.role]);
        return;
      }
      case 'frozen': {
        await this.#untilWorking(life);
        await this.#wait(life, fate.afterMs);
        const { partitions } = life;
        if (life.service.hasEnded || this.#stopping.signal.aborted || (life.role === 'worker' && partitions.length === 0)) return;
        const injection = this.#ledger.begin(zombie[life.role]);
        const stood = await life.freeze(fate.frozenMs);
        const taken = partitions.filter((partition) => this.#watch.committerOf(partition) !== life.id).length;
        const wentOn = life.role === 'sink' ? '' : `; ${taken} of its ${partitions.length} partitions had gone on when it woke`;
        this.#ledger.end(injection, stood && fate.frozenMs > sessionTimeoutMs ? `${life.service.name} stood still for ${fate.frozenMs} ms${wentOn}` : null);
        await this.#wait(life, 2_000 + this.#random(4_000));
        return;
      }
      case 'ends': {
        await this.#untilWorking(life);
        const seen = life.rebalances;
        const deadline = performance.now() + 20_000;
        while (life.rebalances === seen && performance.now() < deadline) await this.#wait(life, 20);
        if (life.service.hasEnded || this.#stopping.signal.aborted) return;
        const injection = this.#ledger.begin(endedInRebalance);
        const isRebalancing = life.rebalances > seen;
        await this.#terminate(life);
        this.#ledger.end(injection, isRebalancing ? `right after "Partitions revoked" of ${life.service.name}` : null);
        return;
      }
      case 'spared':
        await Promise.race([life.ended, this.#stopped(), aborted(this.#unleashed.signal)]);
        if (!life.service.hasEnded && !this.#stopping.signal.aborted) await this.kill(life, randomKill[life.role]);
        return;
      case 'leftAlone':
        await Promise.race([life.ended, this.#stopped()]);
    }
  }

  async #meetCrash(life: Life, point: CrashPoint): Promise<void> {
    const deadline = life.startedAt + fateBoundMs;
    let isTold = false;
    while (!life.service.hasEnded && life.killedBy === null && !this.#stopping.signal.aborted && performance.now() < deadline) {
      if (life.isWorking && needsEmptyRedis(point)) {
        await this.#emptyRedis();
        await this.#wait(life, 5_000);
      }
      if (life.isWorking && point === endingPoint && !isTold) {
        isTold = true;
        life.terminated = true;
        life.service.signal('SIGTERM');
      }
      await this.#wait(life, 50);
    }
    await Promise.race([life.ended, pause(200)]);
    if (life.service.hasEnded && life.service.stderr.includes(lastWords(point))) {
      const injection = this.#ledger.begin(crashKind(point));
      this.#died(life, injection);
      this.#ledger.end(injection, 'its last words, then SIGKILL by itself');
    }
  }

  async #wait(life: Life, milliseconds: number): Promise<void> {
    await Promise.race([pause(milliseconds), life.ended, this.#stopped()]);
  }

  #stopped(): Promise<void> {
    return aborted(this.#stopping.signal);
  }

  async #untilWorking(life: Life): Promise<void> {
    const deadline = performance.now() + fateBoundMs;
    while (!life.isWorking && !life.service.hasEnded && performance.now() < deadline) await pause(50);
  }

  async #terminate(life: Life): Promise<void> {
    life.terminated = true;
    const begun = performance.now();
    let code: number | null = null;
    try {
      ({ code } = await life.service.terminate(endBoundMs));
    } catch {
      this.#found(life, `did not end within ${endBoundMs} ms after SIGTERM`);
      await life.service.kill();
      return;
    }
    // By its own hard limit, when what it has to commit to is away: said and with code 1.
    const couldNotEnd = code === 1 && life.service.stderr.includes('could not end in time') && this.#ledger.wasUnderWay(/broker|Kafka|ClickHouse/, begun, performance.now());
    if (code !== 0 && !couldNotEnd && life.killedBy === null && !life.service.stderr.includes(lastWords(endingPoint))) this.#found(life, `ended with ${code} after SIGTERM`);
  }

  #judge(life: Life): void {
    const { service } = life;
    if (life.killedBy !== null || life.terminated) return;
    if (service.child.signalCode === 'SIGKILL') return;
    const code = service.child.exitCode;
    if (code !== 0 && performance.now() - life.wokenAt < wokenMs) {
      const said = /"error":"([^"]{0,120})|FATAL[^\n]{0,120}|settlefleet: ([^\n]{0,120})/.exec(service.stderr.slice(-1500))?.[0] ?? 'without a word';
      this.endedByThemselves.set(said, (this.endedByThemselves.get(said) ?? 0) + 1);
      return;
    }
    this.#found(life, `ended by itself with ${code ?? service.child.signalCode}`);
  }

  #found(life: Life, what: string): void {
    this.problems.push(`${life.service.name} (${life.id}) ${what}\n${life.service.output}`);
    this.#onFindings();
  }
}
