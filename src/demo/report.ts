/**
 * The reckoning: what went in must have come out once, as expected, and everything that counts it must agree.
 */
import { table } from '../cli/console.ts';
import { formatAmount } from '../domain/amount.ts';
import { outcomesGiven } from './submission.ts';
import type { Submission } from './submission.ts';
import { quantile } from './tally.ts';
import type { Tally } from './tally.ts';

const faultsShown = 5;

export interface Fact {
  readonly claim: string;
  readonly holds: boolean;
  /** What contradicts it. */
  readonly faults: readonly string[];
}

export interface Report {
  readonly facts: readonly Fact[];
  readonly lines: readonly string[];
}

export interface Reckoning {
  readonly submission: Submission;
  readonly tally: Tally;
  /** Outcome to rows in ClickHouse. */
  readonly rows: ReadonlyMap<string, number>;
  readonly ends: readonly { readonly name: string; readonly code: number | null }[];
  /** When the worker was killed, milliseconds since the epoch. */
  readonly killedAt: number;
}

export function reckon(reckoning: Reckoning): Report {
  const { submission, tally } = reckoning;
  return {
    lines: [...outcomeLines(reckoning), '', ...positionLines(tally), '', ...latencyLines(tally, reckoning.killedAt)],
    facts: [
      fact(`each of the ${submission.events.size} events has its answer, and has it once`, onceFaults(submission, tally)),
      fact(expectationClaim(submission), expectationFaults(submission, tally)),
      fact('the debits of each partition are numbered 1, 2, 3 without a gap', tally.faults.filter((text) => text.startsWith('debit'))),
      fact('the positions of each currency add up to 0', sumFaults(tally)),
      fact('the positions are what the results say', positionFaults(tally)),
      fact('the rows in ClickHouse are the records of the topics', rowFaults(reckoning)),
      fact('the workers and the sink drained and ended with exit code 0', endFaults(reckoning)),
    ],
  };
}

export function showReport(report: Report, say: (line: string) => void): void {
  say('');
  for (const line of report.lines) say(line);
  say('');
  for (const { claim, holds, faults } of report.facts) {
    say(`${holds ? 'ok      ' : 'FAILED  '}${claim}`);
    for (const text of faults.slice(0, faultsShown)) say(`          ${text}`);
    if (faults.length > faultsShown) say(`          and ${faults.length - faultsShown} more`);
  }
}

function fact(claim: string, faults: readonly string[]): Fact {
  return { claim, holds: faults.length === 0, faults };
}

function outcomeLines({ submission, tally, rows }: Reckoning): string[] {
  const order = (outcome: string): string => (outcome === 'ACSC' ? '0' : outcome.startsWith('RJCT') ? `1${outcome}` : `2${outcome}`);
  const outcomes = [...tally.outcomes].sort(([one], [other]) => (order(one) < order(other) ? -1 : 1));
  const total = outcomes.reduce((sum, [, count]) => sum + count, 0);
  const several = total - submission.events.size;
  return [
    ...table(
      ['outcome', 'topics', 'ClickHouse'],
      [
        ...outcomes.map(([outcome, count]) => [nameOf(outcome), count, rows.get(outcome) ?? 0] as const),
        ['in all', total, outcomes.reduce((sum, [outcome]) => sum + (rows.get(outcome) ?? 0), 0)],
      ],
    ),
    `${submission.events.size} events in, of which ${several === 0 ? 'none' : 'some'} hold several transactions: ${submission.events.size} + ${several} = ${total} answers`,
  ];
}

function nameOf(outcome: string): string {
  if (outcome === 'ACSC') return 'settled';
  return outcome.startsWith('RJCT ') ? `rejected ${outcome.slice(5)}` : outcome;
}

