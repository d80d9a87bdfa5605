/**
 * Statements as text for a person, as CSV (RFC 4180) and as JSON. Amounts are decimals, exact, with those of their currency,
 * negative where more went out.
 */
import { currencyDecimals } from '../codec/data/currencies.ts';
import { formatAmount } from '../domain/amount.ts';
import { dayMs } from '../domain/day.ts';
import type { StatementState } from './completeness.ts';
import type { Entry, Statement } from './statements.ts';

export interface DayReport {
  /** YYYY-MM-DD. */
  readonly day: string;
  readonly state: StatementState;
  /** Why it is incomplete. */
  readonly reasons: readonly string[];
  /** ISO 8601: when it was made; an interim statement is as of then. */
  readonly createdAt: string;
  readonly statements: readonly Statement[];
  /** Null: not asked for. */
  readonly entries: readonly Entry[] | null;
}

const basis = 'days of UTC, by the time of the decision (settledAt)';

function money(units: bigint, currency: string): string {
  return formatAmount(units, currencyDecimals.get(currency));
}

/** ITBD while the day is not known to be whole. */
export function closingCode(state: StatementState): 'CLBD' | 'ITBD' {
  return state === 'final' ? 'CLBD' : 'ITBD';
}

// ── For a person ────────────────────────────────────────────────────────────────────────────────────────────────────

export function reportLines(report: DayReport): string[] {
  const { day, statements, entries, state } = report;
  const lines = [`Statements of ${day}, ${basis}`, stateText(report)];
  for (const reason of report.reasons) lines.push(`  ${reason}.`);
  lines.push('');
  if (statements.length === 0) return [...lines, 'No participant has moved by the end of that day.'];
  if (entries === null) {
    lines.push(
      ...aligned(
        ['participant', 'currency', 'opening OPBD', 'debits', 'sum', 'credits', 'sum', `closing ${closingCode(state)}`],
        statements.map((one) => [
          one.participant, one.currency, money(one.opening, one.currency), String(one.debitCount), money(one.debits, one.currency), String(one.creditCount), money(one.credits, one.currency), money(one.closing, one.currency),
        ]),
        2,
      ),
      '',
    );
  } else {
    const byStatement = groupEntries(entries);
    for (const one of statements) lines.push(...statementLines(one, byStatement.get(nameOf(one)) ?? [], report), '');
  }
  for (const total of totalsOf(statements)) {
    lines.push(
      `${total.currency}: ${total.statements === 1 ? '1 statement' : `${total.statements} statements`}, debits ${money(total.debits, total.currency)}, credits ${money(total.credits, total.currency)}, ` +
        `openings add up to ${money(total.opening, total.currency)}, closings to ${money(total.closing, total.currency)}`,
    );
  }
  return lines;
}

function stateText({ state, createdAt }: DayReport): string {
  switch (state) {
    case 'final':
      return 'Final: everything that came in before the end of the day is decided and counted.';
    case 'interim':
      return `Interim, as of ${createdAt}: the day is not over.`;
    case 'incomplete':
      return `INCOMPLETE, as of ${createdAt}:`;
    case 'unchecked':
      return `UNCHECKED, as of ${createdAt}: whether everything is counted was not compared with Kafka.`;
  }
}

function statementLines(one: Statement, entries: readonly Entry[], { day, state }: DayReport): string[] {
  const sums: readonly (readonly string[])[] = [
    ['OPBD', 'opening', '', money(one.opening, one.currency)],
    ['', 'debits', String(one.debitCount), money(-one.debits, one.currency)],
    ['', 'credits', String(one.creditCount), money(one.credits, one.currency)],
    [closingCode(state), 'closing', '', money(one.closing, one.currency)],
  ];
  const lines = [`${one.participant} ${one.currency} ${day}`, ...aligned(null, sums, 2).map((line) => `  ${line}`)];
  if (entries.length === 0) return lines;
  const rows = entries.map((entry) => [
    entry.settledAt.slice(11, 23),
    entry.side === 'debit' ? 'DBIT' : 'CRDT',
    money(entry.amount, entry.currency),
    entry.positionAfter === null ? '' : money(entry.positionAfter, entry.currency),
    printable(entry.counterparty ?? ''),
    printable(entry.endToEndId ?? ''),
    entry.uetr ?? printable(entry.transactionId ?? ''),
  ]);
  return [...lines, ...alignedEntries(rows).map((line) => `  ${line}`)];
}

function alignedEntries(rows: readonly (readonly string[])[]): string[] {
  const head = ['time', '', 'amount', 'position after', 'counterparty', 'end-to-end id', 'UETR or transaction id'];
  return columns([head, ...rows], (column) => column === 2 || column === 3);
}

/** The first `texts` columns stand at the left, all others are numbers. */
function aligned(head: readonly string[] | null, rows: readonly (readonly string[])[], texts: number): string[] {
  const lines = columns(head === null ? rows : [head, ...rows], (column) => column >= texts);
  return lines;
}

