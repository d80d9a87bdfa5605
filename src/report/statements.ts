/**
 * The statements of one day: for each participant and currency what the position was, what moved it, and what it is then. The
 * sums come from the table `statement_days` in one query, so that all of them are of one moment; how far that moment is, the
 * same query tells for each settlement partition, as the number of debits that it counts.
 *
 * A day is a day of UTC, and a payment belongs to the day on which it was decided (`settledAt`), its credit too, also where
 * that was applied a moment later. Names after camt.053: OPBD opening booked, CLBD closing booked, ITBD interim booked.
 */
import { parseAmount } from '../domain/amount.ts';

/** Answers one query that reads, one JSON object a line. */
export type AskClickhouse = (query: string) => Promise<string>;

export interface StatementFilter {
  /** Null: all. */
  readonly participant: string | null;
  readonly currency: string | null;
}

/** Amounts in 10^-5 of the currency's unit. */
export interface Statement {
  readonly participant: string;
  readonly currency: string;
  readonly opening: bigint;
  readonly debitCount: number;
  readonly debits: bigint;
  readonly creditCount: number;
  readonly credits: bigint;
  readonly closing: bigint;
}

export interface Entry {
  readonly participant: string;
  readonly currency: string;
  readonly side: 'debit' | 'credit';
  readonly amount: bigint;
  /** ISO 8601, UTC. */
  readonly settledAt: string;
  readonly counterparty: string | null;
  /** Of a debit; of a credit it is not known. */
  readonly positionAfter: bigint | null;
  readonly endToEndId: string | null;
  readonly transactionId: string | null;
  readonly uetr: string | null;
  readonly messageType: string;
  readonly source: string;
  readonly eventId: string;
  readonly transactionIndex: number;
  readonly resultPartition: number;
  readonly resultOffset: number;
}

/** What ClickHouse counts at one moment. */
export interface DaySums {
  readonly statements: readonly Statement[];
  /** By settlement partition how many debits are counted in all, from the first one on: the sequence of the last one. */
  readonly counted: ReadonlyMap<number, number>;
  /** Currencies in which what was debited, of all days, is not what was credited. */
  readonly unbalanced: readonly string[];
}

/** `day`: YYYY-MM-DD. */
export async function readDay(ask: AskClickhouse, day: string, filter: StatementFilter): Promise<DaySums> {
  const before = `day < '${day}'`;
  const within = `day = '${day}'`;
  const answer = await ask(
    'SELECT toString(participant) AS of_participant, toString(currency) AS of_currency, result_partition AS of_partition, ' +
      'grouping(participant) AS all_participants, grouping(currency) AS all_currencies, ' +
      `toDecimalString(sumIf(credits, ${before}) - sumIf(debits, ${before}), 5) AS opening, ` +
      `toString(sumIf(debit_count, ${within})) AS debit_count_text, toDecimalString(sumIf(debits, ${within}), 5) AS debits_text, ` +
      `toString(sumIf(credit_count, ${within})) AS credit_count_text, toDecimalString(sumIf(credits, ${within}), 5) AS credits_text, ` +
      'toString(sum(debit_count)) AS counted, toDecimalString(sum(debits) - sum(credits), 5) AS difference ' +
      'FROM statement_days GROUP BY GROUPING SETS ((participant, currency), (result_partition), (currency)) ' +
      // Who moves for the first time on a later day has no statement yet.
      `HAVING all_participants = 1 OR (min(day) <= '${day}'${filterText(filter)}) ` +
      'ORDER BY of_participant, of_currency, of_partition',
  );
  const statements: Statement[] = [];
  const counted = new Map<number, number>();
  const unbalanced: string[] = [];
  for (const row of rowsOf(answer)) {
    const [ofParticipant, ofCurrency] = [isGrouped(row['all_participants']), isGrouped(row['all_currencies'])];
    if (ofParticipant) statements.push(statementOf(row));
    else if (!ofCurrency) counted.set(Number(row['of_partition']), Number(row['counted']));
    else if (unitsOf(row['difference']) !== 0n) unbalanced.push(String(row['of_currency']));
  }
  return { statements, counted, unbalanced };
}

/** 0: the column is one of those that the row is grouped by. */
function isGrouped(grouping: unknown): boolean {
  return Number(grouping) === 0;
}

