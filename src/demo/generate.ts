/**
 * Payment events in any number, from a seed, each with what must become of it: for the demo, for tests with a known
 * truth, for measurements. Most are good; the others show every way of being duplicate, misdirected or wrong.
 *
 * Expectations hold when the participants start at position 0, the events reach Kafka in this order, each in the
 * partition that it asks for, and nobody else submits.
 */
import { settlementPartition } from '../domain/partition.ts';
import type { DeadLetterCode, ReasonCode } from '../domain/codes.ts';
import { parseAmount } from '../domain/amount.ts';
import type { Participant } from '../domain/participant.ts';
import type { PaymentEvent } from '../codec/payment-event.ts';
import { currencyDecimals } from '../codec/data/currencies.ts';
import { ibanOf } from './iban.ts';
import { paymentNamespace, paymentXml } from './payment-xml.ts';
import type { PartyText, PaymentText } from './payment-xml.ts';
import { createRandom } from './random.ts';
import type { Random } from './random.ts';

/** What must become of an event. */
export type Expected =
  | { readonly kind: 'settled' }
  /** `index` -1: the message as a whole. */
  | { readonly kind: 'rejected'; readonly code: ReasonCode; readonly index: 0 | -1 }
  | { readonly kind: 'deadLetter'; readonly code: DeadLetterCode }
  /** It depends on which credits come before it. */
  | { readonly kind: 'settledOrCapped' };

export interface GeneratedEvent {
  readonly event: Omit<PaymentEvent, 'createdAt'>;
  /** The record's key; null: none. */
  readonly key: string | null;
  /** `owner`: the partition that Java's default partitioner gives the debited participant; `other`: any but that one. */
  readonly partition: 'owner' | 'other';
  /** The participant whose partition `owner` means. */
  readonly debited: string;
  /** What is done to the record's value after it was written as it should be. */
  readonly spoil: ((value: Buffer) => Buffer) | null;
  readonly expected: Expected;
  /** For a person: `plain`, `duplicate`, `misdirected`, `capped`, or what is wrong. */
  readonly kind: string;
}

export interface GenerateOptions {
  readonly seed: number;
  readonly count: number;
  readonly participants: readonly Participant[];
  /** Shares of all events, 0 to 1. */
  readonly duplicates?: number;
  readonly misdirected?: number;
  /** Spread evenly over all ways of being wrong. */
  readonly wrong?: number;
  /** Debits of the participant with the smallest debit cap, until it is hit and beyond. */
  readonly capped?: number;
  readonly maxEventBytes?: number;
  /** The id of a registered schema that does not resolve to PaymentEvent; left out: no such events. */
  readonly incompatibleSchemaId?: number;
  /** `YYYY-MM-DD` of the messages. */
  readonly settlementDate?: string;
  readonly source?: string;
}

const recentMax = 64;
const amountCentsMax = 500_000;
/** No registry that we know of gives such an id by itself. */
const inventedSchemaId = 2_000_000_011;
const unknownBic = 'ZZZZXXZZXXX';

export function* generateEvents(options: GenerateOptions): Generator<GeneratedEvent> {
  const { duplicates = 0.03, misdirected = 0.05, wrong = 0.06, capped = 0.01 } = options;
  const random = createRandom(options.seed);
  const bank = createBank(options.participants, random, options.settlementDate ?? '2026-11-23');
  const ways = waysToBeWrong(options, bank);
  /** Good payments in their owner's partition: their claims are certain, so a resend is certainly a duplicate. */
  const recent: { readonly payment: PaymentText; readonly debited: string }[] = [];
  let wrongCount = 0;

  for (let i = 0; i < options.count; i++) {
    const dice = random.integer(1_000_000) / 1_000_000;
    if (dice < duplicates && recent.length > 0) {
      const { payment, debited } = random.pick(recent);
      const again = { ...payment, messageId: bank.reference('R') };
      yield finish(again, debited, 'duplicate', { kind: 'rejected', code: 'AM05', index: 0 });
      continue;
    }
    if (dice < duplicates + wrong) {
      yield ways[wrongCount++ % ways.length]!(bank, finish);
      continue;
    }
    if (dice < duplicates + wrong + capped && bank.tight !== null) {
      const payment = bank.payment({ debited: bank.tight.id, currency: bank.tight.currency, amount: bank.tight.amount });
      yield finish(payment, bank.tight.id, 'capped', bank.tightExpectation());
      continue;
    }
    const payment = bank.payment({});
    const expected = bank.debitExpectation(payment);
    if (dice < duplicates + wrong + capped + misdirected) {
      const event = finish(payment, payment.debited, 'misdirected', expected);
      yield { ...event, partition: 'other', key: random.chance(0.5) ? null : event.key };
      continue;
    }
    if (recent.length < recentMax) recent.push({ payment, debited: payment.debited });
    else recent[random.integer(recentMax)] = { payment, debited: payment.debited };
    yield finish(payment, payment.debited, 'plain', expected);
  }

  function finish(payment: PaymentText, debited: string, kind: string, expected: Expected): GeneratedEvent {
    return {
      event: {
        eventId: random.uuid(),
        messageType: 'pacs.008.001.08',
        source: options.source ?? 'generator',
        document: Buffer.from(paymentXml(payment)),
        attributes: {},
      },
      key: debited,
      partition: 'owner',
      debited,
      spoil: null,
      expected,
      kind,
    };
  }
}

