/**
 * Whether the cluster and the fleet's topics keep what the fleet promises. Facts come from `adapters/kafka/inspection.ts`;
 * everything here is a judgement of them.
 */
import type { KafkaInspection, Operation, TopicFacts } from '../adapters/kafka/inspection.ts';
import { sessionTimeoutMs, transactionTimeoutMs } from '../adapters/kafka/timeouts.ts';
import type { Config } from '../config.ts';
import { coPartitioned, topicNames } from '../domain/topics.ts';
import { Findings, reasonOf } from './finding.ts';
import type { Finding } from './finding.ts';

/** A topic as `topics apply` makes it. */
export interface PlannedTopic {
  readonly name: string;
  readonly settings: Readonly<Record<string, string>>;
}

/** TxnOffsetCommit 3: offsets in a Kafka transaction with the group's metadata, by which a zombie is fenced (Kafka 2.5). */
const txnOffsetCommit = { key: 28, version: 3 };
const durableReplicas = 3;
const durableInSync = 2;
const apply = 'settlefleet topics apply';
const weekMinutes = 7 * 24 * 60;

export async function examineKafka(
  kafka: KafkaInspection,
  config: Pick<Config, 'topicPrefix' | 'consumerGroup' | 'dedupeWindowSeconds' | 'maxEventBytes'>,
  planned: readonly PlannedTopic[],
): Promise<Finding[]> {
  const findings = new Findings('kafka');
  findings.ok(`${kafka.brokers.length} broker${kafka.brokers.length === 1 ? '' : 's'}: ${kafka.brokers.map(({ address }) => address).join(', ')}`);
  await trying(findings, 'the version of the brokers', async () => {
    const newest = (await kafka.apiVersions()).get(txnOffsetCommit.key) ?? -1;
    if (newest >= txnOffsetCommit.version) findings.ok('the brokers know Kafka transactions that fence a zombie');
    else findings.wrong('the brokers are older than Kafka 2.5, and do not fence a zombie', 'upgrade them');
  });
  const hasAuthorizer = await examineBrokers(findings, kafka);

  const names = [...planned.map(({ name }) => name), '__consumer_offsets', '__transaction_state'];
  await trying(findings, 'the topics', async () => {
    const topics = await kafka.topics(names);
    const inbound = topics.get(topicNames(config.topicPrefix).inbound);
    for (const plan of planned) await examineTopic(findings, kafka, config, plan, topics.get(plan.name), inbound?.partitions.length ?? 0);
    judgeReplicas(findings, topics, kafka.brokers.length);
  });
  if (hasAuthorizer) await examineTransactionalId(findings, kafka, config);
  return findings.all;
}

// ── Brokers ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface BrokerRule {
  readonly name: string;
  /** Null: as it should be. */
  readonly judge: (value: number) => { readonly verdict: 'warn' | 'wrong'; readonly because: string } | null;
  readonly set: string;
}

const brokerRules: readonly BrokerRule[] = [
  {
    name: 'transaction.max.timeout.ms',
    judge: (value) => (value < transactionTimeoutMs ? { verdict: 'wrong', because: `workers ask for ${transactionTimeoutMs}, and commit nothing` } : null),
    set: String(transactionTimeoutMs),
  },
  {
    name: 'group.min.session.timeout.ms',
    judge: (value) => (value > sessionTimeoutMs ? { verdict: 'wrong', because: `workers ask for ${sessionTimeoutMs}, and cannot join` } : null),
    set: String(sessionTimeoutMs),
  },
  {
    name: 'group.max.session.timeout.ms',
    judge: (value) => (value < sessionTimeoutMs ? { verdict: 'wrong', because: `workers ask for ${sessionTimeoutMs}, and cannot join` } : null),
    set: '1800000',
  },
  {
    name: 'offsets.retention.minutes',
    judge: (value) => (value < weekMinutes ? { verdict: 'warn', because: 'a fleet that rests for longer goes on from its checkpoints, but lag is not known meanwhile' } : null),
    set: String(weekMinutes),
  },
];

/** Whether an authorizer is on; true also where that cannot be told. */
async function examineBrokers(findings: Findings, kafka: KafkaInspection): Promise<boolean> {
  const names = [...brokerRules.map(({ name }) => name), 'auto.create.topics.enable', 'authorizer.class.name'];
  let hasAuthorizer = false;
  for (const broker of kafka.brokers) {
    let settings: ReadonlyMap<string, string | null>;
    try {
      settings = await kafka.brokerSettings(broker, names);
    } catch (error) {
      findings.unknown(`the settings of broker ${broker.id}: ${reasonOf(error)}`, 'allow DescribeConfigs on Cluster, or look at its server.properties');
      hasAuthorizer = true;
      continue;
    }
    const before = findings.all.length;
    for (const { name, judge, set } of brokerRules) {
      const value = Number(settings.get(name) ?? NaN);
      const complaint = Number.isNaN(value) ? null : judge(value);
      if (complaint !== null) findings[complaint.verdict](`broker ${broker.id} has ${name}=${value}: ${complaint.because}`, `${name}=${set} in its server.properties`);
    }
    if (settings.get('auto.create.topics.enable') === 'true') {
      findings.warn(`broker ${broker.id} makes topics that somebody only names (auto.create.topics.enable): a misspelt TOPIC_PREFIX comes to life`, 'auto.create.topics.enable=false');
    }
    if (findings.all.length === before) findings.ok(`broker ${broker.id} has the time-outs that the fleet needs`);
    if ((settings.get('authorizer.class.name') ?? '') !== '') hasAuthorizer = true;
  }
  return hasAuthorizer;
}

