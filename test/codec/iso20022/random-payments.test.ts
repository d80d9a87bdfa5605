/**
 * Random messages of every family and version that settles, written in random ways: what the engine reads of them is what
 * another parser reads, and the checks that need nothing but the message give what the description alone says.
 */
import { expect, test } from 'vitest';
import { without } from '../../integration/harness/directory.ts';
import type { Agent } from '../../integration/harness/message.ts';
import { buildOther, definitionOf, definitions } from '../../integration/harness/other-messages.ts';
import type { Family, OtherMessage, OtherTransaction } from '../../integration/harness/other-messages.ts';
import { readSample } from '../../integration/harness/sample-reader.ts';
import { createRandom } from '../../random.ts';
import { readMessage } from './reading.ts';

const seed = 20;
const messageCount = 2_000;

const agents: readonly Agent[] = [
  { bic: 'COBADEFF' }, { bic: 'DEUTDEFFXXX' }, { bic: 'COBADEFF', system: 'USABA', member: '1' }, { system: 'DEBLZ', member: '37040044' }, { system: 'X', member: 'a|b%&<' },
  { proprietarySystem: 'DEBLZ', member: '3' }, { memberOnly: '9' }, { nameOnly: 'A & B' },
];
const texts = ['A', 'NOTPROVIDED', 'a|b', '%7C', 'é€😀', ' x ', 'x'.repeat(35), '&<>"\'', 'line\nbreak', '\ttab', ']]', '😀'.repeat(35), '-->'];
const uetrs = ['8a562c67-ca16-48ba-b074-65581be6f001', '8a562c67-ca16-48ba-b074-65581be6f002'];
const amounts = [
  '10.00', '1', '.5', '5.', '+1.0', '0', '0.00', '-0', '0010.10', '1.001', '99999999999999999', '9999999999999.99999', '9999999999999.99', '10000000000000', '0.00001', ' 7 ', '\n8.5\t',
  '4503599627370497', '2251799813685248.5', '9007199254740993.1',
];
/** Decimals by ISO 4217; null: no active currency of money. */
const currencies: Readonly<Record<string, number | null>> = { EUR: 2, USD: 2, JPY: 0, KWD: 3, UYW: 4, XAU: null, DEM: null, ZZZ: null };
const ibans: Readonly<Record<string, boolean>> = {
  DE89370400440532013000: true, FR1420041010050500013M02606: true, NO9386011117947: true,
  DE88370400440532013000: false, DE8937040044053201300: false, US64123456789012345678: false,
};

const random = createRandom(seed);
const below = (limit: number): number => random.below(limit);
const pick = <T>(items: readonly T[]): T => items[below(items.length)]!;

/** The named fields, each there or not. */
function some<T extends object>(fields: T, oneOf = 2): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(() => below(oneOf) === 0)) as Partial<T>;
}

function randomTransaction(family: Family, version: string): OtherTransaction {
  const needsAgents = family === 'pacs.008' || family === 'pain.001';
  const sides = { debtorAgent: pick(agents), creditorAgent: pick(agents) };
  return {
    currency: pick(Object.keys(currencies)),
    amount: pick(amounts),
    ...some({ instructionId: pick(texts), uetr: pick(uetrs), returnId: pick(texts), debtor: pick(agents), creditor: pick(agents) }),
    ...(family === 'pacs.004' ? some({ endToEndId: pick(texts) }) : { endToEndId: pick(texts) }),
    ...(version === '02' || version === '06' ? { transactionId: pick(texts) } : some({ transactionId: pick(texts) })),
    ...(needsAgents ? sides : some(sides)),
    ...some({ instructingAgent: pick(agents), instructedAgent: pick(agents) }, 3),
    // The return chain has accounts from version 10 on.
    ...(family === 'pacs.004' && version === '09' ? {} : some({ debtorIban: pick(Object.keys(ibans)), creditorIban: pick(Object.keys(ibans)) }, 3)),
    ...(family === 'pain.001' ? some({ equivalentIn: 'USD' }, 6) : {}),
  };
}

const finePlaces = 20;

function fine(decimal: string): bigint {
  const [whole = '', fraction = ''] = decimal.trim().replace(/^[+-]/, '').split('.');
  return BigInt(whole + fraction.padEnd(finePlaces, '0'));
}

function written(value: bigint): string {
  const digits = value.toString().padStart(finePlaces + 1, '0');
  return `${pick(['', '0', '+'])}${digits.slice(0, -finePlaces)}.${digits.slice(-finePlaces).replace(/0+$/, '')}${pick(['', '0'])}`;
}

/** What the XSD lets a total be: 18 digits, five of them behind the point. */
const isTotal = (text: string): boolean => text.replaceAll(/\D/g, '').replace(/^0+/, '').length <= 18 && (text.split('.')[1] ?? '').length <= 5;

interface Described {
  readonly message: OtherMessage;
  readonly rejection: 'AM19' | 'AM10' | null;
}

