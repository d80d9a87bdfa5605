/**
 * An explanation as text: what matters first, one fact a line, in the order in which things happened. What strangers wrote
 * is shown without control characters.
 */
import type { ClaimLife, CommitLife, CreditLife, DecisionLife, EventLife, Explanation, Place, StoredRow, TransactionLife, Waiting } from './life.ts';

const labelWidth = 11;
const findingsShownMax = 10;
const duplicatesShownMax = 20;

export function explanationLines(explanation: Explanation): string[] {
  const lines: string[] = [];
  const { id, events } = explanation;
  if (events.length === 0) lines.push(`Nothing is known of ${printable(id)}.`);
  else lines.push(`${printable(id)}: ${headline(explanation)}`);
  events.forEach((event, i) => lines.push('', ...eventLines(event, i + 1, events.length)));
  if (events.length === 0) {
    lines.push('', 'Looked at:');
    for (const { where, what, records } of explanation.looked) lines.push(`  ${where}: ${printable(what)} (${records})`);
  }
  if (events.length > 0 && explanation.inboundSearchedSince === null && !events.some((event) => event.eventId === id)) {
    lines.push('', 'Not searched: messages that were rejected as a whole, whose results do not carry this identifier (--since 24h does).');
  }
  if (explanation.notes.length > 0) lines.push('');
  for (const note of explanation.notes) lines.push(`Note: ${printable(note)}`);
  return lines;
}

/** The whole in one line, for whoever reads no further. */
export function headline({ events }: Pick<Explanation, 'events'>): string {
  const transactions = events.flatMap((event) => event.transactions);
  const settled = transactions.filter(({ decision }) => decision?.status === 'ACSC');
  const refused = transactions.filter(({ decision }) => decision !== null && decision.status !== 'ACSC');
  const waiting = transactions.filter((one) => one.waiting !== null && one.waiting.at !== 'unknown');
  const unknown = transactions.filter((one) => one.waiting?.at === 'unknown');
  const letters = events.filter(({ deadLetter }) => deadLetter !== null);
  const mute = events.filter((event) => event.deadLetter === null && event.transactions.length === 0);
  const parts: string[] = [];
  const [only] = settled;
  if (settled.length === 1 && only !== undefined) {
    parts.push(`settled, ${only.amount} ${only.currency} from ${only.debitedParticipant} to ${only.creditedParticipant}${creditPhrase(only.decision?.credit ?? null)}`);
  } else if (settled.length > 1) parts.push(`${settled.length} transactions settled`);
  const codes = new Map<string, number>();
  for (const { decision } of refused) codes.set(decision!.reasonCode ?? '', (codes.get(decision!.reasonCode ?? '') ?? 0) + 1);
  for (const [code, count] of codes) {
    if (code === 'AM05') parts.push(`${count === 1 ? '1 duplicate' : `${count} duplicates`} refused`);
    else parts.push(`${count === 1 ? '' : `${count} times `}rejected with ${code}`);
  }
  if (letters.length > 0) parts.push(`${letters.length === 1 ? '1 event' : `${letters.length} events`} dead-lettered`);
  if (waiting.length > 0) parts.push(`${waiting.length === 1 && transactions.length === 1 ? 'still' : waiting.length} under way`);
  if (unknown.length + mute.length > 0) parts.push(`${unknown.length + mute.length} without an outcome that could be found`);
  return `${parts.join('; ')}.`;
}

function creditPhrase(credit: CreditLife | null): string {
  if (credit?.state === 'underWay') return ' (the credit is still under way)';
  return credit?.state === 'unknown' ? ' (where the credit was applied could not be found)' : '';
}

