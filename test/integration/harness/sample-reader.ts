/**
 * Reads what a message says with a parser that the fleet does not use, into a tree, by the contract's section 2 alone: what a
 * worker told of real-world messages is compared with this.
 */
import { SaxesParser } from 'saxes';

interface Element {
  readonly name: string;
  readonly namespace: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: Element[];
  text: string;
}

const isoNamespace = 'urn:iso:std:iso:20022:tech:xsd:';

/** Null: not well-formed. */
function parse(xml: string): Element | null {
  const parser = new SaxesParser({ xmlns: true });
  const root: Element = { name: '', namespace: '', attributes: new Map(), children: [], text: '' };
  const open = [root];
  let failed = false;
  parser.on('error', () => {
    failed = true;
  });
  parser.on('opentag', ({ local, uri, attributes }) => {
    const element: Element = {
      name: local, namespace: uri, children: [], text: '',
      attributes: new Map(Object.values(attributes).map(({ local: name, value }) => [name, value])),
    };
    open.at(-1)!.children.push(element);
    open.push(element);
  });
  parser.on('closetag', () => open.pop());
  const addText = (text: string): void => {
    open.at(-1)!.text += text;
  };
  parser.on('text', addText);
  parser.on('cdata', addText);
  parser.write(xml).close();
  return failed ? null : root;
}

function all(from: Element | undefined, ...path: string[]): Element[] {
  let found = from === undefined ? [] : [from];
  for (const name of path) found = found.flatMap(({ children }) => children.filter((child) => child.name === name));
  return found;
}

const first = (from: Element | undefined, ...path: string[]): Element | undefined => all(from, ...path)[0];
const textOf = (from: Element | undefined, ...path: string[]): string | null => first(from, ...path)?.text ?? null;

/** What lies inside SplmtryData is opaque. */
function documentsOf(element: Element): Element[] {
  if (element.name === 'SplmtryData') return [];
  const inside = element.children.flatMap(documentsOf);
  return element.name === 'Document' && element.namespace.startsWith(isoNamespace) ? [element, ...inside] : inside;
}

export interface SampleTransaction {
  readonly instructionId: string | null;
  readonly endToEndId: string | null;
  readonly transactionId: string | null;
  readonly uetr: string | null;
  readonly debitedParticipant: string | null;
  readonly creditedParticipant: string | null;
  readonly currency: string | null;
  /** In units of the fifth decimal place; null: none that can settle, or more than a result holds. */
  readonly amount: bigint | null;
}

export interface Sample {
  /** From its namespace; null: not one ISO 20022 Document. */
  readonly definition: string | null;
  /** Nothing but these lines can be told of a message that breaks its XSD. */
  readonly messageId: string | null;
  readonly transactions: readonly SampleTransaction[];
}

/** The first agent that is present decides. */
function identifier(...agents: readonly (Element | undefined)[]): string | null {
  const institution = first(agents.find((agent) => agent !== undefined), 'FinInstnId');
  const bic = textOf(institution, 'BICFI') ?? textOf(institution, 'BIC');
  if (bic !== null) return bic.length === 8 ? `${bic}XXX` : bic;
  const system = textOf(institution, 'ClrSysMmbId', 'ClrSysId', 'Cd');
  const member = textOf(institution, 'ClrSysMmbId', 'MmbId');
  return system === null || member === null ? null : `${system}:${member}`;
}

function settledAmount(amount: Element | undefined): bigint | null {
  const [whole = '', fraction = ''] = (amount?.text ?? '').trim().replace('+', '').split('.');
  if (whole + fraction === '') return null;
  const units = BigInt(whole) * 100_000n + BigInt(fraction.padEnd(5, '0'));
  return units > 999_999_999_999_999_999n ? null : units;
}

export function readSample(xml: string): Sample {
  const root = parse(xml.replace(/^\uFEFF/, ''));
  const documents = root === null ? [] : documentsOf(root);
  if (documents.length !== 1) return { definition: null, messageId: null, transactions: [] };
  const definition = documents[0]!.namespace.slice(isoNamespace.length);
  const body = documents[0]!.children[0];
  const header = first(body, 'GrpHdr');
  const family = definition.slice(0, 8);
  const transactions = family === 'pain.001'
    ? all(body, 'PmtInf').flatMap((block) => all(block, 'CdtTrfTxInf').map((payment) => readPayment(family, header, payment, block)))
    : all(body, family === 'pacs.004' ? 'TxInf' : 'CdtTrfTxInf').map((payment) => readPayment(family, header, payment, payment));
  return { definition, messageId: textOf(header, 'MsgId'), transactions };
}

function readPayment(family: string, header: Element | undefined, payment: Element, debtorSide: Element): SampleTransaction {
  const isReturn = family === 'pacs.004';
  const chain = first(payment, 'RtrChain');
  const institutions = family === 'pacs.009';
  const amount = { 'pacs.004': first(payment, 'RtrdIntrBkSttlmAmt'), 'pain.001': first(payment, 'Amt', 'InstdAmt') }[family] ?? first(payment, 'IntrBkSttlmAmt');
  const interbank = family !== 'pain.001';
  return {
    instructionId: isReturn ? textOf(payment, 'OrgnlInstrId') : textOf(payment, 'PmtId', 'InstrId'),
    endToEndId: isReturn ? textOf(payment, 'OrgnlEndToEndId') : textOf(payment, 'PmtId', 'EndToEndId'),
    transactionId: isReturn ? textOf(payment, 'RtrId') : textOf(payment, 'PmtId', 'TxId'),
    uetr: isReturn ? textOf(payment, 'OrgnlUETR') : textOf(payment, 'PmtId', 'UETR'),
    debitedParticipant: interbank
      ? identifier(
        first(payment, 'InstgAgt'), first(header, 'InstgAgt'), first(isReturn ? chain : payment, 'DbtrAgt'),
        isReturn ? first(chain, 'Dbtr', 'Agt') : undefined, institutions ? first(payment, 'Dbtr') : undefined,
      )
      : identifier(first(debtorSide, 'DbtrAgt')),
    creditedParticipant: interbank
      ? identifier(
        first(payment, 'InstdAgt'), first(header, 'InstdAgt'), first(isReturn ? chain : payment, 'CdtrAgt'),
        isReturn ? first(chain, 'Cdtr', 'Agt') : undefined, institutions ? first(payment, 'Cdtr') : undefined,
      )
      : identifier(first(payment, 'CdtrAgt')),
    currency: amount?.attributes.get('Ccy') ?? null,
    amount: settledAmount(amount),
  };
}
