/** `settlefleet doctor` over real parts, set wrong on purpose: each is found, named, and comes with what to do. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTopicAdmin } from '../../src/adapters/kafka/admin.ts';
import { connect, createConsumer, disconnect } from '../../src/adapters/kafka/client.ts';
import { request, Writer } from '../../src/adapters/kafka/protocol.ts';
import { alignTopicSettings } from '../../src/adapters/kafka/topic-settings.ts';
import { chainStart, encodeCheckpoint } from '../../src/codec/checkpoint.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import { startKafka, startRedis } from '../stack.ts';
import type { OwnKafka, OwnRedis } from '../stack.ts';
import { runHere, workplace } from './command.ts';
import { publish } from './topic.ts';

const nowhere = { CLICKHOUSE_URL: 'http://127.0.0.1:2', SCHEMA_REGISTRY_URL: 'http://127.0.0.1:2' };

async function doctor(variables: Readonly<Record<string, string>>): Promise<{ readonly code: number | null; readonly stderr: string; readonly findings: readonly Finding[] }> {
  const { code, stdout, stderr } = await runHere(['doctor', '--json'], variables);
  return { code, stderr, findings: stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Finding) };
}

/** The words and the remedy of what is wrong with one part. */
const amiss = (findings: readonly Finding[], area: string, verdict = 'wrong'): string[] =>
  findings.filter((finding) => finding.area === area && finding.verdict === verdict).map(({ says, fix }) => `${says} -> ${fix}`);
const containing = (text: string): string => expect.stringContaining(text) as string;

describe('settlefleet doctor', () => {
  const { brokers, prefix, settlefleet } = workplace('doctor');
  const fleet = { TOPIC_PREFIX: prefix, CONSUMER_GROUP: `${prefix}fleet` };

  beforeAll(async () => {
    await settlefleet('topics', 'apply', '--partitions', '2');
    await settlefleet('schemas', 'register');
  });

  it('finds nothing wrong with a fleet as the commands make it, changes nothing, and ends with exit code 0', async () => {
    const { code, stderr, findings } = await doctor(fleet);
    expect({ stderr, wrong: findings.filter(({ verdict }) => verdict === 'wrong'), code }).toEqual({ stderr: '', wrong: [], code: 0 });
    expect(new Set(findings.map(({ area }) => area))).toEqual(new Set(['machine', 'settings', 'kafka', 'group', 'registry', 'redis', 'clickhouse', 'clock']));
    expect(amiss(findings, 'group', 'warn')).toEqual([containing('no worker is in group')]);
    expect(findings).toContainEqual({ area: 'kafka', verdict: 'ok', says: `topic ${prefix}results: 2 partitions, settings as they must be`, fix: null });
    expect(findings).toContainEqual(expect.objectContaining({ area: 'clock', verdict: 'ok', says: containing('the clock of Redis agrees') }));
  });

  it('says it in lines for a person, on demand only what is amiss', async () => {
    const { stdout, code } = await runHere(['doctor', '--quiet'], { ...fleet, KAFKA_BROKER: 'kafka:9092', KAFKA_BROKERS: '', ...nowhere });
    expect(code).toBe(1);
    expect(stdout).toMatch(/^warn {5}settings {4}KAFKA_BROKER is set, and is no setting\. Do: did you mean KAFKA_BROKERS\?/m);
    expect(stdout).toMatch(/^WRONG {4}registry {4}the registry at http:\/\/127\.0\.0\.1:2 does not answer: ECONNREFUSED\. Do: /m);
    expect(stdout).toMatch(/^WRONG {4}clickhouse {2}ClickHouse does not answer: /m);
    expect(stdout).not.toMatch(/^ok/m);
  });

  it('finds topics that are missing, or were set otherwise', async () => {
    const wrong = workplace('doctor-topics');
    await wrong.settlefleet('topics', 'apply', '--partitions', '1');
    const topic = (name: string): string => `${wrong.prefix}${name}`;
    await alignTopicSettings(brokers, topic('positions'), { 'cleanup.policy': 'delete', 'unclean.leader.election.enable': 'true' });
    const other = workplace('doctor-partitions');
    const admin = await connectTopicAdmin({ brokers, clientId: 'test', waitMs: 10_000, onWait: () => undefined });
    await admin.create({ name: `${other.prefix}inbound`, partitions: 2, settings: {} }, 1);
    await admin.create({ name: `${other.prefix}routed`, partitions: 1, settings: { 'retention.ms': '1000' } }, 1);
    admin.close();

    expect(amiss((await doctor({ TOPIC_PREFIX: wrong.prefix, ...nowhere })).findings, 'kafka')).toEqual([
      containing(`topic ${topic('positions')} has cleanup.policy=delete, expected compact`),
      containing(`topic ${topic('positions')} takes a leader that lacks acknowledged records`),
    ]);
    const { code, findings } = await doctor({ TOPIC_PREFIX: other.prefix, ...nowhere });
    expect(code).toBe(1);
    const found = amiss(findings, 'kafka');
    expect(found).toContainEqual(`topic ${other.prefix}results does not exist -> settlefleet topics apply`);
    expect(found).toContainEqual(containing(`topic ${other.prefix}routed has 1 partitions, the inbound topic 2: workers do not start`));
    expect(found).toContainEqual(containing(`topic ${other.prefix}routed has retention.ms=1000`));
  });

  it('finds a partition that is halted, or would be', async () => {
    const halted = workplace('doctor-halted');
    await halted.settlefleet('topics', 'apply', '--partitions', '1');
    const checkpoint = { commit: 1, inbound: 5, routed: 0, sequence: 5, results: 5, first: null, chain: chainStart, worker: 'w' };
    await publish(brokers, [{ topic: `${halted.prefix}checkpoints`, partition: 0, key: '0', value: Buffer.from(encodeCheckpoint(checkpoint)) }]);
    const groupId = `${halted.prefix}fleet`;
    const consumer = createConsumer(brokers, 'test', { 'group.id': groupId });
    await connect(consumer, 10_000);
    const moved = { topic: `${halted.prefix}inbound`, partition: 0, offset: 3 };
    consumer.assign([moved]);
    consumer.commitSync([moved]);
    await disconnect(consumer);

    const { findings } = await doctor({ TOPIC_PREFIX: halted.prefix, CONSUMER_GROUP: groupId, ...nowhere });
    expect(amiss(findings, 'group')).toEqual([
      containing('partition 0 is halted, or would be: the group stands at inbound 3, routed null, its checkpoint at inbound 5, routed 0'),
    ]);
  });

  it('finds a Redis that evicts and one that is no master, and one that does not answer', async () => {
    let redis: OwnRedis | undefined;
    try {
      redis = await startRedis({ args: ['--maxmemory', '10mb', '--maxmemory-policy', 'allkeys-lru', '--replicaof', '127.0.0.1', '1'] });
      const { findings } = await doctor({ ...fleet, REDIS_URL: redis.url, ...nowhere });
      expect(amiss(findings, 'redis')).toEqual([
        containing('it is a slave'),
        containing('maxmemory-policy is allkeys-lru with maxmemory 10485760'),
      ]);
      await redis.kill();
      expect(amiss((await doctor({ ...fleet, REDIS_URL: redis.url, ...nowhere })).findings, 'redis')).toEqual([containing(`Redis at ${redis.url} does not answer`)]);
    } finally {
      await redis?.remove();
    }
  });
});

