/** ClickHouse's rows beside the topics' records, column by column, over `settlefleet sql` while the sink runs. */
import { createHash } from 'node:crypto';
import type { Bench, StoredResult } from '../integration/harness/bench.ts';
import { headerText } from '../integration/harness/bench.ts';
import { units } from '../integration/harness/avro.ts';
import { Program } from '../integration/harness/processes.ts';

const problemsMax = 20;
const queryMs = 120_000;

type Cell = string | null;

/** What a cell must say, in ClickHouse's TabSeparated. */
const columns: Readonly<Record<string, (result: StoredResult) => Cell>> = {
  event_id: ({ eventId }) => eventId,
  message_type: ({ messageType }) => messageType,
  source: ({ source }) => source,
  message_id: ({ messageId }) => messageId,
  transaction_index: ({ transactionIndex }) => String(transactionIndex),
  instruction_id: ({ instructionId }) => instructionId,
  end_to_end_id: ({ endToEndId }) => endToEndId,
  transaction_id: ({ transactionId }) => transactionId,
  uetr: ({ uetr }) => uetr,
  status: ({ status }) => status,
  reason_code: ({ reasonCode }) => reasonCode,
  reason: ({ reason }) => reason,
  debited_participant: ({ debitedParticipant }) => debitedParticipant,
  credited_participant: ({ creditedParticipant }) => creditedParticipant,
  currency: ({ currency }) => currency,
  amount: ({ amount }) => decimal(amount),
  position_after: ({ positionAfter }) => decimal(positionAfter),
  sequence: ({ sequence }) => (sequence === null ? null : String(sequence)),
  created_at: ({ createdAt }) => time(createdAt),
  received_at: ({ receivedAt }) => time(receivedAt),
  settled_at: ({ settledAt }) => time(settledAt),
  inbound_partition: ({ inboundPartition }) => String(inboundPartition),
  inbound_offset: ({ inboundOffset }) => String(inboundOffset),
  original_event_id: ({ originalEventId }) => originalEventId,
  identity: ({ identity }) => identity,
  status_report: () => null,
  result_partition: ({ partition }) => String(partition),
  result_offset: ({ offset }) => String(offset),
};
const decimals = new Set(['amount', 'position_after']);

function decimal(amount: bigint | null): Cell {
  return amount === null ? null : String(amount);
}

function time(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace('T', ' ').replace('Z', '');
}

function cellOf(text: string): Cell {
  if (text === '\\N') return null;
  const escapes: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', b: '\b', f: '\f', 0: '\0' };
  return text.includes('\\') ? text.replaceAll(/\\(.)/gs, (_all, letter: string) => escapes[letter] ?? letter) : text;
}

/** Rows in the order of `query`, each an array of cells. */
async function ask(bench: Bench, query: string): Promise<Cell[][]> {
  const program = new Program('settlefleet sql', ['sql', query, '--format', 'TabSeparated'], bench.environment);
  const chunks: Buffer[] = [];
  program.child.stdout!.on('data', (bytes: Buffer) => chunks.push(bytes));
  program.child.stdin!.end();
  const ended = await program.end(queryMs);
  if (ended.code !== 0) throw new Error(`settlefleet sql ended with ${ended.code}: ${ended.stderr}`);
  const text = Buffer.concat(chunks).toString();
  return text.split('\n').slice(0, -1).map((line) => line.split('\t').map(cellOf));
}

/** What differs, in words. */
export async function compareResultRows(bench: Bench): Promise<string[]> {
  const problems: string[] = [];
  const names = Object.keys(columns);
  for (let partition = 0; partition < bench.partitions; partition++) {
    const wanted = bench.results.filter((result) => result.partition === partition).toSorted((a, b) => a.offset - b.offset);
    const rows = await ask(bench, `SELECT ${names.join(', ')} FROM payments.results WHERE result_partition = ${partition} ORDER BY result_offset`);
    if (rows.length !== wanted.length) problems.push(`ClickHouse has ${rows.length} rows of results partition ${partition}, the topic ${wanted.length} records`);
    for (const [index, result] of wanted.entries()) {
      const row = rows[index];
      if (row === undefined || problems.length > problemsMax) break;
      for (const [column, name] of names.entries()) {
        const cell = row[column] ?? null;
        const held = decimals.has(name) && cell !== null ? String(units(cell)) : cell;
        const expected = columns[name]!(result);
        if (held !== expected) problems.push(`row ${partition}/${result.offset}: ${name} is ${held}, not ${expected}`);
      }
    }
  }
  return problems;
}

export async function compareDeadLetterRows(bench: Bench): Promise<string[]> {
  const problems: string[] = [];
  const wanted = bench.deadLetters.toSorted((a, b) => a.partition - b.partition || a.offset - b.offset);
  const rows = await ask(bench, `SELECT code, reason, inbound_topic, inbound_partition, inbound_offset, failed_at, worker, key, value_size, lower(value_sha256), dead_letter_partition, dead_letter_offset FROM payments.dead_letters ORDER BY dead_letter_partition, dead_letter_offset`);
  if (rows.length !== wanted.length) problems.push(`ClickHouse has ${rows.length} dead letters, the topic ${wanted.length}`);
  for (const [index, letter] of wanted.entries()) {
    const row = rows[index];
    if (row === undefined || problems.length > problemsMax) break;
    const header = (name: string): string => headerText(letter, `dlq.${name}`) ?? '';
    const expected = [
      header('code'), header('reason'), header('topic'), header('partition'), header('offset'), time(Date.parse(header('failed-at'))), header('worker'),
      letter.key?.toString() ?? null, String(letter.value?.length ?? 0), createHash('sha256').update(letter.value ?? '').digest('hex'),
      String(letter.partition), String(letter.offset),
    ];
    expected.forEach((cell, column) => {
      if (row[column] !== cell) problems.push(`dead letter ${letter.partition}/${letter.offset}, column ${column}: ${row[column]}, not ${cell}`);
    });
  }
  return problems;
}
