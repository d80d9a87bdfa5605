/** Times as options take them. */
import { InvalidArgumentError } from 'commander';
import { dayMs } from '../domain/day.ts';

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: dayMs };

/** Milliseconds since the epoch of a time (ISO 8601), or of so long ago: `15m`, `6h`, `2d`. */
export function since(text: string): number {
  const ago = /^(\d{1,9})([smhd])$/.exec(text);
  if (ago !== null) return Date.now() - Number(ago[1]) * unitMs[ago[2]!]!;
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(time)) throw new InvalidArgumentError('It must be a time such as 2026-11-23T06:00:00Z, or 15m, 6h, 2d.');
  return time;
}
