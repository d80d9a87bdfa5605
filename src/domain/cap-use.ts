/** Who is near the debit cap. */
import type { Position } from './ledger.ts';
import type { Directory } from './participant.ts';

export interface CapUse extends Position {
  /** Position below 0 as a share of the cap: 1 is all of it, more where the cap was lowered since. For a chart. */
  readonly used: number;
}

/** The positions that have used most of their caps, those first; of positions below 0 only. */
export function mostUsedCaps(positions: Iterable<Position>, directory: Directory, countMax: number): readonly CapUse[] {
  const most: CapUse[] = [];
  for (const { participant, currency, units } of positions) {
    if (units >= 0n) continue;
    const cap = directory.find(participant)?.debitCaps.get(currency) ?? 0n;
    const used = cap > 0n ? Number(-units) / Number(cap) : 1;
    if (most.length === countMax && used <= most[countMax - 1]!.used) continue;
    const at = most.findIndex((other) => other.used < used);
    most.splice(at < 0 ? most.length : at, 0, { participant, currency, units, used });
    most.length = Math.min(most.length, countMax);
  }
  return most;
}
