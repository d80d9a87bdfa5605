/** The events that benchmarks send, and know the answers of by their numbers alone. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { createIndexReader, createWorkload, eventIdOf, indexOfEventId, participantIds } from '../../bench/workload.ts';
import type { WorkloadOptions } from '../../bench/workload.ts';
import { eventSchema, typeOf } from '../integration/harness/avro.ts';
import { owningPartition } from '../integration/harness/murmur2.ts';

const schema = { id: 7, text: readFileSync(new URL('../../schemas/payment-event.avsc', import.meta.url), 'utf8') };
const options: WorkloadOptions = { seed: 5, participants: 300, partitions: 8, transactions: 1, duplicates: 0.01, wrong: 0.005, schema, moulds: 256 };
const type = typeOf(eventSchema);

interface Event {
  readonly eventId: string;
  readonly createdAt: number;
  readonly document: Buffer;
}

/** Reads an event with another reader than the one that wrote it. */
function read(value: Buffer): Event & { readonly text: string } {
  expect(value[0]).toBe(0);
  const event = type.fromBuffer(value.subarray(5)) as Event;
  return { ...event, createdAt: Number(event.createdAt), text: event.document.toString() };
}

const all = (text: string, tag: string): string[] => [...text.matchAll(new RegExp(`<${tag}>([^<]+)<`, 'g'))].map((match) => match[1]!);

describe('a workload', () => {
  test('says by an event\'s number what the event holds, in another process as well', () => {
    const one = createWorkload(options);
    const other = createWorkload(options);
    for (const index of [0, 1, 5_001, 12_345]) {
      const made = one.make(index, 1_790_000_000_123);
      const value = Buffer.from(made.value);
      const again = other.make(index, 1_790_000_000_123);
      expect(again).toEqual({ ...made, value });
      const event = read(value);
      expect(event.eventId).toBe(eventIdOf(5, index));
      expect(event.createdAt).toBe(1_790_000_000_123);
      expect(indexOfEventId(5, event.eventId)).toBe(index);
      expect(createIndexReader(5)(value)).toBe(index);
      expect(createIndexReader(6)(value)).toBe(-1);
    }
  });

  test('puts every good payment where Java\'s partitioner would, keyed by who is debited, and never to itself', () => {
    const workload = createWorkload(options);
    for (let index = 0; index < 2_000; index++) {
      if (workload.kind(index) !== 'plain') continue;
      const { key, partition, value } = workload.make(index, 1_790_000_000_000);
      const agents = all(read(value).text, 'BICFI');
      expect(agents).toHaveLength(4);
      const [debited, credited, debtorAgent, creditorAgent] = agents;
      expect([debtorAgent, creditorAgent]).toEqual([debited, credited]);
      expect(debited).toBe(key);
      expect(credited).not.toBe(debited);
      expect(partition).toBe(owningPartition(key, 8));
      expect(value.length).toBeGreaterThan(1_700);
    }
  });

  test('sends 1 in 100 again, as the same payment in the same partition, and everything else once', () => {
    const workload = createWorkload(options);
    const count = 30_000;
    const seen = new Map<string, { readonly partition: number; readonly debited: string }>();
    let resends = 0;
    let wrong = 0;
    for (let index = 0; index < count; index++) {
      const kind = workload.kind(index);
      if (kind !== 'plain' && kind !== 'duplicate') {
        wrong++;
        continue;
      }
      const { partition, key, value } = workload.make(index, 1_790_000_000_000);
      const [uetr] = all(value.toString('latin1'), 'UETR');
      const before = seen.get(uetr!);
      if (kind === 'duplicate') {
        resends++;
        expect(before).toEqual({ partition, debited: key });
        expect(workload.expected(index)).toEqual({ kind: 'rejected', code: 'AM05', index: 0 });
      } else {
        expect(before).toBeUndefined();
        seen.set(uetr!, { partition, debited: key });
      }
    }
    expect(resends).toBeGreaterThan(0.008 * (count - 5_003));
    expect(wrong).toBe(count * 0.005);
  });

  test('is wrong in every way that the generator knows but the one of a megabyte', () => {
    const workload = createWorkload(options);
    const kinds = new Set(Array.from({ length: 200 * 30 }, (_, index) => workload.kind(index)));
    for (const kind of ['empty value', 'unknown schema', 'not UTF-8', 'control sum', 'debtor IBAN', 'unknown debited bank', 'no charge bearer']) expect(kinds).toContain(kind);
    expect(kinds).not.toContain('too large');
  });

  test('with 50 transactions a message adds up, debits one participant and has 50 identities', () => {
    const workload = createWorkload({ ...options, transactions: 50, moulds: 4 });
    const { key, value } = workload.make(3, 1_790_000_000_000);
    const { text } = read(value);
    const amounts = [...text.matchAll(/<IntrBkSttlmAmt Ccy="EUR">([\d.]+)</g)].map((match) => Math.round(Number(match[1]) * 100));
    expect(all(text, 'NbOfTxs')).toEqual(['50']);
    expect(amounts).toHaveLength(50);
    expect(Math.round(Number(all(text, 'CtrlSum')[0]) * 100)).toBe(amounts.reduce((sum, cents) => sum + cents, 0));
    expect(new Set(all(text, 'UETR')).size).toBe(50);
    expect(all(text, 'BICFI').filter((id) => id === key)).toHaveLength(51);
    expect(workload.answers(3)).toBe(50);
  });

  test('knows as many participants as are asked for', () => {
    expect(new Set(participantIds(500_000)).size).toBe(500_000);
    for (const id of participantIds(2_000)) expect(id).toMatch(/^[A-Z]{6}[A-Z0-9]{2}[A-Z0-9]{3}$/);
  });
});
