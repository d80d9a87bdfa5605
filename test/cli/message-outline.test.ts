import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { outlineMessage } from '../../src/cli/message-outline.ts';

const example = (name: string) => outlineMessage(readFileSync(new URL(`../../examples/messages/${name}`, import.meta.url)));

describe('the outline of a message', () => {
  it.each([
    ['good/sepa-credit-transfer.xml', 'pacs.008.001.08', 'ALSTDEHHXXX'],
    ['good/bulk-several-debited-banks.xml', 'pacs.008.001.08', 'AMSTNL2AXXX'],
    ['good/cbpr-in-its-envelope.xml', 'pacs.008.001.08', 'HUDSUS33XXX'],
    ['good/fedwire-like-clearing-members.xml', 'pacs.008.001.08', 'USABA:021040078'],
    ['good/prefixed-namespace.xml', 'pacs.008.001.08', 'SCHEBE2AXXX'],
    ['good/agents-by-clearing-alias.xml', 'pacs.008.001.08', 'DEBLZ:70012300'],
    ['good/supplementary-data-and-comments.xml', 'pacs.008.001.08', 'LIMMCHZZXXX'],
    ['good/transfer-between-banks.xml', 'pacs.009.001.10', 'SUMIJPJTXXX'],
    ['good/return-of-the-sepa-credit-transfer.xml', 'pacs.004.001.09', 'RHONFRLLXXX'],
    ['good/initiation-from-two-accounts.xml', 'pain.001.001.09', 'ALSTDEHHXXX'],
    ['good/sepa-with-bic-of-2009.xml', 'pacs.008.001.02', 'ISARDEMMXXX'],
    ['wrong/XML_INVALID-latin1-bytes.xml', 'pacs.008.001.08', 'ALSTDEHHXXX'],
    ['wrong/TYPE_UNSUPPORTED-camt.054.xml', 'camt.054.001.08', null],
  ])('of %s is %s, debiting %s', (name, messageType, debitedParticipant) => {
    expect(example(name)).toEqual({ messageType, debitedParticipant });
  });

  it('of a cover is not that of the payment which it covers', () => {
    const agent = (name: string, bic: string): string => `<${name}><FinInstnId><BICFI>${bic}</BICFI></FinInstnId></${name}>`;
    const covered = `<UndrlygCstmrCdtTrf>${agent('DbtrAgt', 'THAMGB2L')}</UndrlygCstmrCdtTrf>`;
    const text = `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.009.001.08"><FICdtTrf><CdtTrfTxInf>${agent('Dbtr', 'HUDSUS33')}${covered}</CdtTrfTxInf></FICdtTrf></Document>`;
    expect(outlineMessage(Buffer.from(text))).toEqual({ messageType: 'pacs.009.001.08', debitedParticipant: 'HUDSUS33XXX' });
  });

  it.each([[''], ['not XML at all'], ['<Document/>'], ['<Document xmlns="urn:other"><a></Document>'], ['</a></b><'], ['<'.repeat(1000)]])(
    'of %j is empty, not an error',
    (text) => {
      expect(outlineMessage(Buffer.from(text))).toEqual({ messageType: null, debitedParticipant: null });
    },
  );
});