function eventLines(event: EventLife, number: number, total: number): string[] {
  const lines: string[] = [];
  const type = event.messageType === null ? '' : ` (${printable(event.messageType)} from ${printable(event.source ?? '')})`;
  lines.push(`${total > 1 ? `${number}. ` : ''}Event ${printable(event.eventId ?? 'that cannot be read')}${type}: ${fate(event)}`);
  const say = sayer(lines, '  ');
  say('came in', `${event.receivedAt ?? 'at an unknown time'}  ${placeText(event.inbound)}${createdText(event)}`);
  const { record } = event;
  if (record === null) say('record', 'no longer in Kafka (retention)');
  else {
    const key = record.key === null ? 'no key' : `key ${printable(record.key)}`;
    say('record', `${record.valueBytes} bytes, ${key}, ${record.schemaId === null ? 'not in the wire format' : `schema id ${record.schemaId}`}`);
    say('trace', record.trace === null ? 'none' : `${record.trace.id} (${record.trace.header})`);
  }
  if (event.redrivenFrom !== null) say('redriven', `from the dead letter ${placeText(event.redrivenFrom)}`);
  if (event.messageId !== null) say('message', printable(event.messageId) + (event.transactionsTotal === null ? '' : `, ${counted(event.transactionsTotal, 'transaction')}`));
  if (record?.findings != null) {
    if (record.findings.length === 0) say('findings', 'none');
    for (const one of record.findings.slice(0, findingsShownMax)) {
      say('finding', `${one.xpath === '' ? '' : `${one.xpath}: `}${printable(one.message)} [${one.rule}], line ${one.line}`);
    }
    if (record.findings.length > findingsShownMax) say('finding', `... and ${record.findings.length - findingsShownMax} more: settlefleet validate lists them`);
  }
  const { deadLetter } = event;
  if (deadLetter !== null) {
    say('dead letter', `${deadLetter.failedAt}  ${deadLetter.code}: ${printable(deadLetter.reason)}`);
    say('', `${placeText(deadLetter.place)}, by worker ${printable(deadLetter.worker)}; ${deadLetter.redrivenAt === null ? 'not redriven' : `redriven ${deadLetter.redrivenAt}`}`);
    say('', `shown by: settlefleet dlq show ${deadLetter.place.partition}:${deadLetter.place.offset}`);
    say('clickhouse', storedText(deadLetter.clickhouse));
  }
  for (const transaction of event.transactions) lines.push(...transactionLines(transaction, event));
  return lines;
}

function createdText({ createdAt, receivedAt }: EventLife): string {
  if (createdAt === null || receivedAt === null) return '';
  const after = Date.parse(receivedAt) - Date.parse(createdAt);
  return Number.isNaN(after) ? '' : `, ${durationText(after)} after it was created`;
}

function fate({ deadLetter, transactions }: EventLife): string {
  if (deadLetter !== null) return `dead letter ${deadLetter.code}`;
  const words = new Set(transactions.map(({ decision, waiting }) => {
    if (decision !== null) return decision.status === 'ACSC' ? 'settled' : decision.reasonCode === 'AM05' ? 'refused as a duplicate' : `rejected with ${decision.reasonCode}`;
    return waiting?.at === 'unknown' ? 'no outcome found' : 'under way';
  }));
  return words.size === 0 ? 'no outcome found' : [...words].join(', ');
}

function transactionLines(one: TransactionLife, event: EventLife): string[] {
  const lines: string[] = [];
  const whole = one.index < 0;
  if (whole) lines.push('  The message as a whole');
  else lines.push(`  Transaction ${one.index}${event.transactionsTotal === null ? '' : ` of ${event.transactionsTotal}`} (counted from 0)`);
  const say = sayer(lines, '    ');
  if (!whole) {
    const ids = [['UETR', one.uetr], ['EndToEndId', one.endToEndId], ['TxId', one.transactionId], ['InstrId', one.instructionId]] as const;
    say('ids', ids.filter(([, value]) => value !== null).map(([name, value]) => `${name} ${printable(value!)}`).join(', ') || 'none');
    const sides = one.decision === null ? '' : `, from ${one.debitedParticipant ?? 'an unknown participant'} to ${one.creditedParticipant ?? 'an unknown participant'}`;
    say('payment', `${one.amount ?? 'no amount'} ${one.currency ?? ''}${printable(sides)}`);
    if (one.debtorAccount !== null || one.creditorAccount !== null) {
      say('accounts', `from ${printable(one.debtorAccount ?? 'none')} to ${printable(one.creditorAccount ?? 'none')}`);
    }
  }
  const { handedOver, decision, waiting } = one;
  if (handedOver !== null) {
    say('handed over', `to partition ${handedOver.toPartition}, which owns the debited participant${handedOver.routed === null ? '' : `: ${placeText(handedOver.routed)}`}`);
  }
  if (waiting !== null) say('waiting', waitingText(waiting));
  if (decision !== null) decisionLines(decision, event, say);
  return lines;
}

function decisionLines(decision: DecisionLife, event: EventLife, say: (label: string, text: string) => void): void {
  for (const text of claimTexts(decision.claim)) say(text.label, text.text);
  const after = event.receivedAt === null ? '' : `, ${durationText(Date.parse(decision.settledAt) - Date.parse(event.receivedAt))} after it came in`;
  say('decided', `${decision.settledAt}  ${decision.status}${decision.reasonCode === null ? '' : ` ${decision.reasonCode}`}: ${decision.rule}${after}`);
  if (decision.reason !== null) say('reason', printable(decision.reason));
  const { debit, credit } = decision;
  if (debit !== null) {
    say('debit', `${debit.participant} -${debit.amount} ${debit.currency}: position ${debit.before} -> ${debit.after}, debit ${debit.sequence} of partition ${debit.partition}`);
  }
  if (credit !== null) for (const text of creditTexts(credit)) say(text.label, text.text);
  say('result', `${placeText(decision.result)}${decision.inKafka ? '' : ' (no longer in Kafka; told from ClickHouse)'}`);
  say('committed', decision.commit === null ? 'by which Kafka transaction could not be found' : commitText(decision.commit));
  say('clickhouse', storedText(decision.clickhouse));
}