function describeMessage(family: Family, version: string): Described {
  const transactions = Array.from({ length: 1 + below(below(10) === 0 ? 40 : 5) }, () => randomTransaction(family, version));
  // In a pain.001 the debtor's side is the block's.
  const message = { messageId: pick(texts), transactions, ...some({ instructingAgent: pick(agents), instructedAgent: pick(agents) }, 3) };
  const sum = transactions.reduce((total, { amount }) => total + fine(amount), 0n);
  const [isWrongCount, isWrongSum, isWrongTotal] = [below(20) === 0, below(20) === 0, below(20) === 0];
  const cent = 10n ** BigInt(finePlaces - 2);
  const controlSum = written(isWrongSum ? sum + cent : sum);
  const amount = written(isWrongTotal ? sum + cent : sum);
  const currency = pick([transactions[0]!.currency, 'EUR']);
  const hasSum = below(3) === 0 && isTotal(controlSum);
  const hasTotal = below(4) === 0 && family !== 'pain.001' && isTotal(amount);
  const isOtherCurrency = transactions.some((transaction) => transaction.currency !== currency);
  const rejection = isWrongCount ? 'AM19' : (hasSum && isWrongSum) || (hasTotal && (isWrongTotal || isOtherCurrency)) ? 'AM10' : null;
  return {
    message: {
      ...message,
      ...(isWrongCount ? { numberOfTransactions: String(transactions.length + 1) } : {}),
      ...(hasSum ? { controlSum } : {}),
      ...(hasTotal ? { total: { currency, amount } } : {}),
    },
    rejection,
  };
}

/** Says the same in other characters. */
function rewrite(xml: string): string {
  let text = xml;
  if (below(3) === 0) text = text.replaceAll('><', () => `>${pick(['', '', '\n', '\r\n\t', '<!-- <TxInf/> -->', '<?x y?>'])}<`);
  if (below(3) === 0) {
    text = text.replaceAll(/>([^<>&]+)<\//g, (all, value: string) => {
      const characters = [...value];
      const at = below(characters.length);
      const character = characters[at]!;
      if (value.trim() === '' || value.includes(']]')) return all;
      switch (below(6)) {
        case 0: return `><![CDATA[${value}]]></`;
        case 1: return `>${characters.with(at, `&#x${character.codePointAt(0)!.toString(16)};`).join('')}</`;
        case 2: return `>${characters.with(at, `${character}${pick(['<!-- c -->', '<?pi x?>'])}`).join('')}</`;
        default: return all;
      }
    });
  }
  if (below(4) === 0) text = text.replaceAll(/Ccy="(\w+)"/g, (_all, code: string) => pick([`Ccy = '${code}'`, `Ccy='&#${code.charCodeAt(0)};${code.slice(1)}'`]));
  const bare = text.replace(/<\?xml[^>]*>\n/, '');
  if (below(4) === 0) {
    const prefix = pick(['p', 'Document', 'a.b-c']);
    return bare.replace('<Document xmlns=', `<Document xmlns:${prefix}=`).replaceAll(/<(\/?)(?=[A-Z][A-Za-z0-9]*[\s>])/g, `<$1${prefix}:`);
  }
  return below(4) === 0 ? `<Env xmlns="urn:x"><h/>${bare}</Env>` : text;
}

function formalCode({ currency, amount, equivalentIn, debtorIban, creditorIban }: OtherTransaction): string | null {
  if (equivalentIn !== undefined) return 'AM12';
  const decimals = currencies[currency]!;
  if (decimals === null) return 'AM11';
  if ((amount.trim().split('.')[1] ?? '').length > decimals) return 'AM12';
  if (fine(amount) === 0n) return 'AM01';
  if (fine(amount) > fine('9999999999999.99999')) return 'AM02';
  if (debtorIban !== undefined && !ibans[debtorIban]) return 'AC02';
  return creditorIban !== undefined && !ibans[creditorIban] ? 'AC03' : null;
}

test(`${messageCount} random messages of seed ${seed} are read as another parser reads them`, () => {
  const codes = new Map<string, number>();
  for (let number = 0; number < messageCount; number++) {
    const { family, version } = pick(definitions);
    const { message, rejection } = describeMessage(family, version);
    const xml = rewrite(buildOther(family, version, message));
    const definition = definitionOf(family, version);
    const read = readMessage(xml, definition);
    const other = readSample(xml);
    const which = `message ${number}, a ${definition}: ${xml}`;
    expect([read.deadLetter, read.rejection, read.messageId], which).toEqual([null, rejection, other.messageId]);
    if (rejection !== null) codes.set(rejection, (codes.get(rejection) ?? 0) + 1);
    if (rejection !== null) continue;
    const debtorIban = message.transactions[0]!.debtorIban;
    const asWritten = family === 'pain.001'
      ? message.transactions.map((transaction) => ({ ...without(transaction, 'debtorIban'), ...(debtorIban === undefined ? {} : { debtorIban }) }))
      : message.transactions;
    const told = read.transactions.map(({ instructionId, endToEndId, transactionId, uetr, debitedAgent, creditedAgent, currency, amount, code }) => ({
      instructionId, endToEndId, transactionId, uetr, debitedParticipant: debitedAgent, creditedParticipant: creditedAgent, currency, amount, code,
    }));
    expect(told, which).toEqual(other.transactions.map((transaction, index) => ({ ...transaction, code: formalCode(asWritten[index]!) })));
    for (const { code } of told) codes.set(code ?? 'none', (codes.get(code ?? 'none') ?? 0) + 1);
  }
  expect([...codes.keys()].toSorted()).toEqual(['AC02', 'AC03', 'AM01', 'AM02', 'AM10', 'AM11', 'AM12', 'AM19', 'none']);
});
