import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { currencyDecimals } from '../../src/codec/data/currencies.ts';
import { readParticipantsFile } from '../../src/domain/participants-file.ts';
import { generateEvents, partitionOf } from '../../src/demo/generate.ts';
import type { GeneratedEvent } from '../../src/demo/generate.ts';
import { settlementPartition } from '../../src/domain/partition.ts';
import { deadLetterCodes } from '../../src/domain/codes.ts';

const file = readParticipantsFile(
  readFileSync(new URL('../../examples/participants.json', import.meta.url), 'utf8'),
  (currency) => currencyDecimals.get(currency),
);
const participants = file.kind === 'read' ? file.participants : [];
const generate = (seed: number, count: number): GeneratedEvent[] =>
  [...generateEvents({ seed, count, participants, incompatibleSchemaId: 7 })];
const events = generate(1, 4000);

describe('generated events', () => {
  it('are the same for the same seed, and others for another', () => {
    const plain = (list: GeneratedEvent[]) => list.map(({ event, key, expected }) => ({ ...event, key, expected }));
    expect(plain(generate(5, 50))).toEqual(plain(generate(5, 50)));
    expect(plain(generate(6, 50))).not.toEqual(plain(generate(5, 50)));
  });

  it('show every dead-letter code and every reason code that pacs.008 can have', () => {
    const codes = new Set(events.map(({ expected }) => ('code' in expected ? expected.code : expected.kind)));
    const reasons = ['FF01', 'AM19', 'AM10', 'AM11', 'AM12', 'AM01', 'AM02', 'AC02', 'AC03', 'DNOR', 'CNOR', 'AM03', 'AM05', 'AM04'];
    for (const code of [...deadLetterCodes, ...reasons, 'settled']) expect(codes).toContain(code);
  });

  it('ask for the partition of the debited participant, or for any but that one', () => {
    for (const event of events) {
      const owner = settlementPartition(event.debited, 8);
      if (event.partition === 'owner') expect(partitionOf(event, 8)).toBe(owner);
      else expect(partitionOf(event, 8)).not.toBe(owner);
    }
    expect(events.some(({ partition, key }) => partition === 'other' && key === null)).toBe(true);
  });

  it('have event ids of their own, also where they send a payment again', () => {
    expect(new Set(events.map(({ event }) => event.eventId)).size).toBe(events.length);
    const uetrs = events.map(({ event }) => /<UETR>(.*?)<\/UETR>/.exec(Buffer.from(event.document).toString())?.[1]);
    events.forEach(({ kind }, i) => {
      if (kind === 'duplicate') expect(uetrs.indexOf(uetrs[i])).toBeLessThan(i);
    });
  });

  it('are some 1.9 KB long as a rule', () => {
    const plain = events.filter(({ kind }) => kind === 'plain');
    const mean = plain.reduce((sum, { event }) => sum + event.document.length, 0) / plain.length;
    expect(mean).toBeGreaterThan(1700);
    expect(mean).toBeLessThan(2100);
  });
});
