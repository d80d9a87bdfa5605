import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import avro from 'avsc';
import { beforeAll, describe, expect, it } from 'vitest';
import { settlementPartition } from '../../src/domain/partition.ts';
import { workplace } from './command.ts';
import { readTopic } from './topic.ts';

const place = workplace('submit');
const messages = fileURLToPath(new URL('../../examples/messages/', import.meta.url));
const eventType = avro.Type.forSchema(
  JSON.parse(readFileSync(new URL('../../schemas/payment-event.avsc', import.meta.url), 'utf8')) as avro.Schema,
);
const partitions = 4;
const inbound = () => readTopic(place.brokers, `${place.prefix}inbound`, partitions);

interface Event {
  readonly eventId: string;
  readonly messageType: string;
  readonly source: string;
  readonly createdAt: number;
  readonly document: Buffer;
}

beforeAll(async () => {
  await place.settlefleet('topics', 'apply', '--partitions', String(partitions));
});

describe('submit', () => {
  it('says what to do when the schemas are not registered', async () => {
    const { code, stderr } = await place.settlefleet('submit', `${messages}good/sepa-credit-transfer.xml`);
    expect(code).toBe(1);
    expect(stderr).toContain('schemas register');
    expect(await inbound()).toEqual([]);
  });

  it('produces a file as a payment event, as it is, keyed by who is debited', async () => {
    await place.settlefleet('schemas', 'register');
    const file = `${messages}good/fedwire-like-clearing-members.xml`;
    const before = Date.now();
    const { code, stdout } = await place.settlefleet('submit', file, '--source', 'branch-7');
    expect(code).toBe(0);
    const [record] = await inbound();
    expect(record).toMatchObject({ key: 'USABA:021040078', partition: settlementPartition('USABA:021040078', partitions) });
    expect(record!.value![0]).toBe(0);
    const event = eventType.fromBuffer(record!.value!.subarray(5)) as Event;
    expect(event).toMatchObject({ messageType: 'pacs.008.001.08', source: 'branch-7' });
    expect(event.document.equals(readFileSync(file))).toBe(true);
    expect(event.createdAt).toBeGreaterThanOrEqual(before);
    expect(stdout).toBe(`${event.eventId}  partition ${record!.partition}  offset ${record!.offset}  ${file}\n`);
  });

  it('takes the XML files of a folder in the order of their names', async () => {
    const earlier = (await inbound()).length;
    const { code, stdout } = await place.settlefleet('submit', `${messages}wrong`);
    expect(code).toBe(0);
    const records = (await inbound()).length - earlier;
    expect(stdout.trim().split('\n')).toHaveLength(records);
    expect(records).toBeGreaterThan(20);
  });

  it('submits what it can and names what it could not, with exit code 1', async () => {
    const earlier = (await inbound()).length;
    const { code, stdout, stderr } = await place.settlefleet('submit', '/does/not/exist.xml', `${messages}good/yen-without-decimals.xml`);
    expect(code).toBe(1);
    expect(stdout).toContain('yen-without-decimals.xml');
    expect(stderr).toContain('/does/not/exist.xml');
    expect(stderr).toContain('1 file of 2 not submitted.');
    expect(await inbound()).toHaveLength(earlier + 1);
  });
});
