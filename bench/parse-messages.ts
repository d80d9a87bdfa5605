/** The messages that parsers are measured with, written for this, in the sizes and shapes that payments have. */

/** Like what banks send: indented, with addresses; about 1.8 KB with one transaction. */
export function creditTransfers(count: number): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08">
  <FIToFICstmrCdtTrf>
    <GrpHdr>
      <MsgId>COBA20261123-000001</MsgId>
      <CreDtTm>2026-11-23T10:00:00.123Z</CreDtTm>
      <NbOfTxs>${count}</NbOfTxs>
      <SttlmInf>
        <SttlmMtd>CLRG</SttlmMtd>
        <ClrSys><Cd>TGT</Cd></ClrSys>
      </SttlmInf>
      <InstgAgt><FinInstnId><BICFI>COBADEFFXXX</BICFI></FinInstnId></InstgAgt>
      <InstdAgt><FinInstnId><BICFI>BNPAFRPPXXX</BICFI></FinInstnId></InstdAgt>
    </GrpHdr>
${transaction.repeat(count)}  </FIToFICstmrCdtTrf>
</Document>
`;
}

const transaction = `    <CdtTrfTxInf>
      <PmtId>
        <InstrId>INSTR-20261123-000001</InstrId>
        <EndToEndId>E2E-20261123-000001</EndToEndId>
        <TxId>TX-20261123-000001</TxId>
        <UETR>8a562c67-ca16-48ba-b074-65581be6f001</UETR>
      </PmtId>
      <PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl></PmtTpInf>
      <IntrBkSttlmAmt Ccy="EUR">1234.56</IntrBkSttlmAmt>
      <IntrBkSttlmDt>2026-11-23</IntrBkSttlmDt>
      <ChrgBr>SLEV</ChrgBr>
      <Dbtr>
        <Nm>Muster Maschinenbau GmbH</Nm>
        <PstlAdr><StrtNm>Hauptstrasse</StrtNm><BldgNb>12</BldgNb><PstCd>60311</PstCd><TwnNm>Frankfurt</TwnNm><Ctry>DE</Ctry></PstlAdr>
      </Dbtr>
      <DbtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></DbtrAcct>
      <DbtrAgt><FinInstnId><BICFI>COBADEFFXXX</BICFI></FinInstnId></DbtrAgt>
      <CdtrAgt><FinInstnId><BICFI>BNPAFRPPXXX</BICFI></FinInstnId></CdtrAgt>
      <Cdtr>
        <Nm>Exemple Fournitures SARL</Nm>
        <PstlAdr><StrtNm>Rue de la Paix</StrtNm><BldgNb>5</BldgNb><PstCd>75002</PstCd><TwnNm>Paris</TwnNm><Ctry>FR</Ctry></PstlAdr>
      </Cdtr>
      <CdtrAcct><Id><IBAN>FR1420041010050500013M02606</IBAN></Id></CdtrAcct>
      <RmtInf><Ustrd>Invoice 2026-4711</Ustrd></RmtInf>
    </CdtTrfTxInf>
`;

/** One block, no white space between elements. */
export function initiation(count: number): string {
  return `<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"><CstmrCdtTrfInitn><GrpHdr><MsgId>INIT-20261123-1</MsgId><CreDtTm>2026-11-23T10:00:00</CreDtTm><NbOfTxs>${count}</NbOfTxs><InitgPty><Nm>Muster Maschinenbau GmbH</Nm></InitgPty></GrpHdr><PmtInf><PmtInfId>BLOCK-1</PmtInfId><PmtMtd>TRF</PmtMtd><ReqdExctnDt><Dt>2026-11-24</Dt></ReqdExctnDt><Dbtr><Nm>Muster Maschinenbau GmbH</Nm></Dbtr><DbtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></DbtrAcct><DbtrAgt><FinInstnId><BICFI>COBADEFFXXX</BICFI></FinInstnId></DbtrAgt>${initiated.repeat(count)}</PmtInf></CstmrCdtTrfInitn></Document>`;
}

const initiated =
  '<CdtTrfTxInf><PmtId><InstrId>INSTR-1</InstrId><EndToEndId>E2E-20261123-1</EndToEndId></PmtId><Amt><InstdAmt Ccy="EUR">1234.56</InstdAmt></Amt><CdtrAgt><FinInstnId><BICFI>BNPAFRPPXXX</BICFI></FinInstnId></CdtrAgt><Cdtr><Nm>Exemple Fournitures SARL</Nm></Cdtr><CdtrAcct><Id><IBAN>FR1420041010050500013M02606</IBAN></Id></CdtrAcct><RmtInf><Ustrd>Invoice 2026-4711</Ustrd></RmtInf></CdtTrfTxInf>';
