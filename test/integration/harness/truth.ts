/**
 * What the contract says must become of each transaction, computed from what was sent and from the directory alone; and
 * the comparison of everything the fleet told with that.
 *
 * Two things depend on the order of arrival: duplicates and debit caps. The results of a settlement partition stand in
 * the order of its decisions, so they are replayed in that order, and each must be right given those before it.
 */
import { units } from './avro.ts';
import type { ParticipantEntry, Sent, StoredResult } from './bench.ts';
import { headerText, sums } from './bench.ts';
import type { Received } from './kafka.ts';
import type { Agent, MessageSpec, TransactionSpec } from './message.ts';
import { owningPartition } from './murmur2.ts';

/** Decimals of the currencies that tests use; ISO 4217. Anything else in a test is not an active currency. */
const decimalsOf: Readonly<Record<string, number>> = { EUR: 2, USD: 2, GBP: 2, CHF: 2, SEK: 2, JPY: 0, KWD: 3, BHD: 3 };
/** Stands in no identifier: what is written together stays apart. */
const separator = '\u0000';
const largestUnits = units('9999999999999.99999');

/** IBAN lengths of the countries that tests use; from the SWIFT IBAN registry. */
const ibanLengths: Readonly<Record<string, number>> = { DE: 22, FR: 27, GB: 22, NL: 18, CH: 21, BE: 16, NO: 15, MT: 31 };

export class Directory {
  readonly #byName = new Map<string, ParticipantEntry>();

  constructor(participants: readonly ParticipantEntry[]) {
    for (const participant of participants) {
      this.#byName.set(participant.id, participant);
      for (const alias of participant.aliases ?? []) this.#byName.set(alias, participant);
    }
  }

  find(identifier: string | null): ParticipantEntry | undefined {
    return identifier === null ? undefined : this.#byName.get(identifier);
  }

  /** An alias becomes its participant; anything else stays. */
  resolve(identifier: string | null): string | null {
    return this.find(identifier)?.id ?? identifier;
  }

  debitCap(identifier: string, currency: string): bigint | undefined {
    const cap = this.find(identifier)?.currencies[currency]?.debitCap;
    return cap === undefined ? undefined : units(cap);
  }
}

function identifierOf(agent: Agent): string | null {
  if ('bic' in agent) return agent.bic.length === 8 ? `${agent.bic}XXX` : agent.bic;
  if ('system' in agent) return `${agent.system}:${agent.member}`;
  return null;
}

export interface TransactionTruth {
  readonly debited: string | null;
  readonly credited: string | null;
  /** Decided before the duplicate check; null: it gets there. */
  readonly code: string | null;
  readonly amountUnits: bigint;
  /** Which identifier it is known by, and its value; the index stands in the value of the last rung. */
  readonly tag: string;
  readonly value: string;
}

/** The reason code of the message as a whole, else null. What breaks the XSD is said by the test that made it so. */
export function judgeMessage(message: MessageSpec): 'AM19' | 'AM10' | null {
  const { transactions, total, controlSum } = message;
  if (Number(message.numberOfTransactions ?? transactions.length) !== transactions.length) return 'AM19';
  const sum = transactions.reduce((added, transaction) => added + fine(transaction.amount), 0n);
  if (controlSum !== undefined && fine(controlSum) !== sum) return 'AM10';
  if (total !== undefined) {
    if (fine(total.amount) !== sum || transactions.some(({ currency }) => currency !== total.currency)) return 'AM10';
  }
  return null;
}

/** An XSD decimal as a number of its twentieth decimal place, finer than any sum is written. */
function fine(decimal: string): bigint {
  const [whole = '', fraction = ''] = decimal.split('.');
  return BigInt(whole + fraction.padEnd(20, '0'));
}

export function judgeTransaction(message: MessageSpec, index: number, directory: Directory): TransactionTruth {
  const transaction = message.transactions[index]!;
  const debited = directory.resolve(identifierOf(transaction.instructingAgent ?? message.instructingAgent ?? transaction.debtorAgent));
  const credited = directory.resolve(identifierOf(transaction.instructedAgent ?? message.instructedAgent ?? transaction.creditorAgent));
  return {
    debited,
    credited,
    code: rungBeforeDuplicates(transaction, debited, credited, directory),
    amountUnits: units(transaction.amount),
    ...identify(message, transaction, index),
  };
}

