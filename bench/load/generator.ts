/**
 * The load generator, a process of its own: sends events by a schedule that waits for nothing. An ordinary upstream: an
 * idempotent producer, lz4, no Kafka transactions.
 */
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { asError, call, connect, createProducer, kafkaErrorCodes } from '../../src/adapters/kafka/client.ts';
import type { Producer } from '../../src/adapters/kafka/client.ts';
import { createWorkload } from '../workload.ts';
import type { Workload } from '../workload.ts';
import { Latencies } from './latencies.ts';
import type { FromGenerator, LoadRun, ToGenerator } from './messages.ts';
import { nowMicroseconds, Schedule } from './schedule.ts';

const tellEveryMs = 100;
const flushMs = 30_000;

let topic = '';
let workload: Workload;
let producer: Producer;
let stopped = false;

const tell = (message: FromGenerator): void => void process.send!(message);

process.on('message', (message: ToGenerator) => {
  handle(message).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
process.on('disconnect', () => process.exit(0));

async function handle(message: ToGenerator): Promise<void> {
  switch (message.kind) {
    case 'start': {
      // The load comes from elsewhere: what is measured must not be able to slow it down by taking the CPU.
      favour();
      topic = message.start.topics.inbound;
      workload = createWorkload(message.start.workload);
      producer = createProducer(message.start.brokers, 'bench-generator', { 'linger.ms': 5, 'queue.buffering.max.messages': 1_000_000, 'queue.buffering.max.kbytes': 512 << 10, 'message.max.bytes': 4 << 20 });
      await connect(producer, 10_000);
      producer.setPollInterval(50);
      tell({ kind: 'ready' });
      return;
    }
    case 'run':
      stopped = false;
      await send(message.run);
      return;
    case 'stop':
      stopped = true;
  }
}

async function send(run: LoadRun): Promise<void> {
  const schedule = new Schedule(run.startMicroseconds, run.rate, run.count);
  const late = new Latencies();
  // What `createdAt` says is the intended time, too, by the clock on the wall.
  const wallOffsetMs = Date.now() - nowMicroseconds() / 1000;
  let sent = 0;
  let told = performance.now();
  let cpu = process.cpuUsage();
  while (sent < run.count && !stopped) {
    const now = nowMicroseconds();
    // Not all that is due at once: after a stall the client's own work must get its turn.
    const due = Math.min(schedule.due(now), sent + 1_000);
    for (; sent < due; sent++) {
      const intended = schedule.intended(sent);
      const { partition, key, value } = workload.make(run.from + sent, Math.floor(intended / 1000 + wallOffsetMs));
      if (!produce(partition, value, key)) break;
      if (sent === run.unmeasured) cpu = process.cpuUsage();
      if (sent >= run.unmeasured) late.record(nowMicroseconds() - intended);
    }
    if (performance.now() - told > tellEveryMs) {
      told = performance.now();
      tell({ kind: 'sent', sent });
    }
    const waitMs = (schedule.intended(sent) - nowMicroseconds()) / 1000;
    await sleep(Math.max(0, Math.min(20, Math.floor(waitMs))));
  }
  const { user, system } = process.cpuUsage(cpu);
  await call<void>((done) => producer.flush(flushMs, done));
  tell({ kind: 'done', sent, late: late.encode(), cpuSeconds: (user + system) / 1e6 });
}

/** False when the client has no room now; the schedule does not move for it. */
function produce(partition: number, value: Buffer, key: string): boolean {
  try {
    producer.produce(topic, partition, value, key);
    return true;
  } catch (error) {
    if (asError(error).code !== kafkaErrorCodes.queueFull) throw error;
    return false;
  }
}

function favour(): void {
  try {
    setPriority(-5);
  } catch {
    // Only root may. Then the lateness tells whether it mattered.
  }
}
