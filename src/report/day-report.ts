/** `settlefleet report day`: looks at Kafka and ClickHouse until the day is whole there, within a bound, and makes the report. */
import { dayMs } from '../domain/day.ts';
import type { Timing } from '../ports.ts';
import { judge, Marks, overcounted } from './completeness.ts';
import type { PartitionStanding } from './completeness.ts';
import type { DayReport } from './render.ts';
import { readDay, readEntries, statementsThatDiffer } from './statements.ts';
import type { AskClickhouse, StatementFilter } from './statements.ts';

const lookAgainMs = 500;

export interface DayReportOptions {
  /** YYYY-MM-DD. */
  readonly day: string;
  readonly filter: StatementFilter;
  readonly withEntries: boolean;
  /** More entries than this are refused. */
  readonly entriesMax: number;
  readonly ask: AskClickhouse;
  /** How far the settlement partitions are; null: Kafka is left out. */
  readonly standings: ((dayEndMs: number) => Promise<readonly PartitionStanding[]>) | null;
  /** How long ClickHouse, and the fleet, are waited for. */
  readonly waitMs: number;
  readonly timing: Timing;
  /** Told once, when it waits. */
  readonly onWait: (reasons: readonly string[]) => void;
}

/** More entries than a report takes. */
export class TooManyEntriesError extends Error {
  readonly count: number;

  constructor(count: number) {
    super(`${count} entries are more than a report takes.`);
    this.count = count;
  }
}

export function dayEnd(day: string): number {
  return Date.parse(`${day}T00:00:00Z`) + dayMs;
}

export async function makeDayReport(options: DayReportOptions): Promise<DayReport> {
  const { day, filter, ask, timing } = options;
  const end = dayEnd(day);
  const dayIsOver = timing.now() >= end;
  const deadline = timing.monotonic() + options.waitMs;
  const marks = new Marks(dayIsOver);
  for (let attempt = 0; ; attempt++) {
    const standings = options.standings === null ? null : await options.standings(end);
    const sums = await readDay(ask, day, filter);
    const verdict = standings === null ? { state: 'unchecked' as const, reasons: [] } : judge(sums, marks.note(standings), dayIsOver);
    if (verdict.state === 'incomplete' && timing.monotonic() < deadline) {
      if (attempt === 0) options.onWait(verdict.reasons);
      await timing.sleep(lookAgainMs);
      continue;
    }
    const reasons = [...verdict.reasons];
    // ClickHouse may be ahead of the look at Kafka before it, never of a later one.
    if (standings !== null && overcounted(sums, standings).length > 0) reasons.push(...overcounted(sums, await options.standings!(end)));
    let entries = null;
    if (options.withEntries) {
      const count = sums.statements.reduce((total, { debitCount, creditCount }) => total + debitCount + creditCount, 0);
      if (count > options.entriesMax) throw new TooManyEntriesError(count);
      entries = await readEntries(ask, day, filter, sums.counted);
      for (const { participant, currency } of statementsThatDiffer(sums.statements, entries)) {
        reasons.push(`the entries of ${participant} in ${currency} are not what its sums say: rows have left by their retention, or are not of these topics`);
      }
    }
    const state = reasons.length > 0 ? 'incomplete' : verdict.state;
    return { day, state, reasons, createdAt: new Date(timing.now()).toISOString(), statements: sums.statements, entries };
  }
}