function rungBeforeDuplicates(
  { currency, amount, debtorIban, creditorIban }: TransactionSpec, debited: string | null, credited: string | null, directory: Directory,
): string | null {
  const decimals = decimalsOf[currency];
  if (decimals === undefined) return 'AM11';
  if ((amount.split('.')[1] ?? '').length > decimals) return 'AM12';
  if (units(amount) === 0n) return 'AM01';
  if (units(amount) > largestUnits) return 'AM02';
  if (debtorIban !== undefined && !isIban(debtorIban)) return 'AC02';
  if (creditorIban !== undefined && !isIban(creditorIban)) return 'AC03';
  if (directory.find(debited) === undefined) return 'DNOR';
  if (directory.find(credited) === undefined) return 'CNOR';
  if (directory.debitCap(debited!, currency) === undefined || directory.debitCap(credited!, currency) === undefined) return 'AM03';
  return null;
}

export function isIban(iban: string): boolean {
  if (ibanLengths[iban.slice(0, 2)] !== iban.length) return false;
  const moved = iban.slice(4) + iban.slice(0, 4);
  const digits = moved.replaceAll(/[A-Z]/g, (letter) => String(letter.charCodeAt(0) - 55));
  return BigInt(digits) % 97n === 1n;
}

function identify(message: MessageSpec, transaction: TransactionSpec, index: number): { tag: string; value: string } {
  if (transaction.uetr !== undefined) return { tag: 'UETR', value: transaction.uetr };
  if (transaction.transactionId !== undefined) return { tag: 'TxId', value: transaction.transactionId };
  if (transaction.instructionId !== undefined) return { tag: 'InstrId', value: transaction.instructionId };
  return { tag: 'MsgId', value: [message.messageId, transaction.endToEndId, index].join(separator) };
}

/** Everything that is compared. Events with neither a message nor an expectation must not be among `sent`. */
export interface Facts {
  readonly prefix: string;
  readonly partitions: number;
  readonly participants: readonly ParticipantEntry[];
  readonly sent: readonly Sent[];
  readonly results: readonly StoredResult[];
  readonly deadLetters: readonly Received[];
  readonly positions: ReadonlyMap<string, bigint>;
  /** By `partition/offset`: what a test made so that the description does not show it. */
  readonly deadLetterCodes?: ReadonlyMap<string, string>;
  readonly formFaults?: ReadonlySet<string>;
  /**
   * Workers died or stood still. Then a resend may be told before the payment that claimed first: its claim was made, the
   * Kafka transaction with its result was lost, and the next owner met the resend of another partition before it.
   */
  readonly workersDied?: boolean;
}

const problemsMax = 40;

/** What is wrong, in words; empty when everything is as the contract says. */
export function compare(facts: Facts): string[] {
  const problems: string[] = [];
  const wrong = (text: string): void => {
    if (problems.length < problemsMax) problems.push(text);
  };
  const directory = new Directory(facts.participants);
  const results = facts.results.toSorted((a, b) => a.partition - b.partition || a.offset - b.offset);
  checkPlaces(facts, results, directory, wrong);
  checkOrder(results, wrong);
  checkDecisions(facts, results, directory, wrong);
  checkPositions(facts, results, wrong);
  return problems;
}

type Wrong = (text: string) => void;

const place = (at: { partition: number; offset: number }): string => `${at.partition}/${at.offset}`;
const nameOf = (result: StoredResult): string => `result ${place(result)} (event ${result.inboundPartition}/${result.inboundOffset} index ${result.transactionIndex}, ${result.status} ${result.reasonCode ?? ''})`;

