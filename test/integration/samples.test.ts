/**
 * Messages of many schemes, banks and vendors, as they are, through a real worker: what libxml2 said of each, and what another
 * parser reads in it, must be what becomes of it. They lie beside the checkout where they lie at all.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bench, headerText } from './harness/bench.ts';
import type { ParticipantEntry, Sent } from './harness/bench.ts';
import { owningPartition } from './harness/murmur2.ts';
import { definitionOf, definitions } from './harness/other-messages.ts';
import { readSample } from './harness/sample-reader.ts';
import type { Sample } from './harness/sample-reader.ts';
import { compare } from './harness/truth.ts';

const shared = join(import.meta.dirname, '../../../shared/iso20022');
const indexFile = join(shared, 'INDEX.jsonl');
const isThere = existsSync(indexFile);
if (!isThere) console.log('Real-world samples are skipped: no ../shared/iso20022.');

interface Entry {
  readonly file: string;
  /** Name of a part, its definition, and libxml2's verdict. */
  readonly parts: readonly (readonly [string, string, string])[];
}

interface Trial extends Sample {
  readonly file: string;
  readonly bytes: Buffer;
  /** `settled`: results for transactions, or a message whose numbers do not add up. */
  readonly expected: 'settled' | 'FF01' | 'XML_INVALID' | 'TYPE_UNSUPPORTED';
}

const settles = new Set(definitions.map(({ family, version }) => definitionOf(family, version)));

function trialOf({ file, parts }: Entry): Trial {
  const bytes = readFileSync(join(shared, 'samples', file));
  const sample = readSample(bytes.toString());
  const verdict = parts.find(([name]) => name === 'Document')?.[2] ?? '';
  const judged = verdict === 'valid' ? 'settled' : 'FF01';
  const expected = sample.definition === null ? 'XML_INVALID' : settles.has(sample.definition) ? judged : 'TYPE_UNSUPPORTED';
  return { file, bytes, expected, ...sample };
}

const trials = isThere
  ? readFileSync(indexFile, 'utf8').split('\n').filter((line) => line !== '').map((line) => trialOf(JSON.parse(line) as Entry))
  : [];

/** Everybody whom the samples name as debited or credited, with all that they pay in. */
function everybody(): ParticipantEntry[] {
  const money = { EUR: 2, USD: 2, RON: 2, CHF: 2, GBP: 2, DKK: 2, SGD: 2, CAD: 2, AUD: 2, THB: 2, RUB: 2, JPY: 0, KWD: 3 };
  const currencies = Object.fromEntries(Object.keys(money).map((currency) => [currency, { debitCap: '9999999999999' }]));
  const named = trials.flatMap(({ transactions }) => transactions.flatMap(({ debitedParticipant, creditedParticipant }) => [debitedParticipant, creditedParticipant]));
  const valid = named.filter((name): name is string => name !== null && /^([A-Z0-9]{11}|[A-Z]{1,5}:.{1,35})$/.test(name));
  return [...new Set(valid)].map((id) => ({ id, aliases: [], currencies }));
}

const wholeMessage = new Set(['AM19', 'AM20', 'AM10', 'AM17']);

