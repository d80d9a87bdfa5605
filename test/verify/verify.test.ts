/**
 * `settlefleet verify` over real parts: it finds nothing wrong with a fleet that is as it must be, at rest and at work; and
 * it names the place of every damage that is planted by hand.
 */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import kafka from '@confluentinc/kafka-javascript';
import { openEmbeddedSession } from '../../src/adapters/clickhouse/embedded.ts';
import { run } from '../../src/adapters/clickhouse/connection.ts';
import { decodeCheckpoint, encodeCheckpoint } from '../../src/codec/checkpoint.ts';
import type { Checkpoint } from '../../src/codec/checkpoint.ts';
import { decodePaymentResult, encodePaymentResult } from '../../src/codec/payment-result.ts';
import type { PaymentResult } from '../../src/codec/payment-result.ts';
import { encodeRouted } from '../../src/codec/routed.ts';
import type { Finding } from '../../src/verify/findings.ts';
import { Bench } from '../integration/harness/bench.ts';
import { call, readTopics } from '../integration/harness/kafka.ts';
import type { Received } from '../integration/harness/kafka.ts';
import { runCommand } from '../integration/harness/processes.ts';
import { createTraffic } from '../integration/harness/traffic.ts';
import type { Traffic } from '../integration/harness/traffic.ts';

interface Answer {
  readonly ok: boolean;
  readonly results: number;
  readonly findings: readonly Finding[];
  readonly notes: readonly string[];
  readonly sums: Readonly<Record<string, string>>;
  readonly partitions: readonly { readonly commit: number; readonly results: number; readonly verifiedFromCommit: number; readonly clickhouse: { readonly rows: number; readonly behind: number; readonly expired: number } | null }[];
}

/** What the d.ts of the client leaves out. */
interface RecordDeleter {
  deleteRecords(places: readonly { topic: string; partition: number; offset: number }[], options: { timeout: number }, done: (error: never, answer: unknown) => void): void;
}

const partitions = 4;

async function verify(bench: Bench, ...args: string[]): Promise<{ code: number | null; answer: Answer; stderr: string }> {
  const ended = await runCommand(['verify', '--json', ...args], bench.environment, '', 90_000);
  try {
    return { code: ended.code, answer: JSON.parse(ended.stdout) as Answer, stderr: ended.stderr };
  } catch (cause) {
    throw new Error(`verify ended with ${ended.code}\n${ended.stdout}\n${ended.stderr}`, { cause });
  }
}

async function send(bench: Bench, traffic: Traffic, events: number): Promise<void> {
  await Promise.all(Array.from({ length: events }, () => {
    const { message, sending } = traffic.next();
    return bench.send(message, sending);
  }));
}

