/**
 * The fleet's topics as they should be: partitions, compaction, retention, sizes, each with its reason.
 *
 * Source: contract section 1 and 3 ("the topic takes the largest inbound value").
 */
import type { TopicPlan } from '../adapters/kafka/admin.ts';
import type { Config } from '../config.ts';
import { dayMs } from '../domain/day.ts';
import { topicNames } from '../domain/topics.ts';

const secondMs = 1000;
const hourMs = 3600 * secondMs;
const mebibyte = 1 << 20;

/** A broker takes no larger request (socket.request.max.bytes), so this is no limit of the topic's own. */
const requestBytesMax = 100 * mebibyte;

/** The ledger of letters that were redriven: one record for each, so that none goes out twice by accident. */
export function redrivenTopic(prefix: string): string {
  return `${prefix}redriven`;
}

export function planTopics(config: Pick<Config, 'topicPrefix' | 'maxEventBytes' | 'dedupeWindowSeconds'>, partitions: number): TopicPlan[] {
  const names = topicNames(config.topicPrefix);
  // What is too large for the fleet must still fit into the topic, or nobody would be told.
  const inboundBytesMax = Math.min(requestBytesMax, Math.max(16 * mebibyte, 2 * config.maxEventBytes));

  const kept = (days: number): Record<string, string> => ({
    'cleanup.policy': 'delete',
    'retention.ms': String(days * dayMs),
    'retention.bytes': '-1',
  });
  // Whoever restores reads a compacted topic whole: segments are small and rolled often, so that little is read twice.
  const compacted = {
    'cleanup.policy': 'compact',
    'min.cleanable.dirty.ratio': '0.1',
    'segment.bytes': String(16 * mebibyte),
    'segment.ms': String(hourMs),
  };
  const windowDays = Math.ceil((config.dedupeWindowSeconds * secondMs) / dayMs);
  const resultsDays = Math.max(7, windowDays + 1);

  return [
    { name: names.inbound, partitions, settings: { ...kept(7), 'max.message.bytes': String(inboundBytesMax) } },
    // The authority for what was claimed: it outlives the duplicate window by a day, for clocks and for outages.
    {
      name: names.results,
      partitions,
      settings: { ...kept(resultsDays), 'max.message.bytes': String(inboundBytesMax) },
    },
    // The original bytes, its headers, and whatever another compression makes of them.
    { name: names.deadLetter, partitions, settings: { ...kept(30), 'max.message.bytes': String(requestBytesMax) } },
    { name: names.participants, partitions: 1, settings: compacted },
    { name: names.positions, partitions, settings: compacted },
    // Credits under way are money: they are kept for as long as a fleet may conceivably stand still.
    { name: names.routed, partitions, settings: { ...kept(90), 'max.message.bytes': String(requestBytesMax) } },
    // Compacted, so that the newest is there however long a partition rests; but none is taken while its results may be
    // there, or their chain could not be followed any more (settlefleet verify).
    { name: names.checkpoints, partitions, settings: { ...compacted, 'min.compaction.lag.ms': String(resultsDays * dayMs) } },
    { name: redrivenTopic(config.topicPrefix), partitions: 1, settings: compacted },
  ];
}
