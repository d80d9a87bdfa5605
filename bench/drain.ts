/**
 * How fast a backlog is worked off: N events become visible at once (one Kafka transaction of upstream's), and the clock
 * runs until the group's committed offsets stand behind the last of them. Every answer is compared with what must become of
 * the event; a run with a wrong one is discarded and said to be so. Subjects take turns in each round.
 *
 * `./dev bench drain --help` lists the options; bench/README.md says how to read it.
 */
import { table } from '../src/cli/console.ts';
import { measureDrain } from './drain-round.ts';
import type { DrainFigures } from './drain-round.ts';
import { subjectsOf, subjectNames } from './peers/subjects.ts';
import { progress, Recording, saidDuration, sayHead } from './record.ts';
import type { BenchRound } from './record.ts';
import { readSettings } from './settings.ts';
import { grouped, saidSpread, spread } from './statistics.ts';

const forms = {
  events: { default: 100_000, what: 'events that are drained while the clock runs' },
  warm: { default: 40_000, least: 0, what: 'events drained before, to warm up' },
  cold: { default: false, what: 'nothing is warmed up: the clock runs from the start of the processes' },
  rounds: { default: 3, what: 'rounds; in each all subjects take their turn' },
  workers: { default: [1], what: 'processes of the subject; several numbers: each in turn' },
  transactions: { default: 1, what: 'transactions in each message' },
  participants: { default: 64, least: 2, what: 'participants' },
  partitions: { default: 8, what: 'partitions' },
  'commit-interval-ms': { default: 100, what: 'how often subjects commit' },
  sink: { default: false, what: 'the fleet runs once more with the sink beside it' },
  subjects: { default: ['fleet', 'streams', 'plain', 'ceiling'], oneOf: subjectNames, what: `of ${subjectNames.join(', ')}` },
} as const;

interface Variant {
  readonly name: string;
  readonly subject: ReturnType<typeof subjectsOf>[number];
  readonly workers: number;
  readonly sink: boolean;
}

export async function run(args: readonly string[]): Promise<void> {
  const settings = readSettings('drain', forms, args);
  if (settings === null) return;
  const { rounds, transactions } = settings;
  const warm = settings.cold ? 0 : settings.warm;
  const recording = new Recording('drain', args, settings);
  const variants: Variant[] = [];
  for (const subject of subjectsOf(settings.subjects)) {
    const reason = subject.lacking() ?? (transactions > 1 && !subject.takesBulk ? 'it takes messages with one transaction only' : null);
    if (reason !== null) {
      recording.skip(subject.name, reason);
      console.log(`${subject.name} is skipped: ${reason}`);
      continue;
    }
    for (const workers of settings.workers) {
      if (workers > 1 && subject.oneProcess) continue;
      const name = settings.workers.length > 1 ? `${subject.name} x ${workers}` : subject.name;
      variants.push({ name, subject, workers, sink: false });
      recording.subject(name, workers === 1 ? subject.what : `${subject.what}; ${workers} processes`);
      if (settings.sink && subject.startSink !== undefined) {
        variants.push({ name: `${name} + sink`, subject, workers, sink: true });
        recording.subject(`${name} + sink`, `${subject.what}; and the sink beside it`);
      }
    }
  }
  const slow = variants.filter(({ subject }) => eventsFor(subject, settings.events, transactions) < settings.events);
  sayHead('drain', [
    `${grouped(settings.events)} events ${warm === 0 ? 'cold' : `after ${grouped(warm)} to warm up`}, ${transactions} transaction(s) each, ${settings.partitions} partitions, ${grouped(settings.participants)} participants, 1% duplicates, 0.5% wrong`,
    ...slow.map(({ name, subject }) => `${name}: ${grouped(eventsFor(subject, settings.events, transactions))} events, since it is slow`),
    `takes ${saidDuration(rounds * variants.reduce((sum, { subject }) => sum + 18 + (eventsFor(subject, settings.events, transactions) + eventsFor(subject, warm, transactions)) * transactions / subject.eventsPerSecond, 0))}`,
  ]);

  for (let round = 1; round <= rounds; round++) {
    for (const { name, subject, workers, sink } of variants) await recording.turn(round, name, async () => {
      const figures = await measureDrain(subject, {
        seed: round, events: eventsFor(subject, settings.events, transactions), transactions, warm: eventsFor(subject, warm, transactions), workers, sink, participants: settings.participants,
        partitions: settings.partitions, commitIntervalMs: settings['commit-interval-ms'],
        onProgress: (left) => progress.show(`round ${round}/${rounds} ${name}: ${grouped(left)} events left`),
      });
      progress.clear();
      recording.add(drainRound(round, name, figures, { workers, sink }));
      console.log(`round ${round}  ${name.padEnd(16)} ${saidDrain(figures)}`);
      if (figures.faults.length > 0) console.log(`          DISCARDED: ${figures.faults.slice(0, 3).join('; ')}`);
    });
  }
  recording.finish(drainSummary(variants.map(({ name }) => name), recording.counted));
}

