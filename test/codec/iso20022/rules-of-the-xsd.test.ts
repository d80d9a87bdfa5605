import { describe, expect, it } from 'vitest';
import { readSchemaTable } from '../../../schemas/iso20022/tables.ts';
import { createMessageReporter } from '../../../src/codec/iso20022/message-report.ts';
import { creditTransfer, pacs008 } from './messages.ts';
import { readMessage } from './reading.ts';

const report = createMessageReporter(readSchemaTable);
const findings = (text: string) => report(Buffer.from(text), { rules: false }).findings;
const transfer = '/Document/FIToFICstmrCdtTrf/CdtTrfTxInf';
const message = pacs008();
const change = (from: string | RegExp, to: string): string => {
  const changed = message.replace(from, to);
  if (changed === message) throw new Error(`nothing to replace: ${String(from)}`);
  return changed;
};

describe('a broken rule of the XSD', () => {
  it.each([
    ['a missing element', change('<EndToEndId>E2E-1</EndToEndId>', ''), `${transfer}/PmtId/EndToEndId`, 'missing-element'],
    ['a missing last element', change(/<CdtrAgt>[^]*<\/CdtrAcct>/, ''), `${transfer}/CdtrAgt`, 'missing-element'],
    ['a missing choice', change('<Id><IBAN>DE89370400440532013000</IBAN></Id>', '<Id/>'), `${transfer}/DbtrAcct/Id`, 'missing-element'],
    ['an unknown element', change('<ChrgBr>', '<Chrg/><ChrgBr>'), `${transfer}/Chrg`, 'unexpected-element'],
    ['an element twice', change('<ChrgBr>', '<ChrgBr>SLEV</ChrgBr><ChrgBr>'), `${transfer}/ChrgBr[2]`, 'unexpected-element'],
    ['an element in another place', change(/<Dbtr>.*<\/Dbtr>/, ''), `${transfer}/Dbtr`, 'missing-element'],
    ['both of a choice', change('</IBAN></Id>', '</IBAN><Othr><Id>1</Id></Othr></Id>'), `${transfer}/DbtrAcct/Id/Othr`, 'unexpected-element'],
    ['an element of another namespace', change('<ChrgBr>', '<ChrgBr xmlns="urn:a">'), `${transfer}/ChrgBr`, 'unexpected-element'],
    ['text between elements', change('<ChrgBr>', 'x<ChrgBr>'), transfer, 'unexpected-text'],
    ['an element in a value', change('Erika', '<b/>Erika'), `${transfer}/Dbtr/Nm`, 'unexpected-element'],
    ['an attribute', change('<ChrgBr>', '<ChrgBr a="1">'), `${transfer}/ChrgBr/@a`, 'unexpected-attribute'],
    ['no currency', change(' Ccy="EUR"', ''), `${transfer}/IntrBkSttlmAmt/@Ccy`, 'missing-attribute'],
    ['a currency of small letters', change('"EUR"', '"eur"'), `${transfer}/IntrBkSttlmAmt/@Ccy`, 'pattern'],
    ['a pattern', change('COBADEFFXXX', 'COBADEFFX'), `${transfer}/DbtrAgt/FinInstnId/BICFI`, 'pattern'],
    ['a UETR of capitals', change('8a562c67', '8A562C67'), `${transfer}/PmtId/UETR`, 'pattern'],
    ['an enumeration', change('SLEV', 'FREE'), `${transfer}/ChrgBr`, 'enumeration'],
    ['an empty text', change('MSG-1', ''), '/Document/FIToFICstmrCdtTrf/GrpHdr/MsgId', 'minLength'],
    ['a text that is too long', change('Erika Muster', 'x'.repeat(141)), `${transfer}/Dbtr/Nm`, 'maxLength'],
    ['characters count, not bytes', change('Erika Muster', 'ü'.repeat(141)), `${transfer}/Dbtr/Nm`, 'maxLength'],
    ['six decimals', change('100.00', '100.000001'), `${transfer}/IntrBkSttlmAmt`, 'fractionDigits'],
    ['nineteen digits', change('100.00', '1234567890123456789'), `${transfer}/IntrBkSttlmAmt`, 'totalDigits'],
    ['a negative amount', change('100.00', '-1'), `${transfer}/IntrBkSttlmAmt`, 'minInclusive'],
    ['an amount in words', change('100.00', '1e2'), `${transfer}/IntrBkSttlmAmt`, 'type'],
    ['a day that is not', change('2026-11-23<', '2026-02-29<'), `${transfer}/IntrBkSttlmDt`, 'type'],
    ['a time that is not', change('T10:00:00Z', 'T10:00:60Z'), '/Document/FIToFICstmrCdtTrf/GrpHdr/CreDtTm', 'type'],
    ['xsi:nil', change('<ChrgBr>', '<ChrgBr xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true">'), `${transfer}/ChrgBr/@xsi:nil`, 'unexpected-attribute'],
  ])('%s', (_, text, xpath, rule) => {
    const [first] = findings(text);
    expect([first?.xpath, first?.rule]).toEqual([xpath, rule]);
    expect(readMessage(text)).toMatchObject({ rejection: 'FF01', transactions: [] });
    expect(readMessage(text).reason).toContain(`${xpath}: `);
    expect(readMessage(text).reason).toContain(`[${rule}]`);
  });

  it.each([
    ['140 characters of two bytes', change('Erika Muster', 'ü'.repeat(140))],
    ['a leap day', change('2026-11-23<', '2024-02-29<')],
    ['the end of a day', change('T10:00:00Z', 'T24:00:00')],
    ['the largest offset', change('T10:00:00Z', 'T10:00:00.123456789+14:00')],
    ['zeros that say nothing', change('100.00', '+000000000000000000100.0000000')],
    ['white space around an amount', change('100.00', '\n 100.00\t')],
    ['an empty element with its end tag apart', change('Erika Muster', 'x</Nm><PstlAdr></PstlAdr><Nm>').replace('<Nm></Nm>', '')],
  ])('is not: %s', (_, text) => {
    expect(findings(text)).toEqual([]);
  });
});

