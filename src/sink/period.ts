/**
 * Partitions of ClickHouse's own by time. One insert that reached over a border between two of them would be two parts, of
 * which a crash may keep one; so a block holds rows of one period only.
 */
import { dayMs } from '../domain/day.ts';
import type { Period } from './ports.ts';
import { timeMsMax, timeMsMin } from './row-text.ts';

/** Counts the periods of UTC: two times with the same number are in the same partition. Times are held as the table holds them. */
export function periodNumber(period: Period, timeMs: number): number {
  if (period === 'none') return 0;
  const held = Math.min(timeMsMax, Math.max(timeMsMin, timeMs));
  if (period === 'day') return Math.floor(held / dayMs);
  const date = new Date(held);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}
