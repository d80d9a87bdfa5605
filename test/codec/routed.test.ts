import { describe, expect, it } from 'vitest';
import { decodeCheckpoint, encodeCheckpoint, chainStart } from '../../src/codec/checkpoint.ts';
import { decodePosition, encodePosition, positionCommit, positionKey } from '../../src/codec/position-record.ts';
import { packRecords, keyBytes, valueBytes } from '../../src/codec/record-batch.ts';
import { RecordSlab } from '../../src/codec/record-slab.ts';
import { decodeRouted, encodeRouted } from '../../src/codec/routed.ts';
import type { Routed } from '../../src/codec/routed.ts';
import { amountMax } from '../../src/domain/amount.ts';

const routed: Routed = {
  from: 3,
  commit: 2 ** 40,
  credits: [
    { participant: 'COBADEFFXXX', currency: 'EUR', units: 1n },
    // More than 64 bits hold: the sum of many large amounts.
    { participant: 'BNPAFRPPXXX', currency: 'EUR', units: amountMax * 100n },
  ],
  transfers: [
    {
      event: { eventId: 'e', messageType: 'pacs.008.001.08', source: 's', messageId: null, createdAt: 1, receivedAt: 2 ** 52, inboundPartition: 7, inboundOffset: 2 ** 52 },
      transactionIndex: 4,
      instructionId: 'I',
      endToEndId: null,
      transactionId: null,
      uetr: '8a562c67-ca16-48ba-b074-65581be6f001',
      debitedParticipant: 'USABA:021040078',
      creditedParticipant: null,
      currency: 'USD',
      amount: amountMax,
      formalRefusal: { reasonCode: 'AC03', reason: 'äöü' },
      identity: 'pacs.008|UETR|8a562c67-ca16-48ba-b074-65581be6f001',
    },
  ],
};

describe('a routed record', () => {
  it('says what was written', () => {
    expect(decodeRouted(encodeRouted(routed))).toEqual(routed);
  });

  it('of an unknown version is not read as another', () => {
    const bytes = encodeRouted(routed);
    bytes[0] = 3;
    expect(() => decodeRouted(bytes)).toThrow(/version 3/);
  });
});

describe('a position in the changelog', () => {
  it('is keyed by participant and currency and holds a decimal string', () => {
    const position = { participant: 'COBADEFFXXX', currency: 'EUR', units: -12_345_000n };
    expect(positionKey(position)).toBe('COBADEFFXXX|EUR');
    expect(JSON.parse(encodePosition(position, 7))).toEqual({ position: '-123.45', commit: 7 });
    expect(decodePosition(Buffer.from(positionKey(position)), Buffer.from(encodePosition(position, 7)))).toEqual(position);
    expect([positionCommit(Buffer.from(encodePosition(position, 7))), positionCommit(Buffer.from('{"position":"1.00"}'))]).toEqual([7, null]);
  });
});

describe('a checkpoint', () => {
  it('says what was written, and refuses what is not one', () => {
    const checkpoint = { commit: 4, inbound: 5, routed: 0, sequence: 2, results: 9, first: '3:17:-1', chain: chainStart, worker: 'w' };
    expect(decodeCheckpoint(Buffer.from(encodeCheckpoint(checkpoint)))).toEqual(checkpoint);
    expect(() => decodeCheckpoint(Buffer.from('{"inbound":1}'))).toThrow();
  });
});

describe('packed records', () => {
  it('keep null apart from empty', () => {
    const batch = packRecords('t', 1, [
      { key: null, value: Buffer.from('v'), offset: 10, timestamp: 1, headers: null },
      { key: Buffer.from(''), value: null, offset: 12, timestamp: 2, headers: [] },
    ]);
    expect([keyBytes(batch, 0), keyBytes(batch, 1)?.length, valueBytes(batch, 1)]).toEqual([null, 0, null]);
    expect(Buffer.from(valueBytes(batch, 0)!).toString()).toBe('v');
  });
});

describe('a slab of records', () => {
  it('grows, and asks again for a value that had no room', () => {
    const slab = new RecordSlab(8);
    let asked = 0;
    slab.append('t', 0, 'key', 'a value that is longer than the slab');
    slab.appendWith('t', 1, 'k', (bytes, start) => {
      asked++;
      return start + 100 > bytes.length ? -1 : bytes.fill(7, start, start + 100) && start + 100;
    });
    slab.append('t', 2, null, null);
    expect(slab.value(0)?.toString()).toBe('a value that is longer than the slab');
    expect(slab.value(1)).toEqual(Buffer.alloc(100, 7));
    expect([slab.key(1)?.toString(), slab.key(2), slab.value(2)]).toEqual(['k', null, null]);
    expect(asked).toBeGreaterThan(1);
  });
});