function claimTexts(claim: ClaimLife): { readonly label: string; readonly text: string }[] {
  const { state, identity, by, holdsUntil } = claim;
  if (state === 'none') return [{ label: 'identity', text: 'none claimed: it was refused before the duplicate check' }];
  const texts: { label: string; text: string }[] = [];
  if (state === 'self') texts.push({ label: 'identity', text: `${printable(identity ?? '')}, claimed by this transaction until ${holdsUntil}` });
  else {
    const where = by?.inbound == null ? '' : `, inbound ${by.inbound.partition}/${by.inbound.offset}, ${by.status} ${by.settledAt}`;
    texts.push({ label: 'identity', text: `${printable(identity ?? 'as of the event that came first')}, claimed before by event ${printable(by?.eventId ?? 'that is not known')}${where}` });
  }
  for (const one of claim.duplicates.slice(0, duplicatesShownMax)) {
    texts.push({ label: 'duplicate', text: `event ${printable(one.eventId ?? '')}, inbound ${one.inbound?.partition}/${one.inbound?.offset}, refused ${one.settledAt}` });
  }
  if (claim.duplicates.length > duplicatesShownMax) texts.push({ label: 'duplicate', text: `... and ${claim.duplicates.length - duplicatesShownMax} more` });
  return texts;
}

function creditTexts(credit: CreditLife): { readonly label: string; readonly text: string }[] {
  const what = `${credit.participant} +${credit.amount} ${credit.currency}`;
  const position = credit.after === null ? '' : `; that commit took the position ${credit.before === null ? '' : `from ${credit.before} `}to ${credit.after}`;
  const where = credit.routed === null ? '' : placeText(credit.routed);
  switch (credit.state) {
    case 'atOnce':
      return [{ label: 'credit', text: `${what}: applied at once, in the same partition${position}` }];
    case 'applied':
      return [
        { label: 'credit', text: `${what}: sent to partition ${credit.partition} by ${where}` },
        { label: 'applied', text: `${credit.appliedIn === null ? '' : commitText(credit.appliedIn)}${position}` },
      ];
    case 'underWay':
      return [{ label: 'credit', text: `${what}: UNDER WAY to partition ${credit.partition}: ${where} is not taken in yet` }];
    case 'unknown':
      return [{ label: 'credit', text: `${what}: the record that carried it to partition ${credit.partition} was not found (retention?)` }];
  }
}

function commitText({ at, exact, commit, partition, worker }: CommitLife): string {
  return `${at}  Kafka transaction ${exact ? '' : 'up to '}${commit} of partition ${partition}, by worker ${printable(worker)}`;
}

function storedText({ state, detail }: StoredRow): string {
  switch (state) {
    case 'same':
      return 'the row is stored, and equals the record';
    case 'stored':
      return `the row is stored; ${detail}`;
    case 'differs':
      return `WRONG: the row differs from the record in ${detail} (settlefleet verify)`;
    case 'behind':
      return `no row yet: ${detail}`;
    case 'unknown':
      return detail;
  }
}

function waitingText({ at, place, before }: Waiting): string {
  const ahead = before === null ? '' : before === 0 ? ', it is next' : `, ${counted(before, 'offset')} before it`;
  switch (at) {
    case 'inbound':
      return `in the inbound topic at ${placeText(place)}, not decided yet${ahead}`;
    case 'routed':
      return `for the partition that owns the debited participant, at ${placeText(place)}, not decided yet${ahead}`;
    case 'unknown':
      return 'it was taken in, and no result or dead letter was found: retention may have taken it; --no-clickhouse reads all of Kafka, settlefleet verify says what is lost';
  }
}

/** `1.2 s`, `85 ms`; negative where clocks differ. */
function durationText(milliseconds: number): string {
  if (Math.abs(milliseconds) < 1000) return `${milliseconds} ms`;
  if (Math.abs(milliseconds) < 120_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return Math.abs(milliseconds) < 7_200_000 ? `${Math.round(milliseconds / 60_000)} min` : `${Math.round(milliseconds / 3_600_000)} h`;
}

function sayer(lines: string[], indent: string): (label: string, text: string) => void {
  return (label, text) => void lines.push(`${indent}${label.padEnd(labelWidth)} ${text}`.trimEnd());
}

function placeText({ topic, partition, offset }: Place): string {
  return `${topic}/${partition}/${offset}`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function printable(text: string): string {
  const plain = text.replace(/\p{C}/gu, '?');
  return plain.length > 400 ? `${plain.slice(0, 397)}...` : plain;
}