describe.skipIf(!isThere)('real-world samples', () => {
  const participants = everybody();
  const sent = new Map<Trial, Sent>();
  const deadLetterCodes = new Map<string, string>();
  let bench: Bench;

  beforeAll(async () => {
    bench = await Bench.create('samples', { participants });
    await (await bench.startWorker()).ready();
    for (const trial of trials) {
      const first = trial.transactions[0]?.debitedParticipant ?? null;
      const event = await bench.sendDocument(trial.bytes, { messageType: trial.definition ?? 'pacs.008.001.08', key: first });
      sent.set(trial, event);
      if (trial.expected === 'XML_INVALID' || trial.expected === 'TYPE_UNSUPPORTED') deadLetterCodes.set(`${event.partition}/${event.offset}`, trial.expected);
    }
    await bench.atRest(60_000);
  });
  afterAll(() => bench?.close());

  /** One word for each kind of answer that an event got: there must be one. */
  function answers(trial: Trial): string[] {
    const event = sent.get(trial)!;
    const results = bench.resultsOf(event.eventId);
    const kinds = bench.deadLettersOf(event).map((letter) => headerText(letter, 'dlq.code')!);
    for (const { transactionIndex, reasonCode } of results) if (transactionIndex === -1) kinds.push(wholeMessage.has(reasonCode!) ? 'settled' : reasonCode!);
    const indexes = results.map(({ transactionIndex }) => transactionIndex).filter((index) => index >= 0);
    if (indexes.length > 0) {
      const whole = indexes.join() === trial.transactions.map((_, index) => index).join();
      kinds.push(whole ? 'settled' : `transactions ${indexes.join()} of ${trial.transactions.length}`);
    }
    return kinds;
  }

  test('are enough of each kind', () => {
    const count = (kind: Trial['expected']): number => trials.filter(({ expected }) => expected === kind).length;
    expect(count('settled')).toBeGreaterThan(100);
    expect(count('FF01')).toBeGreaterThan(30);
    expect(count('XML_INVALID')).toBeGreaterThan(10);
    expect(count('TYPE_UNSUPPORTED')).toBeGreaterThan(100);
  });

  test('get one kind of answer each: what libxml2 and their namespace say', () => {
    const told = trials.map((trial) => `${trial.file}: ${answers(trial).join(' and ')}`);
    expect(told).toEqual(trials.map(({ file, expected }) => `${file}: ${expected}`));
  });

  test('are read as another parser reads them', () => {
    let compared = 0;
    for (const trial of trials.filter(({ expected }) => expected === 'settled')) {
      for (const result of bench.resultsOf(sent.get(trial)!.eventId)) {
        const { file, messageId, definition } = trial;
        expect({ file, messageId: result.messageId, messageType: result.messageType }).toEqual({ file, messageId, messageType: definition });
        const payment = trial.transactions[result.transactionIndex];
        if (payment === undefined) continue;
        const {
          transactionIndex, instructionId, endToEndId, transactionId, uetr, debitedParticipant, creditedParticipant, currency, amount, partition, inboundPartition,
        } = result;
        expect({ file, transactionIndex, instructionId, endToEndId, transactionId, uetr, debitedParticipant, creditedParticipant, currency, amount }).toEqual({ file, transactionIndex, ...payment });
        expect(partition).toBe(debitedParticipant === null ? inboundPartition : owningPartition(debitedParticipant, bench.partitions));
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(120);
  });

  test('settle, but for a reason that their content gives', () => {
    const byCode = new Map<string, number>();
    for (const { status, reasonCode } of bench.results) byCode.set(reasonCode ?? status, (byCode.get(reasonCode ?? status) ?? 0) + 1);
    const known = ['ACSC', 'FF01', 'AM05', 'AM10', 'AM11', 'AM12', 'AM17', 'AM19', 'AM20', 'AM01', 'AM03', 'AC02', 'AC03', 'DNOR', 'CNOR'];
    expect([...byCode.keys()].filter((code) => !known.includes(code))).toEqual([]);
    expect(byCode.get('ACSC')).toBeGreaterThan(70);
    for (const { reasonCode, debitedParticipant, creditedParticipant, transactionIndex } of bench.results) {
      // Everybody who is named is in the directory.
      if (reasonCode === 'DNOR') expect(debitedParticipant).toBeNull();
      if (reasonCode === 'CNOR') expect(creditedParticipant).toBeNull();
      if (reasonCode === 'FF01') expect(transactionIndex).toBe(-1);
    }
  });

  test('no reason quotes an account number or a name of the message', () => {
    for (const [trial, { eventId }] of sent) {
      const personal = [...trial.bytes.toString().matchAll(/<(?:\w+:)?(?:IBAN|Nm)>([^<]{6,})</g)].map(([, text]) => text!.trim());
      for (const { reason } of bench.resultsOf(eventId)) for (const text of personal) expect(reason ?? '', trial.file).not.toContain(text);
    }
  });

  test('everything is in its place, in its order, and the positions add up', () => {
    expect(compare({ ...bench, participants, positions: bench.positions(), deadLetterCodes })).toEqual([]);
  });
});
