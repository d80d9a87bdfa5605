/** Tells one event: its record, and what became of each of its transactions, as far as Kafka and ClickHouse still know. */
import type { Checkpoint } from '../codec/checkpoint.ts';
import type { PaymentResult } from '../codec/payment-result.ts';
import { schemaIdAt } from '../codec/wire-format.ts';
import { formatAmount } from '../domain/amount.ts';
import { settlementPartition } from '../domain/partition.ts';
import { resultColumns } from '../sink/result-rows.ts';
import { differingColumns, rowText } from '../verify/row-sums.ts';
import { maskAccount } from './event-glance.ts';
import type { GlancedTransaction } from './event-glance.ts';
import type { Telling, TracedEvent } from './explain.ts';
import type { FoundCommit, FoundRouted } from './fleet-history.ts';
import type {
  Claimant, ClaimLife, CommitLife, CreditLife, DebitLife, DecisionLife, EventLife, HandOver, InboundRecord, Place, StoredRow, Trace, TransactionLife, Waiting,
} from './life.ts';
import { headerText } from './record-search.ts';
import type { FoundRecord } from './record-search.ts';
import { carries, isoTime, resultInKafka, wouldClaim } from './result-search.ts';
import type { FoundResult } from './result-search.ts';
import { ruleOf } from './rules.ts';

export async function tellEvent(event: TracedEvent, telling: Telling): Promise<EventLife> {
  const { options, notes } = telling;
  const results = [...event.results.values()].sort((one, other) => one.result.transactionIndex - other.result.transactionIndex);
  const first = results[0]?.result;
  const transactions: TransactionLife[] = [];
  for (const found of results.slice(0, options.shownMax)) transactions.push(await tellDecided(event, found, telling));
  const undecided = undecidedOf(event, results, options.id);
  for (const glanced of undecided.slice(0, options.shownMax)) transactions.push(await tellUndecided(event, glanced, telling));
  const left = results.length + undecided.length - transactions.length;
  if (left > 0) notes.push(`${left} more transactions of the event at ${placeText(event.inbound)} are not told; --limit tells more.`);
  return {
    inbound: event.inbound,
    eventId: first?.eventId ?? event.event?.eventId ?? null,
    messageType: first?.messageType ?? event.event?.messageType ?? null,
    source: first?.source ?? event.event?.source ?? null,
    messageId: first?.messageId ?? event.message?.messageId ?? null,
    createdAt: timeOf(first?.createdAt ?? event.event?.createdAt),
    receivedAt: timeOf(event.record?.timestamp ?? first?.receivedAt),
    record: event.record == null ? null : tellRecord(event, event.record, telling),
    redrivenFrom: redrivenFrom(event.record ?? null),
    deadLetter: event.deadLetter === null ? null : await telling.deadLetters.tell(event.deadLetter),
    transactions: transactions.sort((one, other) => one.index - other.index),
    transactionsTotal: event.message?.transactions.length ?? null,
  };
}

function tellRecord(event: TracedEvent, record: FoundRecord, { options }: Telling): InboundRecord {
  const schemaId = record.value === null ? -1 : schemaIdAt(record.value, 0, record.value.length);
  return {
    key: record.key === null ? null : Buffer.from(record.key).toString('utf8'),
    valueBytes: record.value?.length ?? 0,
    schemaId: schemaId < 0 ? null : schemaId,
    headers: record.headers.map(({ key }) => key),
    trace: traceOf(record),
    findings: event.event === null ? null : options.reportMessage(Uint8Array.from(event.event.document)).findings,
  };
}

/** W3C Trace Context, else AWS X-Ray. */
export function traceOf({ headers }: Pick<FoundRecord, 'headers'>): Trace | null {
  const w3c = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(headerText(headers, 'traceparent')?.trim() ?? '');
  if (w3c !== null) return { id: w3c[1]!, header: 'traceparent' };
  const xray = /(?:^|;)\s*Root=(1-[0-9a-f]{8}-[0-9a-f]{24})/i.exec(headerText(headers, 'X-Amzn-Trace-Id') ?? '');
  return xray === null ? null : { id: xray[1]!, header: 'X-Amzn-Trace-Id' };
}

