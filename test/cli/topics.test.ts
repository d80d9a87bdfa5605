import { describe, expect, it } from 'vitest';
import { alignTopicSettings, readTopicSettings } from '../../src/adapters/kafka/topic-settings.ts';
import { planTopics } from '../../src/cli/topic-plan.ts';
import { run, workplace } from './command.ts';
import { publish } from './topic.ts';

const config = (topicPrefix: string) => ({ topicPrefix, maxEventBytes: 1_048_576, dedupeWindowSeconds: 86_400 });

describe('topics apply', () => {
  it('makes every topic with its partitions and settings, and finds nothing to do the second time', async () => {
    const { brokers, prefix, settlefleet } = workplace('topics');
    const first = await settlefleet('topics', 'apply', '--partitions', '3');
    expect(first).toMatchObject({ code: 0, stderr: '' });
    for (const plan of planTopics(config(prefix), 3)) {
      expect(first.stdout).toContain(`${plan.name}: created with ${plan.partitions} partition`);
      const settings = await readTopicSettings(brokers, plan.name, Object.keys(plan.settings));
      expect(Object.fromEntries(settings)).toEqual(plan.settings);
    }
    const second = await settlefleet('topics', 'apply');
    expect(second.code).toBe(0);
    for (const line of second.stdout.trim().split('\n')) expect(line).toMatch(/as it should be$/);
  });

  it('refuses another number of partitions, because ownership would move', async () => {
    const { prefix, settlefleet } = workplace('repartition');
    await settlefleet('topics', 'apply', '--partitions', '2');
    const { code, stdout, stderr } = await settlefleet('topics', 'apply', '--partitions', '4');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(`${prefix}inbound has 2 partitions, not 4`);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });

  it('says in one line when Kafka cannot make a topic as it is asked to', async () => {
    const { code, stderr } = await workplace('replicas').settlefleet('topics', 'apply', '--replication-factor', '99');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^Kafka does not create topic .+\n$/);
  });

  it('sets what differs, and leaves a longer retention as it is', async () => {
    const { brokers, prefix, settlefleet } = workplace('settings');
    await settlefleet('topics', 'apply', '--partitions', '1');
    const results = `${prefix}results`;
    await alignTopicSettings(brokers, results, { 'retention.ms': '-1' });
    await alignTopicSettings(brokers, `${prefix}positions`, { 'cleanup.policy': 'delete' });
    const { stdout } = await settlefleet('topics', 'apply');
    expect(stdout).toContain(`${prefix}positions: 1 partition, set cleanup.policy=compact (was delete)`);
    expect((await readTopicSettings(brokers, results, ['retention.ms'])).get('retention.ms')).toBe('-1');
  });

  it('keeps results for longer than the window of claims', async () => {
    const { brokers, prefix, settlefleet } = workplace('window');
    await settlefleet('topics', 'apply', '--partitions', '1');
    const month = 30 * 86_400;
    await run(['topics', 'apply'], { TOPIC_PREFIX: prefix, DEDUPE_WINDOW_SECONDS: String(month) });
    const retention = (await readTopicSettings(brokers, `${prefix}results`, ['retention.ms'])).get('retention.ms');
    expect(Number(retention)).toBeGreaterThan(month * 1000);
  });

  it('lets an oversize event arrive, and its dead letter be written', async () => {
    const { brokers, prefix, settlefleet } = workplace('oversize');
    await settlefleet('topics', 'apply', '--partitions', '1');
    const value = Buffer.alloc(3 << 20).map((_, i) => (i * 2_654_435_761) >>> 11);
    const written = await publish(brokers, [
      { topic: `${prefix}inbound`, partition: 0, key: null, value },
      { topic: `${prefix}dead-letter`, partition: 0, key: null, value, headers: [{ key: 'dlq.code', value: Buffer.from('OVERSIZE') }] },
    ]);
    expect(written.map(({ offset }) => offset)).toEqual([0, 0]);
  });
});