// ── Topics ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function examineTopic(
  findings: Findings,
  kafka: KafkaInspection,
  config: Pick<Config, 'topicPrefix' | 'dedupeWindowSeconds' | 'maxEventBytes'>,
  plan: PlannedTopic,
  topic: TopicFacts | undefined,
  inboundPartitions: number,
): Promise<void> {
  const { name } = plan;
  if (topic === undefined || topic.trouble !== null) {
    if (topic?.trouble === 'missing') findings.wrong(`topic ${name} does not exist`, apply);
    else findings.wrong(`topic ${name}: ${topic?.trouble ?? 'Kafka does not describe it'}`, `allow Describe on Topic ${name}`);
    return;
  }
  const before = findings.all.length;
  const mustAgree = coPartitioned(topicNames(config.topicPrefix)).includes(name);
  if (mustAgree && inboundPartitions > 0 && topic.partitions.length !== inboundPartitions) {
    findings.wrong(
      `topic ${name} has ${topic.partitions.length} partitions, the inbound topic ${inboundPartitions}: workers do not start`,
      'while nothing was settled yet, delete the smaller of them and run settlefleet topics apply; else move to a new TOPIC_PREFIX',
    );
  }
  judgeAllowed(findings, name, topic, neededOf(config, name));
  try {
    const settings = await kafka.topicSettings(name, [...Object.keys(plan.settings), 'min.insync.replicas', 'unclean.leader.election.enable']);
    judgeTopicSettings(findings, config, plan, settings);
    judgeInSync(findings, name, topic, Number(settings.get('min.insync.replicas') ?? 1));
    if (settings.get('unclean.leader.election.enable') === 'true') {
      findings.wrong(`topic ${name} takes a leader that lacks acknowledged records (unclean.leader.election.enable)`, setTopic(name, 'unclean.leader.election.enable', 'false'));
    }
  } catch (error) {
    findings.unknown(`the settings of topic ${name}: ${reasonOf(error)}`, `allow DescribeConfigs on Topic ${name}`);
  }
  if (findings.all.slice(before).every(({ verdict }) => verdict === 'ok')) {
    findings.ok(`topic ${name}: ${topic.partitions.length} partitions, settings as they must be`);
  }
}

function setTopic(topic: string, name: string, value: string): string {
  return `kafka-configs.sh --bootstrap-server ... --alter --topic ${topic} --add-config ${name}=${value}`;
}

export function judgeTopicSettings(
  findings: Findings,
  config: Pick<Config, 'topicPrefix' | 'dedupeWindowSeconds' | 'maxEventBytes'>,
  plan: PlannedTopic,
  settings: ReadonlyMap<string, string | null>,
): void {
  const { name } = plan;
  const names = topicNames(config.topicPrefix);
  const given = (setting: string): number => {
    const value = Number(settings.get(setting) ?? NaN);
    return value === -1 ? Infinity : value;
  };
  const wanted = (setting: string): number => (plan.settings[setting] === '-1' ? Infinity : Number(plan.settings[setting] ?? NaN));
  /** What would be lost is money, or the memory of what was claimed. */
  const isTruth = name === names.results || name === names.routed;

  const policy = plan.settings['cleanup.policy'];
  if (policy !== undefined && settings.get('cleanup.policy') !== policy) {
    findings.wrong(`topic ${name} has cleanup.policy=${settings.get('cleanup.policy')}, expected ${policy}: ${policy === 'compact' ? 'what it says last would be deleted' : 'records would be taken out of its middle'}`, apply);
  }
  if (given('retention.ms') < wanted('retention.ms')) {
    const shorterThanWindow = name === names.results && given('retention.ms') < config.dedupeWindowSeconds * 1000;
    const says = `topic ${name} has retention.ms=${settings.get('retention.ms')}, expected ${plan.settings['retention.ms']} or more`;
    if (shorterThanWindow) findings.wrong(`${says}: claims of DEDUPE_WINDOW_SECONDS=${config.dedupeWindowSeconds} could not be rebuilt, and duplicates would settle`, apply);
    else findings[isTruth ? 'wrong' : 'warn'](says, apply);
  }
  if (given('retention.bytes') < wanted('retention.bytes')) {
    findings[isTruth ? 'wrong' : 'warn'](`topic ${name} has retention.bytes=${settings.get('retention.bytes')}: how long it remembers depends on how much there is`, apply);
  }
  if (given('max.message.bytes') < wanted('max.message.bytes')) {
    const isTooSmall = name !== names.inbound || given('max.message.bytes') < config.maxEventBytes;
    findings[isTooSmall ? 'wrong' : 'warn'](
      `topic ${name} has max.message.bytes=${settings.get('max.message.bytes')}, expected ${plan.settings['max.message.bytes']} or more (MAX_EVENT_BYTES is ${config.maxEventBytes})`,
      apply,
    );
  }
  if (given('min.compaction.lag.ms') < wanted('min.compaction.lag.ms')) {
    findings.warn(`topic ${name} has min.compaction.lag.ms=${settings.get('min.compaction.lag.ms')}: settlefleet verify cannot follow the chain of every commit`, apply);
  }
}

