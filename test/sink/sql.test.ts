/**
 * `settlefleet sql` on the embedded engine: through the sink while one runs, directly where none does; it reads, and does
 * nothing else.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createChdbConnection } from 'chdb/connection';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTerminal } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';
import { until } from '../until.ts';
import { environmentOf, sql as ask, startSink } from './process.ts';
import type { Answer, SinkProcess } from './process.ts';
import { createWorld } from './support.ts';
import type { SinkWorld } from './support.ts';

let world: SinkWorld;
let folder: string;
let sink: SinkProcess;

const sql = (args: readonly string[], input?: string): Promise<Answer> => ask(world, `chdb:${folder}/data`, args, input);

beforeAll(async () => {
  world = await createWorld({ partitions: 2 });
  folder = await mkdtemp(join(tmpdir(), 'settlefleet-sql-'));
  await world.writeResults(0, 100);
  sink = await startSink(world, `chdb:${folder}/data`);
  await until('the rows are there', async () => (await sql(['SELECT count() FROM results'])).stdout === '100\n', 30_000);
});

afterAll(async () => {
  await sink.end('SIGKILL');
  await world.close();
  await rm(folder, { recursive: true, force: true });
});

const timeout = 60_000;

describe('settlefleet sql, while the sink runs', () => {
  it.each([
    ['tab-separated where standard output is no terminal', ['SELECT 1 AS a, 2 AS b'], undefined, '1\t2\n'],
    ['in a format of ClickHouse', ['SELECT 1 AS a', '--format', 'JSONEachRow'], undefined, '{"a":1}\n'],
    ['in the format that the query names', ['SELECT 1 AS a FORMAT CSVWithNames'], undefined, '"a"\n1\n'],
    ['a query on standard input', [], 'SELECT 40 + 2;\n', '42\n'],
    ['a query with semicolons in a literal and a comment', ["SELECT 'a;b' -- c;d"], undefined, 'a;b\n'],
    ['views', ['SELECT sum(transactions) > 0 FROM volume_by_minute'], undefined, '1\n'],
  ])('answers %s', { timeout }, async (_what, args, input, stdout) => {
    expect(await sql(args, input)).toEqual({ exitCode: 0, stdout, stderr: '' });
  });

  it.each([
    ['INSERT INTO results (event_id) VALUES (1)'],
    ['DROP TABLE results'],
    ['ALTER TABLE results DELETE WHERE 1'],
    ['SYSTEM SHUTDOWN'],
    ['KILL QUERY WHERE 1'],
    ['TRUNCATE TABLE results'],
    ['SET readonly = 0'],
    ['USE system'],
    ['SELECT 1; DROP TABLE results'],
    ['SELECT 1 SETTINGS readonly = 0'],
    ['SELECT 1 SETTINGS max_execution_time = 0'],
    ["SELECT * FROM file('/etc/passwd', 'LineAsString')"],
    ["SELECT * FROM url('http://127.0.0.1:1/', 'CSV')"],
    ["SELECT 1 INTO OUTFILE 'out.txt'"],
    ["SELECT 1 INTO/* */OUTFILE 'out.txt'"],
    ["SELECT * FROM executable('id', 'CSV', 'a String')"],
    ['WITH 1 AS a INSERT INTO results (event_id) SELECT a'],
  ])('refuses %s', { timeout }, async (query) => {
    const answer = await sql([query]);
    expect(answer.exitCode).toBe(1);
    expect(answer.stdout).toBe('');
    expect(answer.stderr).toMatch(/^[^\n]*(read-only|readonly|READONLY|one query)[^\n]*\n$/i);
    expect((await sql(['SELECT count() FROM results'])).stdout).toBe('100\n');
    expect(existsSync('out.txt')).toBe(false);
  });

  it('says what ClickHouse says in one line, with exit code 1', { timeout }, async () => {
    const answer = await sql(['SELECT nothing FROM results']);
    expect(answer.exitCode).toBe(1);
    expect(answer.stderr).toMatch(/^[^\n]*nothing[^\n]*UNKNOWN_IDENTIFIER[^\n]*\n$/);
  });

  it('answers no one without the token of its file', { timeout }, async () => {
    const { port } = JSON.parse(await readFile(join(folder, 'data/endpoint.json'), 'utf8')) as { port: number };
    const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'SELECT 1' });
    expect(response.status).toBe(403);
  });

  it('keeps metrics alive during a long query', { timeout }, async () => {
    const long = sql(['SELECT count() FROM numbers_mt(2000000000) WHERE number % 7 = 3']);
    let answered = 0;
    let done = false;
    void long.then(() => (done = true));
    await until('metrics were answered ten times meanwhile', async () => {
      const began = performance.now();
      await sink.metrics();
      expect(performance.now() - began).toBeLessThan(2000);
      return !done && ++answered >= 10;
    }, 30_000);
    expect((await long).exitCode).toBe(0);
  });
});

