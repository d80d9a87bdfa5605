/**
 * Messages that the tests are made of, written for them: small, valid, and with the places that tests change as options.
 */

export interface Payment {
  readonly definition?: string;
  readonly messageId?: string;
  readonly count?: string;
  /** Further elements of the group header, in their place behind NbOfTxs. */
  readonly totals?: string;
  /** Elements at the end of the group header, e.g. its InstgAgt. */
  readonly header?: string;
  readonly transactions?: readonly string[];
}

export interface CreditTransfer {
  readonly identification?: string;
  readonly currency?: string;
  readonly amount?: string;
  /** Elements between the charge bearer and the debtor. */
  readonly agents?: string;
  readonly debtor?: string;
  readonly debtorAccount?: string;
  readonly debtorAgent?: string;
  readonly creditorAgent?: string;
  readonly creditorAccount?: string;
  readonly end?: string;
}

export const uetr = '8a562c67-ca16-48ba-b074-65581be6f001';

export function agent(bic: string, element = 'BICFI'): string {
  return `<FinInstnId><${element}>${bic}</${element}></FinInstnId>`;
}

export function clearingMember(system: string, member: string): string {
  return `<FinInstnId><ClrSysMmbId><ClrSysId><Cd>${system}</Cd></ClrSysId><MmbId>${member}</MmbId></ClrSysMmbId></FinInstnId>`;
}

export function account(iban: string): string {
  return `<Id><IBAN>${iban}</IBAN></Id>`;
}

export function creditTransfer(options: CreditTransfer = {}): string {
  const {
    identification = `<InstrId>INSTR-1</InstrId><EndToEndId>E2E-1</EndToEndId><TxId>TX-1</TxId><UETR>${uetr}</UETR>`,
    currency = 'EUR',
    amount = '100.00',
    agents = '',
    debtor = '<Nm>Erika Muster</Nm>',
    debtorAccount = 'DE89370400440532013000',
    debtorAgent = agent('COBADEFFXXX'),
    creditorAgent = agent('BNPAFRPPXXX'),
    creditorAccount = 'FR1420041010050500013M02606',
    end = '',
  } = options;
  return `
    <CdtTrfTxInf>
      <PmtId>${identification}</PmtId>
      <IntrBkSttlmAmt Ccy="${currency}">${amount}</IntrBkSttlmAmt>
      <IntrBkSttlmDt>2026-11-23</IntrBkSttlmDt>
      <ChrgBr>SLEV</ChrgBr>${agents}
      <Dbtr>${debtor}</Dbtr>
      <DbtrAcct>${account(debtorAccount)}</DbtrAcct>
      <DbtrAgt>${debtorAgent}</DbtrAgt>
      <CdtrAgt>${creditorAgent}</CdtrAgt>
      <Cdtr><Nm>Jean Exemple</Nm></Cdtr>
      <CdtrAcct>${account(creditorAccount)}</CdtrAcct>${end}
    </CdtTrfTxInf>`;
}

export function pacs008(options: Payment = {}): string {
  const transactions = options.transactions ?? [creditTransfer()];
  return `<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:${options.definition ?? 'pacs.008.001.08'}">
  <FIToFICstmrCdtTrf>
    <GrpHdr>
      <MsgId>${options.messageId ?? 'MSG-1'}</MsgId>
      <CreDtTm>2026-11-23T10:00:00Z</CreDtTm>
      <NbOfTxs>${options.count ?? String(transactions.length)}</NbOfTxs>${options.totals ?? ''}
      <SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf>${options.header ?? ''}
    </GrpHdr>${transactions.join('')}
  </FIToFICstmrCdtTrf>
</Document>
`;
}

/** Before version 08 there is no UETR, before 03 the BIC's element has another name. */
export function olderPacs008(definition: string, bicElement: string): string {
  const identification = '<InstrId>INSTR-1</InstrId><EndToEndId>E2E-1</EndToEndId><TxId>TX-1</TxId>';
  const transfer = creditTransfer({
    identification,
    debtorAgent: agent('COBADEFFXXX', bicElement),
    creditorAgent: agent('BNPAFRPPXXX', bicElement),
  });
  return pacs008({ definition, transactions: [transfer] });
}

