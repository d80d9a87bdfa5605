/**
 * The highest rate that a subject sustains: with a bounded number of events on their way and a bounded p99 under an open
 * load (see latency.ts), found by steps upwards and then by halves.
 *
 * `./dev bench sustained --help` lists the options; bench/README.md says how to read it.
 */
import { table } from '../src/cli/console.ts';
import { latencyRound, saidRate } from './latency.ts';
import { boundsDefault } from './load/judge.ts';
import { searchRate } from './load/rate-search.ts';
import { openLoadSession } from './load/session.ts';
import { subjectNames, subjectsOf } from './peers/subjects.ts';
import { progress, Recording, saidDuration, sayHead } from './record.ts';
import type { BenchRound } from './record.ts';
import { readSettings } from './settings.ts';
import { grouped, saidSpread, spread } from './statistics.ts';

const forms = {
  seconds: { default: 15, what: 'measured at each rate that is tried' },
  'warm-seconds': { default: 3, least: 0, what: 'at each rate before that, not measured' },
  warm: { default: 40_000, least: 0, what: 'events drained at the start of a subject\'s turn, to warm up' },
  'warm-load-seconds': { default: 30, least: 0, what: 'of open load behind that, which is not measured either' },
  rounds: { default: 3, what: 'rounds; in each all subjects take their turn' },
  from: { default: 0, least: 0, what: 'the first rate; 0: a third of what the subject is thought to drain' },
  factor: { default: 1.5, least: 1.05, what: 'each step upwards is so many times the last' },
  resolution: { default: 0.1, least: 0.01, what: 'ends when a rate that failed is at most so much above one that held' },
  tries: { default: 9, what: 'rates tried at most, for each subject in each round' },
  'p99-ms': { default: boundsDefault.p99MsMax, what: 'sustained means a p99 of at most this' },
  'lag-seconds': { default: boundsDefault.lagSecondsMax, least: 0.05, what: 'and at most so many seconds of events on their way at the end' },
  'late-ms': { default: boundsDefault.lateMsMax, what: 'a rate at which the generator was later than this (p99) does not count as sustained' },
  workers: { default: 1, what: 'processes of the subject' },
  participants: { default: 64, least: 2, what: 'participants' },
  partitions: { default: 8, what: 'partitions' },
  'commit-interval-ms': { default: 100, what: 'how often subjects commit' },
  subjects: { default: ['fleet', 'streams', 'plain'], oneOf: subjectNames, what: `of ${subjectNames.join(', ')}` },
} as const;

export async function run(args: readonly string[]): Promise<void> {
  const settings = readSettings('sustained', forms, args);
  if (settings === null) return;
  const { seconds, rounds } = settings;
  const recording = new Recording('sustained', args, settings);
  const subjects = subjectsOf(settings.subjects).filter((subject) => {
    const reason = subject.lacking();
    if (reason === null) recording.subject(subject.name, subject.what);
    else {
      recording.skip(subject.name, reason);
      console.log(`${subject.name} is skipped: ${reason}`);
    }
    return reason === null;
  });
  const bounds = { ...boundsDefault, p99MsMax: settings['p99-ms'], lagSecondsMax: settings['lag-seconds'], lateMsMax: settings['late-ms'] };
  sayHead('sustained', [
    `sustained: p99 of at most ${bounds.p99MsMax} ms and at most ${bounds.lagSecondsMax} s of events on their way at the end, over ${seconds} s`,
    `takes at most ${saidDuration(rounds * subjects.length * (35 + settings['warm-load-seconds'] + settings.tries * (seconds + settings['warm-seconds'] + 6)))}`,
  ]);

  for (let round = 1; round <= rounds; round++) {
    for (const subject of subjects) await recording.turn(round, subject.name, async () => {
      const session = await openLoadSession(subject, {
        subject: subject.name, seed: round, participants: settings.participants, partitions: settings.partitions, transactions: 1,
        commitIntervalMs: settings['commit-interval-ms'], warm: Math.min(settings.warm, subject.eventsPerSecond * 10), workers: settings.workers,
      });
      const tried: BenchRound[] = [];
      const onProgress = (text: string): void => progress.show(`round ${round}/${rounds} ${subject.name}: ${text}`);
      try {
        await session.warmUp(settings['warm-load-seconds'], onProgress);
        const searched = await searchRate({
          from: settings.from || Math.round(subject.eventsPerSecond / 3), factor: settings.factor, resolution: settings.resolution, triesMax: settings.tries,
          async tryRate(rate) {
            const figures = await session.load({
              rate, seconds, warmSeconds: settings['warm-seconds'], bounds, onProgress,
            });
            progress.clear();
            console.log(`round ${round}  ${subject.name.padEnd(8)} ${saidRate(figures)}`);
            const own = latencyRound(round, subject.name, figures, { step: 'try' }, []);
            // Also a rate that the generator could not make is one that was not sustained: nothing of it is thrown away.
            tried.push({ ...own, discarded: [] });
            if (figures.verdict.kind !== 'sustained' && !(await session.settled(60_000))) throw new Error(`${subject.name} did not work off what was on its way within a minute`);
            return figures.verdict.kind === 'sustained';
          },
        });
        const faults = await session.faults();
        if (faults.length > 0) console.log(`          DISCARDED: ${faults.slice(0, 3).join('; ')}`);
        for (const one of tried) recording.add({ ...one, discarded: faults });
        recording.add({ round, subject: subject.name, parameters: { step: 'highest' }, figures: { highestRate: searched.highest, failedRate: searched.failed }, discarded: faults });
        console.log(`round ${round}  ${subject.name.padEnd(8)} sustains ${searched.highest === null ? 'no rate that was tried' : `${grouped(searched.highest)}/s`}${searched.failed === null ? '; none failed' : `, not ${grouped(searched.failed)}/s`}`);
      } finally {
        await session.close();
      }
    });
  }
  recording.finish(sustainedSummary(recording.counted));
}

export function sustainedSummary(rounds: readonly BenchRound[]): string[] {
  const found = rounds.filter(({ parameters }) => parameters['step'] === 'highest');
  const rows = [...new Set(found.map(({ subject }) => subject))].map((name) => ({
    name, highest: spread(found.filter(({ subject }) => subject === name).map(({ figures }) => figures['highestRate'] ?? 0)),
  }));
  const first = rows.find(({ name }) => name === 'fleet') ?? rows[0];
  if (first === undefined) return ['No round counts.'];
  return table(
    ['subject', 'highest sustained events/s', `${first.name} sustains so many times as much`],
    rows.map(({ name, highest }) => [name, saidSpread(highest), (first.highest.median / highest.median).toFixed(2)]),
  );
}