describe('settlefleet sql on a terminal, without a query', () => {
  const shell = (): Terminal =>
    openTerminal([process.execPath, 'src/main.ts', 'sql'], { ...environmentOf(world, `chdb:${folder}/data`, 'shell'), XDG_STATE_HOME: join(folder, 'state') });
  /** What ends the shell's answer: its next prompt. */
  const prompted = (answer: string): RegExp => new RegExp(`${answer}[^]*payments> $`);

  it('is a shell: statements over lines, an error in a line or two, Ctrl-C for the query, a history for the next time', { timeout }, async () => {
    const first = shell();
    await until('it asks', () => first.shown().includes('payments> '), 20_000);
    await first.answer("SELECT count() * 2,\n'a;b' -- not the end;\nFROM results;\n", prompted('│ +200 │ a;b'));
    const error = await first.answer('SELECT nothing FROM results;\n', prompted('UNKNOWN_IDENTIFIER'));
    expect(error.split('\n').length).toBeLessThanOrEqual(4);
    await first.answer('DROP TABLE results;\n', prompted('read-only'));
    await first.answer('SELECT 1 FORMAT Parquet;\n', prompted('--format Parquet'));
    await first.answer('tables\n', prompted('positions_now +The position'));
    await first.answer('describe dead_letters\n', prompted('value_size +UInt64 +Bytes'));
    await first.answer('\\format CSVWithNames\n', prompted('CSVWithNames'));
    await first.answer('SELECT 7 AS seven;\n', prompted('"seven"\n7\n'));
    await first.answer('SELECT value_sha\t', /value_sha256/);
    await first.answer('\u0003', prompted(''));

    await first.answer('SELECT count() FROM numbers(1000000000000) WHERE cityHash64(number) % 7 = 1;\n', /= 1;\n/);
    const long = async (): Promise<string> => (await sql(["SELECT count() FROM system.processes WHERE query LIKE '%cityHash64%' AND query NOT LIKE '%system.processes%'"])).stdout;
    await until('it runs', async () => (await long()) === '1\n', 20_000);
    await first.answer('\u0003', prompted('Cancelled'));
    await until('it does not run on', async () => (await long()) === '0\n', 20_000);
    first.type('\u0004');
    expect(await first.end()).toBe(0);

    const second = shell();
    await until('it asks', () => second.shown().includes('payments> '), 20_000);
    await second.answer('\u001b[A', /cityHash64/);
    await second.answer('\u001b[A', /SELECT 7 AS seven;/);
    await second.answer('\n', prompted('│ +7 │'));
    second.type('exit\n');
    expect(await second.end()).toBe(0);
  });

  it('shows control characters of strangers as question marks', { timeout }, async () => {
    const answer = openTerminal([process.execPath, 'src/main.ts', 'sql', "SELECT '\\x1b[31mred' FORMAT TSVRaw"], environmentOf(world, `chdb:${folder}/data`, 'shell'));
    expect(await answer.end()).toBe(0);
    expect(answer.shown()).toBe('?[31mred\n');
  });

  it('gives bytes of a binary format whole to a file or a pipe', { timeout }, async () => {
    const { stdout: bytes } = await promisify(execFile)(process.execPath, ['src/main.ts', 'sql', '--format', 'Parquet', 'SELECT * FROM results'], {
      env: environmentOf(world, `chdb:${folder}/data`, 'file'),
      encoding: 'buffer',
    });
    await writeFile(join(folder, 'rows.parquet'), bytes);
    const session = createChdbConnection({ path: join(folder, 'other') });
    const read = await session.chdb.queryAsync(`SELECT count(), uniqExact(event_id) FROM file('${join(folder, 'rows.parquet')}', 'Parquet')`, { format: 'TabSeparated' });
    await session.close();
    expect(read.text()).toBe('100\t100\n');
  });
});

describe('settlefleet sql, without a sink', () => {
  it('opens the folder itself, past the file that a killed sink has left, and still only reads', { timeout }, async () => {
    await sink.end('SIGKILL');
    expect(existsSync(join(folder, 'data/endpoint.json'))).toBe(true);
    expect(await sql(['SELECT count() FROM results'])).toEqual({ exitCode: 0, stdout: '100\n', stderr: '' });
    expect((await sql(['SELECT * FROM file(\'/etc/passwd\', \'LineAsString\')'])).exitCode).toBe(1);
    await writeFile(join(folder, 'data/endpoint.json'), 'not JSON');
    expect((await sql(['SELECT 1'])).stdout).toBe('1\n');
  });

  it('says so where there are no data yet, and makes none', { timeout }, async () => {
    const answer = await ask(world, `chdb:${folder}/nowhere`, ['SELECT 1']);
    expect(answer.exitCode).toBe(1);
    expect(answer.stderr).toMatch(/^There is no ClickHouse data in [^\n]*\n$/);
    expect(existsSync(join(folder, 'nowhere'))).toBe(false);
  });
});
