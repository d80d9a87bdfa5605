/**
 * The reader of results, a process of its own: whoever waits for an answer downstream. `read_committed`, all partitions. An
 * event's latency ends when this process holds its result.
 */
import { setPriority } from 'node:os';
import { connect, consume, createConsumer } from '../../src/adapters/kafka/client.ts';
import { valueBytes } from '../../src/codec/record-batch.ts';
import type { RecordBatch } from '../../src/codec/record-batch.ts';
import { createIndexReader } from '../workload.ts';
import { Latencies } from './latencies.ts';
import type { FromReader, LoadRun, LoadStart, ToReader } from './messages.ts';
import { nowMicroseconds, Schedule } from './schedule.ts';

/** Few at a time: where there is no packed bridge, the client builds an object for each record before it gives the first. */
const recordsMax = 250;
const tellEveryMs = 50;

let run: LoadRun | null = null;
let schedule = new Schedule(0, 1, 0);
let latencies = new Latencies();
let answered = 0;
let cpu = process.cpuUsage();

const tell = (message: FromReader): void => void process.send!(message);

process.on('message', (message: ToReader) => {
  switch (message.kind) {
    case 'start':
      read(message.start).catch((error: unknown) => {
        console.error(error);
        process.exit(1);
      });
      return;
    case 'run':
      run = message.run;
      schedule = new Schedule(run.startMicroseconds, run.rate, run.count);
      latencies = new Latencies();
      answered = 0;
      cpu = process.cpuUsage();
      return;
    case 'collect': {
      const { user, system } = process.cpuUsage(cpu);
      tell({ kind: 'collected', answered, latencies: latencies.encode(), cpuSeconds: (user + system) / 1e6 });
    }
  }
});
process.on('disconnect', () => process.exit(0));

function* recordsOf(batches: readonly RecordBatch[]): Generator<readonly [topic: string, value: Uint8Array | null]> {
  for (const batch of batches) for (let row = 0; row < batch.count; row++) yield [batch.topic, valueBytes(batch, row)];
}

async function read({ brokers, topics, partitions, workload }: LoadStart): Promise<void> {
  try {
    setPriority(-5);
  } catch {
    // Only root may.
  }
  const indexOf = createIndexReader(workload.seed);
  const consumer = createConsumer(brokers, 'bench-reader', {
    'group.id': 'bench-reader', 'isolation.level': 'read_committed', 'fetch.wait.max.ms': 20, 'fetch.message.max.bytes': 1 << 20, 'queued.max.messages.kbytes': 16 << 10,
  });
  await connect(consumer, 10_000);
  consumer.assign([topics.results, topics.deadLetter].flatMap((topic) => Array.from({ length: partitions }, (_, partition) => ({ topic, partition, offset: 0 }))));
  tell({ kind: 'ready' });
  let told = 0;
  for (;;) {
    const batches = await consume(consumer, recordsMax, tellEveryMs);
    const now = nowMicroseconds();
    for (const [topic, value] of recordsOf(batches)) {
      const index = value === null ? -1 : indexOf(value);
      if (topic === topics.deadLetter) {
        // Some of them are dead because nothing can be read of them; none of an earlier run comes this late.
        if (run !== null && (index < 0 || index >= run.from)) answered++;
        continue;
      }
      if (run === null || index < run.from || index >= run.from + run.count) continue;
      answered++;
      const n = index - run.from;
      if (n >= run.unmeasured) latencies.record(now - schedule.intended(n));
    }
    if (performance.now() - told > tellEveryMs) {
      told = performance.now();
      tell({ kind: 'answered', answered });
    }
  }
}