function statementOf(row: Row): Statement {
  const [opening, debits, credits] = [unitsOf(row['opening']), unitsOf(row['debits_text']), unitsOf(row['credits_text'])];
  return {
    participant: String(row['of_participant']),
    currency: String(row['of_currency']),
    opening,
    debitCount: Number(row['debit_count_text']),
    debits,
    creditCount: Number(row['credit_count_text']),
    credits,
    closing: opening - debits + credits,
  };
}

/** The entries behind the sums: of each settlement partition those that the sums count, and none that came later. */
export async function readEntries(ask: AskClickhouse, day: string, filter: StatementFilter, counted: ReadonlyMap<number, number>): Promise<Entry[]> {
  if (counted.size === 0) return [];
  const reached = Array.from(counted, ([partition, sequence]) => `(result_partition = ${partition} AND sequence <= ${sequence})`).join(' OR ');
  const answer = await ask(
    'SELECT leg.1 AS participant, toString(results.currency) AS currency, leg.2 AS side, toDecimalString(amount, 5) AS amount_text, ' +
      'toString(toUnixTimestamp64Milli(settled_at)) AS settled_at_ms, leg.3 AS counterparty, ' +
      "if(leg.2 = 'debit', toDecimalString(position_after, 5), NULL) AS position_text, end_to_end_id, transaction_id, uetr, message_type, source, event_id, transaction_index, " +
      'result_partition, toString(result_offset) AS offset_text FROM results ' +
      "ARRAY JOIN [(toNullable(toString(debited_participant)), 'debit', toNullable(toString(credited_participant))), " +
      "(toNullable(toString(credited_participant)), 'credit', toNullable(toString(debited_participant)))] AS leg " +
      `WHERE status = 'ACSC' AND settled_at >= toDateTime64('${day} 00:00:00', 3, 'UTC') AND settled_at < toDateTime64('${day} 00:00:00', 3, 'UTC') + toIntervalDay(1) ` +
      `AND (${reached})${filterText(filter, 'leg.1')} ` +
      'ORDER BY participant, currency, settled_at, result_partition, result_offset, side',
  );
  return rowsOf(answer).map((row) => ({
    participant: String(row['participant']),
    currency: String(row['currency']),
    side: row['side'] === 'debit' ? 'debit' : 'credit',
    amount: unitsOf(row['amount_text']),
    settledAt: new Date(Number(row['settled_at_ms'])).toISOString(),
    counterparty: textOf(row['counterparty']),
    positionAfter: row['position_text'] === null ? null : unitsOf(row['position_text']),
    endToEndId: textOf(row['end_to_end_id']),
    transactionId: textOf(row['transaction_id']),
    uetr: textOf(row['uetr']),
    messageType: String(row['message_type']),
    source: String(row['source']),
    eventId: String(row['event_id']),
    transactionIndex: Number(row['transaction_index']),
    resultPartition: Number(row['result_partition']),
    resultOffset: Number(row['offset_text']),
  }));
}

/** Statements whose entries are not what the sums say, in count or amount. */
export function statementsThatDiffer(statements: readonly Statement[], entries: readonly Entry[]): Statement[] {
  const sums = new Map<string, { debitCount: number; debits: bigint; creditCount: number; credits: bigint }>();
  for (const { participant, currency, side, amount } of entries) {
    const name = `${participant}|${currency}`;
    let sum = sums.get(name);
    if (sum === undefined) sums.set(name, (sum = { debitCount: 0, debits: 0n, creditCount: 0, credits: 0n }));
    if (side === 'debit') {
      sum.debitCount++;
      sum.debits += amount;
    } else {
      sum.creditCount++;
      sum.credits += amount;
    }
  }
  return statements.filter((one) => {
    const sum = sums.get(`${one.participant}|${one.currency}`) ?? { debitCount: 0, debits: 0n, creditCount: 0, credits: 0n };
    return sum.debitCount !== one.debitCount || sum.debits !== one.debits || sum.creditCount !== one.creditCount || sum.credits !== one.credits;
  });
}

function filterText({ participant, currency }: StatementFilter, participantColumn = 'participant'): string {
  const wanted = (column: string, value: string | null): string => (value === null ? '' : ` AND ${column} = '${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`);
  return wanted(participantColumn, participant) + wanted('currency', currency);
}

type Row = Readonly<Record<string, unknown>>;

function rowsOf(answer: string): Row[] {
  return answer.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Row);
}

function textOf(value: unknown): string | null {
  return value === null ? null : String(value);
}

function unitsOf(value: unknown): bigint {
  const units = parseAmount(String(value));
  if (units === null) throw new Error(`ClickHouse gave ${JSON.stringify(value)}, expected an amount.`);
  return units;
}
