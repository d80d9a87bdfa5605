/** Exit codes, settings, HTTP and metrics: what a person or a supervisor relies on (contract sections 6 to 9). */
import { createServer } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bench } from './harness/bench.ts';
import { message, participant, transaction } from './harness/directory.ts';
import { UpstreamProducer } from './harness/kafka.ts';
import type { Service } from './harness/processes.ts';
import { runCommand } from './harness/processes.ts';
import { compare } from './harness/truth.ts';

const participants = [participant('COBADEFFXXX', { EUR: '1000.00' }), participant('DEUTDEFFXXX', { EUR: '1000.00' })];
let bench: Bench;
let worker: Service;

beforeAll(async () => {
  bench = await Bench.create('process', { participants });
  worker = await (await bench.startWorker()).ready();
});
afterAll(() => bench?.close());

const sum = (values: ReadonlyMap<string, number>): number => [...values.values()].reduce((a, b) => a + b, 0);

describe('a wrong setting ends every command with exit code 2 and one line that names it', () => {
  test.each<[string, string]>([
    ['KAFKA_BROKERS', 'a broker:of no port'],
    ['SCHEMA_REGISTRY_URL', 'registry'],
    ['REDIS_URL', 'http://127.0.0.1:6379'],
    ['CLICKHOUSE_URL', 'mysql://127.0.0.1'],
    ['TOPIC_PREFIX', 'pay ments/'],
    ['COMMIT_INTERVAL_MS', '0'],
    ['COMMIT_INTERVAL_MS', 'soon'],
    ['DEDUPE_WINDOW_SECONDS', '-1'],
    ['MAX_EVENT_BYTES', '1e6'],
    ['METRICS_PORT', '65536'],
    ['GATEWAY_PORT', 'http'],
    ['PARSER_THREADS', '1.5'],
  ])('%s=%s', async (name, value) => {
    for (const command of name.length % 2 === 0 ? [['worker']] : [['topics', 'apply']]) {
      const ended = await runCommand(command, { ...bench.environment, [name]: value }, '', 20_000);
      expect(ended.code).toBe(2);
      expect(ended.stderr.trim().split('\n')).toHaveLength(1);
      expect(ended.stderr).toContain(name);
    }
  });

  test('an empty one counts as unset', async () => {
    const ended = await runCommand(['topics', 'apply'], { ...bench.environment, COMMIT_INTERVAL_MS: '', GATEWAY_PORT: '', PARSER_THREADS: '' });
    expect(ended.code).toBe(0);
  });

  test('a metrics port that is taken', async () => {
    const holder = createServer().listen(0);
    await once(holder, 'listening');
    const port = String((holder.address() as { port: number }).port);
    const ended = await runCommand(['worker'], { ...bench.environment, METRICS_PORT: port }, '', 20_000);
    holder.close();
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain('METRICS_PORT');
  });
});

describe('wrong usage is exit code 2, help exit code 0', () => {
  test.each<[number, string[]]>([
    [2, ['no-such-command']],
    [2, ['worker', '--no-such-option']],
    [2, ['topics', 'apply', '--partitions', 'many']],
    [2, ['participants', 'apply']],
    [0, ['--help']],
    [0, ['worker', '--help']],
    [0, ['topics', 'apply', '--help']],
    [0, ['participants', 'apply', '--help']],
    [1, ['participants', 'apply', '/no/such/file.json']],
  ])('%i: %s', async (code, args) => {
    const ended = await runCommand(args, bench.environment, '', 20_000);
    expect(ended.code).toBe(code);
    expect((code === 0 ? ended.stdout : ended.stderr).length).toBeGreaterThan(0);
  });

  test('topics apply can be repeated, and refuses to repartition', async () => {
    expect((await runCommand(['topics', 'apply'], bench.environment)).code).toBe(0);
    expect((await runCommand(['topics', 'apply', '--partitions', '9'], bench.environment)).code).toBe(1);
  });
});

describe('participants apply refuses a file with a fault, and says where', () => {
  test.each<[string, unknown, RegExp]>([
    ['an identifier that is neither', [participant('COBA')], /COBA/],
    ['an entry that is no object', ['COBADEFFXXX'], /\[0\]/],
    ['a participant twice', [participant('COBADEFFXXX'), participant('COBADEFFXXX')], /COBADEFFXXX/],
    ['an alias of two', [participant('COBADEFFXXX', { EUR: '1' }, ['DEBLZ:1']), participant('DEUTDEFFXXX', { EUR: '1' }, ['DEBLZ:1'])], /DEBLZ:1/],
    ['an alias that is another participant', [participant('COBADEFFXXX', { EUR: '1' }, ['USABA:1']), participant('USABA:1')], /USABA:1/],
    ['a cap of too many decimals', [participant('COBADEFFXXX', { EUR: '1.001' })], /debitCap/],
    ['a negative cap', [participant('COBADEFFXXX', { EUR: '-1.00' })], /debitCap/],
    ['a cap that is a number', [{ id: 'COBADEFFXXX', name: 'x', currencies: { EUR: { debitCap: 1 } } }], /debitCap/],
    ['a currency that is none', [participant('COBADEFFXXX', { XAU: '1' })], /XAU/],
  ])('%s', async (_name, content, says) => {
    await expect(bench.applyParticipants(content as never)).rejects.toThrow(says);
    expect((await bench.settle(message(transaction({ amount: '0.01' }))))[0]!.status).toBe('ACSC');
  });
});

