/** One measured drain of one subject on topics of its own, with every answer looked at afterwards. */
import { memoryPeakMegabytes } from './usage.ts';
import { openWorld, partsUsage, usageBetween } from './world.ts';
import type { PartsUsage } from './world.ts';
import type { Running, Subject } from './peers/subjects.ts';

export interface DrainOptions {
  readonly seed: number;
  readonly events: number;
  /** Transactions in each message. */
  readonly transactions: number;
  /** Drained before the clock runs; 0: cold, the clock runs from the start of the processes. */
  readonly warm: number;
  readonly workers: number;
  readonly participants: number;
  readonly partitions: number;
  readonly moulds?: number;
  readonly commitIntervalMs: number;
  readonly sink: boolean;
  /** Told while the clock runs: events that are left. */
  readonly onProgress?: (left: number) => void;
  /** Runs beside the measured drain, from its begin to its end; what it gives back is handed on. */
  readonly beside?: (running: readonly Running[]) => { end(): Promise<unknown> };
}

export interface DrainFigures {
  readonly events: number;
  readonly transactions: number;
  readonly seconds: number;
  /** CPU seconds. */
  readonly cpu: PartsUsage;
  /** Of the largest process of the subject. */
  readonly memoryMegabytes: number;
  readonly beside: unknown;
  /** Why the figures do not count. */
  readonly faults: readonly string[];
}

/** Nothing that is worth a measurement is slower than this. */
const eventsPerSecondMin = 500;
const drainBoundMsMin = 300_000;

/** The subject must not be lacking anything, see `Subject.lacking`. */
export async function measureDrain(subject: Subject, options: DrainOptions): Promise<DrainFigures> {
  const world = await openWorld({ ...options, subject: subject.name });
  const running: Running[] = [];
  try {
    let begun = 0;
    const start = async (): Promise<void> => {
      begun = performance.now();
      running.push(...(await subject.start(world.place, options.workers)));
      if (options.sink) running.push(...(await subject.startSink!(world.place)));
    };
    const drainBoundMs = Math.max(drainBoundMsMin, (Math.max(options.warm, options.events) * options.transactions * 1000) / eventsPerSecondMin);
    if (options.warm > 0) {
      await start();
      await world.publish(0, options.warm);
      await world.drained(drainBoundMs);
    }
    await world.publish(options.warm, options.events);
    const before = partsUsage(running.map(({ pid }) => pid));
    if (options.warm > 0) begun = performance.now();
    else await start();
    const beside = options.beside?.(running);
    await world.drained(drainBoundMs, options.onProgress);
    const seconds = (performance.now() - begun) / 1000;
    const after = partsUsage(running.map(({ pid }) => pid));
    const besides = await beside?.end();
    const ended = running.filter((child) => child.exited());
    const faults = subject.answers ? await world.faults(options.warm + options.events, subject.isWhole) : [];
    return {
      events: options.events,
      transactions: options.transactions,
      seconds,
      cpu: usageBetween(before, after),
      memoryMegabytes: Math.max(...running.map(({ pid }) => memoryPeakMegabytes(pid))),
      beside: besides ?? null,
      faults: ended.length > 0 ? [...ended.map((child) => `${child.name} ended by itself: ${child.lastWords()}`), ...faults] : faults,
    };
  } finally {
    for (const child of running) await child.end();
    await world.close();
  }
}