function redrivenFrom(record: FoundRecord | null): Place | null {
  const match = /^(.+)\/(\d+)\/(\d+)$/.exec(record === null ? '' : (headerText(record.headers, 'redriven.from') ?? ''));
  return match === null ? null : { topic: match[1]!, partition: Number(match[2]), offset: Number(match[3]) };
}

/** The asked transactions of the message that have no result. */
function undecidedOf(event: TracedEvent, results: readonly FoundResult[], id: string): readonly GlancedTransaction[] {
  if (!event.asked || event.deadLetter !== null || results.some(({ result }) => result.transactionIndex < 0)) return [];
  const decided = new Set(results.map(({ result }) => result.transactionIndex));
  const eventId = event.event?.eventId ?? '';
  const asked = (event.message?.transactions ?? []).filter((one) => eventId === id || carries({ ...one, eventId }, id));
  // Found by bytes that are none of these identifiers: the message's own, a name; then all of it is meant.
  const meant = asked.length === 0 && results.length === 0 ? (event.message?.transactions ?? []) : asked;
  return meant.filter(({ index }) => !decided.has(index));
}

async function tellUndecided(event: TracedEvent, glanced: GlancedTransaction, telling: Telling): Promise<TransactionLife> {
  const waiting = await whereItWaits(event, glanced.index, telling);
  return {
    ...glanced,
    ...accountsOf(glanced, telling),
    amount: glanced.amount === null ? null : formatAmount(glanced.amount),
    debitedParticipant: null,
    creditedParticipant: null,
    handedOver: waiting.at === 'routed' ? { routed: waiting.place, toPartition: waiting.place.partition } : null,
    decision: null,
    waiting,
  };
}

async function whereItWaits(event: TracedEvent, index: number, telling: Telling): Promise<Waiting> {
  const { options, checkpoints } = telling;
  const { inbound } = event;
  const taken = checkpoints[inbound.partition]?.inbound ?? 0;
  if (inbound.offset >= taken) return { at: 'inbound', place: inbound, before: inbound.offset - taken };
  const eventId = event.event?.eventId;
  for (let partition = 0; partition < options.partitions; partition++) {
    const routed = partition === inbound.partition ? null : await handedOverTo(event, partition, (one) => one.event.eventId === eventId && one.transactionIndex === index, telling);
    if (routed === null) continue;
    const next = checkpoints[partition]?.routed ?? 0;
    const place = { topic: options.topics.routed, partition, offset: routed.offset };
    if (routed.offset >= next) return { at: 'routed', place, before: routed.offset - next };
  }
  return { at: 'unknown', place: inbound, before: null };
}

type RoutedTransfer = FoundRouted['routed']['transfers'][number];

async function handedOverTo(event: TracedEvent, partition: number, wanted: (transfer: RoutedTransfer) => boolean, { history }: Telling): Promise<FoundRouted | null> {
  const { inbound, record } = event;
  const [first] = event.results.values();
  const around = record?.timestamp ?? first?.result.receivedAt ?? 0;
  const sender = await history.commitThat((checkpoint) => checkpoint.inbound > inbound.offset, inbound.partition, around);
  return sender === null ? null : history.routedBy(sender, partition, ({ transfers }) => transfers.some(wanted));
}

async function tellDecided(event: TracedEvent, found: FoundResult, telling: Telling): Promise<TransactionLife> {
  const { result } = found;
  const glanced = event.message?.transactions[result.transactionIndex];
  const handedOver = await handOverOf(event, found, telling);
  return {
    index: result.transactionIndex,
    uetr: result.uetr,
    endToEndId: result.endToEndId,
    transactionId: result.transactionId,
    instructionId: result.instructionId,
    debitedParticipant: result.debitedParticipant,
    creditedParticipant: result.creditedParticipant,
    currency: result.currency,
    amount: result.amount === null ? null : formatAmount(result.amount),
    ...accountsOf(glanced, telling),
    handedOver: handedOver?.life ?? null,
    decision: await tellDecision(found, handedOver?.routed ?? null, telling),
    waiting: null,
  };
}