describe('settlefleet doctor on a Kafka that is set wrong', () => {
  let kafka: OwnKafka;
  const prefix = 'doctor.';

  beforeAll(async () => {
    kafka = await startKafka({
      properties: {
        'transaction.max.timeout.ms': '5000',
        'group.min.session.timeout.ms': '20000',
        'offsets.retention.minutes': '60',
        'auto.create.topics.enable': 'true',
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        'allow.everyone.if.no.acl.found': 'true',
      },
    });
  });
  afterAll(() => kafka?.remove());

  /** CreateAcls (key 30) version 1: everything on a resource, to one principal. */
  async function allowOnly(principal: string, resource: { readonly kind: 'topic' | 'group' | 'transactionalId'; readonly name: string }): Promise<void> {
    const [literal, all, allow] = [3, 2, 3];
    const kind = { topic: 2, group: 3, transactionalId: 5 }[resource.kind];
    const body = new Writer().int32(1).int8(kind).string(resource.name).int8(literal).string(principal).string('*').int8(all).int8(allow);
    const answer = await request(kafka.brokers, { key: 30, version: 1 }, body);
    answer.int32();
    answer.int32();
    expect(answer.int16()).toBe(0);
  }

  it('looks at a Kafka in which there is nothing yet, not even a coordinator of groups', async () => {
    const { code, findings } = await doctor({ KAFKA_BROKERS: kafka.brokers, TOPIC_PREFIX: prefix, CONSUMER_GROUP: 'first', ...nowhere });
    expect(code).toBe(1);
    expect(amiss(findings, 'kafka')).toContainEqual(`topic ${prefix}inbound does not exist -> settlefleet topics apply`);
    expect(amiss(findings, 'group', 'warn')).toEqual([containing('no worker is in group first')]);
  });

  it('finds the time-outs, the topics that anybody makes, and what it may not do', async () => {
    await runHere(['topics', 'apply', '--partitions', '1'], { KAFKA_BROKERS: kafka.brokers, TOPIC_PREFIX: prefix });
    // From now on only somebody else may write there.
    await allowOnly('User:somebody', { kind: 'topic', name: `${prefix}results` });
    await allowOnly('User:somebody', { kind: 'group', name: 'doctor' });
    await allowOnly('User:somebody', { kind: 'transactionalId', name: `${prefix}inbound.doctor.settlefleet-doctor` });
    const { findings } = await doctor({ KAFKA_BROKERS: kafka.brokers, TOPIC_PREFIX: prefix, CONSUMER_GROUP: 'doctor', ...nowhere });
    expect([...amiss(findings, 'kafka'), ...amiss(findings, 'group')]).toEqual([
      containing('broker 1 has transaction.max.timeout.ms=5000'),
      containing('broker 1 has group.min.session.timeout.ms=20000'),
      containing(`topic ${prefix}results: `),
      containing(`Kafka transactions may not be begun under ids that begin with ${prefix}inbound.doctor.`),
      containing('Read on group doctor is not allowed'),
    ]);
    const warned = amiss(findings, 'kafka', 'warn');
    expect(warned).toContainEqual(containing('offsets.retention.minutes=60'));
    expect(warned).toContainEqual(containing('auto.create.topics.enable'));
    expect(findings.filter(({ area, verdict }) => area === 'group' && verdict === 'unknown')).toHaveLength(1);
  });
});
