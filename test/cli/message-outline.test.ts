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
    ['wrong/XML_INVALID-latin1-bytes.xml', 'pacs.008.001.08', 'ALSTDEHHXXX'],
    ['wrong/TYPE_UNSUPPORTED-camt.054.xml', 'camt.054.001.08', null],
  ])('of %s is %s, debiting %s', (name, messageType, debitedParticipant) => {
    expect(example(name)).toEqual({ messageType, debitedParticipant });
  });

  it.each([[''], ['not XML at all'], ['<Document/>'], ['<Document xmlns="urn:other"><a></Document>'], ['</a></b><'], ['<'.repeat(1000)]])(
    'of %j is empty, not an error',
    (text) => {
      expect(outlineMessage(Buffer.from(text))).toEqual({ messageType: null, debitedParticipant: null });
    },
  );
});
