/**
 * What an inbound record says of itself: the envelope, and of each transaction its identifiers, its amount and its accounts. A
 * glance, not a judgement: it takes what it finds, also in messages that are not valid, and leaves verdicts to the fleet.
 */
import { EventReader } from '../codec/avro/event-reader.ts';
import { planEvent } from '../codec/avro/event-plan.ts';
import { parseWriterSchema } from '../codec/avro/writer-schema.ts';
import { schemaIdAt, wireHeaderBytes } from '../codec/wire-format.ts';
import { parseAmount } from '../domain/amount.ts';

export interface GlancedEvent {
  readonly eventId: string;
  readonly messageType: string;
  readonly source: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly document: Uint8Array;
}

/** `schemaTexts`: the writer's schema behind those that it refers to. Null: the value is no PaymentEvent of that schema. */
export function readEvent(value: Uint8Array | null, schemaTexts: readonly string[]): GlancedEvent | null {
  if (value === null || schemaIdAt(value, 0, value.length) < 0) return null;
  let plan;
  try {
    plan = planEvent(parseWriterSchema(schemaTexts));
  } catch {
    return null;
  }
  if (plan.kind === 'incompatible') return null;
  const reader = new EventReader();
  if (reader.read(plan.root, value, wireHeaderBytes, value.length) !== 'read') return null;
  const text = (target: 0 | 1 | 2): string => {
    const start = reader.textStart[target];
    return Buffer.from(value.subarray(start, start + reader.textLength[target])).toString('utf8');
  };
  return {
    eventId: text(0),
    messageType: text(1),
    source: text(2),
    createdAt: reader.createdAt,
    document: value.subarray(reader.documentStart, reader.documentStart + reader.documentLength),
  };
}

export interface GlancedMessage {
  readonly messageId: string | null;
  readonly transactions: readonly GlancedTransaction[];
}

export interface GlancedTransaction {
  readonly index: number;
  readonly uetr: string | null;
  readonly endToEndId: string | null;
  readonly transactionId: string | null;
  readonly instructionId: string | null;
  readonly currency: string | null;
  /** In 10^-5 of the currency's unit. */
  readonly amount: bigint | null;
  /** In clear: whoever shows them masks them. */
  readonly debtorAccount: string | null;
  readonly creditorAccount: string | null;
}

const token = /<!--[\s\S]*?-->|<!\[CDATA\[[\s\S]*?\]\]>|<\?[\s\S]*?\?>|<[^>]*>|[^<]+/g;
const transactionTags = new Set(['CdtTrfTxInf', 'TxInf']);
/** What lies in these speaks of another payment, or of none. */
const otherPayments = new Set(['UndrlygCstmrCdtTrf', 'OrgnlTxRef', 'SplmtryData']);
const amountTags = new Set(['IntrBkSttlmAmt', 'RtrdIntrBkSttlmAmt', 'InstdAmt']);
/** Which field an element fills; pacs.004 names the payment that is returned. */
const fields: Readonly<Record<string, keyof GlancedTransaction>> = {
  'PmtId/UETR': 'uetr',
  'PmtId/EndToEndId': 'endToEndId',
  'PmtId/TxId': 'transactionId',
  'PmtId/InstrId': 'instructionId',
  OrgnlUETR: 'uetr',
  OrgnlEndToEndId: 'endToEndId',
  RtrId: 'transactionId',
  'DbtrAcct/Id/IBAN': 'debtorAccount',
  'DbtrAcct/Id/Othr/Id': 'debtorAccount',
  'CdtrAcct/Id/IBAN': 'creditorAccount',
  'CdtrAcct/Id/Othr/Id': 'creditorAccount',
};

export function glanceMessage(document: Uint8Array): GlancedMessage {
  const path: string[] = [];
  const transactions: Record<string, unknown>[] = [];
  let transactionAt = -1;
  let blockDebtorAccount: string | null = null;
  let otherAt = -1;
  let currency: string | null = null;
  let messageId: string | null = null;

  for (const [part] of new TextDecoder().decode(document).matchAll(token)) {
    if (part.startsWith('</')) {
      path.pop();
      if (path.length <= transactionAt) transactionAt = -1;
      if (path.length <= otherAt) otherAt = -1;
    } else if (part.startsWith('<') && !part.startsWith('<![CDATA[')) {
      if (part.startsWith('<!') || part.startsWith('<?')) continue;
      const name = /^<(?:[^\s/>:]+:)?([^\s/>]+)/.exec(part)?.[1] ?? '';
      if (amountTags.has(name)) currency = /\sCcy\s*=\s*["']([^"']*)["']/.exec(part)?.[1] ?? null;
      if (name === 'PmtInf') blockDebtorAccount = null;
      if (part.endsWith('/>')) continue;
      if (otherAt < 0 && otherPayments.has(name)) otherAt = path.length;
      if (otherAt < 0 && transactionAt < 0 && transactionTags.has(name)) {
        transactionAt = path.length;
        transactions.push({ debtorAccount: blockDebtorAccount });
      }
      path.push(name);
    } else if (otherAt < 0) {
      const text = unescaped(part.startsWith('<![CDATA[') ? part.slice(9, -3) : part).trim();
      if (text === '') continue;
      const transaction = transactions.at(-1);
      if (transactionAt >= 0 && transaction !== undefined) {
        const within = path.slice(transactionAt + 1);
        const field = fields[within.join('/')];
        if (field !== undefined) transaction[field] ??= field === 'uetr' ? text.toLowerCase() : text;
        const last = within.at(-1) ?? '';
        if (amountTags.has(last) && (within.length === 1 || within[0] === 'Amt')) {
          transaction['currency'] = currency;
          transaction['amount'] = parseAmount(text);
        }
      } else if (path.at(-1) === 'MsgId' && path.at(-2) === 'GrpHdr') messageId ??= text;
      else if (path.join('/').endsWith('PmtInf/DbtrAcct/Id/IBAN') || path.join('/').endsWith('PmtInf/DbtrAcct/Id/Othr/Id')) blockDebtorAccount = text;
    }
  }
  const nothing = { uetr: null, endToEndId: null, transactionId: null, instructionId: null, currency: null, amount: null, debtorAccount: null, creditorAccount: null };
  return { messageId, transactions: transactions.map((found, index) => ({ ...nothing, ...found, index })) };
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function unescaped(text: string): string {
  return text.replace(/&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#x([0-9a-fA-F]{1,6}));/g, (whole, name?: string, decimal?: string, hexadecimal?: string) => {
    if (name !== undefined) return entities[name]!;
    const code = decimal === undefined ? Number.parseInt(hexadecimal!, 16) : Number(decimal);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

/** Country and check digits, and the last four characters: enough to tell accounts apart, not enough to use one. */
export function maskAccount(account: string): string {
  const plain = account.replace(/\s/g, '');
  if (plain.length < 12) return '*'.repeat(plain.length);
  return `${plain.slice(0, 4)}${'*'.repeat(plain.length - 8)}${plain.slice(-4)}`;
}
