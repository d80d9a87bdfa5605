/**
 * Builds messages of every definition that settles, each family from its own description, valid against the official XSDs
 * unless the description says otherwise. What a version does not have (a UETR before pacs.008.001.08) is not written.
 */
import type { Agent } from './message.ts';

export const creditTransferVersions = ['02', '06', '08', '09', '10', '12'] as const;
export const institutionVersions = ['08', '10'] as const;
export const returnVersions = ['09', '11'] as const;
export const initiationVersions = ['03', '09', '11'] as const;

export type Family = 'pacs.008' | 'pacs.009' | 'pacs.004' | 'pain.001';

export const definitions: readonly { readonly family: Family; readonly version: string }[] = [
  ...creditTransferVersions.map((version) => ({ family: 'pacs.008', version }) as const),
  ...institutionVersions.map((version) => ({ family: 'pacs.009', version }) as const),
  ...returnVersions.map((version) => ({ family: 'pacs.004', version }) as const),
  ...initiationVersions.map((version) => ({ family: 'pain.001', version }) as const),
];

/** A transaction of any family; each builder writes what its family has. In a pacs.004 the ids are the original's. */
export interface OtherTransaction {
  readonly instructionId?: string;
  readonly endToEndId?: string;
  readonly transactionId?: string;
  readonly uetr?: string;
  /** pacs.004 only. */
  readonly returnId?: string;
  readonly currency: string;
  /** As written. */
  readonly amount: string;
  /** pain.001 only: an amount that is to be converted into this currency first. */
  readonly equivalentIn?: string;
  readonly instructingAgent?: Agent;
  readonly instructedAgent?: Agent;
  readonly debtorAgent?: Agent;
  readonly creditorAgent?: Agent;
  /** pacs.009: the debtor itself. pacs.004: the debtor of the return, where it is an institution. */
  readonly debtor?: Agent;
  readonly creditor?: Agent;
  readonly debtorIban?: string;
  readonly creditorIban?: string;
  /** pacs.004 only: the return chain is left out. */
  readonly withoutChain?: boolean;
  /** Put in as it is, at the end. */
  readonly extra?: string;
}

export interface OtherMessage {
  readonly messageId: string;
  /** As written; left out: the number of transactions. */
  readonly numberOfTransactions?: string;
  readonly controlSum?: string;
  readonly total?: { readonly currency: string; readonly amount: string };
  readonly instructingAgent?: Agent;
  readonly instructedAgent?: Agent;
  readonly transactions: readonly OtherTransaction[];
}

/** pain.001: the debtor's side stands in the block. */
export interface Block {
  readonly numberOfTransactions?: string;
  readonly controlSum?: string;
  readonly debtorAgent: Agent;
  readonly debtorIban?: string;
  /** A date and a time, where the version has the choice. */
  readonly executionTime?: boolean;
  readonly transactions: readonly OtherTransaction[];
}

export interface Initiation {
  readonly messageId: string;
  readonly numberOfTransactions?: string;
  readonly controlSum?: string;
  readonly blocks: readonly Block[];
}

export const definitionOf = (family: Family, version: string): string => `${family}.001.${version}`;

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function element(name: string, text: string | undefined): string {
  return text === undefined ? '' : `<${name}>${escaped(text)}</${name}>`;
}

function money(name: string, { currency, amount }: { currency: string; amount: string }): string {
  return `<${name} Ccy="${currency}">${amount}</${name}>`;
}

function clearingMember(system: string, member: string): string {
  return `<ClrSysMmbId>${system}<MmbId>${escaped(member)}</MmbId></ClrSysMmbId>`;
}

/** Writes the parts that differ in name from version to version. */
class Version {
  readonly #bic: string;
  readonly hasTransactionId: boolean;
  readonly hasUetr: boolean;
  readonly hasDateChoice: boolean;

  constructor(family: Family, version: string) {
    const definition = definitionOf(family, version);
    this.#bic = definition === 'pacs.008.001.02' || definition === 'pain.001.001.03' ? 'BIC' : 'BICFI';
    this.hasTransactionId = family !== 'pain.001';
    this.hasUetr = !['pacs.008.001.02', 'pacs.008.001.06', 'pain.001.001.03'].includes(definition);
    this.hasDateChoice = definition !== 'pain.001.001.03';
  }

  agent(name: string, agent: Agent | undefined): string {
    return agent === undefined ? '' : `<${name}><FinInstnId>${this.#institution(agent)}</FinInstnId></${name}>`;
  }

