/**
 * The events of a measurement, each made from its number alone: so a load generator, a reader and a judge in processes of
 * their own agree on every event without telling each other anything, and a million events take no memory.
 *
 * A few thousand events of the project's generator (real sizes and contents, a share of them wrong in each way that there
 * is) serve as moulds. What makes a payment this one and not another is written into a copy: event id, creation time,
 * UETRs, and the debited and credited participants. All these have fixed lengths, so nothing moves.
 */
import { createPaymentEventEncoder } from '../src/codec/payment-event.ts';
import { parseAmount } from '../src/domain/amount.ts';
import { generateEvents } from '../src/demo/generate.ts';
import type { Expected, GeneratedEvent } from '../src/demo/generate.ts';
import type { Participant } from '../src/domain/participant.ts';
import { settlementPartition } from '../src/domain/partition.ts';

export interface WorkloadOptions {
  readonly seed: number;
  readonly participants: number;
  readonly partitions: number;
  /** Transactions in each message that is not wrong; 1 to 1000. */
  readonly transactions: number;
  /** Shares of all events. */
  readonly duplicates: number;
  readonly wrong: number;
  readonly schema: { readonly id: number; readonly text: string };
  /** How many different messages there are; left out: 8192, less where each holds many transactions. */
  readonly moulds?: number;
}

export interface WorkloadEvent {
  readonly partition: number;
  readonly key: string;
  /** Valid until the next event is made. */
  readonly value: Buffer;
}

export interface Workload {
  /** Event `index` of the run, as it is put into the inbound topic. */
  make(index: number, createdAtMs: number): WorkloadEvent;
  /** What must become of it, for each of its transactions or for the message as a whole. */
  expected(index: number): Expected;
  /** How many answers it must get. */
  answers(index: number): number;
  /** For a person: `plain`, `duplicate`, or what is wrong. */
  kind(index: number): string;
}

/**
 * A resend comes this many events after the payment that it repeats. A prime, so that what a resend repeats is hardly ever
 * a resend itself.
 */
const resendDistance = 5_003;
const mouldsDefault = 8_192;
const mouldBytesMax = 64 << 20;

/** Who takes part: BICs of 11 characters, all different for up to 26^5. */
export function participantIds(count: number): string[] {
  const letter = (n: number): string => String.fromCharCode(65 + (Math.floor(n) % 26));
  return Array.from({ length: count }, (_, i) => `B${letter(i / 17_576)}${letter(i / 676)}${letter(i / 26)}DE${letter(i)}${letter(i / 456_976)}XXX`);
}

/** No measurement hits a cap: what settles depends on nothing that is a matter of time. */
export const debitCap = '9000000000.00';

// ── Event ids ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** A UUID whose first part is the run's seed and whose last is the event's number. */
export function eventIdOf(seed: number, index: number): string {
  return `${hex(seed >>> 0, 8)}-0000-4000-8000-${hex(index, 12)}`;
}

/** The number of an event of this run; -1 for any other. */
export function indexOfEventId(seed: number, eventId: string): number {
  if (!eventId.startsWith(`${hex(seed >>> 0, 8)}-0000-4000-8000-`)) return -1;
  return Number.parseInt(eventId.slice(24), 16);
}

/**
 * The same from the bytes of a PaymentResult or a PaymentEvent in the wire format, whose first field it is: five bytes of
 * framing, one of length, 36 of the id. -1 for what is no event of this run.
 */
export function createIndexReader(seed: number): (value: Uint8Array) => number {
  const prefix = Buffer.from(eventIdOf(seed, 0)).subarray(0, 24);
  return (value) => {
    if (value.length < eventIdAt + 36 || value[eventIdAt - 1] !== 72) return -1;
    for (let i = 0; i < 24; i++) if (value[eventIdAt + i] !== prefix[i]) return -1;
    let index = 0;
    for (let i = 24; i < 36; i++) {
      const digit = value[eventIdAt + i]!;
      index = index * 16 + (digit < 58 ? digit - 48 : digit - 87);
    }
    return index;
  };
}

const eventIdAt = 6;

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

// ── Moulds ──────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Mould {
  readonly value: Buffer;
  /** Where in `value` the creation time lies, six bytes. */
  readonly createdAt: number;
  readonly uetrs: readonly number[];
  readonly debited: readonly number[];
  /** One list for each transaction. */
  readonly credited: readonly (readonly number[])[];
  /** The debited participant where it is none of the directory. */
  readonly foreign: string | null;
  readonly spoil: GeneratedEvent['spoil'];
  readonly expected: Expected;
  readonly kind: string;
}

const placeholders = ['AAAADEAAXXX', 'BBBBDEBBXXX'] as const;
/** The generator keeps the participant with the smallest cap to itself. */
const setAside = 'CCCCDECCXXX';
/** Any time of this century is written in six bytes: 2^40 ms to 2^41 ms. */
const createdAtBytes = 6;
const mouldTime = 1_800_000_000_000;