/** The partition that an event asks for. */
export function partitionOf(event: Pick<GeneratedEvent, 'partition' | 'debited'>, partitionCount: number): number {
  const owner = settlementPartition(event.debited, partitionCount);
  return event.partition === 'owner' ? owner : (owner + 1) % partitionCount;
}

// ── Good payments ───────────────────────────────────────────────────────────────────────────────────────────────────

interface Bank {
  payment(wanted: Partial<PaymentText>): PaymentText;
  reference(prefix: string): string;
  /** Settled for certain while all debits of the participant together stay below its cap. */
  debitExpectation(payment: PaymentText): Expected;
  /** Who has the smallest cap, and an amount of which it takes five. Nobody pays it anything. */
  readonly tight: { readonly id: string; readonly currency: string; readonly amount: string } | null;
  tightExpectation(): Expected;
  /** A participant and a currency that it does not hold. */
  readonly lacking: { readonly id: string; readonly currency: string; readonly holder: string } | null;
}

interface Holder {
  readonly id: string;
  readonly cap: bigint;
}

function createBank(participants: readonly Participant[], random: Random, settlementDate: string): Bank {
  const tightest = findTight(participants);
  const holders = new Map<string, Holder[]>();
  for (const { id, debitCaps } of participants) {
    if (id === tightest?.id) continue;
    for (const [currency, cap] of debitCaps) {
      const list = holders.get(currency) ?? [];
      holders.set(currency, list);
      list.push({ id, cap });
    }
  }
  const currencies = [...holders].filter(([, list]) => list.length >= 2).map(([currency]) => currency);
  if (currencies.length === 0) throw new Error('The generator needs two participants that hold the same currency.');
  const caps = new Map<string, bigint>();
  for (const { id, debitCaps } of participants) {
    for (const [currency, cap] of debitCaps) caps.set(`${id}|${currency}`, cap);
  }
  const debited = new Map<string, bigint>();
  let counter = 0;

  const reference = (prefix: string): string => `${prefix}${random.digits(9)}${String(++counter).padStart(8, '0')}`;
  const take = (payment: PaymentText): bigint => {
    const name = `${payment.debited}|${payment.currency}`;
    const total = (debited.get(name) ?? 0n) + (parseAmount(payment.amount) ?? 0n);
    debited.set(name, total);
    return (caps.get(name) ?? 0n) - total;
  };
  const tight = tightest === null ? null : { ...tightest, amount: formatCents(tightest.cap / 5n, tightest.currency) };
  let tightDebits = 0;

  return {
    reference,
    tight,
    lacking: findLacking(participants, currencies),
    payment(wanted) {
      const currency = wanted.currency ?? random.pick(currencies);
      const list = holders.get(currency) ?? holders.get(currencies[0]!)!;
      const from = wanted.debited ?? random.pick(list).id;
      let to = wanted.credited ?? random.pick(list).id;
      for (let tries = 0; to === from && wanted.credited === undefined && tries < 20; tries++) to = random.pick(list).id;
      const amount = wanted.amount ?? formatCents(BigInt(1 + random.integer(amountCentsMax)) * 1000n, currency);
      return {
        messageId: reference('M'),
        instructionId: reference('I'),
        endToEndId: reference('E'),
        transactionId: reference('T'),
        uetr: random.uuid(),
        currency,
        amount,
        settlementDate,
        transactionCount: '1',
        controlSum: amount,
        debited: from,
        credited: to,
        debtor: party(random),
        creditor: party(random),
        remittance: `Invoice ${random.digits(6)} of ${settlementDate.slice(0, 7)}, delivery note ${random.digits(8)}, customer ${random.digits(7)}, two per cent discount taken`,
        chargeBearer: 'SHAR',
        ...wanted,
      };
    },
    debitExpectation: (payment) => (take(payment) >= 0n ? { kind: 'settled' } : { kind: 'settledOrCapped' }),
    tightExpectation: () =>
      ++tightDebits <= 5 ? { kind: 'settled' } : { kind: 'rejected', code: 'AM04', index: 0 },
  };
}

