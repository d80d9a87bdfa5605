/** What a chaos run comes to, for a machine and for a person. */

export interface Check {
  readonly what: string;
  readonly problems: readonly string[];
}

/** Milliseconds. */
export interface Quantiles {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface ChaosReport {
  readonly seed: number;
  readonly minutes: number;
  readonly seconds: number;
  readonly events: number;
  readonly results: number;
  readonly settled: number;
  readonly deadLetters: number;
  readonly commits: number;
  /** How often each fault really happened. */
  readonly injected: Readonly<Record<string, number>>;
  readonly notReally: number;
  /** From the kill of a worker to the first commit of each of its partitions by another, with nothing else going on. */
  readonly recoveryAlone: Quantiles;
  readonly recoveryAll: Quantiles;
  readonly endedByThemselves: Readonly<Record<string, number>>;
  /** What could not be done on this machine. */
  readonly cannot: readonly string[];
  readonly checks: readonly Check[];
  /** The folder with logs and topics, on failure. */
  readonly history: string | null;
}

export function quantiles(values: readonly number[]): Quantiles {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0);
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

export function passed(report: ChaosReport): boolean {
  return report.checks.every(({ problems }) => problems.length === 0);
}

/** Markdown. */
export function reportText(report: ChaosReport): string {
  const time = ({ count, p50, p99, max }: Quantiles): string => (count === 0 ? 'none' : `p50 ${secondsOf(p50)}, p99 ${secondsOf(p99)}, max ${secondsOf(max)} (${count} partitions)`);
  const lines = [
    `# Chaos run, seed ${report.seed}, ${report.minutes} minutes of faults: ${passed(report) ? 'every promise held' : 'FAILED'}`,
    '',
    `${report.events} events in ${report.seconds} s; ${report.results} results (${report.settled} settled), ${report.deadLetters} dead letters, ${report.commits} commits of partitions seen.`,
    '',
    '| injected | times |',
    '| --- | --- |',
    ...Object.entries(report.injected).map(([kind, count]) => `| ${kind} | ${count} |`),
    '',
    `Tried and not really happened: ${report.notReally} times (not counted above).`,
    ...report.cannot.map((what) => `Not possible on this machine: ${what}.`),
    ...Object.entries(report.endedByThemselves).map(([said, count]) => `Ended by itself after it was woken, ${count} times: ${said}`),
    '',
    `Recovery, nothing else struck meanwhile: ${time(report.recoveryAlone)}.`,
    `Recovery, all kills: ${time(report.recoveryAll)}.`,
    '',
    ...report.checks.flatMap(({ what, problems }) => [`${problems.length === 0 ? 'ok   ' : 'WRONG'} ${what}`, ...problems.slice(0, 20).map((problem) => `      ${problem}`)]),
  ];
  if (report.history !== null) lines.push('', `The history is in ${report.history}.`);
  return lines.join('\n');
}

function secondsOf(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
