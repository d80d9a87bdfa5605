/**
 * A pacs.008.001.08 with one transaction, in the shape that banks send each other: some 1.9 KB, valid against its XSD,
 * with structured addresses. Fields are texts, so that a caller can also write what is wrong.
 */
export interface PaymentText {
  readonly messageId: string;
  readonly instructionId: string;
  readonly endToEndId: string;
  readonly transactionId: string;
  readonly uetr: string;
  readonly currency: string;
  readonly amount: string;
  /** Interbank settlement date, `YYYY-MM-DD`. */
  readonly settlementDate: string;
  readonly transactionCount: string;
  readonly controlSum: string;
  /** Participant identifiers: a BIC, or `<clearing system code>:<member>`. */
  readonly debited: string;
  readonly credited: string;
  readonly debtor: PartyText;
  readonly creditor: PartyText;
  readonly remittance: string;
  /** E.g. `SHAR`; null leaves the element out, which the XSD does not allow. */
  readonly chargeBearer: string | null;
}

export interface PartyText {
  readonly name: string;
  readonly street: string;
  readonly building: string;
  readonly postCode: string;
  readonly town: string;
  readonly country: string;
  readonly iban: string;
}

export const paymentNamespace = 'urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08';

export function paymentXml(payment: PaymentText): string {
  const { currency, amount, debited, credited, debtor, creditor } = payment;
  return `<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="${paymentNamespace}">
<FIToFICstmrCdtTrf>
<GrpHdr>
<MsgId>${payment.messageId}</MsgId>
<CreDtTm>${payment.settlementDate}T08:15:30.000Z</CreDtTm>
<NbOfTxs>${payment.transactionCount}</NbOfTxs>
<CtrlSum>${payment.controlSum}</CtrlSum>
<TtlIntrBkSttlmAmt Ccy="${currency}">${payment.controlSum}</TtlIntrBkSttlmAmt>
<IntrBkSttlmDt>${payment.settlementDate}</IntrBkSttlmDt>
<SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf>
<InstgAgt>${agentXml(debited)}</InstgAgt>
<InstdAgt>${agentXml(credited)}</InstdAgt>
</GrpHdr>
<CdtTrfTxInf>
<PmtId><InstrId>${payment.instructionId}</InstrId><EndToEndId>${payment.endToEndId}</EndToEndId><TxId>${payment.transactionId}</TxId><UETR>${payment.uetr}</UETR></PmtId>
<PmtTpInf><SvcLvl><Cd>G001</Cd></SvcLvl><CtgyPurp><Cd>SUPP</Cd></CtgyPurp></PmtTpInf>
<IntrBkSttlmAmt Ccy="${currency}">${amount}</IntrBkSttlmAmt>
${payment.chargeBearer === null ? '' : `<ChrgBr>${payment.chargeBearer}</ChrgBr>\n`}<UltmtDbtr><Nm>${debtor.name}, accounts payable</Nm></UltmtDbtr>
<Dbtr>${partyXml(debtor)}</Dbtr>
<DbtrAcct><Id><IBAN>${debtor.iban}</IBAN></Id></DbtrAcct>
<DbtrAgt>${agentXml(debited)}</DbtrAgt>
<CdtrAgt>${agentXml(credited)}</CdtrAgt>
<Cdtr>${partyXml(creditor)}</Cdtr>
<CdtrAcct><Id><IBAN>${creditor.iban}</IBAN></Id></CdtrAcct>
<UltmtCdtr><Nm>${creditor.name}, sales ledger</Nm></UltmtCdtr>
<Purp><Cd>GDDS</Cd></Purp>
<RmtInf><Ustrd>${payment.remittance}</Ustrd></RmtInf>
</CdtTrfTxInf>
</FIToFICstmrCdtTrf>
</Document>
`;
}

function partyXml(party: PartyText): string {
  return `<Nm>${party.name}</Nm><PstlAdr><StrtNm>${party.street}</StrtNm><BldgNb>${party.building}</BldgNb><PstCd>${party.postCode}</PstCd><TwnNm>${party.town}</TwnNm><Ctry>${party.country}</Ctry></PstlAdr>`;
}

function agentXml(identifier: string): string {
  const cut = identifier.indexOf(':');
  if (cut < 0) return `<FinInstnId><BICFI>${identifier}</BICFI></FinInstnId>`;
  return `<FinInstnId><ClrSysMmbId><ClrSysId><Cd>${identifier.slice(0, cut)}</Cd></ClrSysId><MmbId>${identifier.slice(cut + 1)}</MmbId></ClrSysMmbId></FinInstnId>`;
}