function findTight(participants: readonly Participant[]): { id: string; currency: string; cap: bigint } | null {
  let found: { id: string; currency: string; cap: bigint } | null = null;
  for (const { id, debitCaps } of participants) {
    for (const [currency, cap] of debitCaps) {
      // A cap of five times a cent at least, so that there is something to divide.
      if (cap >= 500_000n && (found === null || cap < found.cap)) found = { id, currency, cap };
    }
  }
  return found;
}

function findLacking(participants: readonly Participant[], currencies: readonly string[]): Bank['lacking'] {
  for (const currency of currencies) {
    const without = participants.find(({ debitCaps }) => !debitCaps.has(currency));
    const holder = participants.find(({ debitCaps }) => debitCaps.has(currency));
    if (without !== undefined && holder !== undefined) return { id: without.id, currency, holder: holder.id };
  }
  return null;
}

/** Units of 10^-5, cut to the currency's decimals. */
function formatCents(units: bigint, currency: string): string {
  const decimals = currencyDecimals.get(currency) ?? 2;
  // An amount of zero is another event.
  const cut = units / 10n ** BigInt(5 - decimals) || 1n;
  if (decimals === 0) return cut.toString();
  const text = cut.toString().padStart(decimals + 1, '0');
  return `${text.slice(0, -decimals)}.${text.slice(-decimals)}`;
}

const firstNames = ['Ada', 'Bruno', 'Carla', 'Dario', 'Elif', 'Femke', 'Goran', 'Hanna', 'Imre', 'Jonas', 'Katja', 'Luis'];
const lastNames = ['Abendroth', 'Bakker', 'Costa', 'Dvorak', 'Eklund', 'Fontaine', 'Grimaldi', 'Horvath', 'Ivanova', 'Jansen'];
const streets = ['Am Hafen', 'Rue du Moulin', 'Via Lunga', 'Kerkstraat', 'Calle Mayor', 'Station Road', 'Lindenweg'];
const places = [
  { town: 'Hamburg', country: 'DE', postCode: '20457', digits: 18 },
  { town: 'Lyon', country: 'FR', postCode: '69002', digits: 23 },
  { town: 'Madrid', country: 'ES', postCode: '28013', digits: 20 },
  { town: 'Antwerpen', country: 'BE', postCode: '2000', digits: 12 },
  { town: 'Graz', country: 'AT', postCode: '8010', digits: 16 },
  { town: 'Luzern', country: 'CH', postCode: '6003', digits: 17 },
] as const;

function party(random: Random): PartyText {
  const { town, country, postCode, digits } = random.pick(places);
  return {
    name: `${random.pick(firstNames)} ${random.pick(lastNames)}`,
    street: random.pick(streets),
    building: String(1 + random.integer(180)),
    postCode,
    town,
    country,
    iban: ibanOf(country, random.digits(digits)),
  };
}

// ── Wrong ones ──────────────────────────────────────────────────────────────────────────────────────────────────────

type Finish = (payment: PaymentText, debited: string, kind: string, expected: Expected) => GeneratedEvent;
type Way = (bank: Bank, finish: Finish) => GeneratedEvent;

