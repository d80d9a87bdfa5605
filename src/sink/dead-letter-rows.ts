/**
 * A record of the dead-letter topic becomes a row of the table `dead_letters`: what its headers say, the key, and size and
 * hash of the value. The value itself stays in Kafka.
 *
 * Source: contract sections 3 and 5.
 */
import { createHash } from 'node:crypto';
import { keyBytes, valueBytes } from '../codec/record-batch.ts';
import type { RecordBatch, RecordHeader } from '../codec/record-batch.ts';
import type { RowText } from './row-text.ts';

export const deadLetterColumns: readonly string[] = [
  'code',
  'reason',
  'inbound_topic',
  'inbound_partition',
  'inbound_offset',
  'failed_at',
  'worker',
  'key',
  'value_size',
  'value_sha256',
  'dead_letter_partition',
  'dead_letter_offset',
];

const partitionMax = 2 ** 31 - 1;

/**
 * Appends the row of one record; gives its time. A header that is missing or is no number leaves its column empty, or -1.
 */
export function appendDeadLetterRow(text: RowText, batch: RecordBatch, row: number): number {
  const headers = batch.headers[row] ?? [];
  const key = keyBytes(batch, row);
  const value = valueBytes(batch, row) ?? new Uint8Array(0);
  const said = Date.parse(headerText(headers, 'dlq.failed-at'));
  const failedAtMs = Number.isNaN(said) ? batch.timestamps[row]! : said;

  text.putString(headerText(headers, 'dlq.code'));
  text.putString(headerText(headers, 'dlq.reason'));
  text.putString(headerText(headers, 'dlq.topic'));
  text.putInteger(headerNumber(headers, 'dlq.partition', partitionMax));
  text.putInteger(headerNumber(headers, 'dlq.offset', Number.MAX_SAFE_INTEGER));
  text.putTime(failedAtMs);
  text.putString(headerText(headers, 'dlq.worker'));
  if (key === null) text.putNull();
  else text.putBytes(key, 0, key.length);
  text.putInteger(value.length);
  text.putString(createHash('sha256').update(value).digest('hex'));
  text.putInteger(batch.partition);
  text.putInteger(batch.offsets[row]!);
  text.endRow();
  return failedAtMs;
}

/** The last header of that name, since older ones may stand before it. */
function headerText(headers: readonly RecordHeader[], name: string): string {
  const value = headers.findLast((header) => header.key === name)?.value;
  return value === null || value === undefined ? '' : Buffer.from(value).toString();
}

function headerNumber(headers: readonly RecordHeader[], name: string, most: number): number {
  const text = headerText(headers, name);
  const value = /^\d{1,16}$/.test(text) ? Number(text) : -1;
  return value <= most ? value : -1;
}