function accountsOf(glanced: GlancedTransaction | undefined, { options }: Telling): Pick<TransactionLife, 'debtorAccount' | 'creditorAccount'> {
  const shown = (account: string | null | undefined): string | null => (account == null ? null : options.showAccounts ? account : maskAccount(account));
  return { debtorAccount: shown(glanced?.debtorAccount), creditorAccount: shown(glanced?.creditorAccount) };
}

async function handOverOf(event: TracedEvent, found: FoundResult, telling: Telling): Promise<{ readonly life: HandOver; readonly routed: FoundRouted | null } | null> {
  const { result, partition } = found;
  if (result.inboundPartition === partition) return null;
  const routed = await handedOverTo(event, partition, (one) =>
    one.event.inboundPartition === result.inboundPartition && one.event.inboundOffset === result.inboundOffset && one.transactionIndex === result.transactionIndex, telling);
  const place = routed === null ? null : { topic: telling.options.topics.routed, partition, offset: routed.offset };
  return { life: { routed: place, toPartition: partition }, routed };
}

async function tellDecision(found: FoundResult, routed: FoundRouted | null, telling: Telling): Promise<DecisionLife> {
  const { options, history } = telling;
  const { topics } = options;
  const { result, partition, offset } = found;
  const hasCome = commitOf(found, routed);
  const commit = hasCome === null ? null : await history.commitThat(hasCome, partition, result.settledAt);
  const inKafka = found.row === null ? result : await resultInKafka(options.readers[0]!, topics.results, found);
  return {
    status: result.status,
    reasonCode: result.reasonCode,
    reason: result.reason,
    rule: ruleOf(result.reasonCode),
    settledAt: isoTime(result.settledAt),
    result: { topic: topics.results, partition, offset },
    inKafka: inKafka !== null,
    commit: commit === null ? null : commitLife(commit, telling),
    claim: tellClaim(found, telling),
    debit: tellDebit(found),
    credit: await tellCredit(found, commit, telling),
    clickhouse: storedRow(found, inKafka, telling),
  };
}

/** Results say nothing of commits: what tells is how far the partition had come. */
function commitOf({ result, partition }: FoundResult, routed: FoundRouted | null): ((checkpoint: Checkpoint) => boolean) | null {
  const { sequence, inboundPartition, inboundOffset } = result;
  if (sequence !== null) return (checkpoint) => checkpoint.sequence >= sequence;
  if (inboundPartition === partition) return (checkpoint) => checkpoint.inbound > inboundOffset;
  return routed === null ? null : (checkpoint) => checkpoint.routed > routed.offset;
}

function commitLife(commit: FoundCommit, { options }: Telling): CommitLife {
  return {
    partition: commit.partition,
    commit: commit.checkpoint.commit,
    exact: commit.exact,
    at: isoTime(commit.at),
    worker: commit.checkpoint.worker,
    checkpoint: { topic: options.topics.checkpoints, partition: commit.partition, offset: commit.offset },
  };
}

function tellClaim(found: FoundResult, telling: Telling): ClaimLife {
  const { options, duplicates } = telling;
  const { result } = found;
  const until = (settledAt: number): string => isoTime(settledAt + options.windowSeconds * 1000);
  if (result.identity !== null) {
    return {
      state: 'self',
      identity: result.identity,
      by: claimant(found, options.topics.results),
      holdsUntil: until(result.settledAt),
      duplicates: (duplicates.get(`${found.partition}:${found.offset}`) ?? []).map((one) => claimant(one, options.topics.results)),
    };
  }
  if (result.reasonCode !== 'AM05') return { state: 'none', identity: null, by: null, holdsUntil: null, duplicates: [] };
  const original = originalOf(result, telling);
  if (original === null) {
    const by = { eventId: result.originalEventId, index: null, inbound: null, result: null, status: null, settledAt: null };
    return { state: 'other', identity: null, by, holdsUntil: null, duplicates: [] };
  }
  return { state: 'other', identity: original.result.identity, by: claimant(original, options.topics.results), holdsUntil: until(original.result.settledAt), duplicates: [] };
}

