/**
 * Which rows are expired: the same answer as ClickHouse's TTL of `toDateTime(time) + toIntervalDay(days)` gives, which knows
 * whole seconds.
 */
const daySeconds = 86_400;

/** The earliest time, in milliseconds, of a row that is kept at `nowMs`; without an end where `days` is 0. */
export function keptFromMs(days: number, nowMs: number): number {
  if (days === 0) return -Infinity;
  return (Math.floor(nowMs / 1000) - days * daySeconds + 1) * 1000;
}
