import { describe, expect, it } from 'vitest';
import { readSchemaTable } from '../../../schemas/iso20022/tables.ts';
import { createMessageReader } from '../../../src/codec/iso20022/payment-reader.ts';
import { mutate } from '../../differential/mutations.ts';
import { SeededRandom } from '../../differential/seeded-random.ts';
import { creditTransfer, pacs008, pain001 } from './messages.ts';
import { readMessage } from './reading.ts';

describe('remembered markup', () => {
  it('never changes an answer: a reader that has seen much says what a fresh one says', () => {
    const random = new SeededRandom(20261123);
    const compact = pacs008().replaceAll(/>\s+</g, '><');
    const sources = [
      pacs008(),
      pacs008({ transactions: [creditTransfer(), creditTransfer(), creditTransfer()] }),
      compact,
      compact.replaceAll(/<(\/?)(\w)/g, '<$1p:$2').replace('xmlns=', 'xmlns:p='),
      pain001('pain.001.001.09'),
      `<Box><In>${compact.replace(/^<\?xml.*?\?>/, '')}</In></Box>`,
    ];
    const experienced = createMessageReader(readSchemaTable);
    const verdicts = new Map<string, number>();
    for (let i = 0; i < 3000; i++) {
      const { text } = mutate(Buffer.from(random.pick(sources)).toString('latin1'), random);
      const bytes = Uint8Array.from(Buffer.from(text, 'latin1'));
      const answer = readMessage(bytes, 'pacs.008.001.08', experienced);
      // A table takes a while to open, so one fresh reader serves for few messages.
      const fresh = i % 10 === 0 ? createMessageReader(readSchemaTable) : null;
      if (fresh !== null) expect(readMessage(bytes, 'pacs.008.001.08', fresh)).toEqual(answer);
      expect(readMessage(bytes, 'pacs.008.001.08', experienced)).toEqual(answer);
      const verdict = answer.deadLetter ?? answer.rejection ?? 'read';
      verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    }
    // All kinds of answers were among them.
    for (const verdict of ['read', 'FF01', 'XML_INVALID']) expect(verdicts.get(verdict)).toBeGreaterThan(200);
  });

  it('is bounded: strangers by the thousand are read, and known ones after them', () => {
    const reader = createMessageReader(readSchemaTable);
    for (let i = 0; i < 3000; i++) {
      const indent = ' '.repeat(1 + (i % 97)) + '\n'.repeat(1 + (i % 89));
      const message = pacs008().replaceAll('\n', indent).replace(/^<\?xml.*?\?>\s*/, '');
      expect(readMessage(message, 'pacs.008.001.08', reader).transactions).toHaveLength(1);
    }
  });
});
