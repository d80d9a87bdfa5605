/**
 * Builds pacs.008.001.08 messages from a description, valid against the official XSD unless the description says
 * otherwise. The description is what the truth model judges, so nothing is ever parsed back.
 */

/** How an agent is named. `none`: the element is left out. `nameOnly`: present, with neither BIC nor clearing member. */
export type Agent =
  | { readonly bic: string; readonly member?: string; readonly system?: string }
  | { readonly system: string; readonly member: string }
  | { readonly proprietarySystem: string; readonly member: string }
  | { readonly memberOnly: string }
  | { readonly nameOnly: string };

export interface TransactionSpec {
  readonly instructionId?: string;
  readonly endToEndId: string;
  readonly transactionId?: string;
  readonly uetr?: string;
  readonly currency: string;
  /** As written. */
  readonly amount: string;
  readonly instructingAgent?: Agent;
  readonly instructedAgent?: Agent;
  readonly debtorAgent: Agent;
  readonly creditorAgent: Agent;
  readonly debtorIban?: string;
  readonly creditorIban?: string;
  /** Put in as it is, behind Cdtr or CdtrAcct. */
  readonly extra?: string;
}

export interface MessageSpec {
  readonly messageId: string;
  /** As written; left out: the number of transactions. */
  readonly numberOfTransactions?: string;
  readonly controlSum?: string;
  readonly total?: { readonly currency: string; readonly amount: string };
  readonly instructingAgent?: Agent;
  readonly instructedAgent?: Agent;
  readonly transactions: readonly TransactionSpec[];
}

export const namespace = 'urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08';
export const messageType = 'pacs.008.001.08';

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function element(name: string, text: string | undefined): string {
  return text === undefined ? '' : `<${name}>${escaped(text)}</${name}>`;
}

function agentElement(name: string, agent: Agent | undefined): string {
  if (agent === undefined) return '';
  return `<${name}><FinInstnId>${institution(agent)}</FinInstnId></${name}>`;
}

function clearingMember(system: string, member: string): string {
  return `<ClrSysMmbId>${system}<MmbId>${escaped(member)}</MmbId></ClrSysMmbId>`;
}

function institution(agent: Agent): string {
  if ('bic' in agent) {
    const member = agent.member === undefined ? '' : clearingMember(`<ClrSysId><Cd>${agent.system ?? 'USABA'}</Cd></ClrSysId>`, agent.member);
    return `<BICFI>${agent.bic}</BICFI>${member}`;
  }
  if ('system' in agent) return clearingMember(`<ClrSysId><Cd>${agent.system}</Cd></ClrSysId>`, agent.member);
  if ('proprietarySystem' in agent) return clearingMember(`<ClrSysId><Prtry>${agent.proprietarySystem}</Prtry></ClrSysId>`, agent.member);
  if ('memberOnly' in agent) return clearingMember('', agent.memberOnly);
  return `<Nm>${escaped(agent.nameOnly)}</Nm>`;
}

function accountElement(name: string, iban: string | undefined): string {
  return iban === undefined ? '' : `<${name}><Id><IBAN>${iban}</IBAN></Id></${name}>`;
}

function transactionElement(transaction: TransactionSpec): string {
  return [
    '<CdtTrfTxInf><PmtId>',
    element('InstrId', transaction.instructionId),
    element('EndToEndId', transaction.endToEndId),
    element('TxId', transaction.transactionId),
    element('UETR', transaction.uetr),
    '</PmtId>',
    `<IntrBkSttlmAmt Ccy="${transaction.currency}">${transaction.amount}</IntrBkSttlmAmt>`,
    '<ChrgBr>SLEV</ChrgBr>',
    agentElement('InstgAgt', transaction.instructingAgent),
    agentElement('InstdAgt', transaction.instructedAgent),
    '<Dbtr><Nm>Müller &amp; Söhne</Nm></Dbtr>',
    accountElement('DbtrAcct', transaction.debtorIban),
    agentElement('DbtrAgt', transaction.debtorAgent),
    agentElement('CdtrAgt', transaction.creditorAgent),
    '<Cdtr><Nm>Jane Roe</Nm></Cdtr>',
    accountElement('CdtrAcct', transaction.creditorIban),
    transaction.extra ?? '',
    '</CdtTrfTxInf>',
  ].join('');
}

export interface Wrapping {
  readonly prefix?: string;
  readonly declaration?: boolean;
  /** An Envelope that holds an AppHdr and the Document. */
  readonly envelope?: boolean;
}

function applicationHeader(messageId: string): string {
  return [
    '<AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02">',
    '<Fr><FIId><FinInstnId><BICFI>AAAADEFFXXX</BICFI></FinInstnId></FIId></Fr>',
    '<To><FIId><FinInstnId><BICFI>BBBBDEFFXXX</BICFI></FinInstnId></FIId></To>',
    `<BizMsgIdr>${messageId}</BizMsgIdr><MsgDefIdr>pacs.008.001.08</MsgDefIdr><CreDt>2026-11-23T08:00:00Z</CreDt></AppHdr>`,
  ].join('');
}

/** The message as XML. */
export function buildMessage(message: MessageSpec, wrapping: Wrapping = {}): string {
  const body = [
    '<FIToFICstmrCdtTrf><GrpHdr>',
    element('MsgId', message.messageId),
    '<CreDtTm>2026-11-23T08:00:00Z</CreDtTm>',
    element('NbOfTxs', message.numberOfTransactions ?? String(message.transactions.length)),
    element('CtrlSum', message.controlSum),
    message.total === undefined ? '' : `<TtlIntrBkSttlmAmt Ccy="${message.total.currency}">${message.total.amount}</TtlIntrBkSttlmAmt>`,
    '<IntrBkSttlmDt>2026-11-23</IntrBkSttlmDt>',
    '<SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf>',
    agentElement('InstgAgt', message.instructingAgent),
    agentElement('InstdAgt', message.instructedAgent),
    '</GrpHdr>',
    ...message.transactions.map(transactionElement),
    '</FIToFICstmrCdtTrf>',
  ].join('');
  let document = `<Document xmlns="${namespace}">${body}</Document>`;
  if (wrapping.prefix !== undefined) {
    document = document
      .replace(`xmlns="${namespace}"`, `xmlns:${wrapping.prefix}="${namespace}"`)
      .replaceAll(/<(\/?)([A-Za-z])/g, `<$1${wrapping.prefix}:$2`);
  }
  if (wrapping.envelope === true) {
    document = `<Envelope xmlns="urn:swift:xsd:envelope">${applicationHeader(message.messageId)}${document}</Envelope>`;
  }
  return wrapping.declaration === false ? document : `<?xml version="1.0" encoding="UTF-8"?>\n${document}`;
}