/** A subject that is ten times slower need not take ten times as long: its rate shows in so many seconds. */
const slowEventsPerSecond = 5_000;
const slowSeconds = 20;

function eventsFor(subject: Variant['subject'], events: number, transactions: number): number {
  if (subject.eventsPerSecond >= slowEventsPerSecond) return events;
  return Math.min(events, Math.ceil((subject.eventsPerSecond * slowSeconds) / transactions));
}

export function drainRound(round: number, subject: string, figures: DrainFigures, parameters: BenchRound['parameters']): BenchRound {
  const { cpu, seconds, memoryMegabytes, faults } = figures;
  const microseconds = (spent: number): number => (spent / figures.events) * 1e6;
  return {
    round, subject, parameters, histograms: {}, series: {}, discarded: faults,
    figures: {
      events: figures.events, seconds, eventsPerSecond: figures.events / seconds, transactionsPerSecond: (figures.events * figures.transactions) / seconds,
      subjectCpuMicrosecondsAnEvent: microseconds(cpu.subject), kafkaCpuMicrosecondsAnEvent: microseconds(cpu.kafka), redisCpuMicrosecondsAnEvent: microseconds(cpu.redis),
      memoryMegabytes,
    },
  };
}

export function saidDrain({ events, seconds, cpu, memoryMegabytes }: DrainFigures): string {
  const perEvent = (spent: number): string => ((spent / events) * 1e6).toFixed(1);
  return `${grouped(events / seconds).padStart(7)} events/s, CPU an event: ${perEvent(cpu.subject)} µs, broker ${perEvent(cpu.kafka)}, Redis ${perEvent(cpu.redis)}; ${memoryMegabytes} MB at most`;
}

/** Medians and ranges; ratios of medians to the fleet, or to the first subject where it is not there. */
export function drainSummary(names: readonly string[], rounds: readonly BenchRound[]): string[] {
  const rows = names.flatMap((name) => {
    const own = rounds.filter(({ subject }) => subject === name);
    if (own.length === 0) return [];
    const of = (figure: string) => spread(own.map(({ figures }) => figures[figure]!));
    return [{ name, rate: of('eventsPerSecond'), cpu: of('subjectCpuMicrosecondsAnEvent'), kafka: of('kafkaCpuMicrosecondsAnEvent'), redis: of('redisCpuMicrosecondsAnEvent'), memory: of('memoryMegabytes') }];
  });
  const first = rows.find(({ name }) => name === 'fleet') ?? rows[0];
  if (first === undefined) return ['No round counts.'];
  return table(
    ['subject', 'events/s', 'CPU µs an event', 'broker', 'Redis', 'MB', `${first.name} is so many times as fast`, 'and takes this much of its CPU'],
    rows.map(({ name, rate, cpu, kafka, redis, memory }) => [
      name, saidSpread(rate), saidSpread(cpu, (value) => value.toFixed(1)), kafka.median.toFixed(1), redis.median.toFixed(1), memory.most,
      (first.rate.median / rate.median).toFixed(2), (first.cpu.median / cpu.median).toFixed(2),
    ]),
  );
}