/** Each transaction in exactly one place, with the content of its event. */
function checkPlaces(facts: Facts, results: readonly StoredResult[], directory: Directory, wrong: Wrong): void {
  const told = new Map<string, StoredResult[]>();
  for (const result of results) {
    const at = `${result.inboundPartition}/${result.inboundOffset}`;
    const before = told.get(at);
    if (before === undefined) told.set(at, [result]);
    else before.push(result);
  }
  const dead = new Map<string, Received[]>();
  for (const record of facts.deadLetters) {
    const at = `${headerText(record, 'dlq.partition')}/${headerText(record, 'dlq.offset')}`;
    dead.set(at, [...(dead.get(at) ?? []), record]);
  }
  const sentPlaces = new Set(facts.sent.map(place));
  for (const at of told.keys()) if (!sentPlaces.has(at)) wrong(`results of ${at}, where nothing was sent`);
  for (const at of dead.keys()) if (!sentPlaces.has(at)) wrong(`a dead letter of ${at}, where nothing was sent`);

  for (const sent of facts.sent) {
    const at = place(sent);
    const own = told.get(at) ?? [];
    const letters = dead.get(at) ?? [];
    const deadCode = facts.deadLetterCodes?.get(at);
    if (deadCode !== undefined) {
      if (own.length > 0) wrong(`${at}: ${own.length} results beside the dead letter ${deadCode}`);
      if (letters.length !== 1) wrong(`${at}: ${letters.length} dead letters, not one ${deadCode}`);
      for (const letter of letters) checkDeadLetter(letter, sent, deadCode, facts.prefix, wrong);
      continue;
    }
    if (letters.length > 0) wrong(`${at}: a dead letter ${headerText(letters[0]!, 'dlq.code')}: ${headerText(letters[0]!, 'dlq.reason')}`);
    const message = sent.message;
    if (message === null) continue;
    const messageCode = facts.formFaults?.has(at) ? 'FF01' : judgeMessage(message);
    if (messageCode !== null) {
      if (own.length !== 1) wrong(`${at}: ${own.length} results, not one ${messageCode} for the message`);
      for (const result of own) {
        if (result.transactionIndex !== -1 || result.reasonCode !== messageCode || result.status !== 'RJCT') wrong(`${at}: ${nameOf(result)}, not ${messageCode} at -1`);
        if (result.partition !== sent.partition) wrong(`${nameOf(result)} is not in the inbound partition`);
        if (!sameBytes(result.key, sent.key)) wrong(`${nameOf(result)} has key ${String(result.key)}, not the inbound ${String(sent.key)}`);
        checkCopied(result, sent, wrong);
      }
      continue;
    }
    const indexes = own.map(({ transactionIndex }) => transactionIndex).sort((a, b) => a - b);
    if (indexes.join() !== message.transactions.map((_, index) => index).join()) wrong(`${at}: results for [${indexes.join()}] of ${message.transactions.length} transactions`);
    for (const result of own) {
      if (result.transactionIndex < 0 || result.transactionIndex >= message.transactions.length) continue;
      const truth = judgeTransaction(message, result.transactionIndex, directory);
      const owner = truth.debited === null ? sent.partition : owningPartition(truth.debited, facts.partitions);
      if (result.partition !== owner) wrong(`${nameOf(result)} belongs to partition ${owner}`);
      const key = truth.debited === null ? sent.key : Buffer.from(truth.debited);
      if (!sameBytes(result.key, key)) wrong(`${nameOf(result)} has key ${String(result.key)}, not ${String(key)}`);
      checkCopied(result, sent, wrong);
      checkTransactionFields(result, message, truth, wrong);
    }
  }
}

function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : Buffer.compare(a, b) === 0;
}

function checkDeadLetter(letter: Received, sent: Sent, code: string, prefix: string, wrong: Wrong): void {
  const at = place(sent);
  if (headerText(letter, 'dlq.code') !== code) wrong(`${at}: dead letter ${headerText(letter, 'dlq.code')} (${headerText(letter, 'dlq.reason')}), not ${code}`);
  if (headerText(letter, 'dlq.topic') !== `${prefix}inbound`) wrong(`${at}: dlq.topic is ${headerText(letter, 'dlq.topic')}`);
  if (!sameBytes(letter.key, sent.key)) wrong(`${at}: the dead letter's key differs`);
  if (!sameBytes(letter.value, sent.value)) wrong(`${at}: the dead letter's value differs`);
}

function checkCopied(result: StoredResult, sent: Sent, wrong: Wrong): void {
  const { eventId, source, createdAt } = sent;
  if (result.eventId !== eventId) wrong(`${nameOf(result)} has event ${result.eventId}, not ${eventId}`);
  if (result.source !== source) wrong(`${nameOf(result)} has source ${result.source}`);
  if (result.createdAt !== createdAt) wrong(`${nameOf(result)} has createdAt ${result.createdAt}, not ${createdAt}`);
  if (result.statusReport !== null) wrong(`${nameOf(result)} has a status report`);
  if (result.status === 'RJCT' && !result.reason) wrong(`${nameOf(result)} gives no reason`);
}

