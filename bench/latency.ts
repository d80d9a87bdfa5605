/**
 * How long a payment takes at a fixed rate: from the moment at which it was to be sent until a `read_committed` reader holds
 * its result. The load is open: its schedule waits for nothing. Generator and reader are processes of their own.
 *
 * `./dev bench latency --help` lists the options; bench/README.md says how to read it.
 */
import { table } from '../src/cli/console.ts';
import { boundsDefault } from './load/judge.ts';
import { Latencies } from './load/latencies.ts';
import { openLoadSession } from './load/session.ts';
import type { RateFigures } from './load/session.ts';
import { subjectNames, subjectsOf } from './peers/subjects.ts';
import { progress, Recording, saidDuration, sayHead } from './record.ts';
import type { BenchRound } from './record.ts';
import { readSettings } from './settings.ts';
import { grouped, median, spread } from './statistics.ts';

const forms = {
  rates: { default: [1_000, 2_000, 5_000, 10_000, 20_000], what: 'events a second, one after another; the first that falls behind ends a subject\'s turn' },
  seconds: { default: 20, what: 'measured at each rate' },
  'warm-seconds': { default: 5, least: 0, what: 'at each rate before that, not measured' },
  warm: { default: 40_000, least: 0, what: 'events drained at the start of a subject\'s turn, to warm up' },
  'warm-load-seconds': { default: 30, least: 0, what: 'of open load behind that, which is not measured either' },
  rounds: { default: 3, what: 'rounds; in each all subjects take their turn' },
  workers: { default: 1, what: 'processes of the subject' },
  participants: { default: 64, least: 2, what: 'participants' },
  partitions: { default: 8, what: 'partitions' },
  'commit-interval-ms': { default: [100], what: 'how often subjects commit; several numbers: each in turn' },
  'late-ms': { default: boundsDefault.lateMsMax, what: 'a run counts only if the generator kept its schedule this closely (p99)' },
  subjects: { default: ['fleet', 'streams', 'plain'], oneOf: subjectNames, what: `of ${subjectNames.join(', ')}` },
} as const;

export async function run(args: readonly string[]): Promise<void> {
  const settings = readSettings('latency', forms, args);
  if (settings === null) return;
  const { seconds, rounds, rates } = settings;
  const warmSeconds = settings['warm-seconds'];
  const intervals = settings['commit-interval-ms'];
  const recording = new Recording('latency', args, settings);
  const variants = subjectsOf(settings.subjects).flatMap((subject) => {
    const reason = subject.lacking();
    if (reason !== null) {
      recording.skip(subject.name, reason);
      console.log(`${subject.name} is skipped: ${reason}`);
      return [];
    }
    return intervals.map((commitIntervalMs) => {
      const name = intervals.length > 1 ? `${subject.name}, ${commitIntervalMs} ms` : subject.name;
      recording.subject(name, `${subject.what}; commits every ${commitIntervalMs} ms`);
      return { name, subject, commitIntervalMs };
    });
  });
  const turn = (eventsPerSecond: number): number => 20 + settings.warm / eventsPerSecond + settings['warm-load-seconds'] + rates.filter((rate) => rate <= eventsPerSecond * 2).length * (seconds + warmSeconds + 2);
  sayHead('latency', [
    `${rates.map(grouped).join(', ')} events/s for ${seconds} s each, ${settings.partitions} partitions, ${grouped(settings.participants)} participants, 1% duplicates, 0.5% wrong`,
    `takes at most ${saidDuration(rounds * variants.reduce((sum, { subject }) => sum + turn(subject.eventsPerSecond), 0))}`,
  ]);

  for (let round = 1; round <= rounds; round++) {
    for (const { name, subject, commitIntervalMs } of variants) await recording.turn(round, name, async () => {
      const session = await openLoadSession(subject, {
        subject: subject.name, seed: round, participants: settings.participants, partitions: settings.partitions, transactions: 1,
        commitIntervalMs, warm: Math.min(settings.warm, subject.eventsPerSecond * 10), workers: settings.workers,
      });
      const measured: RateFigures[] = [];
      const onProgress = (text: string): void => progress.show(`round ${round}/${rounds} ${name}: ${text}`);
      try {
        await session.warmUp(settings['warm-load-seconds'], onProgress);
        for (const rate of rates.toSorted((a, b) => a - b)) {
          const figures = await session.load({
            rate, seconds, warmSeconds, bounds: { ...boundsDefault, lateMsMax: settings['late-ms'] },
            onProgress,
          });
          progress.clear();
          measured.push(figures);
          console.log(`round ${round}  ${name.padEnd(14)} ${saidRate(figures)}`);
          if (figures.verdict.kind === 'notSustained') break;
          // What a late generator has piled up is no part of the next rate.
          if (figures.unanswered > 0 && !(await session.settled(60_000))) break;
        }
        const isSettled = await session.settled(60_000);
        const faults = isSettled ? await session.faults() : ['its backlog was not worked off within a minute, so its answers were not looked at'];
        if (faults.length > 0) console.log(`          ${isSettled ? 'DISCARDED' : 'not verified'}: ${faults.slice(0, 3).join('; ')}`);
        for (const figures of measured) recording.add(latencyRound(round, name, figures, { commitIntervalMs }, isSettled ? faults : []));
      } finally {
        await session.close();
      }
    });
  }
  recording.finish(latencySummary(recording.counted));
}

