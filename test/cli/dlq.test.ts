import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { createPaymentEventEncoder } from '../../src/codec/payment-event.ts';
import { settlementPartition } from '../../src/domain/partition.ts';
import { start, workplace } from './command.ts';
import type { Workplace } from './command.ts';
import { publish, readTopic } from './topic.ts';

const partitions = 4;
const bytes = (text: string): Buffer => Buffer.from(text);

interface Letter {
  readonly code: string;
  readonly key: string | null;
  readonly value: Buffer | null;
  readonly partition?: number;
}

async function writeLetters(place: Workplace, letters: readonly Letter[]): Promise<void> {
  await publish(place.brokers, letters.map(({ code, key, value, partition = 0 }, i) => ({
    topic: `${place.prefix}dead-letter`,
    partition,
    key,
    value,
    headers: [
      { key: 'trace', value: bytes(`trace-${i}`) },
      ...Object.entries({
        'dlq.code': code, 'dlq.reason': `reason ${i}`, 'dlq.topic': `${place.prefix}inbound`, 'dlq.partition': '3', 'dlq.offset': String(i),
        'dlq.failed-at': new Date(1_790_000_000_000 + i).toISOString(), 'dlq.worker': 'w-1',
      }).map(([name, text]) => ({ key: name, value: bytes(text) })),
    ],
  })));
}

async function placeWithLetters(name: string, letters: readonly Letter[]): Promise<Workplace> {
  const place = workplace(name);
  await place.settlefleet('topics', 'apply', '--partitions', String(partitions));
  await writeLetters(place, letters);
  return place;
}

const inbound = (place: Workplace) => readTopic(place.brokers, `${place.prefix}inbound`, partitions);

describe('dlq list and show', () => {
  let place: Workplace;
  beforeAll(async () => {
    place = await placeWithLetters('dlq-list', [
      { code: 'NOT_FRAMED', key: 'COBADEFFXXX', value: bytes('\u0001 raw') },
      { code: 'XML_INVALID', key: null, value: null, partition: 2 },
      { code: 'NOT_FRAMED', key: 'evil\u001b[31m', value: bytes('x') },
    ]);
  });

  it('lists the newest last, by code, up to a limit, as a table or as JSON', async () => {
    const all = await place.settlefleet('dlq', 'list', '--json');
    const letters = all.stdout.trim().split('\n').map((line) => JSON.parse(line) as { place: string; code: string; valueBytes: number | null });
    expect(letters).toHaveLength(3);
    expect(letters.find((letter) => letter.place === '2:0')).toMatchObject({ code: 'XML_INVALID', valueBytes: null, key: null, redriven: false });
    expect((await place.settlefleet('dlq', 'list', '--code', 'NOT_FRAMED')).stdout).not.toContain('XML_INVALID');
    const newest = await place.settlefleet('dlq', 'list', '--code', 'NOT_FRAMED', '--limit', '1');
    expect(newest.stdout).toContain('0:1');
    expect(newest.stdout).not.toContain('0:0');
    expect(newest.stderr).toContain('newest 1 of 2');
    expect((await place.settlefleet('dlq', 'list', '--since', '2020-01-01')).stdout).toContain('0:0');
    expect((await place.settlefleet('dlq', 'list', '--since', '2999-01-01')).stdout).toBe('No dead letters.\n');
  });

  it('never sends control characters of strangers to a terminal', async () => {
    const { stdout } = await place.settlefleet('dlq', 'list');
    expect(stdout).toContain('evil');
    expect(stdout).not.toContain('\u001b');
  });

  it('shows the headers of one letter, and gives its original bytes', async () => {
    const shown = await place.settlefleet('dlq', 'show', '0:0');
    expect(shown.stdout).toMatch(/header dlq\.code +NOT_FRAMED/);
    expect(shown.stdout).toMatch(/header trace +trace-0/);
    expect((await place.settlefleet('dlq', 'show', '0:0', '--value')).stdout).toBe('\u0001 raw');
    const file = join(tmpdir(), `settlefleet-letter-${process.pid}`);
    await place.settlefleet('dlq', 'show', '0:0', '--value', file);
    expect(readFileSync(file).toString()).toBe('\u0001 raw');
    rmSync(file);
  });

  it('tells what a letter holds where it is a PaymentEvent, and gives its document', async () => {
    const schema: unknown = JSON.parse(readFileSync(new URL('../../schemas/payment-event.avsc', import.meta.url), 'utf8'));
    const event = { eventId: 'e-1', messageType: 'pacs.008.001.08', source: 's', createdAt: 0, document: bytes('<Dokument/>'), attributes: {} };
    const other = await placeWithLetters('dlq-event', [{ code: 'XML_INVALID', key: 'A', value: createPaymentEventEncoder(schema, 7)(event) }]);
    const shown = await other.settlefleet('dlq', 'show', '0:0');
    expect(shown.stdout).toMatch(/value +\d+ bytes, schema id 7/);
    expect(shown.stdout).toMatch(/event id +e-1\n/);
    expect((await other.settlefleet('dlq', 'show', '0:0', '--document')).stdout).toBe('<Dokument/>');
    expect((await place.settlefleet('dlq', 'show', '0:0', '--document')).code).toBe(1);
  });

  it('says which letter there is not', async () => {
    const { code, stderr } = await place.settlefleet('dlq', 'show', '1:99');
    expect(code).toBe(1);
    expect(stderr).toContain('no dead letter at 1:99');
  });
});

