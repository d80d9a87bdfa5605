/** One message a task: the document of a PaymentEvent, parsed by fast-xml-parser to what settlement needs of it. */
import { XMLParser } from 'fast-xml-parser';

export interface ParsedPayment {
  readonly instructionId: string | null;
  readonly endToEndId: string | null;
  readonly transactionId: string | null;
  readonly uetr: string | null;
  readonly currency: string;
  readonly amount: string;
  readonly debited: string;
  readonly credited: string;
}

export interface ParsedMessage {
  readonly messageId: string;
  readonly payments: readonly ParsedPayment[];
}

interface Agent {
  readonly FinInstnId?: { readonly BICFI?: string };
}

interface Transaction {
  readonly PmtId: Readonly<Record<string, string | undefined>>;
  readonly IntrBkSttlmAmt: { readonly '#text': string; readonly '@Ccy': string };
  readonly InstgAgt?: Agent;
  readonly InstdAgt?: Agent;
  readonly DbtrAgt?: Agent;
  readonly CdtrAgt?: Agent;
}

// Numbers stay texts: 021000021 is no number, and 0.10 has two decimals. Entities are not needed, and have been attacked.
const parser = new XMLParser({
  ignoreAttributes: false, attributeNamePrefix: '@', parseTagValue: false, parseAttributeValue: false, removeNSPrefix: true,
  processEntities: false, isArray: (name) => name === 'CdtTrfTxInf',
});

/** Throws for whatever is no pacs.008 with everything that settlement needs. */
export default function parseMessage(document: Uint8Array): ParsedMessage {
  const tree = parser.parse(Buffer.from(document.buffer, document.byteOffset, document.byteLength), true) as {
    readonly Document: { readonly FIToFICstmrCdtTrf: { readonly GrpHdr: Readonly<Record<'MsgId' | 'NbOfTxs', string>> & { readonly InstgAgt?: Agent; readonly InstdAgt?: Agent }; readonly CdtTrfTxInf: readonly Transaction[] } };
  };
  const { GrpHdr: header, CdtTrfTxInf: transactions } = tree.Document.FIToFICstmrCdtTrf;
  return {
    messageId: header.MsgId,
    payments: transactions.map((transaction) => ({
      instructionId: transaction.PmtId['InstrId'] ?? null,
      endToEndId: transaction.PmtId['EndToEndId'] ?? null,
      transactionId: transaction.PmtId['TxId'] ?? null,
      uetr: transaction.PmtId['UETR'] ?? null,
      currency: transaction.IntrBkSttlmAmt['@Ccy'],
      amount: transaction.IntrBkSttlmAmt['#text'],
      debited: identifier(transaction.InstgAgt ?? header.InstgAgt ?? transaction.DbtrAgt),
      credited: identifier(transaction.InstdAgt ?? header.InstdAgt ?? transaction.CdtrAgt),
    })),
  };
}

function identifier(agent: Agent | undefined): string {
  const bic = agent?.FinInstnId?.BICFI;
  if (bic === undefined) throw new Error('an agent without a BIC');
  return bic.length === 8 ? `${bic}XXX` : bic;
}
