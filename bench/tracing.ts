// Needs no stack.
/**
 * What traces cost where results are written: the settle stage over batches of 2,000 transfers, without traces, and with them
 * for events without a context, with one whose trace is not recorded, and with one that is. CPU time of the thread, all
 * subjects in turn in each round. The transfers are refused, so that little else is done and the difference shows.
 *
 * `./dev bench tracing [--rounds 200] [--other FOLDER]`: with the same stage of another checkout beside it, e.g. one from before
 * a change.
 */
import { join, resolve } from 'node:path';
import { createTracing } from '../src/adapters/opentelemetry/tracing.ts';
import { table } from '../src/cli/console.ts';
import type { RecordBatch, RecordHeader } from '../src/codec/record-batch.ts';
import { loadConfig } from '../src/config.ts';
import { topicNames } from '../src/domain/topics.ts';
import type { Epoch } from '../src/epoch.ts';
import type { Journey } from '../src/journey.ts';
import type { BatchTrace, CommittedReport } from '../src/ports.ts';
import type { LaneBook } from '../src/lane-book.ts';
import type { Work } from '../src/stages/route.ts';
import type { createSettleStage } from '../src/stages/settle.ts';
import { readSettings } from './settings.ts';
import type { OptionForm } from './settings.ts';

const forms = {
  rounds: { default: 200, what: 'batches that each subject settles' },
  other: { default: '', what: 'another checkout, whose stage is measured beside ours' },
} as const satisfies Record<string, OptionForm>;

const transfers = 2_000;
const topics = topicNames('payments.');

export async function run(args: readonly string[]): Promise<void> {
  const settings = readSettings('tracing', forms, args);
  if (settings === null) return;
  const { rounds, other } = settings;
  const own = await settleOf(join(import.meta.dirname, '..'));
  const plain = workWith(() => null);
  const subjects: [name: string, run: () => void][] = [['off', () => own(plain, null)]];
  if (other !== '') {
    const others = await settleOf(resolve(other));
    subjects.unshift(['the other checkout', () => others(plain, null)]);
  }
  const traced = await tracedBy(own);
  const parent = (flags: string) => (row: number): RecordHeader[] => [{ key: 'traceparent', value: Buffer.from(`00-${String(row).padStart(32, '1')}-${String(row).padStart(16, '1')}-${flags}`) }];
  for (const [name, work] of [['on, no context', plain], ['on, not recorded', workWith(parent('00'))], ['on, recorded', workWith(parent('01'))]] as const) {
    subjects.push([name, () => traced(work)]);
  }

  const costs = new Map(subjects.map(([name]) => [name, [] as number[]]));
  for (let round = -20; round < rounds; round++) {
    for (const [name, settle] of subjects) {
      const before = process.cpuUsage();
      settle();
      const { user, system } = process.cpuUsage(before);
      if (round >= 0) costs.get(name)!.push((user + system) / transfers);
    }
    // Lets the queue of spans be emptied.
    await new Promise((done) => setImmediate(done));
  }
  const rows = Array.from(costs, ([name, list]) => {
    const sorted = list.toSorted((a, b) => a - b);
    const at = (share: number): string => sorted[Math.floor(share * (sorted.length - 1))]!.toFixed(2);
    return [name, at(0.5), `${at(0.25)} to ${at(0.75)}`];
  });
  for (const line of table(['traces', 'µs a result, median', 'quartiles'], rows)) console.log(line);
}

/** The settle stage of a checkout. Its book takes everything and keeps nothing. */
async function settleOf(tree: string): Promise<(work: Work, trace: BatchTrace | null) => void> {
  const settling = (await import(join(tree, 'src/stages/settle.ts'))) as { readonly createSettleStage: typeof createSettleStage };
  const epochs = (await import(join(tree, 'src/epoch.ts'))) as { readonly Epoch: typeof Epoch };
  const stage = settling.createSettleStage({ clock: () => 1, topics, partitionCount: 8, deadLetterPartitionCount: 1, resultSchemaId: 1, worker: 'bench' });
  const book = { partition: 0, extendChain: () => undefined, advance: () => undefined } as unknown as LaneBook;
  return (work, trace) => stage(work, book, new epochs.Epoch(), trace);
}

async function tracedBy(settle: (work: Work, trace: BatchTrace | null) => void): Promise<(work: Work) => void> {
  const tracing = await createTracing({
    settings: loadConfig({ OTEL_TRACES_EXPORTER: 'otlp', OTEL_BSP_MAX_QUEUE_SIZE: '100000' }).telemetry.traces!,
    teller: { process: 'bench', workerId: 'bench', version: '0' },
    consumerGroup: 'bench',
    routedTopic: topics.routed,
    onSpans: () => undefined,
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
    // Encoding and sending are not in it.
    exporter: { export: (_spans, done) => done({ code: 0 }), shutdown: () => Promise.resolve() },
  });
  return (work) => {
    const trace = tracing.begin(work.records, 1);
    settle(work, trace);
    const journey: Journey = { from: 'kafka', arrivedAt: 1, takenAt: 1, takeOverMs: 0, trace, decodedAt: 2, begunAt: 3, routedAt: 4, claimedAt: 5, settledAt: 6, results: transfers };
    tracing.committed({ journeys: [journey], sealedAt: 7, seconds: 0.01, committedAt: 100 } as unknown as CommittedReport);
  };
}

function workWith(headersOf: (row: number) => RecordHeader[] | null): Work {
  const column = (): Int32Array => new Int32Array(transfers);
  const records: RecordBatch = {
    topic: topics.inbound, partition: 0, count: transfers, bytes: new Uint8Array(new SharedArrayBuffer(8)),
    keyStart: column().fill(-1), keyLength: column(), valueStart: column(), valueLength: column().fill(1_900),
    offsets: Float64Array.from({ length: transfers }, (_, row) => row), timestamps: new Float64Array(transfers),
    headers: Array.from({ length: transfers }, (_, row) => headersOf(row)),
  };
  const steps: Work['steps'] = Array.from({ length: transfers }, (_, row) => ({
    kind: 'transfer' as const, row, transaction: -1, holder: null, refusal: { reasonCode: 'AM11' as const, reason: 'XAU is not money here' },
    transfer: {
      event: { eventId: `6f9619ff-8b86-d011-b42d-00cf4fc9${row}`, messageType: 'pacs.008.001.08', source: 'bench', messageId: `M-${row}`, createdAt: 1, receivedAt: 1, inboundPartition: 0, inboundOffset: row },
      transactionIndex: 0, instructionId: `I-${row}`, endToEndId: `E-${row}`, transactionId: `T-${row}`, uetr: '8a562c67-ca16-48ba-b074-65581be6f001',
      debitedParticipant: 'COBADEFFXXX', creditedParticipant: 'DEUTDEFFXXX', currency: 'XAU', amount: 100_000n, formalRefusal: null, identity: 'pacs.008|UETR|x',
    },
  }));
  return { records, decoded: null, steps, misdirected: [], directory: { find: () => undefined } as unknown as Work['directory'] };
}
