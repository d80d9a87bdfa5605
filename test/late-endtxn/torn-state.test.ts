/** A torn state that is planted by hand: committed offsets that are not the checkpoint's. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeCheckpoint, encodeCheckpoint } from '../../src/codec/checkpoint.ts';
import { Bench } from '../integration/harness/bench.ts';
import { message, participant, transaction } from '../integration/harness/directory.ts';
import { readTopics } from '../integration/harness/kafka.ts';
import { owningPartition } from '../integration/harness/murmur2.ts';
import { runCommand } from '../integration/harness/processes.ts';
import type { Service } from '../integration/harness/processes.ts';

const partitions = 3;
/** One participant for each partition. */
const owners = Array.from({ length: partitions }, (_, partition) => {
  for (let i = 0; ; i++) {
    const id = `T${String.fromCharCode(65 + (i % 26), 65 + (Math.floor(i / 26) % 26))}KDEFFXXX`;
    if (owningPartition(id, partitions) === partition) return id;
  }
});
const tornPartition = 1;

describe('a lane whose committed offsets are not its checkpoint\'s', () => {
  let bench: Bench;
  let worker: Service;
  const pay = (partition: number) =>
    bench.send(message(transaction({ debtorAgent: { bic: owners[partition]! }, creditorAgent: { bic: owners[(partition + 1) % partitions]! } })));

  beforeAll(async () => {
    bench = await Bench.create('torn', { partitions, participants: owners.map((id) => participant(id)) });
    const first = await (await bench.startWorker()).ready();
    for (const sent of await Promise.all([0, 1, 2].map(pay))) await bench.only(sent);
    await bench.atRest();
    await first.terminate();
    const topic = `${bench.prefix}checkpoints`;
    const newest = decodeCheckpoint((await readTopics(bench.brokers, [topic])).findLast(({ partition }) => partition === tornPartition)!.value!);
    // As if the late EndTxn had committed records and checkpoint, but not the offsets.
    const ahead = encodeCheckpoint({ ...newest, commit: newest.commit + 1, inbound: newest.inbound + 1, first: null });
    await bench.upstream.produce({ topic, partition: tornPartition, key: String(tornPartition), value: Buffer.from(ahead) });
    worker = await bench.startWorker();
  });
  afterAll(() => bench?.close());

  it('halts, and says so with both places', async () => {
    await bench.waitFor('the worker says that the lane halts', () => (worker.stdout + worker.stderr).includes('The lane halts.'));
    const line = (worker.stdout + worker.stderr).split('\n').find((one) => one.includes('The lane halts.'))!;
    expect(line).toContain(`"partition":${tornPartition}`);
    expect(line).toMatch(/Partition 1 stands at inbound (\d+), .* by the group's committed offsets, at inbound (\d+), /);
    await bench.waitFor('/readyz tells it', async () => {
      const { status, body } = await worker.get('/readyz');
      return status === 503 && body.includes(`partition ${tornPartition} is halted`);
    });
  });

  it('is passed by the other lanes, which go on, while it decides nothing', async () => {
    const stays = await pay(tornPartition);
    for (const partition of [0, 2]) {
      for (let i = 0; i < 5; i++) expect((await bench.only(await pay(partition))).status).toBe('ACSC');
    }
    expect(bench.resultsOf(stays.eventId)).toEqual([]);
    expect(worker.hasEnded).toBe(false);
  });

  it('is found by settlefleet verify', async () => {
    const { code, stdout } = await runCommand(['verify', '--no-clickhouse'], bench.environment);
    expect(stdout).toMatch(new RegExp(`WRONG \\(offsets\\) \\S+checkpoints-${tornPartition}: .*a Kafka transaction was torn`));
    expect(code).toBe(1);
  });
});