export function latencyRound(round: number, subject: string, figures: RateFigures, parameters: BenchRound['parameters'], faults: readonly string[]): BenchRound {
  const { verdict, cpu } = figures;
  const whole = verdict.kind === 'sustained';
  // Where not all was answered, the quantiles are those of the quick ones, and say nothing.
  const quantile = (value: number): number | null => (whole || verdict.kind === 'void' ? value : null);
  return {
    round, subject,
    parameters: { ...parameters, rate: figures.rate, sustained: whole, why: verdict.kind === 'sustained' ? '' : verdict.why },
    figures: {
      rate: figures.rate, p50Ms: quantile(figures.p50Ms), p90Ms: quantile(figures.p90Ms), p99Ms: quantile(figures.p99Ms), p999Ms: quantile(figures.p999Ms), mostMs: quantile(figures.mostMs),
      generatorLateP99Ms: figures.generatorLateP99Ms, sent: figures.sent, unanswered: figures.unanswered, lagAtEnd: figures.lagAtEnd,
      subjectCpuMicrosecondsAnEvent: cpu.subject, kafkaCpuMicrosecondsAnEvent: cpu.kafka, redisCpuMicrosecondsAnEvent: cpu.redis,
      generatorCpuMicrosecondsAnEvent: cpu.generator, readerCpuMicrosecondsAnEvent: cpu.reader, memoryMegabytes: figures.memoryMegabytes,
    },
    histograms: whole ? { latency: figures.latencies } : {},
    series: { lag: figures.lag },
    discarded: verdict.kind === 'void' ? [verdict.why, ...faults] : faults,
  };
}

export function saidRate(figures: RateFigures): string {
  const { verdict, cpu } = figures;
  const head = `${grouped(figures.rate).padStart(7)}/s `;
  const load = `generator ${cpu.generator.toFixed(1)} µs an event, late by ${figures.generatorLateP99Ms.toFixed(1)} ms (p99); reader ${cpu.reader.toFixed(1)} µs`;
  if (verdict.kind === 'notSustained') return `${head}falls behind: ${verdict.why}; ${load}`;
  const text = `p50 ${ms(figures.p50Ms)}  p90 ${ms(figures.p90Ms)}  p99 ${ms(figures.p99Ms)}  p99.9 ${ms(figures.p999Ms)}  max ${ms(figures.mostMs)} ms; CPU ${cpu.subject.toFixed(1)} µs an event; ${load}`;
  return verdict.kind === 'void' ? `${head}DISCARDED, ${verdict.why}; ${text}` : head + text;
}

function ms(value: number): string {
  return value.toFixed(value < 10 ? 1 : 0);
}

/** Quantiles of all rounds' latencies together, and the range of the rounds' p99. */
export function latencySummary(rounds: readonly BenchRound[]): string[] {
  const names = [...new Set(rounds.map(({ subject }) => subject))];
  const rows = names.flatMap((name) => {
    const own = rounds.filter(({ subject }) => subject === name);
    const rates = [...new Set(own.map(({ figures }) => figures['rate']!))].sort((a, b) => a - b);
    return rates.map((rate) => {
      const here = own.filter(({ figures }) => figures['rate'] === rate);
      const sustained = here.filter(({ parameters }) => parameters['sustained'] === true);
      const cpu = median(here.map(({ figures }) => figures['subjectCpuMicrosecondsAnEvent']!)).toFixed(1);
      if (sustained.length < here.length) return [name, grouped(rate), `falls behind in ${here.length - sustained.length} of ${here.length}`, '', '', '', '', cpu];
      const all = Latencies.merge(sustained.map(({ histograms }) => histograms['latency']!));
      const p99 = spread(sustained.map(({ figures }) => figures['p99Ms']!));
      return [
        name, grouped(rate), ms(all.quantile(0.5)), ms(all.quantile(0.9)), here.length > 1 ? `${ms(all.quantile(0.99))} (${ms(p99.least)}-${ms(p99.most)})` : ms(p99.median),
        ms(all.quantile(0.999)), ms(all.mostMilliseconds), cpu,
      ];
    });
  });
  if (rows.length === 0) return ['No round counts.'];
  return table(['subject', 'events/s', 'p50 ms', 'p90', 'p99 (rounds)', 'p99.9', 'max', 'CPU µs an event'], rows);
}
