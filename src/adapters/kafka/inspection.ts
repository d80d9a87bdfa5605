/**
 * A Kafka cluster as `settlefleet doctor` looks at it: brokers with their settings, topics with theirs, who is in the group,
 * and what this client is allowed to do. It changes nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import kafka from '@confluentinc/kafka-javascript';
import type { IAdminClient } from '@confluentinc/kafka-javascript';
import { OutageError } from '../../errors.ts';
import { asError, call, createProducer, disconnect } from './client.ts';
import { connect } from './client.ts';
import { request, Writer } from './protocol.ts';
import type { Reader } from './protocol.ts';
import { readBrokerSettings, readTopicSettings } from './topic-settings.ts';

const requestTimeoutMs = 5000;
const apiVersions = { key: 18, version: 0 };
const findCoordinator = { key: 10, version: 1 };
const describeGroups = { key: 15, version: 3 };
const groupCoordinator = 0;
const groupAuthorizationFailed = 30;
/** Coordinator is loading, is not there (a cluster without any group yet makes the topic for it first), is another broker. */
const passing = new Set([14, 15, 16]);
const passingRetryMs = 250;
const unknownTopic = 3;
/** Source: Kafka protocol, ACL operations. */
const operations = { read: 3, write: 4 } as const;
export type Operation = keyof typeof operations;

export interface BrokerFacts {
  readonly id: number;
  readonly address: string;
}

export interface TopicFacts {
  /** Null: it exists. `missing`, or what Kafka says instead of a description. */
  readonly trouble: string | null;
  readonly partitions: readonly { readonly hasLeader: boolean; readonly replicas: number; readonly inSync: number }[];
  /** What this client may do with it. */
  readonly allowed: ReadonlySet<Operation>;
}

export interface GroupFacts {
  readonly members: readonly { readonly clientId: string; readonly host: string; readonly partitions: readonly number[] }[];
  readonly mayRead: boolean;
}

export interface KafkaInspection {
  readonly brokers: readonly BrokerFacts[];
  /** By the number of the request: the newest version that the first broker speaks. */
  apiVersions(): Promise<ReadonlyMap<number, number>>;
  brokerSettings(broker: BrokerFacts, names: readonly string[]): Promise<ReadonlyMap<string, string | null>>;
  topicSettings(topic: string, names: readonly string[]): Promise<ReadonlyMap<string, string | null>>;
  topics(names: readonly string[]): Promise<ReadonlyMap<string, TopicFacts>>;
  group(groupId: string): Promise<GroupFacts>;
  /** Whether Kafka lets us begin transactions under such an id, found by trying. Throws with Kafka's words when not. */
  tryTransactionalId(transactionalId: string): Promise<void>;
  close(): Promise<void>;
}

