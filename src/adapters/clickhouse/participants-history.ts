/**
 * Entries of the directory as rows of `participants_history`. The same entry gives the same row, and one that is there is left
 * out, so a sink that starts gives all that the topic holds.
 */
import { formatAmount } from '../../domain/amount.ts';
import type { DirectoryEntry } from '../../sink/ports.ts';
import { quoted, run } from './connection.ts';
import type { ClickhouseConnection } from './connection.ts';

/** A statement is at most 256 KiB (max_query_size), of which a quoted backslash takes two for one. */
const rowsBytesMax = 64 << 10;

const structure =
  'participant String, valid_from DateTime64(3, \'UTC\'), name String, aliases Array(String), ' +
  'debit_caps Map(LowCardinality(String), Decimal(18, 5)), removed Bool, directory_offset Int64';

export async function addDirectoryEntries(connection: ClickhouseConnection, database: string, entries: readonly DirectoryEntry[]): Promise<void> {
  const table = `${database}.participants_history`;
  for (const rows of inPortions(entries.map(rowOf))) {
    await run(connection, `INSERT INTO ${table} SELECT * FROM format(JSONEachRow, ${quoted(structure)}, ${quoted(rows)}) ` +
        `WHERE (participant, valid_from, directory_offset) NOT IN (SELECT participant, valid_from, directory_offset FROM ${table}) ` +
        'SETTINGS async_insert = 0',
    );
  }
}

function rowOf({ id, participant, timestampMs, offset }: DirectoryEntry): string {
  return JSON.stringify({
    participant: id,
    valid_from: new Date(timestampMs).toISOString().replace('T', ' ').replace('Z', ''),
    name: participant?.name ?? '',
    aliases: participant?.aliases ?? [],
    debit_caps: Object.fromEntries([...(participant?.debitCaps ?? [])].map(([currency, cap]) => [currency, formatAmount(cap)])),
    removed: participant === null,
    directory_offset: offset,
  });
}

function* inPortions(rows: readonly string[]): Generator<string> {
  let portion = '';
  for (const row of rows) {
    if (portion !== '' && portion.length + row.length > rowsBytesMax) {
      yield portion;
      portion = '';
    }
    portion += `${row}\n`;
  }
  if (portion !== '') yield portion;
}