function checkTransactionFields(result: StoredResult, message: MessageSpec, truth: TransactionTruth, wrong: Wrong): void {
  const transaction = message.transactions[result.transactionIndex]!;
  const expected: Partial<Record<keyof StoredResult, unknown>> = {
    messageId: message.messageId,
    instructionId: transaction.instructionId ?? null,
    endToEndId: transaction.endToEndId,
    transactionId: transaction.transactionId ?? null,
    uetr: transaction.uetr ?? null,
    debitedParticipant: truth.debited,
    creditedParticipant: truth.credited,
    currency: transaction.currency,
    amount: truth.amountUnits > largestUnits ? null : truth.amountUnits,
  };
  for (const [field, value] of Object.entries(expected)) {
    if (result[field as keyof StoredResult] !== value) wrong(`${nameOf(result)}: ${field} is ${String(result[field as keyof StoredResult])}, not ${String(value)}`);
  }
  const claimed = result.status === 'ACSC' || result.reasonCode === 'AM04';
  if (!claimed && result.identity !== null) wrong(`${nameOf(result)} claimed nothing and has identity ${result.identity}`);
  if (claimed && !isIdentityOf(result.identity, truth)) wrong(`${nameOf(result)} has identity ${result.identity}, not ${truth.tag} ${truth.value}`);
  if (result.status === 'ACSC') {
    if (result.reasonCode !== null || result.reason !== null) wrong(`${nameOf(result)} is settled and gives a reason`);
    if (result.sequence === null || result.positionAfter === null) wrong(`${nameOf(result)} is settled without sequence or position`);
  } else if (result.sequence !== null || result.positionAfter !== null) {
    wrong(`${nameOf(result)} is rejected and has a sequence or position`);
  }
}

function isIdentityOf(identity: string | null, { tag, value }: TransactionTruth): boolean {
  if (identity === null) return false;
  // How the two parts of the last rung are kept apart is the fleet's own matter.
  if (tag === 'MsgId') return identity.startsWith('pacs.008|') && (/[|%]/.test(value) || value.split(separator).every((part) => identity.includes(part)));
  return identity === `pacs.008|${tag}|${value}`;
}

/** From one inbound partition to one settlement partition, and from the owner's own, the order of offsets is kept. */
function checkOrder(results: readonly StoredResult[], wrong: Wrong): void {
  const last = new Map<string, StoredResult>();
  for (const result of results) {
    const way = `${result.inboundPartition} ${result.partition}`;
    const before = last.get(way);
    last.set(way, result);
    if (before === undefined) continue;
    const behind = before.inboundOffset < result.inboundOffset
      || (before.inboundOffset === result.inboundOffset && before.transactionIndex < result.transactionIndex);
    if (!behind) wrong(`${nameOf(result)} stands behind ${nameOf(before)}`);
  }
}

