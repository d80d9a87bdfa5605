/**
 * One subject under an open load, rate after rate: started once, warmed up by a backlog, then loaded by a generator whose
 * schedule waits for nothing, while a reader notes when it holds each answer.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Running, Subject } from '../peers/subjects.ts';
import { memoryMegabytes, memoryPeakMegabytes } from '../usage.ts';
import { openWorld, partsUsage, usageBetween } from '../world.ts';
import type { World, WorldOptions } from '../world.ts';
import { boundsDefault, judgeRate } from './judge.ts';
import type { RateBounds, RateVerdict } from './judge.ts';
import { Latencies } from './latencies.ts';
import type { FromGenerator, FromReader, LoadRun } from './messages.ts';
import { LoadProcess } from './processes.ts';
import type { Generator, ResultReader } from './processes.ts';
import { nowMicroseconds } from './schedule.ts';

export interface LoadOptions {
  readonly rate: number;
  readonly seconds: number;
  /** Sent at the same rate before, and not measured. */
  readonly warmSeconds: number;
  readonly bounds: RateBounds;
  readonly onProgress?: (text: string) => void;
}

export interface RateFigures {
  readonly rate: number;
  readonly verdict: RateVerdict;
  /** An encoded histogram; of what was answered, where not all was. */
  readonly latencies: string;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly mostMs: number;
  readonly generatorLateP99Ms: number;
  readonly sent: number;
  readonly unanswered: number;
  /** Events on their way when the last was sent. */
  readonly lagAtEnd: number;
  /** Seconds since the start of the run, events on their way. */
  readonly lag: readonly (readonly [number, number])[];
  /** CPU microseconds an event, while the load ran. */
  readonly cpu: { readonly subject: number; readonly kafka: number; readonly redis: number; readonly generator: number; readonly reader: number };
  /** The most that the largest process ever held. */
  readonly memoryMegabytes: number;
  /** Seconds since the start of the run, megabytes of the largest process. */
  readonly memory: readonly (readonly [number, number])[];
}

export interface LoadSession {
  /** An open load that is not measured, whatever becomes of it, and then rest: a drain warms up other code, of the broker too. */
  warmUp(seconds: number, onProgress: (text: string) => void): Promise<void>;
  load(options: LoadOptions): Promise<RateFigures>;
  /** Until nothing is on its way; false when that takes longer. */
  settled(boundMs: number): Promise<boolean>;
  /** What is wrong with the answers to everything that was sent so far. */
  faults(): Promise<string[]>;
  close(): Promise<void>;
}

const leadMs = 300;
const lookEveryMs = 50;
/** How long after the last event its answer may come. */
const answersWithinMs = 10_000;
const warmBoundMs = 120_000;
/** Events a second; less for a subject that cannot do that. */
const warmRate = 5_000;

/** 400 looks in all. */
function lookAtLagSeconds(seconds: number): number {
  return Math.max(lookEveryMs / 1000, seconds / 400);
}

export async function openLoadSession(subject: Subject, options: WorldOptions & { readonly warm: number; readonly workers: number }): Promise<LoadSession> {
  const world = await openWorld(options);
  const generator: Generator = LoadProcess.start<FromGenerator, object>('generator.ts');
  const reader: ResultReader = LoadProcess.start<FromReader, object>('result-reader.ts');
  const running: Running[] = [];
  const close = async (): Promise<void> => {
    await generator.end();
    await reader.end();
    for (const child of running) await child.end();
    await world.close();
  };
  try {
    const start = {
      kind: 'start' as const,
      start: { brokers: world.config.kafkaBrokers, topics: world.topics, partitions: options.partitions, workload: world.workloadOptions },
    };
    generator.tell(start);
    await generator.next('ready', 60_000);
    reader.tell(start);
    await reader.next('ready', 60_000);
    running.push(...(await subject.start(world.place, options.workers)));
    if (options.warm > 0) {
      await world.publish(0, options.warm);
      await world.drained(warmBoundMs);
    }
    return session(subject, world, { generator, reader, running, sentBefore: options.warm, close });
  } catch (error) {
    await close();
    throw error;
  }
}

interface Parts {
  readonly generator: Generator;
  readonly reader: ResultReader;
  readonly running: readonly Running[];
  readonly sentBefore: number;
  close(): Promise<void>;
}

