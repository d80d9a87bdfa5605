/**
 * A checksum of each row of the table `results`, made on both sides from the same text: here from the result, there by
 * ClickHouse itself. Sums over blocks of offsets are compared first, so that equal tables move only a few numbers.
 */
import { crc32 } from 'node:zlib';
import type { PaymentResult } from '../codec/payment-result.ts';
import { timeMsMax, timeMsMin } from '../sink/row-text.ts';

/** Offsets in a block; the sum of so many 32-bit checksums is exact in a double. */
export const blockOffsets = 1 << 16;

/** Between the columns, and in place of a null: neither can be in a text that begins or ends a column unnoticed. */
const separator = '\u001f';
const absent = '\u0000';

export interface BlockSum {
  rows: number;
  sum: number;
  newestMs: number;
}

export class RowSums {
  readonly blocks = new Map<number, BlockSum>();
  first = -1;
  last = -1;

  add(offset: number, checksum: number, settledAtMs: number): void {
    const number = Math.floor(offset / blockOffsets);
    let block = this.blocks.get(number);
    if (block === undefined) this.blocks.set(number, (block = { rows: 0, sum: 0, newestMs: -Infinity }));
    block.rows++;
    block.sum += checksum;
    block.newestMs = Math.max(block.newestMs, settledAtMs);
    if (this.first < 0) this.first = offset;
    this.last = offset;
  }
}

export function rowChecksum(result: PaymentResult): number {
  return crc32(rowText(result));
}

/** The row as one text, its columns in the order of the table. */
export function rowText(r: PaymentResult): string {
  const report = r.statusReport === null ? absent : Buffer.from(r.statusReport).toString('hex').toUpperCase();
  return (
    `${r.eventId}\u001f${r.messageType}\u001f${r.source}\u001f${r.messageId ?? absent}\u001f${r.transactionIndex}\u001f` +
    `${r.instructionId ?? absent}\u001f${r.endToEndId ?? absent}\u001f${r.transactionId ?? absent}\u001f${r.uetr ?? absent}\u001f` +
    `${r.status}\u001f${r.reasonCode ?? absent}\u001f${r.reason ?? absent}\u001f${r.debitedParticipant ?? absent}\u001f` +
    `${r.creditedParticipant ?? absent}\u001f${r.currency ?? absent}\u001f${decimal(r.amount, amountUnitsMax)}\u001f` +
    `${decimal(r.positionAfter, positionUnitsMax)}\u001f${r.sequence ?? absent}\u001f${time(r.createdAt)}\u001f${time(r.receivedAt)}\u001f` +
    `${time(r.settledAt)}\u001f${r.inboundPartition}\u001f${r.inboundOffset}\u001f${r.originalEventId ?? absent}\u001f` +
    `${r.identity ?? absent}\u001f${report}`
  );
}

const texts = ['event_id', 'message_type', 'source'];
const optionalTexts = (names: readonly string[]): string[] => names.map((name) => `ifNull(toString(${name}), '\\0')`);
const times = ['created_at', 'received_at', 'settled_at'].map((name) => `toString(toUnixTimestamp64Milli(${name}))`);

/** The same text, as ClickHouse makes it. */
const columnTexts: readonly string[] = [
  ...texts.map((name) => `toString(${name})`),
  ...optionalTexts(['message_id']),
  'toString(transaction_index)',
  ...optionalTexts(['instruction_id', 'end_to_end_id', 'transaction_id', 'uetr']),
  'toString(status)',
  ...optionalTexts(['reason_code', 'reason', 'debited_participant', 'credited_participant', 'currency']),
  ...['amount', 'position_after'].map((name) => `ifNull(toDecimalString(${name}, 5), '\\0')`),
  ...optionalTexts(['sequence']),
  ...times,
  'toString(inbound_partition)',
  'toString(inbound_offset)',
  ...optionalTexts(['original_event_id', 'identity']),
  `ifNull(hex(status_report), '\\0')`,
];

export const rowTextSql = `concat(${columnTexts.join(", '\\x1f', ")})`;
export const rowChecksumSql = `CRC32(${rowTextSql})`;

/** The columns in which two row texts differ, by their place in the table. */
export function differingColumns(ours: string, theirs: string, names: readonly string[]): string[] {
  const [a, b] = [ours.split(separator), theirs.split(separator)];
  return names.filter((_, i) => a[i] !== b[i]);
}

/** What the table's columns hold at most; the sink writes the nearest. */
const amountUnitsMax = 10n ** 18n - 1n;
const positionUnitsMax = 10n ** 38n - 1n;

function decimal(units: bigint | null, unitsMax: bigint): string {
  if (units === null) return absent;
  const negative = units < 0n;
  let magnitude = negative ? -units : units;
  if (magnitude > unitsMax) magnitude = unitsMax;
  const digits = magnitude.toString().padStart(6, '0');
  return `${negative ? '-' : ''}${digits.slice(0, -5)}.${digits.slice(-5)}`;
}

function time(timeMs: number): number {
  return Math.min(timeMsMax, Math.max(timeMsMin, timeMs));
}