/** Replays each settlement partition: sequence, duplicates, caps, and the chain of positions. */
function checkDecisions(facts: Facts, results: readonly StoredResult[], directory: Directory, wrong: Wrong): void {
  const byPlace = new Map(facts.sent.map((sent) => [place(sent), sent]));
  /** All that was ever credited to a position by another settlement partition. */
  const remoteCredits = new Map<string, bigint>();
  const ownerOf = (identifier: string): number => owningPartition(identifier, facts.partitions);
  for (const { status, creditedParticipant, currency, amount, partition } of results) {
    if (status !== 'ACSC' || creditedParticipant === null || ownerOf(creditedParticipant) === partition) continue;
    add(remoteCredits, `${creditedParticipant}|${currency}`, amount!);
  }

  const told = new Set<string>();
  const claimants = findClaimants(results, byPlace, directory, wrong);
  /** Debits and credits of the partition's own, and the credits from elsewhere that its positions have shown so far. */
  const own = new Map<string, bigint>();
  const seen = new Map<string, bigint>();
  const sequences = new Map<number, number>();
  for (const result of results) {
    const sent = byPlace.get(`${result.inboundPartition}/${result.inboundOffset}`);
    const message = sent?.message;
    if (message == null || result.transactionIndex < 0 || result.transactionIndex >= message.transactions.length) continue;
    const truth = judgeTransaction(message, result.transactionIndex, directory);
    if (truth.code !== null) {
      if (result.status !== 'RJCT' || result.reasonCode !== truth.code) wrong(`${nameOf(result)}, not ${truth.code}: ${result.reason}`);
      continue;
    }
    const identity = identityOf(truth);
    const claimant = claimants.get(identity);
    if (claimant !== result) {
      if (result.reasonCode !== 'AM05') wrong(`${nameOf(result)} has an identity that was claimed by ${claimant === undefined ? 'nobody' : nameOf(claimant)}: ${result.reason}`);
      else if (claimant === undefined) wrong(`${nameOf(result)} is a duplicate of what nobody claimed`);
      else if (result.originalEventId !== claimant.eventId) wrong(`${nameOf(result)} names ${result.originalEventId} as the original, not ${claimant.eventId}`);
      else if (!told.has(identity) && facts.workersDied !== true) wrong(`${nameOf(result)} is told before its original, ${nameOf(claimant)}`);
      continue;
    }
    told.add(identity);
    if (result.originalEventId !== null) wrong(`${nameOf(result)} is no duplicate and names an original ${result.originalEventId}`);
    const currency = message.transactions[result.transactionIndex]!.currency;
    const position = `${truth.debited}|${currency}`;
    const cap = directory.debitCap(truth.debited!, currency)!;
    const least = (own.get(position) ?? 0n) + (seen.get(position) ?? 0n);
    const most = (own.get(position) ?? 0n) + (remoteCredits.get(position) ?? 0n);
    if (result.status === 'RJCT') {
      if (result.reasonCode !== 'AM04') wrong(`${nameOf(result)}, which should have settled or met its cap: ${result.reason}`);
      else if (least - truth.amountUnits >= -cap) wrong(`${nameOf(result)}: position ${least} less ${truth.amountUnits} is within the cap ${cap}`);
      continue;
    }
    if (result.status !== 'ACSC') {
      wrong(`${nameOf(result)} has an unknown status`);
      continue;
    }
    const expectedSequence = (sequences.get(result.partition) ?? 0) + 1;
    if (result.sequence !== expectedSequence) wrong(`${nameOf(result)} has sequence ${result.sequence}, not ${expectedSequence}`);
    sequences.set(result.partition, result.sequence ?? expectedSequence);
    const after = result.positionAfter ?? 0n;
    if (after < -cap) wrong(`${nameOf(result)}: position ${after} is below the cap ${cap}`);
    const before = after + truth.amountUnits;
    if (before < least || before > most) wrong(`${nameOf(result)}: the position was ${before}, but ${least} to ${most} is possible`);
    seen.set(position, before - (own.get(position) ?? 0n));
    add(own, position, -truth.amountUnits);
    if (ownerOf(truth.credited!) === result.partition) add(own, `${truth.credited}|${currency}`, truth.amountUnits);
  }
}

function identityOf({ debited, tag, value }: TransactionTruth): string {
  return [debited, tag, value].join(separator);
}

/** Who claimed each identity: what settled, or met its cap. Two of one identity are what must never be. */
function findClaimants(
  results: readonly StoredResult[], byPlace: ReadonlyMap<string, Sent>, directory: Directory, wrong: Wrong,
): Map<string, StoredResult> {
  const claimants = new Map<string, StoredResult>();
  for (const result of results) {
    const message = byPlace.get(`${result.inboundPartition}/${result.inboundOffset}`)?.message;
    if (message == null || (result.status !== 'ACSC' && result.reasonCode !== 'AM04')) continue;
    if (result.transactionIndex < 0 || result.transactionIndex >= message.transactions.length) continue;
    const truth = judgeTransaction(message, result.transactionIndex, directory);
    if (truth.code !== null) continue;
    const identity = identityOf(truth);
    const before = claimants.get(identity);
    if (before === undefined) claimants.set(identity, result);
    else wrong(`${nameOf(result)} has the identity of ${nameOf(before)}`);
  }
  return claimants;
}

/** At rest: the changelog is what the settled results make of 0, and adds up to 0. */
function checkPositions(facts: Facts, results: readonly StoredResult[], wrong: Wrong): void {
  const expected = new Map<string, bigint>();
  for (const { status, debitedParticipant, creditedParticipant, currency, amount } of results) {
    if (status !== 'ACSC') continue;
    add(expected, `${debitedParticipant}|${currency}`, -amount!);
    add(expected, `${creditedParticipant}|${currency}`, amount!);
  }
  for (const name of new Set([...expected.keys(), ...facts.positions.keys()])) {
    const position = facts.positions.get(name) ?? 0n;
    if (position !== (expected.get(name) ?? 0n)) wrong(`position ${name} is ${position}, not ${expected.get(name) ?? 0n}`);
  }
  for (const [currency, sum] of sums(facts.positions)) if (sum !== 0n) wrong(`the positions in ${currency} add up to ${sum}`);
}

function add(map: Map<string, bigint>, key: string, amount: bigint): void {
  map.set(key, (map.get(key) ?? 0n) + amount);
}