function positionLines(tally: Tally): string[] {
  const settled = new Map<string, { positions: number; debit: bigint }>();
  for (const [name, units] of tally.positions) {
    const currency = name.slice(name.lastIndexOf('|') + 1);
    const entry = settled.get(currency) ?? { positions: 0, debit: 0n };
    settled.set(currency, { positions: entry.positions + 1, debit: entry.debit + (units < 0n ? -units : 0n) });
  }
  const sums = tally.sums();
  return table(
    ['currency', 'positions', 'owed', 'sum of all'],
    [...settled].sort(([one], [other]) => (one < other ? -1 : 1)).map(([currency, { positions, debit }]) => [
      currency, positions, formatAmount(debit).padStart(16), formatAmount(sums.get(currency) ?? 0n).padStart(10),
    ]),
  );
}

function latencyLines(tally: Tally, killedAt: number): string[] {
  const line = (label: string, wanted: (answeredAt: number) => boolean): readonly (string | number)[] => {
    const sorted = tally.latencies.filter(({ answeredAt }) => wanted(answeredAt)).map(({ ms }) => ms).sort((a, b) => a - b);
    return [label, sorted.length, `${quantile(sorted, 0.5)} ms`, `${quantile(sorted, 0.99)} ms`];
  };
  return table(
    ['created to result record', 'results', 'p50', 'p99'],
    [line('before the kill', (at) => at < killedAt), line('with the kill and what waited for it', () => true)],
  );
}

function onceFaults(submission: Submission, tally: Tally): string[] {
  const faults = tally.faults.filter((text) => !text.startsWith('debit'));
  for (const [place, { what }] of submission.events) {
    const answers = tally.events.get(place);
    if (answers === undefined) {
      faults.push(`${place} (${what}) has no answer`);
      continue;
    }
    const { results, deadLetter } = answers;
    const whole = results.has(-1);
    if (deadLetter !== null && results.size > 0) faults.push(`${place} (${what}) has results and a dead letter`);
    if (whole && results.size > 1) faults.push(`${place} (${what}) is rejected as a whole and in parts`);
    if (!whole && [...results.keys()].some((index) => index < 0 || index >= results.size)) {
      faults.push(`${place} (${what}) lacks the result of a transaction`);
    }
  }
  for (const place of tally.events.keys()) {
    if (!submission.events.has(place)) faults.push(`${place} has an answer and was never submitted`);
  }
  return faults;
}

function expectationClaim(submission: Submission): string {
  const known = [...submission.events.values()].filter(({ expected }) => expected !== null).length;
  return `the ${known} events of which it is known beforehand got the answer that they must get`;
}

function expectationFaults(submission: Submission, tally: Tally): string[] {
  const faults: string[] = [];
  for (const [place, { what, expected }] of submission.events) {
    const answers = tally.events.get(place);
    if (expected === null || answers === undefined) continue;
    const unexpected = outcomesGiven(answers).find((outcome) => !expected.includes(outcome));
    if (unexpected !== undefined) faults.push(`${place} (${what}): ${unexpected} where ${expected.join(' or ')} was expected`);
  }
  return faults;
}

function sumFaults(tally: Tally): string[] {
  if (tally.positions.size === 0) return ['there are no positions'];
  return [...tally.sums()].filter(([, sum]) => sum !== 0n).map(([currency, sum]) => `${currency}: ${formatAmount(sum)}`);
}

function positionFaults(tally: Tally): string[] {
  return tally.differences().map(
    (name) => `${name}: ${formatAmount(tally.positions.get(name) ?? 0n)} in the changelog, ${formatAmount(tally.positionsByResults.get(name) ?? 0n)} by the results`,
  );
}

function rowFaults({ tally, rows }: Reckoning): string[] {
  const wanted = new Map(tally.outcomes);
  for (const [partition, { lastOffset }] of tally.resultRecords) wanted.set(`last offset of results ${partition}`, lastOffset);
  const names = new Set([...wanted.keys(), ...rows.keys()]);
  return [...names]
    .filter((name) => wanted.get(name) !== rows.get(name))
    .map((name) => `${name}: ${rows.get(name) ?? 0} in ClickHouse, ${wanted.get(name) ?? 0} in the topic`);
}

function endFaults({ ends }: Reckoning): string[] {
  return ends.filter(({ code }) => code !== 0).map(({ name, code }) => `${name} ended with ${code === null ? 'SIGKILL, 30 s after SIGTERM' : `exit code ${code}`}`);
}