function originalOf(duplicate: PaymentResult, { traced }: Telling): FoundResult | null {
  for (const { results } of traced) {
    for (const found of results.values()) {
      if (found.result.eventId === duplicate.originalEventId && wouldClaim(found.result.identity, duplicate)) return found;
    }
  }
  return null;
}

function claimant({ result, partition, offset }: FoundResult, topic: string): Claimant {
  return {
    eventId: result.eventId,
    index: result.transactionIndex,
    inbound: { partition: result.inboundPartition, offset: result.inboundOffset },
    result: { topic, partition, offset },
    status: result.reasonCode === null ? result.status : `${result.status} ${result.reasonCode}`,
    settledAt: isoTime(result.settledAt),
  };
}

function tellDebit({ result, partition }: FoundResult): DebitLife | null {
  const { debitedParticipant, currency, amount, positionAfter, sequence } = result;
  if (debitedParticipant === null || currency === null || amount === null || positionAfter === null || sequence === null) return null;
  return {
    participant: debitedParticipant,
    currency,
    amount: formatAmount(amount),
    before: formatAmount(positionAfter + amount),
    after: formatAmount(positionAfter),
    partition,
    sequence,
  };
}

async function tellCredit({ result, partition }: FoundResult, commit: FoundCommit | null, telling: Telling): Promise<CreditLife | null> {
  const { options, history } = telling;
  const { creditedParticipant: participant, currency, amount, sequence } = result;
  if (participant === null || currency === null || amount === null || sequence === null) return null;
  const owner = settlementPartition(participant, options.partitions);
  const what = { participant, currency, amount: formatAmount(amount), partition: owner };
  const nowhere = { routed: null, appliedIn: null, before: null, after: null };
  if (owner === partition) {
    const around = commit === null ? null : await history.positionAround(commit, participant, currency);
    return { ...what, ...nowhere, state: 'atOnce', appliedIn: commit === null ? null : commitLife(commit, telling), ...positions(around) };
  }
  const sent = commit === null ? null : await history.routedBy(commit, owner, ({ credits }) => credits.some((leg) => leg.participant === participant && leg.currency === currency));
  if (sent === null) return { ...what, ...nowhere, state: 'unknown' };
  const routed = { topic: options.topics.routed, partition: owner, offset: sent.offset };
  const applied = await history.commitThat((checkpoint) => checkpoint.routed > sent.offset, owner, sent.at);
  if (applied === null) return { ...what, ...nowhere, state: 'underWay', routed };
  return { ...what, state: 'applied', routed, appliedIn: commitLife(applied, telling), ...positions(await history.positionAround(applied, participant, currency)) };
}

function positions(around: { readonly before: bigint | null; readonly after: bigint | null } | null): { readonly before: string | null; readonly after: string | null } {
  const text = (units: bigint | null | undefined): string | null => (units == null ? null : formatAmount(units));
  return { before: text(around?.before), after: text(around?.after) };
}

function storedRow(found: FoundResult, inKafka: PaymentResult | null, { search }: Telling): StoredRow {
  if (search.stored === null) return { state: 'unknown', detail: 'ClickHouse was not asked' };
  if (found.row === null) {
    const stored = search.stored.get(found.partition);
    return { state: 'behind', detail: stored === undefined ? `nothing of partition ${found.partition} is stored yet` : `the sink has stored partition ${found.partition} up to offset ${stored}` };
  }
  if (inKafka === null) return { state: 'stored', detail: 'Kafka has the record no longer' };
  const columns = differingColumns(rowText(inKafka), found.row, resultColumns);
  return columns.length === 0 ? { state: 'same', detail: '' } : { state: 'differs', detail: columns.join(', ') };
}

function timeOf(milliseconds: number | undefined): string | null {
  return milliseconds === undefined ? null : isoTime(milliseconds);
}

export function placeText({ topic, partition, offset }: Place): string {
  return `${topic}/${partition}/${offset}`;
}