describe('HTTP', () => {
  test('says alive, ready, and nothing else', async () => {
    expect((await worker.get('/healthz')).status).toBe(200);
    expect((await worker.get('/readyz')).status).toBe(200);
    expect((await worker.get('/no-such-path')).status).toBe(404);
  });

  test('a worker is not ready before it has its partitions and every dependency', async () => {
    const lonely = await bench.startWorker({ KAFKA_BROKERS: '127.0.0.1:1', CONSUMER_GROUP: `${bench.group}-lonely` });
    const { status, body } = await lonely.get('/readyz');
    expect(status).toBe(503);
    expect(body).toMatch(/kafka/i);
    expect((await lonely.get('/healthz')).status).toBe(200);
    expect((await lonely.terminate()).code).toBe(0);
  });

  test('two workers on one machine name themselves', async () => {
    const [one, two] = await Promise.all([1, 2].map(() => bench.startWorker({ WORKER_ID: '' })));
    await Promise.all([one!.ready(), two!.ready()]);
    expect((await one!.terminate()).code).toBe(0);
    expect((await two!.terminate()).code).toBe(0);
    await worker.ready();
  });
});

describe('metrics', () => {
  test('has the names that the contract gives, and the usual ones of the process', async () => {
    await bench.settle(message(transaction({ amount: '0.01' })));
    const { body } = await worker.get('/metrics');
    for (const name of [
      'settlefleet_end_to_end_seconds_bucket', 'settlefleet_stage_seconds_count{', 'settlefleet_results_total{', 'settlefleet_events_consumed_total{',
      'settlefleet_consumer_lag{', 'settlefleet_commit_seconds_count', 'settlefleet_transactions_aborted_total', 'settlefleet_dedupe_total{',
      'settlefleet_dependency_up{', 'process_cpu_seconds_total', 'process_resident_memory_bytes',
    ]) expect(body).toContain(`\n${name}`);
    expect(body).toContain('# TYPE settlefleet_dead_letters_total counter');
  });

  test('counts what was told', async () => {
    const of = async (name: string, ...labels: string[]): Promise<number> => {
      const values = await worker.metric(name);
      return sum(new Map([...values].filter(([text]) => labels.every((label) => text.includes(label)))));
    };
    const settledBefore = await of('settlefleet_results_total', 'status="ACSC"');
    const refusedBefore = await of('settlefleet_results_total', 'reason_code="AM11"');
    const deadBefore = await of('settlefleet_dead_letters_total', 'code="NOT_FRAMED"');
    await bench.settle(message(transaction({ amount: '0.01' }), transaction({ amount: '0.01' }), transaction({ currency: 'XAU' })));
    const sent = await bench.sendValue(Buffer.from('x'), { key: 'COBADEFFXXX' });
    await bench.deadLetter(sent);
    bench.sent.pop();
    bench.deadLetters.pop();
    await bench.waitFor('the counters', async () =>
      (await of('settlefleet_results_total', 'status="ACSC"')) === settledBefore + 2
      && (await of('settlefleet_results_total', 'reason_code="AM11"')) === refusedBefore + 1
      && (await of('settlefleet_dead_letters_total', 'code="NOT_FRAMED"')) === deadBefore + 1);
    for (const [, up] of await worker.metric('settlefleet_dependency_up')) expect(up).toBe(1);
  });

  test('the lag reaches 0, by Kafka\'s own committed offsets too, also behind upstream\'s transactions, committed and aborted', async () => {
    const plain = bench.upstream;
    const transactional = await UpstreamProducer.connect(bench.brokers, { 'transactional.id': `${bench.group}-upstream` });
    bench.upstream = transactional;
    try {
      const settled = [];
      for (let round = 0; round < 3; round++) {
        await transactional.begin();
        const sent = [];
        for (let partition = 0; partition < bench.partitions; partition++) {
          sent.push(bench.send(message(transaction({ amount: '0.01' })), { partition }));
        }
        await Promise.all(sent);
        if (round === 1) {
          await transactional.abort();
          bench.sent.splice(-bench.partitions);
        } else {
          await transactional.commit();
          settled.push(...(await Promise.all(sent)));
        }
      }
      for (const event of settled) expect((await bench.only(event)).status).toBe('ACSC');
    } finally {
      bench.upstream = plain;
      await transactional.close();
    }
    await bench.waitFor('no lag in Kafka', async () => (await bench.offsets.lag(bench.topic('inbound'))) === 0);
    await bench.waitFor('no lag in the metrics', async () => {
      const lag = await worker.metric('settlefleet_consumer_lag');
      return lag.size >= bench.partitions && [...lag.values()].every((value) => value === 0);
    });
  });
});

test('everything that was told is what the contract says', async () => {
  await bench.atRest();
  expect(compare({ ...bench, participants, positions: bench.positions() })).toEqual([]);
});
