/**
 * Whether a worker's memory is flat under a steady load: its resident size every second, a line fitted behind the first
 * part, and what the line says for a day.
 *
 * `./dev bench memory --help` lists the options; bench/README.md says how to read it.
 */
import { boundsDefault } from './load/judge.ts';
import { openLoadSession } from './load/session.ts';
import { subjectNames, subjectsOf } from './peers/subjects.ts';
import { progress, Recording, saidDuration, sayHead } from './record.ts';
import { readSettings } from './settings.ts';
import { fitLine, grouped, median } from './statistics.ts';

const forms = {
  minutes: { default: 3, least: 0.2, what: 'how long the load lasts; 30 for a verdict' },
  rate: { default: 2_000, what: 'events a second' },
  warm: { default: 40_000, least: 0, what: 'events drained before' },
  participants: { default: 64, least: 2, what: 'participants' },
  partitions: { default: 8, what: 'partitions' },
  'settle-share': { default: 0.3, least: 0, what: 'this share of the time at the beginning is not fitted: heaps find their size then' },
  subjects: { default: ['fleet'], oneOf: subjectNames, what: `of ${subjectNames.join(', ')}` },
} as const;

export async function run(args: readonly string[]): Promise<void> {
  const settings = readSettings('memory', forms, args);
  if (settings === null) return;
  const recording = new Recording('memory', args, settings);
  const subjects = subjectsOf(settings.subjects).filter((subject) => {
    const reason = subject.lacking();
    if (reason === null) recording.subject(subject.name, subject.what);
    else recording.skip(subject.name, reason);
    return reason === null;
  });
  sayHead('memory', [`${grouped(settings.rate)} events/s for ${settings.minutes} minutes`, `takes ${saidDuration(subjects.length * (30 + settings.warm / 10_000 + settings.minutes * 60))}`]);
  const summary: string[] = [];
  for (const subject of subjects) await recording.turn(1, subject.name, async () => {
    const session = await openLoadSession(subject, {
      subject: subject.name, seed: 1, participants: settings.participants, partitions: settings.partitions, transactions: 1, commitIntervalMs: 100, warm: settings.warm, workers: 1,
    });
    try {
      const seconds = settings.minutes * 60;
      const figures = await session.load({
        rate: settings.rate, seconds, warmSeconds: 0, // How quick it is says nothing here; that it keeps up does.
        bounds: { ...boundsDefault, lateMsMax: Infinity, p99MsMax: Infinity },
        onProgress: (text) => progress.show(`${subject.name}: ${text}`),
      });
      progress.clear();
      const isSettled = await session.settled(60_000);
      const faults = [
        ...(figures.verdict.kind === 'sustained' ? [] : [`the load was not sustained: ${figures.verdict.why}`]),
        ...(isSettled ? await session.faults() : ['its backlog was not worked off within a minute']),
      ];
      const judged = judgeMemory(figures.memory, seconds * settings['settle-share']);
      recording.add({
        round: 1, subject: subject.name, parameters: { rate: settings.rate, verdict: judged.verdict },
        figures: {
          medianMegabytes: judged.medianMegabytes, mostMegabytes: judged.mostMegabytes, peakMegabytes: figures.memoryMegabytes,
          megabytesAnHour: judged.megabytesAnHour, megabytesAnHourError: judged.megabytesAnHourError,
        },
        series: { memory: figures.memory }, discarded: faults,
      });
      summary.push(`${subject.name}: ${judged.medianMegabytes.toFixed(0)} MB (median), ${judged.mostMegabytes.toFixed(0)} MB at most, ${Number.isFinite(judged.megabytesAnHourError) ? `${signed(judged.megabytesAnHour)} ± ${judged.megabytesAnHourError.toFixed(1)} MB an hour: ` : ''}${said(judged.verdict)}`);
      if (faults.length > 0) summary.push(`  DISCARDED: ${faults.slice(0, 3).join('; ')}`);
    } finally {
      await session.close();
    }
  });
  recording.finish(summary);
}

export interface MemoryJudged {
  readonly medianMegabytes: number;
  readonly mostMegabytes: number;
  readonly megabytesAnHour: number;
  /** Twice the slope's standard error. */
  readonly megabytesAnHourError: number;
  readonly verdict: 'flat' | 'grows' | 'unclear';
}

/** Flat: over the time that was fitted it grew by at most this share, even at the upper end of what the slope may be. */
const flatShareMax = 0.05;
/** Grows: by more than this share, even at the lower end. */
const growthShareMin = 0.01;
/** Looks of half a minute count as one, their median: a heap breathes in and out meanwhile. */
const bucketSeconds = 30;
const bucketsMin = 8;

/** `looks`: second and megabytes. What is before `from` seconds is not fitted. */
export function judgeMemory(looks: readonly (readonly [number, number])[], from: number): MemoryJudged {
  const fitted = looks.filter(([second]) => second >= from);
  const megabytes = fitted.map(([, value]) => value);
  const buckets = new Map<number, number[]>();
  for (const [second, value] of fitted) {
    const bucket = Math.floor(second / bucketSeconds);
    buckets.set(bucket, [...(buckets.get(bucket) ?? []), value]);
  }
  const points = Array.from(buckets, ([bucket, values]) => ({ x: ((bucket + 0.5) * bucketSeconds) / 3_600, y: median(values) }));
  const base = { medianMegabytes: median(megabytes), mostMegabytes: Math.max(...megabytes) };
  if (points.length < 3) return { ...base, megabytesAnHour: 0, megabytesAnHourError: Infinity, verdict: 'unclear' };
  const { slope, slopeError } = fitLine(points);
  const error = 2 * slopeError;
  const hours = points.at(-1)!.x - points[0]!.x;
  const grew = (perHour: number): number => (perHour * hours) / base.medianMegabytes;
  const verdict = points.length < bucketsMin ? 'unclear' : grew(slope - error) > growthShareMin ? 'grows' : grew(slope + error) <= flatShareMax ? 'flat' : 'unclear';
  return { ...base, megabytesAnHour: slope, megabytesAnHourError: error, verdict };
}

function said(verdict: MemoryJudged['verdict']): string {
  return { flat: 'flat', grows: 'it grows', unclear: 'too short or too restless to say' }[verdict];
}

function signed(value: number): string {
  return `${value >= 0 ? '+' : ''}${value.toFixed(1)}`;
}
