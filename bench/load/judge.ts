/** What a rate's figures say: whether it was sustained, and whether they say anything at all. */
export interface RateBounds {
  /** Events on their way when the last was sent: at most what comes in so many seconds. */
  readonly lagSecondsMax: number;
  readonly p99MsMax: number;
  /** The generator must have kept its schedule this closely (p99), or the run says nothing. */
  readonly lateMsMax: number;
  /** With more than this on their way the rate is given up before its time. */
  readonly giveUpLagSeconds: number;
}

export const boundsDefault: RateBounds = { lagSecondsMax: 1, p99MsMax: 1_000, lateMsMax: 20, giveUpLagSeconds: 3 };

export type RateVerdict =
  | { readonly kind: 'sustained' }
  | { readonly kind: 'notSustained'; readonly why: string }
  /** The load was not what it should have been. */
  | { readonly kind: 'void'; readonly why: string };

export interface JudgedRate {
  readonly rate: number;
  readonly asked: number;
  readonly sent: number;
  readonly unanswered: number;
  readonly lagAtEnd: number;
  readonly p99Ms: number;
  readonly generatorLateP99Ms: number;
}

export function judgeRate(figures: JudgedRate, bounds: RateBounds): RateVerdict {
  const { rate, asked, sent, unanswered, lagAtEnd, p99Ms, generatorLateP99Ms } = figures;
  const seconds = (events: number): string => `${(events / rate).toFixed(1)} s`;
  // Said first: it was given up because of the lag, and a late generator only makes the lag smaller.
  if (sent < asked) return { kind: 'notSustained', why: `given up with ${seconds(lagAtEnd)} of events on their way` };
  if (generatorLateP99Ms > bounds.lateMsMax) return { kind: 'void', why: `the load generator was late itself: p99 ${generatorLateP99Ms.toFixed(0)} ms` };
  if (unanswered > 0) return { kind: 'notSustained', why: `${unanswered} events had no answer 10 s after the last was sent` };
  if (lagAtEnd > rate * bounds.lagSecondsMax) return { kind: 'notSustained', why: `${seconds(lagAtEnd)} of events on their way at the end` };
  if (!(p99Ms <= bounds.p99MsMax)) return { kind: 'notSustained', why: `p99 ${p99Ms.toFixed(0)} ms` };
  return { kind: 'sustained' };
}
