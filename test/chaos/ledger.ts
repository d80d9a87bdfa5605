/** What was done to the fleet, when, and how it is known that it really happened. */

export interface Injection {
  readonly kind: string;
  /** Of the monotonic clock. */
  readonly at: number;
  until: number;
  /** Null: it was tried, and did not really happen. */
  proof: string | null;
}

export interface Recovery {
  readonly partition: number;
  readonly at: number;
  readonly milliseconds: number;
  readonly cause: Injection;
}

/** A fault beside a kill disturbs its recovery until so long after it. */
const aftermathMs = 3_000;

export class Ledger {
  readonly injections: Injection[] = [];
  readonly recoveries: Recovery[] = [];
  readonly #say: (line: string) => void;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  begin(kind: string): Injection {
    const injection: Injection = { kind, at: performance.now(), until: Infinity, proof: null };
    this.injections.push(injection);
    return injection;
  }

  end(injection: Injection, proof: string | null): void {
    injection.until = performance.now();
    injection.proof = proof;
    this.#say(proof === null ? `not really: ${injection.kind}` : `${injection.kind} (${proof})`);
  }

  /** How often each kind really happened. */
  counts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { kind, proof } of this.injections) if (proof !== null) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    return counts;
  }

  count(kind: string): number {
    return this.counts().get(kind) ?? 0;
  }

  /** Whether something of these kinds was under way then, or shortly before. */
  wasUnderWay(kinds: RegExp, from: number, to: number): boolean {
    return this.injections.some((one) => kinds.test(one.kind) && one.at < to && one.until + aftermathMs > from);
  }

  /** Recoveries with no other fault from the kill to the first commit. */
  undisturbed(): Recovery[] {
    return this.recoveries.filter(({ at, milliseconds, cause }) =>
      !this.injections.some((one) => one !== cause && one.at < at + milliseconds && one.until + aftermathMs > at));
  }
}
