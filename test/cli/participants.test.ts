import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { workplace } from './command.ts';
import type { Ended } from './command.ts';
import { publish, readTopic } from './topic.ts';

const { brokers, prefix, settlefleet } = workplace('participants');
const folder = mkdtempSync(join(tmpdir(), 'settlefleet-participants-'));
const topic = `${prefix}participants`;

const bank = (id: string, currencies: readonly string[]) => ({
  id,
  name: id,
  aliases: [],
  currencies: Object.fromEntries(currencies.map((currency) => [currency, { debitCap: '100.00' }])),
});

function apply(banks: unknown, ...options: readonly string[]): Promise<Ended> {
  const file = join(folder, 'participants.json');
  writeFileSync(file, JSON.stringify(banks));
  return settlefleet('participants', 'apply', file, ...options);
}

/** The directory as a reader of the compacted topic has it. */
async function directory(): Promise<Record<string, string[]>> {
  const known = new Map<string, string[]>();
  for (const { key, value } of await readTopic(brokers, topic, 1)) {
    if (value === null) known.delete(key!);
    else known.set(key!, Object.keys((JSON.parse(value.toString()) as { currencies: object }).currencies));
  }
  return Object.fromEntries(known);
}

beforeAll(async () => {
  await settlefleet('topics', 'apply', '--partitions', '2');
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('participants apply', () => {
  it('makes the file the whole directory', async () => {
    const first = await apply([bank('AAAADEFF', ['EUR', 'USD']), bank('BBBBDEFFXXX', ['EUR'])]);
    expect(first).toMatchObject({ code: 0, stdout: `${topic}: 2 participants, 2 added, 0 changed, 0 removed\n` });
    expect(await directory()).toEqual({ AAAADEFFXXX: ['EUR', 'USD'], BBBBDEFFXXX: ['EUR'] });

    const second = await apply([bank('AAAADEFF', ['EUR']), bank('USABA:021040078', ['USD'])]);
    expect(second.stdout).toContain('2 participants, 1 added, 1 changed, 1 removed');
    expect(await directory()).toEqual({ AAAADEFFXXX: ['EUR'], 'USABA:021040078': ['USD'] });
  });

  it('publishes nothing when nothing changes', async () => {
    const banks = [bank('AAAADEFFXXX', ['EUR'])];
    await apply(banks);
    const before = await readTopic(brokers, topic, 1);
    expect((await apply(banks)).stdout).toContain('0 added, 0 changed, 0 removed');
    expect(await readTopic(brokers, topic, 1)).toHaveLength(before.length);
  });

  it('publishes nothing of a file that has faults, and names each with its place', async () => {
    const before = await readTopic(brokers, topic, 1);
    const { code, stdout, stderr } = await apply([bank('CCCCDEFFXXX', ['EUR']), { ...bank('x', ['DEM']) }]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('$[1].id: ');
    expect(stderr).toContain('$[1].currencies.DEM: ');
    expect(await readTopic(brokers, topic, 1)).toHaveLength(before.length);
  });

  it('refuses to remove a currency while its position is not 0, unless forced', async () => {
    await apply([bank('AAAADEFFXXX', ['EUR', 'USD']), bank('DDDDDEFFXXX', ['EUR'])]);
    const position = (key: string, text: string) =>
      ({ topic: `${prefix}positions`, partition: 1, key, value: JSON.stringify({ position: text }) });
    await publish(brokers, [position('AAAADEFFXXX|USD', '5.00'), position('DDDDDEFFXXX|EUR', '-5.00')]);

    const fewer = [bank('AAAADEFFXXX', ['EUR'])];
    const { code, stderr } = await apply(fewer);
    expect(code).toBe(1);
    expect(stderr).toContain('AAAADEFFXXX stands at 5.00 USD');
    expect(stderr).toContain('DDDDDEFFXXX stands at -5.00 EUR');
    expect(Object.keys(await directory())).toContain('DDDDDEFFXXX');

    expect(await apply(fewer, '--force')).toMatchObject({ code: 0 });
    expect(await directory()).toEqual({ AAAADEFFXXX: ['EUR'] });
  });

  it('removes a currency whose position came back to 0', async () => {
    await apply([bank('AAAADEFFXXX', ['EUR', 'GBP'])]);
    const positions = ['7.00', '0.00'].map((position) => ({
      topic: `${prefix}positions`, partition: 0, key: 'AAAADEFFXXX|GBP', value: JSON.stringify({ position }),
    }));
    await publish(brokers, positions);
    expect(await apply([bank('AAAADEFFXXX', ['EUR'])])).toMatchObject({ code: 0 });
  });

  it('says in one line which file cannot be read, and which topic is missing', async () => {
    const missing = await settlefleet('participants', 'apply', join(folder, 'none.json'));
    expect(missing).toMatchObject({ code: 1, stdout: '' });
    expect(missing.stderr).toMatch(/none\.json cannot be read.*\n$/);
    const elsewhere = await workplace('nowhere').settlefleet('participants', 'apply', join(folder, 'participants.json'));
    expect(elsewhere.code).toBe(1);
    expect(elsewhere.stderr).toContain('topics apply');
  });
});
