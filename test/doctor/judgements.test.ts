/** What the doctor calls wrong, fact by fact: the accepted and the refused side by side. Real parts: test/cli/doctor.test.ts. */
import { describe, expect, it } from 'vitest';
import { planTopics } from '../../src/cli/topic-plan.ts';
import { judgeClocks } from '../../src/doctor/clock.ts';
import { Findings } from '../../src/doctor/finding.ts';
import type { KafkaBridgeChoice } from '../../src/config.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import { judgeMembers } from '../../src/doctor/group.ts';
import { judgeInSync, judgeReplicas, judgeTopicSettings } from '../../src/doctor/kafka.ts';
import { judgeMachine } from '../../src/doctor/machine.ts';
import { judgeRedis } from '../../src/doctor/redis.ts';
import { judgeRegistry } from '../../src/doctor/registry.ts';

/** The verdicts that are not ok, each with the finding's first words. */
const told = (findings: readonly Finding[]): string[] =>
  findings.filter(({ verdict }) => verdict !== 'ok').map(({ verdict, says }) => `${verdict}: ${says}`);
const expectTold = (findings: readonly Finding[], expected: readonly (string | RegExp)[]): void => {
  expect(told(findings)).toEqual(expected.map((one) => expect.stringMatching(one) as string));
  // Whatever is amiss comes with something to do.
  for (const { verdict, fix } of findings) expect(fix === null).toBe(verdict === 'ok');
};

const goodRedis = { redis_version: '7.0.15', redis_mode: 'standalone', role: 'master', connected_slaves: '1', maxmemory_policy: 'noeviction', maxmemory: '1000000', used_memory: '100000', evicted_keys: '0', aof_enabled: '0' };

describe('a Redis', () => {
  it.each<[Partial<typeof goodRedis> & Record<string, string>, RegExp[]]>([
    [{}, []],
    [{ redis_version: '6.2.14' }, [/^wrong: Redis 6.2.14, expected 7.0 or newer/]],
    [{ role: 'slave' }, [/^wrong: it is a slave/]],
    [{ redis_mode: 'cluster' }, [/^wrong: it is a Redis Cluster/]],
    [{ maxmemory_policy: 'allkeys-lru' }, [/^wrong: maxmemory-policy is allkeys-lru with maxmemory 1000000/]],
    [{ maxmemory_policy: 'allkeys-lru', maxmemory: '0' }, [/^warn: maxmemory-policy is allkeys-lru/]],
    [{ used_memory: '799999' }, []],
    [{ used_memory: '800000' }, [/^warn: 80% of maxmemory is taken/]],
    [{ evicted_keys: '3' }, [/^warn: it has evicted 3 keys/]],
    [{ loading: '1' }, [/^warn: it is loading/]],
  ])('%j', (changes, expected) => {
    expectTold(judgeRedis({ info: new Map(Object.entries({ ...goodRedis, ...changes })) }), expected);
  });
});

describe('the settings of a topic', () => {
  const config = { topicPrefix: 'p.', dedupeWindowSeconds: 86_400, maxEventBytes: 1_048_576 };
  const judge = (topic: string, changes: Record<string, string>): readonly Finding[] => {
    const plan = planTopics(config, 8).find(({ name }) => name === `p.${topic}`)!;
    const findings = new Findings('kafka');
    judgeTopicSettings(findings, config, plan, new Map(Object.entries({ ...plan.settings, ...changes })));
    return findings.all;
  };

  it.each<[string, Record<string, string>, RegExp[]]>([
    ['results', {}, []],
    ['results', { 'retention.ms': '-1' }, []],
    ['results', { 'retention.ms': '86400000' }, [/^wrong: topic p.results has retention.ms=86400000, expected 604800000 or more$/]],
    ['results', { 'retention.ms': '86399999' }, [/^wrong: .* claims of DEDUPE_WINDOW_SECONDS=86400 could not be rebuilt/]],
    ['results', { 'retention.bytes': '1000000' }, [/^wrong: topic p.results has retention.bytes/]],
    ['routed', { 'retention.ms': '1000' }, [/^wrong: topic p.routed has retention.ms/]],
    ['inbound', { 'retention.ms': '1000' }, [/^warn: topic p.inbound has retention.ms/]],
    ['inbound', { 'max.message.bytes': '1048576' }, [/^warn: topic p.inbound has max.message.bytes/]],
    ['inbound', { 'max.message.bytes': '1048575' }, [/^wrong: topic p.inbound has max.message.bytes/]],
    ['dead-letter', { 'max.message.bytes': '1048588' }, [/^wrong: topic p.dead-letter has max.message.bytes/]],
    ['positions', { 'cleanup.policy': 'delete' }, [/^wrong: topic p.positions has cleanup.policy=delete, expected compact/]],
    ['results', { 'cleanup.policy': 'compact,delete' }, [/^wrong: topic p.results has cleanup.policy=compact,delete, expected delete/]],
    ['checkpoints', { 'min.compaction.lag.ms': '0' }, [/^warn: topic p.checkpoints has min.compaction.lag.ms=0/]],
  ])('%s with %j', (topic, changes, expected) => {
    expectTold(judge(topic, changes), expected);
  });
});

