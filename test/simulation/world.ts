/**
 * Virtual time and chance for a whole fleet in one process. One seed decides every delay, every order and every fault;
 * hours pass in milliseconds, and the same seed passes them in the same way.
 */
import type { Timing } from '../../src/ports.ts';

interface Event {
  readonly at: number;
  readonly turn: number;
  readonly run: () => void;
  readonly owner: SimProcess | null;
}

/** Chance of one run. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed, 0x9e3779b1) ^ 0x5bf03635;
  }

  /** From 0 up to but not including 1. */
  unit(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let mixed = this.#state ^ (this.#state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    mixed ^= mixed >>> 15;
    return (mixed >>> 0) / 2 ** 32;
  }

  below(limit: number): number {
    return Math.floor(this.unit() * limit);
  }

  /** From `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
}

/** An operating-system process: it may be killed or paused at any moment, and everything that it hears goes through here. */
export class SimProcess {
  readonly name: string;
  alive = true;
  /** Stopped (SIGSTOP) until then. */
  pausedUntil = 0;
  /** What strikes this process behind one of its next steps, and behind how many. */
  #strike: { stepsLeft: number; readonly run: () => void } | null = null;
  readonly #world: World;
  readonly #onKilled: (() => void)[] = [];

  constructor(world: World, name: string) {
    this.#world = world;
    this.name = name;
  }

  /** Runs later, in this process: not at all when it was killed, and not before it goes on when it is paused. */
  after(delayMs: number, run: () => void): void {
    this.#world.schedule(delayMs, run, this);
  }

  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    for (const tell of this.#onKilled) tell();
  }

  /** Strikes behind one of the next steps of this process: between any two things that it does, however close. */
  strikeAfter(steps: number, run: () => void): void {
    this.#strike = { stepsLeft: steps, run };
  }

  /** The process has done one more step. */
  stepped(): void {
    if (this.#strike === null || --this.#strike.stepsLeft > 0) return;
    const { run } = this.#strike;
    this.#strike = null;
    run();
  }

  /** What the outside world notices: connections are reset. */
  onKilled(tell: () => void): void {
    this.#onKilled.push(tell);
  }

  pause(forMs: number): void {
    this.pausedUntil = Math.max(this.pausedUntil, this.#world.now + forMs);
  }

  get isPaused(): boolean {
    return this.pausedUntil > this.#world.now;
  }

  timing(): Timing {
    const world = this.#world;
    return {
      now: () => Math.floor(world.now + world.clockSkewMs),
      monotonic: () => world.now,
      sleep: (milliseconds, signal) =>
        new Promise<void>((resolve, reject) => {
          if (signal?.aborted === true) return reject(signal.reason as Error);
          let done = false;
          this.after(Math.max(0, milliseconds), () => {
            if (done) return;
            done = true;
            resolve();
          });
          signal?.addEventListener(
            'abort',
            () => {
              if (done) return;
              done = true;
              reject(signal.reason as Error);
            },
            { once: true },
          );
        }),
    };
  }
}

export class World {
  readonly chance: Chance;
  /** Milliseconds of virtual time. */
  now = 1_790_000_000_000;
  clockSkewMs = 0;
  steps = 0;
  /** FNV-1a over everything that happened: the same seed has the same. */
  traceHash = 0x811c9dc5;
  readonly trace: string[] = [];
  readonly #keepTrace: boolean;
  readonly #heap: Event[] = [];
  #turn = 0;

  constructor(seed: number, keepTrace: boolean) {
    this.chance = new Chance(seed);
    this.#keepTrace = keepTrace;
  }

  schedule(delayMs: number, run: () => void, owner: SimProcess | null = null): void {
    this.#push({ at: this.now + Math.max(0, delayMs), turn: this.#turn++, run, owner });
  }

  /** Notes what happened; cheap unless the trace is kept. */
  note(what: string): void {
    let hash = this.traceHash;
    for (let i = 0; i < what.length; i++) hash = Math.imul(hash ^ what.charCodeAt(i), 0x01000193);
    this.traceHash = Math.imul(hash ^ Math.floor(this.now * 8), 0x01000193);
    if (this.#keepTrace) this.trace.push(`${((this.now - 1_790_000_000_000) / 1000).toFixed(4)} ${what}`);
  }

  /** One event; false when there is none before `until`. Promises that it settles run before the next. */
  step(until: number): boolean {
    const next = this.#heap[0];
    if (next === undefined || next.at > until) {
      this.now = Math.max(this.now, until);
      return false;
    }
    this.#pop();
    this.now = Math.max(this.now, next.at);
    this.steps++;
    const { owner } = next;
    if (owner !== null) {
      if (!owner.alive) return true;
      if (owner.isPaused) {
        // Everything that was due meanwhile comes when the process goes on, in nearly the same order.
        this.#push({ ...next, at: owner.pausedUntil + this.chance.unit() });
        return true;
      }
    }
    next.run();
    owner?.stepped();
    return true;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (before(heap[parent]!, event)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (before(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function before(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.turn < other.turn);
}