  #institution(agent: Agent): string {
    if ('bic' in agent) {
      const member = agent.member === undefined ? '' : clearingMember(`<ClrSysId><Cd>${agent.system ?? 'USABA'}</Cd></ClrSysId>`, agent.member);
      return `<${this.#bic}>${agent.bic}</${this.#bic}>${member}`;
    }
    if ('system' in agent) return clearingMember(`<ClrSysId><Cd>${agent.system}</Cd></ClrSysId>`, agent.member);
    if ('proprietarySystem' in agent) return clearingMember(`<ClrSysId><Prtry>${agent.proprietarySystem}</Prtry></ClrSysId>`, agent.member);
    if ('memberOnly' in agent) return clearingMember('', agent.memberOnly);
    return `<Nm>${escaped(agent.nameOnly)}</Nm>`;
  }

  paymentId({ instructionId, endToEndId, transactionId, uetr }: OtherTransaction): string {
    const ids = [
      element('InstrId', instructionId),
      element('EndToEndId', endToEndId),
      this.hasTransactionId ? element('TxId', transactionId) : '',
      this.hasUetr ? element('UETR', uetr) : '',
    ];
    return `<PmtId>${ids.join('')}</PmtId>`;
  }
}

function iban(name: string, number: string | undefined): string {
  return number === undefined ? '' : `<${name}><Id><IBAN>${number}</IBAN></Id></${name}>`;
}

function documentOf(family: Family, version: string, body: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:${definitionOf(family, version)}">${body}</Document>`;
}

function groupHeader(version: Version, totalName: string, message: OtherMessage): string {
  return [
    '<GrpHdr>',
    element('MsgId', message.messageId),
    '<CreDtTm>2026-11-23T08:00:00Z</CreDtTm>',
    element('NbOfTxs', message.numberOfTransactions ?? String(message.transactions.length)),
    element('CtrlSum', message.controlSum),
    message.total === undefined ? '' : money(totalName, message.total),
    '<IntrBkSttlmDt>2026-11-23</IntrBkSttlmDt>',
    '<SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf>',
    version.agent('InstgAgt', message.instructingAgent),
    version.agent('InstdAgt', message.instructedAgent),
    '</GrpHdr>',
  ].join('');
}

export function creditTransfer(number: string, message: OtherMessage): string {
  const version = new Version('pacs.008', number);
  const transactions = message.transactions.map((transaction) => [
    '<CdtTrfTxInf>',
    version.paymentId(transaction),
    money('IntrBkSttlmAmt', transaction),
    '<ChrgBr>SLEV</ChrgBr>',
    version.agent('InstgAgt', transaction.instructingAgent),
    version.agent('InstdAgt', transaction.instructedAgent),
    '<Dbtr><Nm>Erika Muster</Nm></Dbtr>',
    iban('DbtrAcct', transaction.debtorIban),
    version.agent('DbtrAgt', transaction.debtorAgent),
    version.agent('CdtrAgt', transaction.creditorAgent),
    '<Cdtr><Nm>Jane Roe</Nm></Cdtr>',
    iban('CdtrAcct', transaction.creditorIban),
    transaction.extra ?? '',
    '</CdtTrfTxInf>',
  ].join(''));
  const header = groupHeader(version, 'TtlIntrBkSttlmAmt', message);
  return documentOf('pacs.008', number, `<FIToFICstmrCdtTrf>${header}${transactions.join('')}</FIToFICstmrCdtTrf>`);
}

export function institutionTransfer(number: string, message: OtherMessage): string {
  const version = new Version('pacs.009', number);
  const transactions = message.transactions.map((transaction) => [
    '<CdtTrfTxInf>',
    version.paymentId(transaction),
    money('IntrBkSttlmAmt', transaction),
    version.agent('InstgAgt', transaction.instructingAgent),
    version.agent('InstdAgt', transaction.instructedAgent),
    version.agent('Dbtr', transaction.debtor ?? { nameOnly: 'A debtor without a code' }),
    iban('DbtrAcct', transaction.debtorIban),
    version.agent('DbtrAgt', transaction.debtorAgent),
    version.agent('CdtrAgt', transaction.creditorAgent),
    version.agent('Cdtr', transaction.creditor ?? { nameOnly: 'A creditor without a code' }),
    iban('CdtrAcct', transaction.creditorIban),
    transaction.extra ?? '',
    '</CdtTrfTxInf>',
  ].join(''));
  const header = groupHeader(version, 'TtlIntrBkSttlmAmt', message);
  return documentOf('pacs.009', number, `<FICdtTrf>${header}${transactions.join('')}</FICdtTrf>`);
}

