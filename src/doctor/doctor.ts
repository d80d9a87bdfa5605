/**
 * Looks at everything that a fleet depends on, side by side, and says how each thing stands. It changes nothing but for a
 * transactional id of its own, tried where an authorizer is on. What cannot be reached costs its own findings, no others.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { bridgeState } from '../adapters/kafka/bridge/bridge.ts';
import { inspectKafka } from '../adapters/kafka/inspection.ts';
import { openGroupOffsets } from '../adapters/kafka/group-offsets.ts';
import { createTopicReader } from '../adapters/kafka/topic-reader.ts';
import { inspectRedis } from '../adapters/redis/inspection.ts';
import { inspectRegistry } from '../adapters/registry/inspection.ts';
import { clickhouseTarget, misspeltSettings, threadPoolSize, withoutSecrets } from '../config.ts';
import type { Config } from '../config.ts';
import { topicNames } from '../domain/topics.ts';
import type { Log } from '../ports.ts';
import { examineClickhouse } from './clickhouse.ts';
import type { AskClickhouse } from './clickhouse.ts';
import { judgeClocks } from './clock.ts';
import type { ClockFacts } from './clock.ts';
import { Findings, reasonOf } from './finding.ts';
import type { Finding } from './finding.ts';
import { examineProgress, judgeMembers } from './group.ts';
import { examineKafka } from './kafka.ts';
import type { PlannedTopic } from './kafka.ts';
import { judgeMachine, judgeSettings, machineFacts } from './machine.ts';
import { judgeRedis } from './redis.ts';
import { judgeRegistry } from './registry.ts';

const answerWithinMs = 5000;

export interface DoctorOptions {
  readonly config: Config;
  readonly planned: readonly PlannedTopic[];
  readonly askClickhouse: AskClickhouse;
  readonly log: Log;
}

export async function examine({ config, planned, askClickhouse, log }: DoctorOptions): Promise<readonly Finding[]> {
  const clocks: ClockFacts[] = [];
  const [settings, kafka, registry, redis, clickhouse] = await Promise.all([
    judgeSettings(config, misspeltSettings()),
    lookAtKafka(config, planned, log),
    lookAt('registry', `the registry at ${withoutSecrets(config.schemaRegistryUrl)}`, 'look at SCHEMA_REGISTRY_URL (Apicurio: with /apis/ccompat/v7) and at the registry', async () => {
      const facts = await inspectRegistry({ url: config.schemaRegistryUrl, prefix: config.topicPrefix, timeoutMs: answerWithinMs });
      if (facts.clockOffsetMs !== null) clocks.push({ of: 'the registry', offsetMs: facts.clockOffsetMs, precisionMs: 1000 });
      return judgeRegistry(facts);
    }),
    lookAt('redis', `Redis at ${withoutSecrets(config.redisUrl)}`, 'look at REDIS_URL and at Redis; lanes wait meanwhile', async () => {
      const facts = await inspectRedis(config.redisUrl, answerWithinMs);
      clocks.push({ of: 'Redis', offsetMs: facts.clockOffsetMs, precisionMs: 5 });
      return judgeRedis(facts);
    }),
    examineClickhouse(askClickhouse, clickhouseTarget(config).kind === 'embedded').then(({ findings, clock }) => {
      if (clock !== null) clocks.push(clock);
      return findings;
    }),
  ]);
  return [...judgeMachine(machineFacts(threadPoolSize(), bridgeState()), config), ...settings, ...kafka, ...registry, ...redis, ...clickhouse, ...judgeClocks(clocks)];
}

async function lookAt(area: 'registry' | 'redis', what: string, fix: string, look: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await look();
  } catch (error) {
    const findings = new Findings(area);
    findings.wrong(`${what} does not answer: ${reasonOf(error)}`, fix);
    return findings.all;
  }
}

async function lookAtKafka(config: Config, planned: readonly PlannedTopic[], log: Log): Promise<Finding[]> {
  const clientId = 'settlefleet-doctor';
  let kafka;
  try {
    kafka = await inspectKafka({ brokers: config.kafkaBrokers, clientId, waitMs: answerWithinMs });
  } catch (error) {
    const findings = new Findings('kafka');
    findings.wrong(reasonOf(error), 'look at KAFKA_BROKERS, at the brokers, and at what they advertise (advertised.listeners)');
    findings.unknown('topics, settings of brokers, the group, lag: Kafka does not answer');
    return findings.all;
  }
  try {
    const findings = await examineKafka(kafka, config, planned);
    return [...findings, ...(await lookAtGroup(kafka, config, clientId, log))];
  } finally {
    await kafka.close();
  }
}

async function lookAtGroup(kafka: Awaited<ReturnType<typeof inspectKafka>>, config: Config, clientId: string, log: Log): Promise<Finding[]> {
  const topics = topicNames(config.topicPrefix);
  const findings: Finding[] = [];
  try {
    const needed = [...(await kafka.topics([topics.inbound, topics.routed, topics.checkpoints])).values()];
    const partitions = needed[0]?.partitions.length ?? 0;
    const group = await kafka.group(config.consumerGroup);
    findings.push(...judgeMembers(config.consumerGroup, group, partitions));
    // Whoever reads a topic that is not there, or asks for offsets that are not for them, waits.
    if (!group.mayRead || !needed.every((topic) => topic.trouble === null && topic.allowed.has('read') && topic.partitions.length === partitions)) {
      throw new Error('lag, and where partitions stand, cannot be read before the topics and the group are as they must be');
    }
    const reader = createTopicReader({ brokers: config.kafkaBrokers, clientId, log });
    const offsets = await openGroupOffsets({ brokers: config.kafkaBrokers, clientId, groupId: config.consumerGroup });
    try {
      findings.push(...(await examineProgress({ reader, offsets, topics, partitions, hasMembers: group.members.length > 0, sleep: (ms) => sleep(ms) })));
    } finally {
      await Promise.all([reader.close(), offsets.close()]);
    }
  } catch (error) {
    const unknown = new Findings('group');
    unknown.unknown(`group ${config.consumerGroup}: ${reasonOf(error)}`);
    findings.push(...unknown.all);
  }
  return findings;
}
