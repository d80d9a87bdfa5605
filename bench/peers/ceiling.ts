/**
 * The ceiling: the fleet's own Kafka adapter with nothing between reading and writing. Each record is answered by 300 bytes,
 * in Kafka transactions of the commit interval with the offsets. No thread, no parser, no Redis, no decision.
 */
import { chooseBridge } from '../../src/adapters/kafka/bridge/bridge.ts';
import { createFleetLog } from '../../src/adapters/kafka/fleet-log.ts';
import { RecordSlab } from '../../src/codec/record-slab.ts';
import { loadConfig } from '../../src/config.ts';
import { topicNames } from '../../src/domain/topics.ts';

const answer = new Uint8Array(300);
const environment = process.env as Record<'KAFKA_BROKERS' | 'GROUP' | 'PROCESS' | 'TOPIC_PREFIX' | 'COMMIT_INTERVAL_MS', string>;
const commitIntervalMs = Number(environment.COMMIT_INTERVAL_MS);
const topics = topicNames(environment.TOPIC_PREFIX);
const say = (fields: object, message: string): void => console.log(message, JSON.stringify(fields));

chooseBridge(loadConfig().kafkaBridge);
const log = createFleetLog({
  brokers: environment.KAFKA_BROKERS, groupId: environment.GROUP, workerId: `${environment.GROUP}-${environment.PROCESS}`, topics,
  sessionTimeoutMs: 6_000, transactionTimeoutMs: 10_000, gatherMs: 10, log: { debug: say, info: say, warn: say, error: say },
  onAborted: () => undefined, onReachable: () => undefined,
});
await log.start();

let records = new RecordSlab(1 << 18);
let offsets = new Map<number, number>();
let committing: Promise<unknown> | null = null;
let committedAt = 0;
for (;;) {
  for (const batch of await log.poll({ recordsMax: 2_000, waitMs: 50 })) {
    if (batch.topic !== topics.inbound) continue;
    for (let row = 0; row < batch.count; row++) records.append(topics.results, batch.partition, null, answer);
    offsets.set(batch.partition, batch.offsets[batch.count - 1]! + 1);
  }
  for (let event = log.nextRebalance(); event !== undefined; event = log.nextRebalance()) {
    log.confirm(event);
    if (event.kind === 'assigned') for (const partition of event.partitions) await log.release(partition, await log.committed(partition));
  }
  // One commit at a time; while it is under way the next one fills.
  if (committing !== null || records.count === 0 || performance.now() - committedAt < commitIntervalMs) continue;
  committedAt = performance.now();
  const moved = Array.from(offsets, ([partition, offset]) => ({ topic: topics.inbound, partition, offset }));
  committing = log.commit({ records, offsets: moved }).then(() => (committing = null));
  records = new RecordSlab(1 << 18);
  offsets = new Map();
}