function columns(rows: readonly (readonly string[])[], isNumber: (column: number) => boolean): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => (isNumber(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!))).join('  ').trimEnd());
}

/** What strangers wrote must not command the terminal. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, '?');
}

// ── For machines ────────────────────────────────────────────────────────────────────────────────────────────────────

export function reportJson(report: DayReport): Record<string, unknown> {
  const { day, state, reasons, createdAt, statements, entries } = report;
  const byStatement = entries === null ? null : groupEntries(entries);
  const nextDay = new Date(Date.parse(`${day}T00:00:00Z`) + dayMs).toISOString();
  return {
    day,
    timeZone: 'UTC',
    basis,
    from: `${day}T00:00:00.000Z`,
    to: nextDay,
    state,
    reasons,
    createdAt,
    statements: statements.map((one) => ({
      id: `${day}/${one.participant}/${one.currency}`,
      participant: one.participant,
      currency: one.currency,
      opening: { code: 'OPBD', amount: money(one.opening, one.currency) },
      debits: { count: one.debitCount, sum: money(one.debits, one.currency) },
      credits: { count: one.creditCount, sum: money(one.credits, one.currency) },
      closing: { code: closingCode(state), amount: money(one.closing, one.currency) },
      ...(byStatement === null ? {} : { entries: (byStatement.get(nameOf(one)) ?? []).map(entryJson) }),
    })),
    totals: totalsOf(statements).map((total) => ({
      currency: total.currency,
      statements: total.statements,
      opening: money(total.opening, total.currency),
      debits: money(total.debits, total.currency),
      credits: money(total.credits, total.currency),
      closing: money(total.closing, total.currency),
    })),
  };
}

function entryJson(entry: Entry): Record<string, unknown> {
  return {
    indicator: entry.side === 'debit' ? 'DBIT' : 'CRDT',
    amount: money(entry.amount, entry.currency),
    settledAt: entry.settledAt,
    counterparty: entry.counterparty,
    positionAfter: entry.positionAfter === null ? null : money(entry.positionAfter, entry.currency),
    endToEndId: entry.endToEndId,
    transactionId: entry.transactionId,
    uetr: entry.uetr,
    messageType: entry.messageType,
    source: entry.source,
    eventId: entry.eventId,
    transactionIndex: entry.transactionIndex,
    resultPartition: entry.resultPartition,
    resultOffset: entry.resultOffset,
  };
}

/** One row a statement; with entries, one row an entry instead. */
export function reportCsv(report: DayReport): string[] {
  const { day, state, statements, entries } = report;
  if (entries === null) {
    const head = 'day,state,participant,currency,opening,debit_count,debits,credit_count,credits,closing';
    return [head, ...statements.map((one) => csvLine([
      day, state, one.participant, one.currency, money(one.opening, one.currency), one.debitCount, money(one.debits, one.currency), one.creditCount, money(one.credits, one.currency), money(one.closing, one.currency),
    ]))];
  }
  const head =
    'day,state,participant,currency,settled_at,indicator,amount,counterparty,position_after,end_to_end_id,transaction_id,uetr,message_type,source,event_id,transaction_index,result_partition,result_offset';
  return [head, ...entries.map((one) => csvLine([
    day, state, one.participant, one.currency, one.settledAt, one.side === 'debit' ? 'DBIT' : 'CRDT', money(one.amount, one.currency), one.counterparty,
    one.positionAfter === null ? null : money(one.positionAfter, one.currency), one.endToEndId, one.transactionId, one.uetr, one.messageType, one.source, one.eventId,
    one.transactionIndex, one.resultPartition, one.resultOffset,
  ]))];
}

function csvLine(cells: readonly (string | number | null)[]): string {
  return cells.map((cell) => {
    const text = cell === null ? '' : String(cell);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }).join(',');
}

interface Total {
  readonly currency: string;
  statements: number;
  opening: bigint;
  debits: bigint;
  credits: bigint;
  closing: bigint;
}

/** By currency; over all participants openings and closings add up to 0, and debits are credits. */
export function totalsOf(statements: readonly Statement[]): Total[] {
  const totals = new Map<string, Total>();
  for (const one of statements) {
    let total = totals.get(one.currency);
    if (total === undefined) totals.set(one.currency, (total = { currency: one.currency, statements: 0, opening: 0n, debits: 0n, credits: 0n, closing: 0n }));
    total.statements++;
    total.opening += one.opening;
    total.debits += one.debits;
    total.credits += one.credits;
    total.closing += one.closing;
  }
  return [...totals.values()].sort((one, other) => (one.currency < other.currency ? -1 : 1));
}

function groupEntries(entries: readonly Entry[]): Map<string, Entry[]> {
  const groups = new Map<string, Entry[]>();
  for (const entry of entries) {
    const group = groups.get(nameOf(entry));
    if (group === undefined) groups.set(nameOf(entry), [entry]);
    else group.push(entry);
  }
  return groups;
}

function nameOf({ participant, currency }: Pick<Statement, 'participant' | 'currency'>): string {
  return `${participant}|${currency}`;
}
