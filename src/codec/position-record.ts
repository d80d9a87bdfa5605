/**
 * A position in the changelog: key `<participant>|<currency>`, value JSON with the position as a decimal string, and which
 * commit of the partition wrote it (see `checkpoint.ts`), so that a reader can tell the positions at one commit from later ones.
 *
 * Source: contract section 1.
 */
import { formatAmount, parseAmount } from '../domain/amount.ts';
import type { Position } from '../domain/ledger.ts';

export function positionKey(position: Pick<Position, 'participant' | 'currency'>): string {
  return `${position.participant}|${position.currency}`;
}

export function encodePosition(position: Position, commit: number): string {
  return `{"position":"${formatAmount(position.units)}","commit":${commit}}`;
}

/** Which commit wrote it; null when it does not say. */
export function positionCommit(value: Uint8Array): number | null {
  const { commit } = JSON.parse(Buffer.from(value).toString('utf8')) as { commit?: unknown };
  return Number.isSafeInteger(commit) ? (commit as number) : null;
}

/** Throws when it is not one. */
export function decodePosition(key: Uint8Array, value: Uint8Array): Position {
  const name = Buffer.from(key).toString('utf8');
  const cut = name.lastIndexOf('|');
  const { position } = JSON.parse(Buffer.from(value).toString('utf8')) as { position?: unknown };
  const units = typeof position === 'string' ? parseAmount(position) : null;
  if (cut < 1 || units === null) throw new Error(`The changelog record of ${JSON.stringify(name)} is not a position.`);
  return { participant: name.slice(0, cut), currency: name.slice(cut + 1), units };
}