export function pacs009(definition: string, options: { readonly agents?: string; readonly debtorAgent?: string } = {}): string {
  return `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:${definition}">
  <FICdtTrf>
    <GrpHdr>
      <MsgId>MSG-9</MsgId>
      <CreDtTm>2026-11-23T10:00:00Z</CreDtTm>
      <NbOfTxs>1</NbOfTxs>
      <SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf>
    </GrpHdr>
    <CdtTrfTxInf>
      <PmtId><InstrId>INSTR-9</InstrId><EndToEndId>E2E-9</EndToEndId><UETR>${uetr}</UETR></PmtId>
      <IntrBkSttlmAmt Ccy="USD">250000.00</IntrBkSttlmAmt>
      <IntrBkSttlmDt>2026-11-23</IntrBkSttlmDt>${options.agents ?? ''}
      <Dbtr>${agent('COBADEFF')}</Dbtr>${options.debtorAgent ?? ''}
      <Cdtr>${agent('BNPAFRPP')}</Cdtr>
    </CdtTrfTxInf>
  </FICdtTrf>
</Document>`;
}

export function pacs004(definition: string, options: { readonly agents?: string; readonly chain?: string; readonly returnId?: string } = {}): string {
  return `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:${definition}">
  <PmtRtr>
    <GrpHdr>
      <MsgId>MSG-4</MsgId>
      <CreDtTm>2026-11-23T10:00:00Z</CreDtTm>
      <NbOfTxs>1</NbOfTxs>
      <TtlRtrdIntrBkSttlmAmt Ccy="EUR">75.5</TtlRtrdIntrBkSttlmAmt>
      <SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf>
    </GrpHdr>
    <TxInf>${options.returnId ?? '<RtrId>RTR-1</RtrId>'}
      <OrgnlInstrId>INSTR-1</OrgnlInstrId>
      <OrgnlEndToEndId>E2E-1</OrgnlEndToEndId>
      <OrgnlTxId>TX-1</OrgnlTxId>
      <OrgnlUETR>${uetr}</OrgnlUETR>
      <RtrdIntrBkSttlmAmt Ccy="EUR">75.50</RtrdIntrBkSttlmAmt>
      <IntrBkSttlmDt>2026-11-23</IntrBkSttlmDt>${options.agents ?? `
      <InstgAgt>${agent('BNPAFRPPXXX')}</InstgAgt>
      <InstdAgt>${agent('COBADEFFXXX')}</InstdAgt>`}${options.chain ?? ''}
      <RtrRsnInf><Rsn><Cd>AC04</Cd></Rsn></RtrRsnInf>
    </TxInf>
  </PmtRtr>
</Document>`;
}

export interface Initiation {
  readonly count?: string;
  readonly totals?: string;
  readonly blocks?: readonly string[];
}

export function initiationTransfer(endToEndId: string, amount = '<InstdAmt Ccy="EUR">10.00</InstdAmt>', bicElement = 'BICFI'): string {
  return `
      <CdtTrfTxInf>
        <PmtId><EndToEndId>${endToEndId}</EndToEndId></PmtId>
        <Amt>${amount}</Amt>
        <CdtrAgt>${agent('BNPAFRPPXXX', bicElement)}</CdtrAgt>
        <Cdtr><Nm>Jean Exemple</Nm></Cdtr>
        <CdtrAcct>${account('FR1420041010050500013M02606')}</CdtrAcct>
      </CdtTrfTxInf>`;
}

export function initiationBlock(
  transfers: readonly string[],
  options: { readonly totals?: string; readonly iban?: string; readonly date?: string; readonly bicElement?: string } = {},
): string {
  return `
    <PmtInf>
      <PmtInfId>BLOCK</PmtInfId>
      <PmtMtd>TRF</PmtMtd>${options.totals ?? ''}
      <ReqdExctnDt>${options.date ?? '<Dt>2026-11-24</Dt>'}</ReqdExctnDt>
      <Dbtr><Nm>Erika Muster</Nm></Dbtr>
      <DbtrAcct>${account(options.iban ?? 'DE89370400440532013000')}</DbtrAcct>
      <DbtrAgt>${agent('COBADEFFXXX', options.bicElement)}</DbtrAgt>${transfers.join('')}
    </PmtInf>`;
}

export function pain001(definition: string, options: Initiation = {}): string {
  const blocks = options.blocks ?? [initiationBlock([initiationTransfer('E2E-1')])];
  return `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:${definition}">
  <CstmrCdtTrfInitn>
    <GrpHdr>
      <MsgId>MSG-1</MsgId>
      <CreDtTm>2026-11-23T10:00:00</CreDtTm>
      <NbOfTxs>${options.count ?? '1'}</NbOfTxs>${options.totals ?? ''}
      <InitgPty><Nm>Erika Muster</Nm></InitgPty>
    </GrpHdr>${blocks.join('')}
  </CstmrCdtTrfInitn>
</Document>`;
}