export function paymentReturn(number: string, message: OtherMessage): string {
  const version = new Version('pacs.004', number);
  const party = (name: string, agent: Agent | undefined): string =>
    `<${name}>${agent === undefined ? '<Pty><Nm>Erika Muster</Nm></Pty>' : version.agent('Agt', agent)}</${name}>`;
  const chain = (transaction: OtherTransaction): string => [
    '<RtrChain>',
    party('Dbtr', transaction.debtor),
    iban('DbtrAcct', transaction.debtorIban),
    version.agent('DbtrAgt', transaction.debtorAgent),
    version.agent('CdtrAgt', transaction.creditorAgent),
    party('Cdtr', transaction.creditor),
    iban('CdtrAcct', transaction.creditorIban),
    '</RtrChain>',
  ].join('');
  const transactions = message.transactions.map((transaction) => [
    '<TxInf>',
    element('RtrId', transaction.returnId),
    '<OrgnlGrpInf><OrgnlMsgId>O-1</OrgnlMsgId><OrgnlMsgNmId>pacs.008.001.08</OrgnlMsgNmId></OrgnlGrpInf>',
    element('OrgnlInstrId', transaction.instructionId),
    element('OrgnlEndToEndId', transaction.endToEndId),
    element('OrgnlTxId', transaction.transactionId),
    element('OrgnlUETR', transaction.uetr),
    // Another amount than what is returned: it must not be taken for it.
    money('OrgnlIntrBkSttlmAmt', { currency: 'USD', amount: '77.77' }),
    money('RtrdIntrBkSttlmAmt', transaction),
    version.agent('InstgAgt', transaction.instructingAgent),
    version.agent('InstdAgt', transaction.instructedAgent),
    transaction.withoutChain === true ? '' : chain(transaction),
    '<RtrRsnInf><Rsn><Cd>AC04</Cd></Rsn></RtrRsnInf>',
    transaction.extra ?? '',
    '</TxInf>',
  ].join(''));
  const header = groupHeader(version, 'TtlRtrdIntrBkSttlmAmt', message);
  return documentOf('pacs.004', number, `<PmtRtr>${header}${transactions.join('')}</PmtRtr>`);
}

export function initiation(number: string, message: Initiation): string {
  const version = new Version('pain.001', number);
  const amountOf = (transaction: OtherTransaction): string => transaction.equivalentIn === undefined
    ? money('InstdAmt', transaction)
    : `<EqvtAmt>${money('Amt', transaction)}<CcyOfTrf>${transaction.equivalentIn}</CcyOfTrf></EqvtAmt>`;
  const dateOf = ({ executionTime }: Block): string => {
    if (!version.hasDateChoice) return '2026-11-23';
    return executionTime === true ? '<DtTm>2026-11-23T08:00:00Z</DtTm>' : '<Dt>2026-11-23</Dt>';
  };
  const blocks = message.blocks.map((block, index) => [
    `<PmtInf><PmtInfId>B-${index}</PmtInfId><PmtMtd>TRF</PmtMtd>`,
    element('NbOfTxs', block.numberOfTransactions),
    element('CtrlSum', block.controlSum),
    `<ReqdExctnDt>${dateOf(block)}</ReqdExctnDt>`,
    '<Dbtr><Nm>Erika Muster</Nm></Dbtr>',
    block.debtorIban === undefined ? '<DbtrAcct><Id><Othr><Id>123</Id></Othr></Id></DbtrAcct>' : iban('DbtrAcct', block.debtorIban),
    version.agent('DbtrAgt', block.debtorAgent),
    ...block.transactions.map((transaction) => [
      '<CdtTrfTxInf>',
      version.paymentId(transaction),
      `<Amt>${amountOf(transaction)}</Amt>`,
      version.agent('CdtrAgt', transaction.creditorAgent),
      '<Cdtr><Nm>Jane Roe</Nm></Cdtr>',
      iban('CdtrAcct', transaction.creditorIban),
      transaction.extra ?? '',
      '</CdtTrfTxInf>',
    ].join('')),
    '</PmtInf>',
  ].join(''));
  const count = message.blocks.reduce((sum, { transactions }) => sum + transactions.length, 0);
  const header = [
    '<GrpHdr>',
    element('MsgId', message.messageId),
    '<CreDtTm>2026-11-23T08:00:00Z</CreDtTm>',
    element('NbOfTxs', message.numberOfTransactions ?? String(count)),
    element('CtrlSum', message.controlSum),
    '<InitgPty><Nm>Erika Muster</Nm></InitgPty>',
    '</GrpHdr>',
  ].join('');
  return documentOf('pain.001', number, `<CstmrCdtTrfInitn>${header}${blocks.join('')}</CstmrCdtTrfInitn>`);
}

/** A message of any family with the debtor's side of its first transaction; in a pain.001 all stand in one block. */
export function buildOther(family: Family, version: string, message: OtherMessage): string {
  if (family === 'pacs.008') return creditTransfer(version, message);
  if (family === 'pacs.009') return institutionTransfer(version, message);
  if (family === 'pacs.004') return paymentReturn(version, message);
  const { debtorAgent = { nameOnly: 'A bank without a code' }, debtorIban } = message.transactions[0]!;
  return initiation(version, {
    messageId: message.messageId,
    blocks: [{ debtorAgent, transactions: message.transactions, ...(debtorIban === undefined ? {} : { debtorIban }) }],
    ...(message.numberOfTransactions === undefined ? {} : { numberOfTransactions: message.numberOfTransactions }),
    ...(message.controlSum === undefined ? {} : { controlSum: message.controlSum }),
  });
}
