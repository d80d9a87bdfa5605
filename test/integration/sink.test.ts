/** ClickHouse holds exactly what the topics hold: each row once, whatever crashes and whatever stands in it (contract section 5). */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Bench } from './harness/bench.ts';
import { message, participant, transaction, without } from './harness/directory.ts';
import { buildMessage } from './harness/message.ts';
import type { Service } from './harness/processes.ts';
import { compareDeadLetterRows, compareResultRows } from '../soak/clickhouse.ts';

const participants = [participant('COBADEFFXXX', { EUR: '9999999999999.99', JPY: '100' }), participant('DEUTDEFFXXX', { EUR: '9999999999999.99', JPY: '100' })];
let bench: Bench;
let worker: Service;
let sink: Service;

beforeAll(async () => {
  bench = await Bench.create('sink', { participants, partitions: 2 });
  [worker, sink] = await Promise.all([bench.startWorker(), bench.startSink()]);
  await worker.ready();
  await sink.ready();
});
afterAll(() => bench?.close());

const count = async (): Promise<number> =>
  Number((await bench.command('sql', 'SELECT (SELECT count() FROM payments.results) + (SELECT count() FROM payments.dead_letters)')).stdout.trim());

async function rowsAreRecords(): Promise<void> {
  const wanted = bench.results.length + bench.deadLetters.length;
  await bench.waitFor(`${wanted} rows`, async () => (await count()) >= wanted, 40_000);
  expect(await compareResultRows(bench)).toEqual([]);
  expect(await compareDeadLetterRows(bench)).toEqual([]);
}

const evil = '\t"\\N\' \\t\u0085\u2028 ü€😀 \u0000x';

test('what stands in strings stands in rows: tabs, quotes, backslashes, line ends, no character at all', async () => {
  await bench.settle(message(transaction({ endToEndId: 'tab\tline\nquote"\\', transactionId: '\\N', instructionId: ' ' })), { source: evil, eventId: `${evil} as an identifier` });
  await bench.settle(message(without(transaction({ endToEndId: 'NULL', transactionId: 'null' }), 'uetr')), { source: '' });
  await bench.settle(message(transaction({ debtorAgent: { nameOnly: 'Nobody' } })), { source: 'x'.repeat(100_000) });
  await rowsAreRecords();
});

test('amounts are exact at both ends, positions beyond an amount\'s own range too', async () => {
  const back = { debtorAgent: { bic: 'DEUTDEFF' }, creditorAgent: { bic: 'COBADEFF' } };
  await bench.settle(message(transaction({ amount: '9999999999999.99', ...back }), transaction({ amount: '0.01' }), transaction({ currency: 'JPY', amount: '7' }), transaction({ amount: '99999999999999' })));
  await bench.atRest();
  await bench.settle(message(transaction({ amount: '9999999999999.98' })));
  await bench.atRest();
  await bench.settle(message(transaction({ amount: '9999999999999.99', ...back }), transaction({ amount: '9999999999999.99', ...back })));
  await bench.atRest();
  await bench.settle(message(transaction({ amount: '0.01' })));
  await rowsAreRecords();
});

test('dead letters with any bytes in their keys and headers', async () => {
  for (const [key, value] of [[null, null], ['', Buffer.alloc(0)], ['tab\tline\n\\N', Buffer.from([1, 2])], ['plain', Buffer.alloc(2_000_000, 7)]] as const) {
    await bench.deadLetter(await bench.sendValue(value, { key, partition: 1 }));
  }
  await bench.deadLetter(await bench.sendDocument(buildMessage(message(transaction())).replace('</PmtId>', `</Pmt${'d'.repeat(5_000)}>`), { key: 'COBADEFFXXX' }));
  await rowsAreRecords();
  const key = Buffer.from([0xff, 0x00, 0xfe, 0x09, 0x0a, 0x5c]);
  await bench.deadLetter(await bench.sendValue(Buffer.from('x'), { key, partition: 0 }));
  await bench.waitFor('its row', async () => (await bench.command('sql', `SELECT count() FROM payments.dead_letters WHERE hex(key) = '${key.toString('hex').toUpperCase()}'`)).stdout.trim() === '1');
  bench.deadLetters.pop();
  const { stdout } = await bench.command('sql', 'SELECT name FROM system.columns WHERE database = currentDatabase() OR database = \'payments\' FORMAT TabSeparated');
  expect(stdout).not.toMatch(/iban|name_of/i);
});

test('times of any year are held', async () => {
  for (const createdAt of [0, -1, Date.now()]) await bench.settle(message(transaction({ amount: '0.01' })), { createdAt });
  await bench.waitFor('the rows', async () => (await count()) >= bench.results.length + bench.deadLetters.length + 1);
  expect(await compareResultRows(bench)).toEqual([]);
  await bench.settle(message(transaction({ amount: '0.01' })), { createdAt: 2 ** 52 - 1 });
  await bench.settle(message(transaction({ amount: '0.01' })), { createdAt: 1 - 2 ** 52 });
  await bench.waitFor('the rows', async () => (await count()) >= bench.results.length + bench.deadLetters.length + 1);
});

test('a sink that is killed again and again in the rush doubles and loses no row', async () => {
  for (let round = 0; round < 3; round++) {
    const sent = await Promise.all(Array.from({ length: 400 }, () => bench.send(message(transaction({ amount: '0.01' })))));
    await bench.waitFor('some results', () => sent.filter(({ eventId }) => bench.resultsOf(eventId).length > 0).length > 100);
    await sink.kill();
    sink = await bench.startSink();
    for (const event of sent) await bench.only(event);
  }
  const wanted = bench.results.length + bench.deadLetters.length + 1;
  await bench.waitFor(`${wanted} rows`, async () => (await count()) >= wanted, 40_000);
  expect(await count()).toBe(wanted);
  const doubled = await bench.command('sql', 'SELECT count(), uniqExact(result_partition, result_offset) FROM payments.results');
  expect(new Set(doubled.stdout.trim().split('\t')).size).toBe(1);
});

test('sql answers from standard input, in any format, while the sink runs and after it', async () => {
  const csv = await bench.command('sql', 'SELECT status, count() AS n FROM payments.results WHERE reason_code IS NULL GROUP BY status', '--format', 'CSVWithNames');
  expect(csv.stdout).toMatch(/^"status","n"\n"ACSC",\d+\n$/);
  expect((await sink.terminate()).code).toBe(0);
  expect(await count()).toBeGreaterThan(1_000);
  await expect(bench.command('sql', 'DROP TABLE payments.results')).rejects.toThrow(/ended with 1/);
  await expect(bench.command('sql', 'SELECT nonsense FROM nowhere')).rejects.toThrow(/ended with 1/);
  sink = await (await bench.startSink()).ready();
  expect((await sink.get('/metrics')).body).toMatch(/settlefleet_sink_lag\{/);
});