/** All topics with too few replicas in one line: as a rule it is the same for all of them. */
export function judgeReplicas(findings: Findings, topics: ReadonlyMap<string, Pick<TopicFacts, 'partitions' | 'trouble'>>, brokers: number): void {
  const few = new Map<number, string[]>();
  for (const [name, { partitions, trouble }] of topics) {
    const replicas = fewestReplicas(partitions);
    if (trouble === null && replicas < durableReplicas) few.set(replicas, [...(few.get(replicas) ?? []), name]);
  }
  for (const [replicas, names] of few) {
    const says = `${replicas} replica${replicas === 1 ? '' : 's'} of ${names.join(', ')}, expected ${durableReplicas}: a broker that is lost may take acknowledged money with it`;
    if (brokers >= durableReplicas) findings.wrong(says, `kafka-reassign-partitions.sh, or make them anew with ${apply} --replication-factor ${durableReplicas}`);
    else findings.warn(says, `run ${durableReplicas} brokers; fewer are for development`);
  }
}

export function judgeInSync(findings: Findings, name: string, topic: Pick<TopicFacts, 'partitions'>, minInSync: number): void {
  const replicas = fewestReplicas(topic.partitions);
  if (replicas >= durableReplicas && minInSync < durableInSync) {
    findings.wrong(`topic ${name} has min.insync.replicas=${minInSync}: what one broker alone acknowledged may be lost with it`, `${apply} --replication-factor ${replicas}, which sets ${durableInSync}`);
  }
  if (replicas > 1 && minInSync >= replicas) {
    findings.warn(`topic ${name} has min.insync.replicas=${minInSync} of ${replicas}: with one broker down nothing settles`, setTopic(name, 'min.insync.replicas', String(replicas - 1)));
  }
  const without = topic.partitions.filter((partition) => !partition.hasLeader).length;
  const behind = topic.partitions.filter((partition) => partition.inSync < partition.replicas).length;
  if (without > 0) findings.wrong(`topic ${name} has ${without} partitions without a leader`, 'bring the missing brokers back');
  else if (behind > 0) findings.warn(`topic ${name} has ${behind} partitions with replicas that are not in sync`, 'bring the missing brokers back, or wait until they have caught up');
}

function fewestReplicas(partitions: TopicFacts['partitions']): number {
  return Math.min(...partitions.map(({ replicas }) => replicas));
}

// ── What this client may do ──────────────────────────────────────────────────────────────────────────────────────────────

/** What a worker needs of each topic; whoever submits, redrives or applies participants needs more. */
function neededOf(config: Pick<Config, 'topicPrefix'>, name: string): readonly Operation[] {
  const names = topicNames(config.topicPrefix);
  if (name === names.inbound || name === names.participants) return ['read'];
  if (name === names.deadLetter) return ['write'];
  return Object.values(names).includes(name) ? ['read', 'write'] : [];
}

function judgeAllowed(findings: Findings, name: string, topic: TopicFacts, needed: readonly Operation[]): void {
  const missing = needed.filter((operation) => !topic.allowed.has(operation));
  if (missing.length === 0) return;
  const said = missing.map((operation) => operation[0]!.toUpperCase() + operation.slice(1));
  findings.wrong(`${said.join(' and ')} on topic ${name} is not allowed`, `kafka-acls.sh --bootstrap-server ... --add --allow-principal User:... ${said.map((one) => `--operation ${one}`).join(' ')} --topic ${name}`);
}

async function examineTransactionalId(findings: Findings, kafka: KafkaInspection, config: Pick<Config, 'topicPrefix' | 'consumerGroup'>): Promise<void> {
  const prefix = `${topicNames(config.topicPrefix).inbound}.${config.consumerGroup}.`;
  try {
    await kafka.tryTransactionalId(`${prefix}settlefleet-doctor`);
    findings.ok(`Kafka transactions may be begun under ids that begin with ${prefix}`);
  } catch (error) {
    findings.wrong(
      `Kafka transactions may not be begun under ids that begin with ${prefix}: ${reasonOf(error)}`,
      `kafka-acls.sh --bootstrap-server ... --add --allow-principal User:... --operation Write --operation Describe --transactional-id ${prefix} --resource-pattern-type prefixed`,
    );
  }
}

async function trying(findings: Findings, what: string, check: () => Promise<void>): Promise<void> {
  try {
    await check();
  } catch (error) {
    findings.unknown(`${what}: ${reasonOf(error)}`);
  }
}