describe('a report', () => {
  it('lists all findings in their order, with line and column', () => {
    const text = pacs008({
      messageId: '',
      transactions: [creditTransfer({ amount: 'much' }), creditTransfer({ identification: '<InstrId>I</InstrId>', currency: 'E' })],
    });
    const found = findings(text);
    expect(found.map(({ xpath, rule, line }) => [xpath, rule, line])).toEqual([
      ['/Document/FIToFICstmrCdtTrf/GrpHdr/MsgId', 'minLength', 5],
      [`${transfer}[1]/IntrBkSttlmAmt`, 'type', 12],
      [`${transfer}[2]/PmtId/EndToEndId`, 'missing-element', 23],
      [`${transfer}[2]/IntrBkSttlmAmt/@Ccy`, 'pattern', 24],
    ]);
    expect(found[0]?.column).toBe(14);
  });

  it('goes on behind a missing and behind a misplaced element', () => {
    const text = change('<EndToEndId>E2E-1</EndToEndId>', '').replace('<IntrBkSttlmDt>', '<Odd><Deep/></Odd><IntrBkSttlmDt>').replace('SLEV', 'FREE');
    expect(findings(text).map(({ rule }) => rule)).toEqual(['missing-element', 'unexpected-element', 'enumeration']);
  });

  it('never shows what may be personal', () => {
    const iban = 'DE893704004405320130001234567890123456';
    const texts = [
      change('DE89370400440532013000', iban),
      change('2026-11-23<', `${iban}<`),
      change('COBADEFFXXX', iban),
      change('Erika Muster', iban.repeat(5)),
      change('SLEV', iban),
    ];
    for (const text of texts) {
      const [first] = findings(text);
      expect(first?.message).not.toMatch(/DE89/);
      expect(readMessage(text).reason).not.toMatch(/DE89/);
    }
  });

  it('holds the header against its own XSD', () => {
    const header = `<AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02"><Fr><FIId><FinInstnId><BICFI>COBADEFFXXX</BICFI></FinInstnId></FIId></Fr></AppHdr>`;
    const { type, valid, findings: found } = report(Buffer.from(`<Box>${header}${message.slice(message.indexOf('<Document'))}</Box>`), { rules: false });
    expect([type, valid, found.map(({ xpath, rule }) => [xpath, rule])]).toEqual(['pacs.008.001.08', false, [['/AppHdr/To', 'missing-element']]]);
  });

  it('asks on request what the fleet asks beyond the XSD', () => {
    const text = pacs008({ transactions: [creditTransfer(), creditTransfer({ currency: 'JPY', amount: '1.5' })] });
    expect(report(Buffer.from(text), { rules: false }).valid).toBe(true);
    const { valid, findings: found } = report(Buffer.from(text), { rules: true });
    expect([valid, found.map(({ xpath, rule, line }) => [xpath, rule, line])]).toEqual([false, [[`${transfer}[2]/IntrBkSttlmAmt`, 'AM12', 24]]]);
  });

  it('says of a definition that is not compiled that it cannot tell', () => {
    const { valid, findings: found } = report(Buffer.from(pacs008({ definition: 'pacs.008.001.99' })), { rules: false });
    expect([valid, found[0]?.rule]).toEqual([false, 'unknown-definition']);
  });
});