describe('dlq redrive', () => {
  it('only says what it would do, until --yes', async () => {
    const place = await placeWithLetters('dlq-dry', [{ code: 'XML_INVALID', key: 'A', value: bytes('a') }]);
    const { code, stdout } = await place.settlefleet('dlq', 'redrive', '--all');
    expect(code).toBe(0);
    expect(stdout).toContain('1 letter would be redriven. Nothing was done');
    expect(await inbound(place)).toEqual([]);
  });

  it('sends key, value and headers as they were, to the partition of the key, without dlq.* and with its origin', async () => {
    const place = await placeWithLetters('dlq-redrive', [
      { code: 'UNKNOWN_SCHEMA', key: 'COBADEFFXXX', value: bytes('payload') },
      { code: 'UNKNOWN_SCHEMA', key: null, value: null },
      { code: 'XML_INVALID', key: 'A', value: bytes('stays') },
    ]);
    expect((await place.settlefleet('dlq', 'redrive', '--code', 'UNKNOWN_SCHEMA', '--yes')).stdout).toContain('2 letters redriven.');
    const records = await inbound(place);
    expect(records).toHaveLength(2);
    expect(records.find(({ key }) => key === 'COBADEFFXXX')).toMatchObject({
      partition: settlementPartition('COBADEFFXXX', partitions),
      value: bytes('payload'),
      headers: { trace: 'trace-0', 'redriven.from': `${place.prefix}dead-letter/0/0` },
    });
    expect(records.find(({ key }) => key === null)).toMatchObject({ partition: 3, value: null });
    for (const { headers } of records) expect(Object.keys(headers).filter((name) => name.startsWith('dlq.'))).toEqual([]);
  });

  it('never sends a letter twice, unless told to', async () => {
    const place = await placeWithLetters('dlq-once', ['a', 'b', 'c'].map((text) => ({ code: 'AVRO_INVALID', key: text, value: bytes(text) })));
    await place.settlefleet('dlq', 'redrive', '0:1', '--yes');
    const rest = await place.settlefleet('dlq', 'redrive', '--all', '--yes');
    expect(rest.stdout).toContain('2 letters redriven, 1 left because redriven before');
    expect((await inbound(place)).map(({ value }) => String(value)).sort()).toEqual(['a', 'b', 'c']);
    expect((await place.settlefleet('dlq', 'list')).stdout.match(/ yes /g)).toHaveLength(3);
    await place.settlefleet('dlq', 'redrive', '0:1', '--yes', '--again');
    expect((await inbound(place)).map(({ value }) => String(value)).sort()).toEqual(['a', 'b', 'b', 'c']);
  });

  it('sends each letter once when two operators redrive at the same time', async () => {
    const place = await placeWithLetters('dlq-two', Array.from({ length: 40 }, (_, i) => ({ code: 'XML_INVALID', key: `K${i}`, value: bytes(`${i}`) })));
    const both = await Promise.all([0, 1].map(() => place.settlefleet('dlq', 'redrive', '--all', '--yes', '--rate', '20')));
    const last = await place.settlefleet('dlq', 'redrive', '--all', '--yes');
    expect(last.code).toBe(0);
    const values = (await inbound(place)).map(({ value }) => Number(value)).sort((a, b) => a - b);
    expect(values).toEqual(Array.from({ length: 40 }, (_, i) => i));
    // The one who was fenced says so; the other may have done all of it.
    expect(both.filter(({ code }) => code === 0).length).toBeGreaterThanOrEqual(1);
  });

  it('sends each letter once when it is killed in the middle and run again', async () => {
    const place = await placeWithLetters('dlq-kill', Array.from({ length: 30 }, (_, i) => ({ code: 'XML_INVALID', key: `K${i}`, value: bytes(`${i}`) })));
    const child = start(['dlq', 'redrive', '--all', '--yes', '--rate', '20'], { TOPIC_PREFIX: place.prefix });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'close');
    const { stdout } = await place.settlefleet('dlq', 'redrive', '--all', '--yes');
    expect(stdout).toMatch(/letters redriven, \d+ left because redriven before/);
    const values = (await inbound(place)).map(({ value }) => Number(value)).sort((a, b) => a - b);
    expect(values).toEqual(Array.from({ length: 30 }, (_, i) => i));
  });

  it('keeps to its rate', async () => {
    const place = await placeWithLetters('dlq-rate', Array.from({ length: 10 }, (_, i) => ({ code: 'XML_INVALID', key: `K${i}`, value: bytes(`${i}`) })));
    const begun = performance.now();
    await place.settlefleet('dlq', 'redrive', '--all', '--yes', '--rate', '5');
    expect(performance.now() - begun).toBeGreaterThan(1900);
    expect(await inbound(place)).toHaveLength(10);
  });

  it('says which of the named letters there are not', async () => {
    const place = await placeWithLetters('dlq-missing', [{ code: 'XML_INVALID', key: 'A', value: bytes('a') }]);
    const { code, stderr } = await place.settlefleet('dlq', 'redrive', '0:7', '--yes');
    expect(code).toBe(1);
    expect(stderr).toContain('0:7');
  });
});