export function createWorkload(options: WorkloadOptions): Workload {
  const { seed, partitions } = options;
  const moulds = castMoulds(options);
  const ids = participantIds(options.participants);
  if (ids.length < 2) throw new RangeError('a workload needs two participants');
  const owners = Int32Array.from(ids, (id) => settlementPartition(id, partitions));
  const resendEvery = options.duplicates > 0 ? Math.max(2, Math.round(1 / options.duplicates)) : 0;
  const wrongs = moulds.filter(({ kind }) => kind !== 'plain');
  const plains = moulds.filter(({ kind }) => kind === 'plain');
  const wrongEvery = options.wrong > 0 && wrongs.length > 0 ? Math.max(2, Math.round(1 / options.wrong)) : 0;

  const isWrong = (index: number): boolean => wrongEvery > 0 && index % wrongEvery === wrongEvery - 1;
  const mouldOf = (payment: number): Mould =>
    isWrong(payment) ? wrongs[Math.floor(payment / wrongEvery) % wrongs.length]! : plains[payment % plains.length]!;
  /** The payment that an event brings: its own, or an earlier one's once more. Only plain ones are sent again. */
  const paymentOf = (index: number): number => {
    if (resendEvery === 0 || index < resendDistance || index % resendEvery !== resendEvery >> 1 || isWrong(index)) return index;
    const earlier = index - resendDistance;
    return isWrong(earlier) || (earlier >= resendDistance && earlier % resendEvery === resendEvery >> 1) ? index : earlier;
  };
  const idPrefix = eventIdOf(seed, 0).slice(0, 24);

  return {
    make(index, createdAtMs) {
      const payment = paymentOf(index);
      const mould = mouldOf(payment);
      const { value } = mould;
      const debited = mix(payment, seed) % ids.length;
      value.write(idPrefix, eventIdAt, 'latin1');
      putHex(value, eventIdAt + 24, index, 12);
      putTime(value, mould.createdAt, createdAtMs);
      for (let i = 0; i < mould.uetrs.length; i++) {
        putUetr(value, mould.uetrs[i]!, payment, i, seed);
        const credited = ids[(debited + 1 + (mix(payment * 31 + i, seed ^ 0x5bd1e995) % (ids.length - 1))) % ids.length]!;
        for (const at of mould.credited[i]!) value.write(credited, at, 'latin1');
      }
      for (const at of mould.debited) value.write(ids[debited]!, at, 'latin1');
      return {
        partition: mould.foreign === null ? owners[debited]! : settlementPartition(mould.foreign, partitions),
        key: mould.foreign ?? ids[debited]!,
        value: mould.spoil === null ? value : mould.spoil(value),
      };
    },
    expected: (index) => (paymentOf(index) === index ? mouldOf(index).expected : { kind: 'rejected', code: 'AM05', index: 0 }),
    answers: (index) => {
      const { expected, uetrs } = mouldOf(paymentOf(index));
      return expected.kind === 'deadLetter' ? 0 : expected.kind === 'rejected' && expected.index === -1 ? 1 : uetrs.length;
    },
    kind: (index) => (paymentOf(index) === index ? mouldOf(index).kind : 'duplicate'),
  };
}

function castMoulds(options: WorkloadOptions): Mould[] {
  const { transactions } = options;
  const encode = createPaymentEventEncoder(JSON.parse(options.schema.text), options.schema.id);
  const participants: Participant[] = [...placeholders, setAside].map((id, i) => ({
    id, name: id, aliases: [], debitCaps: new Map([['EUR', i === 2 ? 500_000n : 900_000_000_000_000n]]),
  }));
  const count = Math.max(64, Math.min(options.moulds ?? mouldsDefault, Math.floor(mouldBytesMax / (1_900 * transactions))));
  const generate = (number: number, wrong: number, seed: number): GeneratedEvent[] => [...generateEvents({
    seed, count: number, participants, duplicates: 0, misdirected: 0, capped: 0, wrong, source: 'bench',
  })];
  // One event of a megabyte among thousands would be a measurement of its own.
  const wrong = generate(64, 1, options.seed + 1).filter(({ kind }) => kind !== 'too large');
  const wrongOnce = wrong.filter(({ kind }, i) => wrong.findIndex((one) => one.kind === kind) === i);
  const plain = generate(count * transactions, 0, options.seed);
  const messages = transactions === 1
    ? plain
    : Array.from({ length: count }, (_, i) => asOneMessage(plain.slice(i * transactions, (i + 1) * transactions)));
  return [...messages, ...wrongOnce].map((event) => cast(event, encode));
}

