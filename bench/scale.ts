/**
 * Whether doubling the work doubles the time, no more: drains of more and more events, participants and partitions, one
 * dimension at a time. The slope says it: 1.0 means that ten times the events take ten times as long.
 *
 * `./dev bench scale --help` lists the options; bench/README.md says how to read it.
 */
import { table } from '../src/cli/console.ts';
import { drainRound, saidDrain } from './drain.ts';
import { measureDrain } from './drain-round.ts';
import { subjectNames, subjectsOf } from './peers/subjects.ts';
import { progress, Recording, saidDuration, sayHead } from './record.ts';
import type { BenchRound } from './record.ts';
import { readSettings } from './settings.ts';
import { fitLine, grouped, saidSpread, spread } from './statistics.ts';

const forms = {
  events: { default: [50_000, 100_000, 200_000], least: 0, what: 'events of a drain; 0: this dimension is left out' },
  participants: { default: [1_000, 10_000, 100_000], least: 0, what: 'participants; 0: left out' },
  partitions: { default: [1, 8, 64], least: 0, what: 'partitions; 0: left out' },
  base: { default: 50_000, what: 'events where participants or partitions vary' },
  warm: { default: 20_000, least: 0, what: 'events drained before, to warm up' },
  rounds: { default: 3, what: 'rounds; in each every size takes its turn' },
  subjects: { default: ['fleet'], oneOf: subjectNames, what: `of ${subjectNames.join(', ')}` },
} as const;

type Dimension = 'events' | 'participants' | 'partitions';
const usual = { participants: 64, partitions: 8 };

export async function run(args: readonly string[]): Promise<void> {
  const settings = readSettings('scale', forms, args);
  if (settings === null) return;
  const recording = new Recording('scale', args, settings);
  const subjects = subjectsOf(settings.subjects).filter((subject) => {
    const reason = subject.lacking();
    if (reason === null) recording.subject(subject.name, subject.what);
    else recording.skip(subject.name, reason);
    return reason === null;
  });
  const sizes = (['events', 'participants', 'partitions'] as const).flatMap((dimension) =>
    settings[dimension].filter((size) => size > 0).map((size) => ({ dimension, size, ...usual, events: settings.base, [dimension]: size })));
  const seconds = settings.rounds * subjects.reduce((sum, { eventsPerSecond }) => sum + sizes.reduce((all, { events, participants }) => all + 18 + participants / 5_000 + 2 * (events + settings.warm) / eventsPerSecond, 0), 0);
  sayHead('scale', [`${sizes.length} sizes of ${subjects.map(({ name }) => name).join(', ')}, ${settings.rounds} rounds`, `takes ${saidDuration(seconds)}`]);

  for (let round = 1; round <= settings.rounds; round++) {
    for (const { dimension, size, events, participants, partitions } of sizes) {
      for (const subject of subjects) await recording.turn(round, subject.name, async () => {
        const figures = await measureDrain(subject, {
          seed: round, events, transactions: 1, warm: settings.warm, workers: 1, participants, partitions, commitIntervalMs: 100, sink: false,
          onProgress: (left) => progress.show(`round ${round}/${settings.rounds} ${subject.name}, ${grouped(size)} ${dimension}: ${grouped(left)} events left`),
        });
        progress.clear();
        recording.add(drainRound(round, subject.name, figures, { dimension, size }));
        console.log(`round ${round}  ${subject.name.padEnd(8)} ${grouped(size).padStart(9)} ${dimension.padEnd(12)} ${saidDrain(figures)}`);
        if (figures.faults.length > 0) console.log(`          DISCARDED: ${figures.faults.slice(0, 3).join('; ')}`);
      });
    }
  }
  recording.finish(scaleSummary(recording.counted));
}

/** For each dimension the sizes, and how the time grows: the slope of log(seconds) over log(size). */
export function scaleSummary(rounds: readonly BenchRound[]): string[] {
  const lines: string[] = [];
  for (const name of new Set(rounds.map(({ subject }) => subject))) {
    for (const dimension of ['events', 'participants', 'partitions'] satisfies Dimension[]) {
      const own = rounds.filter(({ subject, parameters }) => subject === name && parameters['dimension'] === dimension);
      if (own.length === 0) continue;
      const sizes = [...new Set(own.map(({ parameters }) => parameters['size'] as number))].sort((a, b) => a - b);
      const rows = sizes.map((size) => {
        const here = own.filter(({ parameters }) => parameters['size'] === size);
        const of = (figure: string) => spread(here.map(({ figures }) => figures[figure]!));
        return { size, seconds: of('seconds'), rate: of('eventsPerSecond'), cpu: of('subjectCpuMicrosecondsAnEvent'), memory: of('memoryMegabytes') };
      });
      if (lines.length > 0) lines.push('');
      lines.push(...table([`${name}: ${dimension}`, 'seconds', 'events/s', 'CPU µs an event', 'MB'], rows.map(({ size, seconds, rate, cpu, memory }) => [
        grouped(size), saidSpread(seconds, (value) => value.toFixed(1)), saidSpread(rate), saidSpread(cpu, (value) => value.toFixed(1)), memory.most,
      ])));
      if (dimension === 'events' && rows.length > 1) {
        const { slope } = fitLine(rows.map(({ size, seconds }) => ({ x: Math.log(size), y: Math.log(seconds.median) })));
        lines.push(`twice the events take ${(2 ** slope).toFixed(2)} times as long`);
      }
    }
  }
  return lines.length === 0 ? ['No round counts.'] : lines;
}
