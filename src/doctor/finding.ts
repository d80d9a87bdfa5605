/** What the doctor found out about one thing: how it stands, in words, and what to do about it. */
export type Area = 'machine' | 'settings' | 'kafka' | 'group' | 'registry' | 'redis' | 'clickhouse' | 'clock';

/** `unknown`: it could not be checked. */
export type Verdict = 'ok' | 'warn' | 'wrong' | 'unknown';

export interface Finding {
  readonly area: Area;
  readonly verdict: Verdict;
  readonly says: string;
  /** What to do; null where there is nothing to do. */
  readonly fix: string | null;
}

/** Findings of one area, in the order in which they are made. */
export class Findings {
  readonly all: Finding[] = [];
  readonly #area: Area;

  constructor(area: Area) {
    this.#area = area;
  }

  ok(says: string): void {
    this.#add('ok', says, null);
  }

  warn(says: string, fix: string): void {
    this.#add('warn', says, fix);
  }

  wrong(says: string, fix: string): void {
    this.#add('wrong', says, fix);
  }

  unknown(says: string, fix: string | null = null): void {
    this.#add('unknown', says, fix);
  }

  #add(verdict: Verdict, says: string, fix: string | null): void {
    this.all.push({ area: this.#area, verdict, says, fix });
  }
}

export function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s*\n\s*/g, ' ').replace(/\.$/, '');
}