function waysToBeWrong(options: GenerateOptions, { lacking }: Pick<Bank, 'lacking'>): readonly Way[] {
  const maxEventBytes = options.maxEventBytes ?? 1_048_576;
  const spoilt = (code: DeadLetterCode, kind: string, spoil: (value: Buffer) => Buffer): Way => (bank, finish) => {
    const payment = bank.payment({});
    return { ...finish(payment, payment.debited, kind, { kind: 'deadLetter', code }), spoil };
  };
  const rewritten = (code: DeadLetterCode, kind: string, rewrite: (xml: string) => string, messageType = 'pacs.008.001.08', encoding: BufferEncoding = 'utf8'): Way =>
    (bank, finish) => {
      const payment = bank.payment({});
      const made = finish(payment, payment.debited, kind, { kind: 'deadLetter', code });
      return { ...made, event: { ...made.event, messageType, document: Buffer.from(rewrite(paymentXml(payment)), encoding) } };
    };
  const rejected = (code: ReasonCode, kind: string, change: (payment: PaymentText) => Partial<PaymentText>, index: 0 | -1 = 0): Way =>
    (bank, finish) => {
      const payment = bank.payment({});
      const changed = { ...payment, ...change(payment) };
      return finish(changed, changed.debited, kind, { kind: 'rejected', code, index });
    };
  const amount = (text: string, currency?: string) => (payment: PaymentText): Partial<PaymentText> => ({
    amount: text,
    controlSum: text,
    currency: currency ?? payment.currency,
  });
  const withoutCheckDigits = (party: PartyText): PartyText => ({
    ...party,
    iban: `${party.iban.slice(0, 2)}${party.iban.slice(2, 4) === '33' ? '34' : '33'}${party.iban.slice(4)}`,
  });

  const ways: Way[] = [
    spoilt('OVERSIZE', 'too large', (value) => Buffer.concat([value, Buffer.alloc(maxEventBytes)])),
    spoilt('NOT_FRAMED', 'no wire format', (value) => value.subarray(5)),
    spoilt('NOT_FRAMED', 'empty value', () => Buffer.alloc(0)),
    spoilt('UNKNOWN_SCHEMA', 'unknown schema', (value) => withSchemaId(value, inventedSchemaId)),
    spoilt('AVRO_INVALID', 'cut off', (value) => value.subarray(0, value.length - 7)),
    spoilt('AVRO_INVALID', 'bytes left over', (value) => Buffer.concat([value, Buffer.from([1, 2])])),
    rewritten('XML_FORBIDDEN', 'document type declaration', (xml) => xml.replace('<Document', '<!DOCTYPE Document [<!ENTITY a "b">]>\n<Document')),
    rewritten('XML_FORBIDDEN', 'nested too deep', (xml) => xml.replace('</Document>', `${'<x>'.repeat(70)}${'</x>'.repeat(70)}</Document>`)),
    rewritten('XML_INVALID', 'tags that do not match', (xml) => xml.replace('</GrpHdr>', '</GrpHeader>')),
    rewritten('XML_INVALID', 'not UTF-8', (xml) => xml.replace('<Nm>', '<Nm>\u00e9'), 'pacs.008.001.08', 'latin1'),
    rewritten('XML_INVALID', 'no Document', (xml) => xml.replaceAll('Document', 'Dokument')),
    rewritten('TYPE_MISMATCH', 'another type than it says', (xml) => xml, 'pacs.009.001.08'),
    rewritten('TYPE_UNSUPPORTED', 'a statement', (xml) => xml.replace(paymentNamespace, 'urn:iso:std:iso:20022:tech:xsd:camt.053.001.08'), 'camt.053.001.08'),
    rejected('FF01', 'no charge bearer', () => ({ chargeBearer: null }), -1),
    rejected('AM19', 'number of transactions', () => ({ transactionCount: '2' }), -1),
    rejected('AM10', 'control sum', () => ({ controlSum: '0.99' }), -1),
    rejected('AM11', 'gold', amount('1.00', 'XAU')),
    rejected('AM12', 'cents of a yen', amount('500.00', 'JPY')),
    rejected('AM01', 'nothing', amount('0')),
    rejected('AM02', 'too much', amount('10000000000000.00', 'EUR')),
    rejected('AC02', 'debtor IBAN', ({ debtor }) => ({ debtor: withoutCheckDigits(debtor) })),
    rejected('AC03', 'creditor IBAN', ({ creditor }) => ({ creditor: withoutCheckDigits(creditor) })),
    rejected('DNOR', 'unknown debited bank', () => ({ debited: unknownBic })),
    rejected('CNOR', 'unknown credited bank', () => ({ credited: unknownBic })),
  ];
  if (lacking !== null) {
    const { id, currency, holder } = lacking;
    const unheld = amount(formatCents(100_000n, currency), currency);
    ways.push(rejected('AM03', 'currency not held', (payment) => ({ ...unheld(payment), debited: id, credited: holder })));
  }
  if (options.incompatibleSchemaId !== undefined) {
    const id = options.incompatibleSchemaId;
    ways.push(spoilt('SCHEMA_INCOMPATIBLE', 'another schema', (value) => withSchemaId(value, id)));
  }
  return ways;
}

function withSchemaId(value: Buffer, id: number): Buffer {
  const copy = Buffer.from(value);
  copy.writeUInt32BE(id, 1);
  return copy;
}
