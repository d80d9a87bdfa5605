import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { XMLParser } from 'fast-xml-parser';
import { afterAll, describe, expect, it } from 'vitest';
import { fieldMapOf } from '../../src/codec/iso20022/field-maps.ts';
import { readMessage } from '../codec/iso20022/reading.ts';
import { compare } from './compare.ts';
import type { Comparison } from './compare.ts';
import { corpusIsThere, readSamples } from './corpus.ts';
import { hasXmllint } from './oracle.ts';
import { mutatedTrials } from './trials.ts';

const missing = [corpusIsThere ? '' : 'no corpus in ../shared/iso20022', hasXmllint() ? '' : 'no xmllint (libxml2-utils)'].filter((text) => text !== '');
if (missing.length > 0) console.log(`Differential tests are skipped: ${missing.join(', ')}.`);

/** The long form is `npm run differential`; its counts are in docs/iso20022.md. */
const mutationCount = 1500;
const seed = 4;

describe.skipIf(missing.length > 0)('our verdicts are libxml2\'s', () => {
  const folder = mkdtempSync(join(tmpdir(), 'settlefleet-differential-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const samples = missing.length > 0 ? [] : readSamples();
  const told = ({ differences }: Comparison): string[] =>
    differences.map(({ trial, ours, libxml2 }) => `${trial.origin}: ours ${ours || 'accepted'}, libxml2 ${libxml2.valid ? 'accepted' : libxml2.reason}`);

  it('over the corpus', { timeout: 180_000 }, () => {
    const settling = samples.filter((sample) => fieldMapOf(sample.definitionId) !== null);
    expect(settling.length).toBeGreaterThan(100);
    const comparison = compare(settling.map((sample) => ({ definitionId: sample.definitionId, text: sample.text, origin: sample.file })), join(folder, 'corpus'));
    expect(told(comparison)).toEqual([]);
    expect(comparison.accepted).toBeGreaterThan(80);
  });

  it('over mutations of it', { timeout: 180_000 }, () => {
    const wanted = samples.filter((sample) => /^pacs\.00[489]|^pain\.001\.001\.(03|09)/.test(sample.definitionId));
    const comparison = compare(mutatedTrials(wanted, mutationCount, seed), join(folder, 'mutations'));
    expect(told(comparison)).toEqual([]);
    expect(comparison.accepted).toBeGreaterThan(100);
    expect(comparison.count - comparison.accepted).toBeGreaterThan(500);
  });
});

describe.skipIf(!corpusIsThere)('our values are fast-xml-parser\'s', () => {
  const parser = new XMLParser({ removeNSPrefix: true, parseTagValue: false, parseAttributeValue: false, trimValues: false, ignoreAttributes: false });
  const samples = corpusIsThere ? readSamples().filter(({ definitionId }) => definitionId.startsWith('pacs.008.') && fieldMapOf(definitionId) !== null) : [];

  it('for each credit transfer of the corpus that can be settled', () => {
    let compared = 0;
    for (const { text } of samples) {
      const bytes = Buffer.from(text, 'latin1');
      const read = readMessage(bytes);
      if (read.deadLetter !== null || read.rejection !== null) continue;
      const body = (parser.parse(bytes) as { Document: { FIToFICstmrCdtTrf: { GrpHdr: { MsgId: string }; CdtTrfTxInf: unknown } } }).Document.FIToFICstmrCdtTrf;
      expect(read.messageId).toBe(body.GrpHdr.MsgId);
      const transfers = [body.CdtTrfTxInf].flat() as {
        readonly PmtId: Readonly<Record<string, string | undefined>>;
        readonly IntrBkSttlmAmt: Readonly<Record<string, string>>;
      }[];
      expect(read.transactions).toHaveLength(transfers.length);
      read.transactions.forEach((row, index) => {
        const { PmtId: id, IntrBkSttlmAmt: amount } = transfers[index]!;
        expect([row.instructionId, row.endToEndId, row.transactionId, row.uetr]).toEqual([
          id['InstrId'] ?? null,
          id['EndToEndId'] ?? null,
          id['TxId'] ?? null,
          id['UETR'] ?? null,
        ]);
        expect(row.currency).toBe(amount['@_Ccy']);
        expect(Number(row.amount) / 100_000).toBe(Number(amount['#text']));
        compared++;
      });
    }
    expect(compared).toBeGreaterThan(50);
  });
});
