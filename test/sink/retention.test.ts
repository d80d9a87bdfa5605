/**
 * What the sink does about rows that are past their retention, and about the directory: over a real Kafka and the embedded
 * engine, as a process.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createTopicReader } from '../../src/adapters/kafka/topic-reader.ts';
import { encodeParticipant } from '../../src/codec/participant-record.ts';
import { decodePaymentResult } from '../../src/codec/payment-result.ts';
import { valueBytes } from '../../src/codec/record-batch.ts';
import { compareWithClickhouse } from '../../src/verify/clickhouse.ts';
import { Findings } from '../../src/verify/findings.ts';
import { rowChecksum, RowSums } from '../../src/verify/row-sums.ts';
import { until } from '../until.ts';
import { sql, startSink } from './process.ts';
import type { SinkProcess } from './process.ts';
import { createWorld, quiet, resultValue, sampleResult } from './support.ts';
import type { SinkRecord, SinkWorld } from './support.ts';

const timeout = 120_000;
const dayMs = 86_400_000;
let world: SinkWorld;
let folder: string;
let sink: SinkProcess | undefined;

beforeAll(async () => {
  world = await createWorld({ partitions: 2 });
  folder = await mkdtemp(join(tmpdir(), 'settlefleet-retention-'));
});

afterEach(async () => {
  await sink?.end('SIGKILL');
});

afterAll(async () => {
  await world.close();
  await rm(folder, { recursive: true, force: true });
});

async function ask(query: string): Promise<string> {
  const answer = await sql(world, `chdb:${folder}`, [query]);
  if (answer.exitCode !== 0) throw new Error(answer.stderr);
  return answer.stdout;
}

/** A result of so many days ago. */
function result(serial: number, partition: number, daysAgo: number): SinkRecord {
  const value = resultValue({ ...sampleResult(serial, partition), settledAt: Date.now() - daysAgo * dayMs }, world.schemaId);
  return { topic: world.topics.results, partition, key: null, value };
}

/** Started with this retention, and with everything stored that Kafka has. */
async function begin(days: string): Promise<void> {
  sink = await startSink(world, `chdb:${folder}`, 'sink-a', { CLICKHOUSE_RETENTION_DAYS: days });
  await until('it is ready', async () => (await sink!.readyz()).status === 200, 30_000);
  await until('nothing is left to store', async () => {
    const metrics = await sink!.metrics();
    return [0, 1].every((partition) => new RegExp(`sink_lag\\{partition="${partition}"\\} 0\\n`).test(metrics));
  }, 30_000);
}

/** The table against the topic, as `settlefleet verify` compares them. */
async function compared(): Promise<unknown> {
  const reader = createTopicReader({ brokers: world.brokers, clientId: 'test-verify', log: quiet });
  try {
    const sums = [new RowSums(), new RowSums()];
    for (const [partition, sum] of sums.entries()) {
      await reader.readToEnd({ topic: world.topics.results, partition, from: null }, (batch) => {
        for (let row = 0; row < batch.count; row++) {
          const found = decodePaymentResult(valueBytes(batch, row)!);
          sum.add(batch.offsets[row]!, rowChecksum(found), found.settledAt);
        }
      });
    }
    const findings = new Findings();
    const stored = await compareWithClickhouse({ topics: world.topics, reader, ask, clock: Date.now, sums, findings });
    return { stored, findings: findings.total };
  } finally {
    await reader.close();
  }
}

describe('the sink, with a retention', () => {
  it('does not store again what is gone, in a partition where nothing is left, and stores what is new', { timeout }, async () => {
    await world.write(Array.from({ length: 20 }, (_, i) => result(i + 1, 0, 10)));
    await world.write(Array.from({ length: 5 }, (_, i) => result(i + 1, 1, 1)));
    await begin('');
    expect(await ask('SELECT count() FROM results')).toBe('25\n');
    await sink!.end('SIGTERM');

    await begin('7');
    await until('what is past it is gone', async () => (await ask('SELECT result_partition, count() FROM results GROUP BY ALL')) === '1\t5\n', 30_000);
    await sink!.end('SIGTERM');

    await begin('7');
    await world.write([result(30, 0, 8), result(31, 0, 0)]);
    await until('the new row is there', async () => (await ask('SELECT result_partition, count() FROM results GROUP BY ALL ORDER BY ALL')) === '0\t1\n1\t5\n', 30_000);
    // verify calls what is past the retention by its name, and misses nothing.
    expect(await compared()).toEqual({ stored: [{ rows: 1, behind: 0, expired: 21 }, { rows: 5, behind: 0, expired: 0 }], findings: 0 });
    // Counted once, when they came: the row that was too old then is not.
    await until('the views have it', async () => (await ask('SELECT sum(results) FROM latency_minutes')) === '26\n', 20_000);
  });
});

describe('the sink, following the directory', () => {
  it('knows which debit cap held when, whoever reads the directory how often', { timeout }, async () => {
    const entry = (participant: string, eur: bigint | null): SinkRecord => ({
      topic: world.topics.participants,
      partition: 0,
      key: Buffer.from(participant),
      value: eur === null ? null : Buffer.from(encodeParticipant({ id: participant, name: "L'Or \\ & Cie", aliases: [], debitCaps: new Map([['EUR', eur]]) })),
    });
    const caps = "SELECT participant, debit_cap, isNull(valid_to) FROM debit_caps ORDER BY participant, valid_from";
    await world.write([entry('COBADEFFXXX', 100_000n), entry('DEUTDEFFXXX', 200_000n)]);
    await begin('');
    await until('the caps are there', async () => (await ask(caps)) === 'COBADEFFXXX\t1\t1\nDEUTDEFFXXX\t2\t1\n', 20_000);
    await world.write([entry('COBADEFFXXX', 300_000n), entry('DEUTDEFFXXX', null)]);
    const after = 'COBADEFFXXX\t1\t0\nCOBADEFFXXX\t3\t1\nDEUTDEFFXXX\t2\t0\n';
    await until('the changes are there', async () => (await ask(caps)) === after, 20_000);
    await sink!.end('SIGTERM');
    await begin('');
    await until('the directory was read again', () => sink!.log().includes('The directory was read'), 20_000);
    expect(await ask(caps)).toBe(after);
    expect(await ask('SELECT count() FROM participants_history')).toBe('4\n');
  });
});
