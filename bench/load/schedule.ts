/**
 * When each event of an open load is to be sent: event n at start + n / rate, whatever became of those before it. Latency
 * counts from there. A generator that waited for the system, or took the moment when it came to send, would hide exactly
 * the times in which the system stood still (coordinated omission).
 *
 * Times are microseconds of CLOCK_MONOTONIC, which all processes of a machine share (`process.hrtime`).
 */
export class Schedule {
  readonly startMicroseconds: number;
  readonly rate: number;
  readonly count: number;

  /** `rate`: events a second; `count`: how many there are. */
  constructor(startMicroseconds: number, rate: number, count: number) {
    this.startMicroseconds = startMicroseconds;
    this.rate = rate;
    this.count = count;
  }

  /** When event n, 0-based, is to be sent. */
  intended(n: number): number {
    return this.startMicroseconds + (n * 1e6) / this.rate;
  }

  /** How many events are to have been sent by then, the one that is due at this very moment among them. */
  due(now: number): number {
    if (now < this.startMicroseconds) return 0;
    return Math.min(this.count, Math.floor(((now - this.startMicroseconds) * this.rate) / 1e6 + 1e-6) + 1);
  }

  get end(): number {
    return this.intended(this.count);
  }
}

export function nowMicroseconds(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
