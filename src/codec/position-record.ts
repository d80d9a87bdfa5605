/**
 * A position in the changelog: key `<participant>|<currency>`, value JSON with the position as a decimal string.
 *
 * Source: contract section 1.
 */
import { formatAmount, parseAmount } from '../domain/amount.ts';
import type { Position } from '../domain/ledger.ts';

export function positionKey(position: Pick<Position, 'participant' | 'currency'>): string {
  return `${position.participant}|${position.currency}`;
}

export function encodePosition(position: Position): string {
  return `{"position":"${formatAmount(position.units)}"}`;
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