function session(subject: Subject, world: World, parts: Parts): LoadSession {
  const { generator, reader, running, sentBefore } = parts;
  let total = sentBefore;
  const pids = running.map(({ pid }) => pid);

  const load = async ({ rate, seconds, warmSeconds, bounds, onProgress }: LoadOptions): Promise<RateFigures> => {
    const unmeasured = Math.round(rate * warmSeconds);
    const run: LoadRun = { startMicroseconds: nowMicroseconds() + leadMs * 1000, rate, from: total, count: unmeasured + Math.round(rate * seconds), unmeasured };
    let sent = 0;
    let answered = 0;
    const lag: [number, number][] = [];
    const memory: [number, number][] = [];
    reader.listen((message) => void (message.kind === 'answered' && (answered = message.answered)));
    reader.tell({ kind: 'run', run });
    generator.tell({ kind: 'run', run });
    const beganAt = performance.now() + leadMs;
    const before = partsUsage(pids);
    let isHopeless = false;
    const looking = setInterval(() => {
      const second = (performance.now() - beganAt) / 1000;
      if (second < 0) return;
      // Not more points than a drawing shows.
      if (second - (lag.at(-1)?.[0] ?? -1) >= lookAtLagSeconds(warmSeconds + seconds)) lag.push([Math.round(second * 100) / 100, Math.max(0, sent - answered)]);
      if (second - (memory.at(-1)?.[0] ?? -1) >= 1) memory.push([Math.round(second * 10) / 10, Math.max(...pids.map(memoryMegabytes))]);
      onProgress?.(`${rate}/s, second ${second.toFixed(0)} of ${warmSeconds + seconds}: ${Math.max(0, sent - answered)} on their way`);
      if (!isHopeless && sent - answered > rate * bounds.giveUpLagSeconds) {
        isHopeless = true;
        generator.tell({ kind: 'stop' });
      }
    }, lookEveryMs);
    const done = await generator.next('done', (warmSeconds + seconds) * 1000 + 60_000, (message) => void (message.kind === 'sent' && (sent = message.sent)))
      .finally(() => clearInterval(looking));
    const after = partsUsage(pids);
    // The reader tells every 50 ms: at least one look is from after the last event was sent.
    await sleep(lookEveryMs);
    const lagAtEnd = Math.max(0, done.sent - answered);
    total += done.sent;
    const deadline = performance.now() + (isHopeless ? 0 : answersWithinMs);
    while (answered < done.sent && performance.now() < deadline && !running.some((child) => child.exited())) await sleep(lookEveryMs);
    reader.tell({ kind: 'collect' });
    const collected = await reader.next('collected', 30_000);

    const latencies = Latencies.merge([collected.latencies]);
    const late = Latencies.merge([done.late]);
    const spent = usageBetween(before, after);
    const perEvent = (spentSeconds: number, events: number): number => (spentSeconds / Math.max(1, events)) * 1e6;
    const figures = {
      rate, latencies: collected.latencies, p50Ms: latencies.quantile(0.5), p90Ms: latencies.quantile(0.9), p99Ms: latencies.quantile(0.99), p999Ms: latencies.quantile(0.999),
      mostMs: latencies.mostMilliseconds, generatorLateP99Ms: late.quantile(0.99), sent: done.sent, unanswered: Math.max(0, done.sent - collected.answered), lagAtEnd, lag, memory,
      cpu: {
        subject: perEvent(spent.subject, done.sent), kafka: perEvent(spent.kafka, done.sent), redis: perEvent(spent.redis, done.sent),
        generator: perEvent(done.cpuSeconds, done.sent - unmeasured), reader: perEvent(collected.cpuSeconds, collected.answered),
      },
      memoryMegabytes: Math.max(...pids.map(memoryPeakMegabytes)),
    };
    const ended = running.find((child) => child.exited());
    if (ended !== undefined) throw new Error(`${ended.name} ended by itself under ${rate} events/s: ${ended.lastWords()}`);
    return { ...figures, verdict: judgeRate({ ...figures, asked: run.count }, bounds) };
  };

  return {
    load,
    async warmUp(seconds, onProgress) {
      if (seconds === 0) return;
      await load({ rate: Math.min(warmRate, subject.eventsPerSecond / 2), seconds, warmSeconds: 0, bounds: boundsDefault, onProgress: (text) => onProgress(`warming up, ${text}`) });
      await world.drained(warmBoundMs);
    },
    settled: (boundMs) => world.drained(boundMs).then(() => true, () => false),
    faults: () => (subject.answers ? world.faults(total, subject.isWhole) : Promise.resolve([])),
    close: () => parts.close(),
  };
}