function cast(generated: GeneratedEvent, encode: ReturnType<typeof createPaymentEventEncoder>): Mould {
  const event = { ...generated.event, eventId: eventIdOf(0, 0), createdAt: mouldTime };
  const value = encode(event);
  const time = Buffer.alloc(createdAtBytes);
  putTime(time, 0, mouldTime);
  const places = (text: string): number[] => {
    const found: number[] = [];
    for (let at = value.indexOf(text); at >= 0; at = value.indexOf(text, at + 1)) found.push(at + text.length);
    return found;
  };
  const uetrs = places('<UETR>');
  const debited: number[] = [];
  const credited: number[][] = uetrs.map(() => []);
  for (const at of places('<BICFI>')) {
    const id = value.toString('latin1', at, at + 11);
    const transaction = Math.max(0, uetrs.findLastIndex((uetr) => uetr < at));
    if (id === generated.debited && (placeholders as readonly string[]).includes(id)) debited.push(at);
    else if ((placeholders as readonly string[]).includes(id)) {
      // What the group header says holds for the first transaction, and a message that has it there has only one.
      credited[transaction]?.push(at);
    }
  }
  return {
    value, createdAt: value.indexOf(time, eventIdAt + 36), uetrs, debited, credited,
    foreign: (placeholders as readonly string[]).includes(generated.debited) ? null : generated.debited,
    spoil: generated.spoil, expected: generated.expected, kind: generated.kind,
  };
}

/** The transactions of several messages under the first one's header: who is credited stands in each. */
function asOneMessage(events: readonly GeneratedEvent[]): GeneratedEvent {
  const first = events[0]!;
  const texts = events.map(({ event }) => Buffer.from(event.document).toString());
  const amountOf = (text: string): bigint => parseAmount(/<IntrBkSttlmAmt Ccy="EUR">([^<]+)</.exec(text)![1]!)!;
  const cents = texts.reduce((sum, text) => sum + amountOf(text), 0n) / 1000n;
  const total = `${cents / 100n}.${String(cents % 100n).padStart(2, '0')}`;
  const transactionsOf = (text: string, debited: string): string =>
    text.slice(text.indexOf('<CdtTrfTxInf>'), text.indexOf('</FIToFICstmrCdtTrf>'))
      // One debited participant, that of the header; the other placeholder is credited.
      .replace(/<DbtrAgt>.*<\/DbtrAgt>/, `<DbtrAgt>${agent(first.debited)}</DbtrAgt>`)
      .replace(/<CdtrAgt>.*<\/CdtrAgt>/, `<CdtrAgt>${agent(debited)}</CdtrAgt>`);
  const agent = (id: string): string => `<FinInstnId><BICFI>${id}</BICFI></FinInstnId>`;
  const other = placeholders.find((id) => id !== first.debited)!;
  const document = texts[0]!
    .replace(/<NbOfTxs>\d+</, `<NbOfTxs>${events.length}<`)
    .replace(/<CtrlSum>[^<]+</, `<CtrlSum>${total}<`)
    .replace(/(<TtlIntrBkSttlmAmt Ccy="EUR">)[^<]+</, `$1${total}<`)
    .replace(/<InstdAgt>.*<\/InstdAgt>\n/, '')
    .replace(/<CdtTrfTxInf>[\s\S]*<\/CdtTrfTxInf>\n/, () => texts.map((text) => transactionsOf(text, other)).join(''));
  return { ...first, event: { ...first.event, document: Buffer.from(document) } };
}

// ── Writing into a mould ────────────────────────────────────────────────────────────────────────────────────────────

/** Thomas Wang's way of spreading integers; 32 bits, not negative. */
function mix(value: number, seed: number): number {
  let h = (value ^ Math.imul(seed | 1, 0x9e3779b1)) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

const digitOf = Buffer.from('0123456789abcdef');

function putHex(bytes: Buffer, at: number, value: number, digits: number): void {
  let rest = value;
  for (let i = digits - 1; i >= 0; i--) {
    bytes[at + i] = digitOf[rest % 16]!;
    rest = Math.floor(rest / 16);
  }
}

/** Version 4 by its form; different for each payment and transaction, and alike for none of another seed. */
function putUetr(bytes: Buffer, at: number, payment: number, transaction: number, seed: number): void {
  putHex(bytes, at, mix(payment, seed ^ (transaction + 1)), 8);
  bytes[at + 8] = 45;
  putHex(bytes, at + 9, seed & 0xffff, 4);
  bytes[at + 13] = 45;
  bytes[at + 14] = 52;
  putHex(bytes, at + 15, transaction, 3);
  bytes[at + 18] = 45;
  bytes[at + 19] = 56;
  putHex(bytes, at + 20, (seed >>> 16) & 0xfff, 3);
  bytes[at + 23] = 45;
  putHex(bytes, at + 24, payment, 12);
}

/** Avro's long, zig-zag, in exactly six bytes. */
function putTime(bytes: Buffer, at: number, milliseconds: number): void {
  let rest = milliseconds * 2;
  for (let i = 0; i < createdAtBytes - 1; i++) {
    bytes[at + i] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  bytes[at + createdAtBytes - 1] = rest;
}
