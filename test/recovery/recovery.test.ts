/**
 * A worker that is killed: others have its partitions within 10 s, also where it leaves a Kafka transaction open, on a broker
 * with default settings. Over many kills: `node test/recovery/main.ts --kills 100`, once more with `--restart`.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Bench } from '../integration/harness/bench.ts';
import { Follower } from '../integration/harness/kafka.ts';
import type { Service } from '../integration/harness/processes.ts';
import { createTraffic } from '../integration/harness/traffic.ts';
import { compare } from '../integration/harness/truth.ts';
import { apiKeys, commits as isCommit, startFrameProxy } from '../late-endtxn/frame-proxy.ts';
import type { FrameProxy } from '../late-endtxn/frame-proxy.ts';
import { stackEnvironment } from '../stack.ts';
import { Commits } from './kills.ts';

const promisedMs = 10_000;
const partitions = 4;
const traffic = createTraffic({ seed: 5, partitions });
const commits = new Commits(partitions);
let bench: Bench;
let proxy: FrameProxy;
let follower: Follower;
let doomed: Service;

/** One event for each partition. */
async function payEverywhere(): Promise<void> {
  await Promise.all(Array.from({ length: partitions }, (_, partition) => bench.send(traffic.next().message, { partition, key: null })));
}

beforeAll(async () => {
  bench = await Bench.create('recovery', { partitions, participants: traffic.participants });
  proxy = await startFrameProxy(stackEnvironment().kafkaBrokers);
  follower = await Follower.start({ brokers: bench.brokers, topics: [`${bench.prefix}checkpoints`], take: (records) => commits.take(records) });
  // The doomed one reaches the broker through the proxy, which keeps the end of a Kafka transaction to itself.
  const started = await Promise.all([bench.startWorker({ KAFKA_BROKERS: proxy.brokers, WORKER_ID: 'doomed' }), bench.startWorker()]);
  await Promise.all(started.map((worker) => worker.ready()));
  doomed = started[0];
});
afterAll(async () => {
  await follower?.stop();
  await proxy?.close();
  await bench?.close();
});

it('the partitions of a worker that is killed with its Kafka transaction open are committed by another within 10 s', async () => {
  const begun = Date.now();
  await payEverywhere();
  await commits.everywhereSince(begun);
  const owned = commits.partitionsOf('doomed');
  expect(owned).toHaveLength(partitions / 2);
  const holding = proxy.hold((request) => request.apiKey === apiKeys.endTxn && isCommit(request), 'timeout');
  await payEverywhere();
  await holding;
  const killedAt = Date.now();
  await doomed.kill();
  await payEverywhere();
  await commits.everywhereSince(killedAt, owned, promisedMs - (Date.now() - killedAt));
  await bench.answered(bench.sent);
  await bench.atRest();
  expect(compare({ ...bench, participants: traffic.participants, positions: bench.positions(), workersDied: true })).toEqual([]);
});
