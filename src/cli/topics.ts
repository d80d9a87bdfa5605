/**
 * `settlefleet topics apply`: makes the fleet's topics what they should be, and says what it did. A topic is never
 * repartitioned: participants belong to partitions by their number, and their positions would have to move.
 */
import { InvalidArgumentError } from 'commander';
import { CommandError } from '../errors.ts';
import { coPartitioned, topicNames } from '../domain/topics.ts';
import type { ExistingTopic, TopicPlan } from '../adapters/kafka/admin.ts';
import type { Config } from '../config.ts';
import { print, tell } from './console.ts';
import type { DefineCommand } from './program.ts';
import { planTopics } from './topic-plan.ts';

const partitionsDefault = 8;
const partitionsMax = 1000;
const kafkaWaitMs = 60_000;

export const defineTopicsCommand: DefineCommand = (program, settings) => {
  program
    .command('topics')
    .description('The fleet\'s topics.')
    .command('apply')
    .description('Creates the topics that are missing and sets what differs; can be repeated.')
    .option('--partitions <n>', `partitions (default: as many as the inbound topic has, else ${partitionsDefault})`, wholeNumber(1, partitionsMax))
    .option('--replication-factor <n>', 'replicas of each new topic (default: the broker\'s)', wholeNumber(1, 100))
    .action((options: { partitions?: number; replicationFactor?: number }) => applyTopics(settings(), options, print));
};

export async function applyTopics(
  config: Config,
  options: { readonly partitions?: number; readonly replicationFactor?: number },
  say: (line: string) => void,
): Promise<void> {
  const { connectTopicAdmin } = await import('../adapters/kafka/admin.ts');
  const { alignTopicSettings } = await import('../adapters/kafka/topic-settings.ts');
  const admin = await connectTopicAdmin({
    brokers: config.kafkaBrokers,
    clientId: 'settlefleet-topics',
    waitMs: kafkaWaitMs,
    onWait: () => tell(`Kafka at ${config.kafkaBrokers} does not answer yet: waiting up to ${kafkaWaitMs / 1000} s.`),
  });
  try {
    const names = topicNames(config.topicPrefix);
    const present = await admin.describe(planTopics(config, 1).map((plan) => plan.name));
    const partitions = options.partitions ?? present.get(names.inbound)?.partitions ?? partitionsDefault;
    const plans = planTopics(config, partitions);
    refuseRepartitioning(plans, present, coPartitioned(names));

    const durable = (options.replicationFactor ?? 0) >= 3 ? { 'min.insync.replicas': '2' } : {};
    for (const plan of plans) {
      const topic = { ...plan, settings: { ...plan.settings, ...durable } };
      const outcome = present.has(plan.name) ? 'existed' : await admin.create(topic, options.replicationFactor ?? -1);
      if (outcome === 'created') {
        say(`${plan.name}: created with ${counted(plan.partitions, 'partition')}, ${describeSettings(topic.settings)}`);
        continue;
      }
      const changes = await alignTopicSettings(config.kafkaBrokers, topic.name, topic.settings);
      const unchanged = changes.length === 0 ? 'as it should be' : `set ${changes.join(', ')}`;
      say(`${plan.name}: ${counted(plan.partitions, 'partition')}, ${unchanged}`);
    }
  } finally {
    admin.close();
  }
}

function refuseRepartitioning(
  plans: readonly TopicPlan[],
  present: ReadonlyMap<string, ExistingTopic>,
  owned: readonly string[],
): void {
  const wrong = plans.flatMap((plan) => {
    const topic = present.get(plan.name);
    return topic === undefined || topic.partitions === plan.partitions
      ? []
      : [`${plan.name} has ${counted(topic.partitions, 'partition')}, not ${plan.partitions}`];
  });
  if (wrong.length === 0) return;
  const ownership = owned.some((name) => wrong.some((line) => line.startsWith(`${name} `)));
  throw new CommandError(
    `${wrong.join('; ')}. Topics are never repartitioned${ownership ? ': which partition owns a participant follows from their number' : ''}.`,
  );
}

function describeSettings(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** For commander's options and arguments: a whole number within bounds, else wrong usage. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (!(value >= least && value <= most)) {
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}