describe('a fleet that is as it must be', () => {
  let bench: Bench;
  const traffic = createTraffic({ seed: 5, partitions });
  beforeAll(async () => {
    bench = await Bench.create('verify', { partitions, participants: traffic.participants });
    await (await bench.startWorker()).ready();
    await bench.startSink();
    await send(bench, traffic, 300);
    await bench.sendValue(Buffer.from('not framed'), { partition: 1 });
    await bench.atRest();
  });
  afterAll(() => bench?.close());

  it('is found so while it works, again and again', async () => {
    let working = true;
    const work = (async () => {
      while (working) await send(bench, traffic, 20);
    })();
    try {
      for (let i = 0; i < 2; i++) {
        const { code, answer } = await verify(bench);
        expect(answer.findings).toEqual([]);
        expect([code, answer.results > 300]).toEqual([0, true]);
      }
    } finally {
      working = false;
      await work;
    }
  });

  it('is found so while a worker was killed and left its Kafka transaction open', async () => {
    const killed = bench.services[0]!;
    let working = true;
    const work = (async () => {
      while (working) await send(bench, traffic, 20);
    })();
    try {
      const verifying = verify(bench, '--no-clickhouse');
      await killed.kill();
      await bench.startWorker();
      const { code, answer } = await verifying;
      expect([code, answer.findings]).toEqual([0, []]);
      const again = await verify(bench, '--no-clickhouse');
      expect([again.code, again.answer.findings]).toEqual([0, []]);
    } finally {
      working = false;
      await work;
    }
  });

  it('is found so at rest, with every result, and every row in ClickHouse', async () => {
    await bench.atRest();
    await bench.waitFor('the sink has stored every result', async () =>
      Number((await runCommand(['sql', 'SELECT count() FROM results'], bench.environment)).stdout) === bench.results.length);
    const { code, answer, stderr } = await verify(bench, '--clickhouse');
    expect(answer.findings).toEqual([]);
    expect([code, stderr, answer.notes, answer.sums]).toEqual([0, '', [], { EUR: '0.00', JPY: '0.00' }]);
    expect(answer.results).toBe(bench.results.length);
    expect(answer.partitions.map(({ results, clickhouse }) => [results, clickhouse])).toEqual(
      answer.partitions.map(({ results }) => [results, { rows: results, behind: 0, expired: 0 }]),
    );
    expect(answer.partitions.every(({ verifiedFromCommit }) => verifiedFromCommit === 0)).toBe(true);
  });

  it('is told a person in a few lines', async () => {
    const { code, stdout } = await runCommand(['verify', '--no-clickhouse'], bench.environment);
    expect(stdout).toContain('everything is as it must be');
    expect(code).toBe(0);
  });

  it('is found so where retention has taken the older half of the results', async () => {
    const topic = bench.topic('results');
    const admin = kafka.AdminClient.create({ 'bootstrap.servers': bench.brokers });
    const halves: { topic: string; partition: number; offset: number }[] = [];
    for (let partition = 0; partition < partitions; partition++) halves.push({ topic, partition, offset: Math.floor((await bench.offsets.end(topic, partition)) / 2) });
    await call((done) => (admin as unknown as RecordDeleter).deleteRecords(halves, { timeout: 10_000 }, done));
    admin.disconnect();
    const { code, answer } = await verify(bench, '--clickhouse');
    expect(answer.findings).toEqual([]);
    expect([code, answer.notes.length]).toEqual([0, partitions]);
    for (const { verifiedFromCommit, commit, results } of answer.partitions) {
      expect(verifiedFromCommit).toBeGreaterThan(0);
      expect(verifiedFromCommit).toBeLessThan(commit);
      expect(results).toBeGreaterThan(0);
    }
  });

  it('is told apart from a table in ClickHouse that has lost, changed, doubled and foreign rows', async () => {
    for (const service of bench.services) await service.kill();
    const session = await openEmbeddedSession(bench.environment['CLICKHOUSE_URL']!.replace('chdb:', ''));
    const [lost, changed, doubled] = bench.results.filter(({ partition }) => partition === 2).slice(-3);
    // Where a transaction marker stands: no result was ever there.
    const taken = new Set(bench.results.filter(({ partition }) => partition === 2).map(({ offset }) => offset));
    let foreignOffset = lost!.offset - 1;
    while (taken.has(foreignOffset)) foreignOffset--;
    const at = (result: { offset: number } | undefined): string => `result_partition = 2 AND result_offset = ${result!.offset}`;
    try {
      await run(session, `INSERT INTO payments.results SELECT * FROM payments.results WHERE ${at(doubled)}`);
      await run(session, `INSERT INTO payments.results SELECT * REPLACE(${foreignOffset} AS result_offset) FROM (SELECT * FROM payments.results WHERE ${at(changed)})`);
      await run(session, `ALTER TABLE payments.results UPDATE source = 'somebody else', amount = 7 WHERE ${at(changed)} SETTINGS mutations_sync = 1`);
      await run(session, `ALTER TABLE payments.results DELETE WHERE ${at(lost)} SETTINGS mutations_sync = 1`);
    } finally {
      await session.close();
    }
    const { code, answer } = await verify(bench, '--clickhouse');
    const place = (result: { offset: number } | undefined) => ({ kind: 'clickhouse', topic: `${bench.prefix}results`, partition: 2, offset: result!.offset });
    expect(answer.findings.toSorted((a, b) => a.offset! - b.offset!)).toEqual([
      { ...place({ offset: foreignOffset }), message: 'ClickHouse has a row for this offset, the topic has no result there' },
      { ...place(lost), message: 'ClickHouse has no row for this result' },
      { ...place(changed), message: 'the row in ClickHouse differs from this result in source, amount' },
      { ...place(doubled), message: 'ClickHouse has this result more than once' },
    ]);
    expect(code).toBe(1);
  });
});

