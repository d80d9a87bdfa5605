/**
 * A Kafka cluster as `settlefleet doctor` looks at it: brokers with their settings, topics with theirs, who is in the group,
 * and what this client is allowed to do. It changes nothing.
 */
import kafka from '@confluentinc/kafka-javascript';
import type { IAdminClient } from '@confluentinc/kafka-javascript';
import { OutageError } from '../../errors.ts';
import { asError, call, createProducer, disconnect } from './client.ts';
import { connect } from './client.ts';
import { request, Writer } from './protocol.ts';
import { readBrokerSettings, readTopicSettings } from './topic-settings.ts';

const requestTimeoutMs = 5000;
const apiVersions = { key: 18, version: 0 };
const findCoordinator = { key: 10, version: 1 };
const groupCoordinator = 0;
const groupAuthorizationFailed = 30;
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
    async group(groupId) {
      // The client ends the process (1.10.1, a null pointer) when it describes a group that it may not describe.
      const answer = await request(brokers, findCoordinator, new Writer().string(groupId).int8(groupCoordinator));
      answer.int32();
      return answer.int16() === groupAuthorizationFailed ? { members: [], mayRead: false } : describeGroup(admin, groupId);
    },

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

async function describeGroup(admin: IAdminClient, groupId: string): Promise<GroupFacts> {
  const { groups } = await call<{
    readonly groups: readonly {
      readonly error?: { readonly code: number; readonly message: string };
      readonly members: readonly { readonly clientId: string; readonly clientHost: string; readonly assignment: { readonly topicPartitions: readonly { readonly partition: number }[] } }[];
      readonly authorizedOperations?: readonly number[];
    }[];
  }>((done) => admin.describeGroups([groupId], { timeout: requestTimeoutMs, includeAuthorizedOperations: true }, done as never));
  const [group] = groups;
  if (group === undefined || (group.error !== undefined && group.error.code !== 0)) {
    throw new OutageError('kafka', `Kafka does not describe group ${groupId}: ${group?.error?.message ?? 'no answer'}`);
  }
  return {
    members: group.members.map(({ clientId, clientHost, assignment }) => ({
      clientId,
      host: clientHost.replace(/^\//, ''),
      partitions: assignment.topicPartitions.map(({ partition }) => partition),
    })),
    mayRead: allowedOf(group.authorizedOperations ?? []).has('read'),
  };
}
