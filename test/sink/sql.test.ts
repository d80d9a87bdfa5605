/**
 * `settlefleet sql` on the embedded engine: through the sink while one runs, directly where none does; it reads, and does
 * nothing else.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../until.ts';
import { sql as ask, startSink } from './process.ts';
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