/** Connects within `waitMs`, or throws `OutageError`. */
export async function inspectKafka(options: { readonly brokers: string; readonly clientId: string; readonly waitMs: number }): Promise<KafkaInspection> {
  const { brokers, clientId } = options;
  const producer = createProducer(brokers, clientId, {});
  let metadata;
  try {
    metadata = await connect(producer, options.waitMs);
  } catch (error) {
    await disconnect(producer, 1000);
    throw new OutageError('kafka', `Kafka at ${brokers} does not answer: ${asError(error).message}`, { cause: error });
  }
  const admin = kafka.AdminClient.createFrom(producer);

  return {
    brokers: metadata.brokers.map(({ id, host, port }) => ({ id, address: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}` })),

    async apiVersions() {
      const answer = await request(brokers, apiVersions, new Writer());
      const code = answer.int16();
      if (code !== 0) throw new OutageError('kafka', `Kafka does not tell its versions: error ${code}`);
      const newest = new Map<number, number>();
      for (let left = answer.int32(); left > 0; left--) {
        const key = answer.int16();
        answer.int16();
        newest.set(key, answer.int16());
      }
      return newest;
    },
    brokerSettings: (broker, names) => readBrokerSettings(broker.address, broker.id, names),
    topicSettings: (topic, names) => readTopicSettings(brokers, topic, names),
    topics: (names) => describeTopics(admin, names),
    group: (groupId) => describeGroup(brokers, groupId),

    async tryTransactionalId(transactionalId) {
      const trial = createProducer(brokers, clientId, { 'transactional.id': transactionalId });
      try {
        await connect(trial, requestTimeoutMs);
        await call<void>((done) => trial.initTransactions(requestTimeoutMs, done));
      } finally {
        await disconnect(trial, 1000);
      }
    },
    close: () => disconnect(producer),
  };
}

interface Described {
  readonly name: string;
  readonly error?: { readonly code: number; readonly message: string };
  readonly partitions: readonly { readonly leader?: unknown; readonly replicas?: readonly unknown[]; readonly isr?: readonly unknown[] }[];
  readonly authorizedOperations?: readonly number[];
}

async function describeTopics(admin: IAdminClient, names: readonly string[]): Promise<Map<string, TopicFacts>> {
  const described = await call<readonly Described[]>((done) =>
    admin.describeTopics([...names], { timeout: requestTimeoutMs, includeAuthorizedOperations: true }, done as never),
  );
  return new Map(
    described.map(({ name, error, partitions, authorizedOperations = [] }) => [
      name,
      {
        trouble: error === undefined || error.code === 0 ? null : error.code === unknownTopic ? 'missing' : error.message,
        partitions: partitions.map(({ leader, replicas = [], isr = [] }) => ({ hasLeader: leader != null, replicas: replicas.length, inSync: isr.length })),
        allowed: allowedOf(authorizedOperations),
      },
    ]),
  );
}

function allowedOf(given: readonly number[]): ReadonlySet<Operation> {
  const allowed = new Set<Operation>();
  for (const name of ['read', 'write'] as const) if (given.includes(operations[name])) allowed.add(name);
  return allowed;
}

/**
 * Not by the client: it ends the process (1.10.1, a null pointer) where Kafka answers with an error, be it that the group may not
 * be described or that there is no coordinator yet.
 */
async function describeGroup(brokers: string, groupId: string): Promise<GroupFacts> {
  for (const deadline = performance.now() + requestTimeoutMs; ; await sleep(passingRetryMs)) {
    const answer = await askCoordinator(brokers, groupId);
    if (typeof answer !== 'number') return answer;
    if (answer === groupAuthorizationFailed) return { members: [], mayRead: false };
    if (!passing.has(answer) || performance.now() > deadline) throw new OutageError('kafka', `Kafka does not describe group ${groupId}: error ${answer}`);
  }
}

/** Or the number of Kafka's error. */
async function askCoordinator(brokers: string, groupId: string): Promise<GroupFacts | number> {
  const found = await request(brokers, findCoordinator, new Writer().string(groupId).int8(groupCoordinator));
  found.int32();
  const trouble = found.int16();
  if (trouble !== 0) return trouble;
  found.string();
  found.int32();
  const host = found.string() ?? '';
  const coordinator = `${host.includes(':') ? `[${host}]` : host}:${found.int32()}`;
  const answer = await request(coordinator, describeGroups, new Writer().int32(1).string(groupId).int8(1));
  answer.int32();
  answer.int32();
  const code = answer.int16();
  if (code !== 0) return code;
  // Group, state, kind of protocol, protocol.
  for (let i = 0; i < 4; i++) answer.string();
  const members: { clientId: string; host: string; partitions: number[] }[] = [];
  for (let left = answer.int32(); left > 0; left--) {
    answer.string();
    const [clientId, clientHost] = [answer.string() ?? '', answer.string() ?? ''];
    answer.bytes();
    members.push({ clientId, host: clientHost.replace(/^\//, ''), partitions: assignedPartitions(answer.bytes()) });
  }
  // A bit for each operation.
  return { members, mayRead: (answer.int32() & (1 << operations.read)) !== 0 };
}

/** Source: Kafka's ConsumerProtocolAssignment: version, topics with their partitions. Empty in the middle of a rebalance. */
function assignedPartitions(assignment: Reader): number[] {
  if (assignment.left === 0) return [];
  assignment.int16();
  const partitions: number[] = [];
  for (let topics = assignment.int32(); topics > 0; topics--) {
    assignment.string();
    for (let left = assignment.int32(); left > 0; left--) partitions.push(assignment.int32());
  }
  return partitions;
}