describe('a damage that is planted by hand', () => {
  let bench: Bench;
  let answer: Answer;
  let code: number | null;
  let text: string;
  const planted = new Map<string, Partial<Finding>>();

  const topicOf = (name: string): string => `${bench.prefix}${name}`;
  const plant = async (name: string, partition: number, key: string | null, value: Uint8Array | string): Promise<{ topic: string; partition: number; offset: number }> => {
    const topic = topicOf(name);
    const { offset } = await bench.upstream.produce({ topic, partition, key, value: Buffer.from(value) });
    return { topic, partition, offset };
  };

  beforeAll(async () => {
    const traffic = createTraffic({ seed: 11, partitions });
    bench = await Bench.create('damage', { partitions, participants: traffic.participants });
    const worker = await (await bench.startWorker()).ready();
    await send(bench, traffic, 200);
    await bench.atRest();
    worker.signal('SIGTERM');
    await bench.waitFor('the worker has ended', () => worker.hasEnded);
    expect((await verify(bench, '--no-clickhouse')).answer.findings).toEqual([]);

    const results = await readTopics(bench.brokers, [topicOf('results')]);
    const checkpoints = await readTopics(bench.brokers, [topicOf('checkpoints')]);
    const newest = (partition: number): Checkpoint => decodeCheckpoint(checkpoints.findLast((one) => one.partition === partition)!.value!);
    const settled = (partition: number): Received[] => results.filter((one) => one.partition === partition && decodePaymentResult(one.value!).status === 'ACSC');
    const changed = (stored: Received, changes: Partial<PaymentResult>): Buffer => {
      const bytes = Buffer.alloc(4096);
      const schemaId = stored.value!.readUInt32BE(1);
      return bytes.subarray(0, encodePaymentResult({ ...decodePaymentResult(stored.value!), ...changes }, schemaId, bytes, 0));
    };

    // Partition 0: results that no checkpoint speaks of.
    const doubled = settled(0)[0]!;
    planted.set('a doubled result', { kind: 'unaccounted', ...(await plant('results', 0, doubled.key!.toString(), doubled.value!)), message: expect.stringContaining('has a result already') });
    const foreign = settled(1)[0]!;
    planted.set('a result in a wrong partition', { kind: 'placement', ...(await plant('results', 0, foreign.key!.toString(), foreign.value!)), message: expect.stringContaining('belongs into partition 1') });
    planted.set('a result under a wrong key', { kind: 'placement', ...(await plant('results', 0, 'SOMEBODY', doubled.value!)), message: expect.stringContaining('its key is "SOMEBODY"') });
    planted.set('a value that is no result', { kind: 'unaccounted', ...(await plant('results', 0, 'X', 'nothing')), message: expect.stringContaining('cannot be read') });

    // Partition 1: whoever knows the chain continues it: a debit with a gap, of an identity that is claimed, out of order.
    const last = settled(1).at(-1)!;
    const before = newest(1);
    const forged = changed(last, { sequence: before.sequence + 2, inboundOffset: 7_000_000 });
    const gap = await plant('results', 1, last.key!.toString(), forged);
    const { inboundPartition, transactionIndex, identity } = decodePaymentResult(forged);
    const chain = createHash('sha256').update(before.chain).update(last.key!).update(forged).digest('hex');
    const first = `${inboundPartition}:7000000:${transactionIndex}`;
    await plant('checkpoints', 1, '1', encodeCheckpoint({ ...before, commit: before.commit + 1, sequence: before.sequence + 2, results: before.results + 1, first, chain }));
    planted.set('a gap in the sequence', { kind: 'sequence', ...gap, message: `its sequence is ${before.sequence + 2}, expected ${before.sequence + 1}` });
    planted.set('a position that the results do not make', { kind: 'position', ...gap });
    planted.set('an identity that is claimed twice', { kind: 'identity', ...gap, message: expect.stringContaining(identity!) });
    planted.set('credits that were never sent', { kind: 'credit', topic: topicOf('routed'), offset: null });

    // Partition 2: the checkpoint, the changelog and the group's offsets.
    const standing = newest(2);
    const offset = (await plant('checkpoints', 2, '2', encodeCheckpoint({ ...standing, commit: standing.commit + 1, first: null, inbound: standing.inbound + 1, chain: 'ab'.repeat(32) }))).offset;
    planted.set('a checkpoint that hashes something else', { kind: 'chain', topic: topicOf('results'), partition: 2, message: expect.stringContaining(`breaks at commit ${standing.commit + 1}`) });
    planted.set('committed offsets that are not the checkpoint\'s', { kind: 'offsets', topic: topicOf('checkpoints'), partition: 2, message: expect.stringContaining(`inbound ${standing.inbound + 1}`) });
    expect(offset).toBeGreaterThan(0);
    const positions = await readTopics(bench.brokers, [topicOf('positions')]);
    const wrong = positions.findLast((one) => one.partition === 2)!;
    planted.set('a wrong position in the changelog', { kind: 'position', ...(await plant('positions', 2, wrong.key!.toString(), '{"position":"123456.78"}')), message: expect.stringContaining('says 123456.78') });
    planted.set('money from nowhere', { kind: 'money', topic: topicOf('positions') });
    planted.set('a position of a commit that never was', { kind: 'position', ...(await plant('positions', 3, wrong.key!.toString(), '{"position":"1.00","commit":900000}')), message: expect.stringContaining('commit 900000') });

    // Partition 3: credits, and an event that was passed.
    const credits = [{ participant: 'TAAKDEFFXXX', currency: 'EUR', units: 500n }];
    planted.set('a credit that nobody owes', { kind: 'credit', topic: topicOf('routed'), partition: 3, offset: null, message: expect.stringContaining('0.005 EUR for TAAKDEFFXXX too much') });
    await plant('routed', 3, null, encodeRouted({ from: 0, commit: newest(0).commit, credits, transfers: [] }));
    planted.set('a credit of a commit that never was', { kind: 'credit', ...(await plant('routed', 3, null, encodeRouted({ from: 1, commit: 900_000, credits, transfers: [] }))), message: expect.stringContaining('commit 900000') });
    const passed = await bench.sendValue(Buffer.from('no outcome'), { partition: 3 });
    const three = newest(3);
    const hash = createHash('sha256').update(three.chain).digest('hex');
    await plant('checkpoints', 3, '3', encodeCheckpoint({ ...three, commit: three.commit + 1, first: null, inbound: passed.offset + 1, chain: hash }));
    planted.set('an event without an outcome', { kind: 'lost', topic: topicOf('inbound'), partition: 3, offset: passed.offset });

    ({ code, answer } = await verify(bench, '--no-clickhouse'));
    text = (await runCommand(['verify', '--no-clickhouse'], bench.environment)).stdout;
  });
  afterAll(() => bench?.close());

  it('makes the exit code 1 and is told with its place', () => {
    expect([code, answer.ok]).toEqual([1, false]);
    const { offset } = planted.get('a doubled result')!;
    expect(text).toContain(`WRONG (unaccounted) ${topicOf('results')}-0 offset ${offset}: `);
  });

  it.each([
    'a doubled result',
    'a result in a wrong partition',
    'a result under a wrong key',
    'a value that is no result',
    'a gap in the sequence',
    'a position that the results do not make',
    'an identity that is claimed twice',
    'credits that were never sent',
    'a checkpoint that hashes something else',
    'committed offsets that are not the checkpoint\'s',
    'a wrong position in the changelog',
    'money from nowhere',
    'a position of a commit that never was',
    'a credit that nobody owes',
    'a credit of a commit that never was',
    'an event without an outcome',
  ])('is found: %s', (name) => {
    expect(answer.findings).toContainEqual(expect.objectContaining(planted.get(name)!));
  });

  it('is all that is found', () => {
    const kinds = new Set(Array.from(planted.values(), ({ kind, partition }) => `${kind} ${partition ?? ''}`));
    for (const { kind, partition } of answer.findings) {
      expect(kinds.has(`${kind} ${partition}`) || kinds.has(`${kind} `) || kind === 'offsets' || kind === 'order', `${kind} ${partition}`).toBe(true);
    }
  });
});
