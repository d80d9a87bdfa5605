/**
 * Where the fields that settlement needs live, for each family of message definitions that settles. A new version is an
 * XSD and, where fields moved, an entry here; a definition without an entry is validated, and an event of it is
 * TYPE_UNSUPPORTED.
 *
 * Source: contract section 2; the ISO 20022 message definition reports of the definitions named below.
 */

export type Scope = 'message' | 'block' | 'transaction';

/** An element that names an agent, and from which level on its path is. */
export interface AgentPlace {
  readonly scope: Scope;
  readonly path: string;
}

export interface FieldMap {
  /** Tags identities, so that a cover pacs.009 may carry its pacs.008's UETR. */
  readonly family: string;
  readonly definitionIds: readonly string[];
  /** The one element below the Document. */
  readonly body: string;
  /** Payment information blocks, where the family has them. */
  readonly block: string | null;
  readonly transaction: string;
  /** Below the group header. */
  readonly total: string | null;
  /** Below the transaction; null where the family has none. */
  readonly instructionId: string | null;
  readonly endToEndId: string | null;
  readonly transactionId: string | null;
  readonly uetr: string | null;
  /** pacs.004: what the results call the transaction id, and what comes first in the identity. */
  readonly returnId: string | null;
  readonly amount: string;
  /** An amount to be converted first: it cannot settle. */
  readonly equivalentAmount: string | null;
  readonly debtorIban: { readonly scope: Scope; readonly path: string } | null;
  readonly creditorIban: { readonly scope: Scope; readonly path: string } | null;
  /** In the order in which they are looked at; the first that is present decides. */
  readonly debited: readonly AgentPlace[];
  readonly credited: readonly AgentPlace[];
}

const creditTransfer = {
  body: 'FIToFICstmrCdtTrf',
  block: null,
  transaction: 'CdtTrfTxInf',
  total: 'TtlIntrBkSttlmAmt',
  instructionId: 'PmtId/InstrId',
  endToEndId: 'PmtId/EndToEndId',
  transactionId: 'PmtId/TxId',
  uetr: 'PmtId/UETR',
  returnId: null,
  amount: 'IntrBkSttlmAmt',
  equivalentAmount: null,
  debtorIban: { scope: 'transaction', path: 'DbtrAcct/Id/IBAN' },
  creditorIban: { scope: 'transaction', path: 'CdtrAcct/Id/IBAN' },
  debited: [
    { scope: 'transaction', path: 'InstgAgt' },
    { scope: 'message', path: 'InstgAgt' },
    { scope: 'transaction', path: 'DbtrAgt' },
  ],
  credited: [
    { scope: 'transaction', path: 'InstdAgt' },
    { scope: 'message', path: 'InstdAgt' },
    { scope: 'transaction', path: 'CdtrAgt' },
  ],
} as const satisfies Omit<FieldMap, 'family' | 'definitionIds'>;

const initiation = {
  family: 'pain.001',
  body: 'CstmrCdtTrfInitn',
  block: 'PmtInf',
  transaction: 'CdtTrfTxInf',
  total: null,
  instructionId: 'PmtId/InstrId',
  endToEndId: 'PmtId/EndToEndId',
  transactionId: null,
  uetr: 'PmtId/UETR',
  returnId: null,
  amount: 'Amt/InstdAmt',
  equivalentAmount: 'Amt/EqvtAmt/Amt',
  debtorIban: { scope: 'block', path: 'DbtrAcct/Id/IBAN' },
  creditorIban: { scope: 'transaction', path: 'CdtrAcct/Id/IBAN' },
  debited: [{ scope: 'block', path: 'DbtrAgt' }],
  credited: [{ scope: 'transaction', path: 'CdtrAgt' }],
} as const satisfies Omit<FieldMap, 'definitionIds'>;

const paymentReturn = {
  family: 'pacs.004',
  body: 'PmtRtr',
  block: null,
  transaction: 'TxInf',
  total: 'TtlRtrdIntrBkSttlmAmt',
  instructionId: 'OrgnlInstrId',
  endToEndId: 'OrgnlEndToEndId',
  transactionId: 'OrgnlTxId',
  uetr: 'OrgnlUETR',
  returnId: 'RtrId',
  amount: 'RtrdIntrBkSttlmAmt',
  equivalentAmount: null,
  debtorIban: { scope: 'transaction', path: 'RtrChain/DbtrAcct/Id/IBAN' },
  creditorIban: { scope: 'transaction', path: 'RtrChain/CdtrAcct/Id/IBAN' },
  debited: [
    { scope: 'transaction', path: 'InstgAgt' },
    { scope: 'message', path: 'InstgAgt' },
    { scope: 'transaction', path: 'RtrChain/DbtrAgt' },
    { scope: 'transaction', path: 'RtrChain/Dbtr/Agt' },
  ],
  credited: [
    { scope: 'transaction', path: 'InstdAgt' },
    { scope: 'message', path: 'InstdAgt' },
    { scope: 'transaction', path: 'RtrChain/CdtrAgt' },
    { scope: 'transaction', path: 'RtrChain/Cdtr/Agt' },
  ],
} as const satisfies Omit<FieldMap, 'definitionIds'>;

export const fieldMaps: readonly FieldMap[] = [
  {
    ...creditTransfer,
    family: 'pacs.008',
    definitionIds: ['pacs.008.001.08', 'pacs.008.001.09', 'pacs.008.001.10', 'pacs.008.001.12'],
  },
  { ...creditTransfer, family: 'pacs.008', definitionIds: ['pacs.008.001.02', 'pacs.008.001.06'], uetr: null },
  {
    ...creditTransfer,
    family: 'pacs.009',
    definitionIds: ['pacs.009.001.08', 'pacs.009.001.10'],
    body: 'FICdtTrf',
    debited: [...creditTransfer.debited, { scope: 'transaction', path: 'Dbtr' }],
    credited: [...creditTransfer.credited, { scope: 'transaction', path: 'Cdtr' }],
  },
  { ...paymentReturn, definitionIds: ['pacs.004.001.11'] },
  // No accounts in the return chain before version 10.
  { ...paymentReturn, definitionIds: ['pacs.004.001.09'], debtorIban: null, creditorIban: null },
  { ...initiation, definitionIds: ['pain.001.001.09', 'pain.001.001.11'] },
  { ...initiation, definitionIds: ['pain.001.001.03'], uetr: null },
];

const byDefinition = new Map(fieldMaps.flatMap((map) => map.definitionIds.map((id): [string, FieldMap] => [id, map])));

/** Null: the definition does not settle. */
export function fieldMapOf(definitionId: string): FieldMap | null {
  return byDefinition.get(definitionId) ?? null;
}