describe('the replicas of a topic', () => {
  const partition = (replicas: number, inSync = replicas, hasLeader = true) => ({ replicas, inSync, hasLeader });

  it.each<[number, number, RegExp[]]>([
    [3, 3, []],
    [1, 1, [/^warn: 1 replica of t, expected 3/]],
    [3, 2, [/^wrong: 2 replicas of t, expected 3/]],
  ])('on %i brokers, %i of them', (brokers, replicas, expected) => {
    const findings = new Findings('kafka');
    judgeReplicas(findings, new Map([['t', { partitions: [partition(3), partition(replicas)], trouble: null }]]), brokers);
    expectTold(findings.all, expected);
  });

  it.each<[number, ReturnType<typeof partition>, RegExp[]]>([
    [2, partition(3), []],
    [1, partition(3), [/^wrong: topic t has min.insync.replicas=1/]],
    [1, partition(1), []],
    [3, partition(3), [/^warn: topic t has min.insync.replicas=3 of 3/]],
    [2, partition(3, 2), [/^warn: topic t has 1 partitions with replicas that are not in sync/]],
    [2, partition(3, 0, false), [/^wrong: topic t has 1 partitions without a leader/]],
  ])('with min.insync.replicas=%i and %j', (minInSync, one, expected) => {
    const findings = new Findings('kafka');
    judgeInSync(findings, 't', { partitions: [one] }, minInSync);
    expectTold(findings.all, expected);
  });
});

describe('the members of a group', () => {
  const member = (clientId: string, ...partitions: number[]) => ({ clientId, host: '10.0.0.1', partitions });

  it.each<[ReturnType<typeof member>[], boolean, RegExp[]]>([
    [[member('a', 0, 1), member('b', 2, 3)], true, []],
    [[member('a', 0, 1, 2, 3), member('b')], true, []],
    [[], true, [/^warn: no worker is in group g/]],
    [[member('a', 0, 1), member('a', 2, 3)], true, [/^wrong: 2 members call themselves a/]],
    [[member('a', 0, 1), member('b', 2)], true, [/^warn: 1 partitions belong to nobody/]],
    [[member('a', 0, 1, 2, 3)], false, [/^wrong: Read on group g is not allowed/]],
  ])('%j', (members, mayRead, expected) => {
    expectTold(judgeMembers('g', { members, mayRead }, 4), expected);
  });
});

it.each<[number, RegExp[]]>([
  [900, []],
  [-1_500, [/^warn: the clock of Redis is 1.5 s behind this one/]],
  [61_000, [/^wrong: the clock of Redis is 61.0 s ahead of this one/]],
])('a clock that is %i ms off', (offsetMs, expected) => {
  expectTold(judgeClocks([{ of: 'Redis', offsetMs, precisionMs: 5 }]), expected);
});

it.each<[Record<string, string | number | null>, number, RegExp[]]>([
  [{}, 3, []],
  [{ nodeVersion: '22.9.0' }, 3, [/^wrong: Node 22.9.0, expected 24 or newer/]],
  [{}, 4, [/^warn: PARSER_THREADS 4 on 4 cores/]],
  [{ threadPoolSize: 4 }, 3, [/^warn: UV_THREADPOOL_SIZE 4/]],
  [{ openFiles: 1024 }, 3, [/^warn: at most 1024 open files/]],
  [{ openFiles: null }, 3, []],
  [{ memoryBytes: 256 << 20 }, 3, [/^warn: 256 MiB of memory/]],
])('a machine with %j and PARSER_THREADS %i', (changes, parserThreads, expected) => {
  const good = { nodeVersion: '24.21.0', cores: 4, threadPoolSize: 8, openFiles: 65_536, memoryBytes: 2 ** 31, kafkaBridge: { inForce: true, reason: 'built' } };
  expectTold(judgeMachine({ ...good, ...changes }, { parserThreads, kafkaBridge: 'auto' }), expected);
});

it.each<[boolean, KafkaBridgeChoice, RegExp[]]>([
  [true, 'auto', []],
  [true, 'required', []],
  [false, 'off', []],
  [false, 'auto', [/^warn: records go over the Kafka client's own API: not built/]],
  [false, 'required', [/^wrong: KAFKA_BRIDGE is required, and records go over/]],
])('a packed bridge that is in force: %s, with KAFKA_BRIDGE %s', (inForce, kafkaBridge, expected) => {
  const facts = { nodeVersion: '24.21.0', cores: 4, threadPoolSize: 8, openFiles: 65_536, memoryBytes: 2 ** 31, kafkaBridge: { inForce, reason: 'not built' } };
  expectTold(judgeMachine(facts, { parserThreads: 3, kafkaBridge }), expected);
});

it.each<[Record<string, boolean | string>, RegExp[]]>([
  [{}, []],
  [{ exists: false }, [/^wrong: subject s has no schema/]],
  [{ hasOurSchema: false }, [/^wrong: subject s does not have the schema of this version/]],
  [{ compatibility: 'FULL_TRANSITIVE' }, []],
  [{ compatibility: 'NONE' }, [/^warn: subject s has compatibility NONE/]],
])('a registry whose subject has %j', (changes, expected) => {
  const good = { subject: 's', exists: true, hasOurSchema: true, compatibility: 'BACKWARD' };
  expectTold(judgeRegistry({ subjects: [{ ...good, ...changes }] }), expected);
});
