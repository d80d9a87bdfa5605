/**
 * docs/analytics.md shows queries and their answers. Here each is asked, on the two days of cookbook-days.ts, and answers what
 * the page says. `DOCS=write` writes the answers into the page instead.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClickhouseConnection } from '../../src/adapters/clickhouse/connection.ts';
import { run } from '../../src/adapters/clickhouse/connection.ts';
import { openEmbeddedSession } from '../../src/adapters/clickhouse/embedded.ts';
import { migrate } from '../../src/adapters/clickhouse/migrations.ts';
import { addDirectoryEntries } from '../../src/adapters/clickhouse/participants-history.ts';
import { restrictToReading } from '../../src/adapters/clickhouse/read-session.ts';
import { ViewFeed } from '../../src/adapters/clickhouse/view-feed.ts';
import { formatAmount } from '../../src/domain/amount.ts';
import { makeDayReport } from '../../src/report/day-report.ts';
import { reportLines, totalsOf } from '../../src/report/render.ts';
import type { DayReport } from '../../src/report/render.ts';
import { cookbookDays } from './cookbook-days.ts';
import { insertResults, noDifferences, parseRows, quiet, viewDifferencesQuery } from './support.ts';

const page = join(import.meta.dirname, '../../docs/analytics.md');
const block = /(?:^    .+\n)+/gm;
let folder: string;
let clickhouse: ClickhouseConnection;
/** As `settlefleet sql` asks. */
let reading: ClickhouseConnection;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'settlefleet-cookbook-'));
  clickhouse = await openEmbeddedSession(folder);
  await migrate(clickhouse, 'payments', quiet);
  const { results, directory } = cookbookDays();
  const views = new ViewFeed(clickhouse, 'payments');
  await views.learn(results.map((_, partition) => partition));
  for (const [partition, ofPartition] of results.entries()) {
    await insertResults(clickhouse, partition, 0, ofPartition);
    await views.feed({ partition, storedOffset: ofPartition.length - 1, refuseWhen: '0', queryIdPrefix: 'test' });
  }
  await addDirectoryEntries(clickhouse, 'payments', directory);
  await run(clickhouse, 'INSERT INTO payments.dead_letters VALUES ' +
      "('XML_INVALID', 'not well-formed: the end tag of Cdtr at line 31 does not match', 'payments.inbound', 0, 17, '2026-11-22 09:15:00.120', 'worker-1', 'COBADEFFXXX', 1804, repeat('ab', 32), 0, 0), " +
      "('XML_INVALID', 'not well-formed: the end tag of Cdtr at line 31 does not match', 'payments.inbound', 0, 18, '2026-11-22 09:15:02.004', 'worker-1', 'COBADEFFXXX', 1811, repeat('cd', 32), 0, 1), " +
      "('NOT_FRAMED', 'the value does not begin with byte 0', 'payments.inbound', 3, 5, '2026-11-22 14:02:11.770', 'worker-2', NULL, 42, repeat('ef', 32), 3, 0)",
  );
  await run(clickhouse, 'USE payments');
  reading = await openEmbeddedSession(folder);
  await restrictToReading(reading, 'payments');
});

afterAll(async () => {
  await reading.close();
  await clickhouse.close();
  await rm(folder, { recursive: true, force: true });
});

interface Recipe {
  readonly query: string;
  readonly answer: string | null;
}

/** Each query of the page, with the block behind it where that is an answer. */
function recipesOf(text: string): Recipe[] {
  const blocks = [...text.matchAll(block)].map(([lines]) => lines.replace(/^    /gm, ''));
  return blocks.flatMap((query, i) => {
    if (!/^(SELECT|WITH) /.test(query)) return [];
    const next = blocks[i + 1] ?? '';
    return [{ query, answer: /^ *(┌|Row 1:)/.test(next) ? next : null }];
  });
}

/** As on a terminal. */
async function answerTo(query: string): Promise<string> {
  return `${(await run(reading, query, 'PrettyCompact')).trimEnd()}\n`;
}

describe('docs/analytics.md', () => {
  it('shows for every query what it answers', async () => {
    let text = await readFile(page, 'utf8');
    const recipes = recipesOf(text);
    expect(recipes.length).toBeGreaterThanOrEqual(15);
    if (process.env['DOCS'] === 'write') {
      for (const { query, answer } of recipes) {
        const indented = (lines: string): string => lines.replace(/^(?=.)/gm, '    ');
        const before = indented(query) + (answer === null ? '' : `\n${indented(answer)}`);
        expect(text.split(before)).toHaveLength(2);
        const answered = await answerTo(query);
        text = text.replace(before, () => `${indented(query)}\n${indented(answered)}`);
      }
      await writeFile(page, text);
    }
    for (const { query, answer } of recipesOf(text)) expect(answer, query).toBe(await answerTo(query));
  });

  it('asks each view for analysts', async () => {
    const text = await readFile(page, 'utf8');
    const views = (await run(clickhouse, "SELECT name FROM system.tables WHERE database = 'payments' AND engine = 'View'")).trim().split('\n');
    expect(views.length).toBeGreaterThanOrEqual(13);
    const asked = recipesOf(text).map(({ query }) => query).join('\n');
    expect(views.filter((view) => !new RegExp(`(FROM|JOIN) ${view}\\b`).test(asked))).toEqual([]);
  });
});

describe('settlefleet report day', () => {
  const { results } = cookbookDays();
  const standings = results.map((ofPartition, partition) => ({ partition, sequence: ofPartition.filter(({ status }) => status === 'ACSC').length, undecided: 0 }));
  const morning = Date.UTC(2026, 10, 23, 6);
  const timing = { now: () => morning, monotonic: () => 0, sleep: async () => {} };
  const report = (day: string, options: { participant?: string | undefined; currency?: string | undefined; entries?: boolean } = {}) =>
    makeDayReport({
      day, filter: { participant: options.participant ?? null, currency: options.currency ?? null }, withEntries: options.entries === true, entriesMax: 10_000,
      ask: (query) => run(reading, query, 'JSONEachRow'), standings: async () => standings, waitMs: 0, timing, onWait: () => {},
    });

  it('shows in the page what it says', async () => {
    let text = await readFile(page, 'utf8');
    const examples = [...text.matchAll(/(?<=^    settlefleet report day (2026-\d\d-\d\d)( .*)?\n\n)(?:(?:    .*)?\n)+?(?=\n\S)/gm)];
    expect(examples.length).toBe(2);
    for (const [shown, day, words = ''] of examples) {
      const option = (name: string): string | undefined => new RegExp(`--${name} (\\S+)`).exec(words)?.[1];
      const made = await report(day!, { participant: option('participant'), currency: option('currency'), entries: words.includes('--entries') });
      let lines = reportLines(made);
      // Of a long statement the page shows the beginning and the end.
      if (lines.length > 24) lines = [...lines.slice(0, 13), '  ...', ...lines.slice(-5)];
      const block = `${lines.join('\n').trimEnd()}\n`.replace(/^(?=.)/gm, '    ');
      if (process.env['DOCS'] === 'write') text = text.replace(shown, () => block);
      else expect(shown).toBe(block);
    }
    if (process.env['DOCS'] === 'write') await writeFile(page, text);
  });

  it('opens each day with what the day before closed with, and closes with what the ledger holds', async () => {
    const { ledger } = cookbookDays();
    const [first, second, third] = [await report('2026-11-21'), await report('2026-11-22', { entries: true }), await report('2026-11-23')];
    expect([first.state, second.state, third.state, second.reasons]).toEqual(['final', 'final', 'interim', []]);
    const of = (made: DayReport, side: 'opening' | 'closing') => new Map(made.statements.map((one) => [`${one.participant}|${one.currency}`, one[side]]));
    expect([...of(first, 'opening').values()].every((units) => units === 0n)).toBe(true);
    for (const [name, closing] of of(first, 'closing')) expect(of(second, 'opening').get(name)).toBe(closing);
    expect(of(third, 'opening')).toEqual(of(second, 'closing'));
    for (const { participant, currency, closing } of second.statements) expect(closing, `${participant} ${currency}`).toBe(ledger.position(participant, currency));
    for (const total of totalsOf(second.statements)) expect([total.opening, total.closing, total.debits - total.credits]).toEqual([0n, 0n, 0n]);
    // Every settled transaction of the day stands in it twice, with what the ledger said then.
    const settled = results.flat().filter(({ status, settledAt }) => status === 'ACSC' && new Date(settledAt).toISOString().startsWith('2026-11-22'));
    expect(second.entries).toHaveLength(2 * settled.length);
    const debits = second.entries!.filter(({ side }) => side === 'debit').map(({ eventId, amount, positionAfter }) => [eventId, amount, positionAfter]);
    expect(debits.toSorted()).toEqual(settled.map(({ eventId, amount, positionAfter }) => [eventId, amount, positionAfter]).toSorted());
  });

  it('gives one participant and one currency, and nothing before the first movement', async () => {
    const all = await report('2026-11-22', { entries: true });
    const one = await report('2026-11-22', { participant: 'COBADEFFXXX', currency: 'EUR', entries: true });
    expect(one.statements).toEqual(all.statements.filter(({ participant, currency }) => participant === 'COBADEFFXXX' && currency === 'EUR'));
    expect(one.entries).toEqual(all.entries!.filter(({ participant, currency }) => participant === 'COBADEFFXXX' && currency === 'EUR'));
    expect([one.state, one.statements.length]).toEqual(['final', 1]);
    expect((await report('2026-11-20')).statements).toEqual([]);
    expect((await report('2026-11-22', { participant: "x' OR 1=1 --" })).statements).toEqual([]);
  });

  it('is incomplete where one more debit was posted than is counted', async () => {
    standings[1]!.sequence++;
    try {
      expect(await report('2026-11-22')).toMatchObject({ state: 'incomplete', reasons: [expect.stringMatching(/^partition 1: /)] });
    } finally {
      standings[1]!.sequence--;
    }
  });
});

describe('the views', () => {
  it('hold what the ledger of these days holds, and each day opens with what the day before closed with', async () => {
    const { ledger } = cookbookDays();
    expect(parseRows(await run(clickhouse, viewDifferencesQuery, 'JSONEachRow'))[0]).toEqual(noDifferences);
    const positions = parseRows(await run(clickhouse, 'SELECT participant, currency, toDecimalString(position, 2) AS position FROM positions_now', 'JSONEachRow'));
    expect(positions.length).toBeGreaterThanOrEqual(9);
    for (const { participant, currency, position } of positions as { participant: string; currency: string; position: string }[]) {
      expect(position, `${participant} ${currency}`).toBe(formatAmount(ledger.position(participant, currency)));
    }
    const torn = 'SELECT count() FROM statement_by_day AS today JOIN statement_by_day AS before ' +
      'ON today.participant = before.participant AND today.currency = before.currency AND today.day = before.day + 1 ' +
      'WHERE today.opening != before.closing OR today.closing != today.opening - today.debits + today.credits';
    expect(await run(clickhouse, torn)).toBe('0\n');
    expect(await run(clickhouse, "SELECT sum(opening) FROM statement_by_day WHERE day = '2026-11-21'")).toBe('0\n');
    const closing = "SELECT count(), countIf(closing != position) FROM statement_by_day AS s JOIN positions_now AS p ON s.participant = p.participant AND s.currency = p.currency WHERE day = '2026-11-22'";
    expect(await run(clickhouse, closing)).toBe(`${positions.length}\t0\n`);
  });

  it.each([0.1, 0.5, 0.9, 0.95, 0.99, 0.999])('give the quantile %d of the latency within a hundredth of its value, merged over all minutes', async (level) => {
    const [merged] = (await run(clickhouse, `SELECT quantileDDMerge(0.01, ${level})(created_to_settled) FROM latency_minutes`)).split('\n').map(Number);
    const sorted = cookbookDays().results.flat().map(({ settledAt, createdAt }) => settledAt - createdAt).sort((a, b) => a - b);
    const place = (sorted.length - 1) * level;
    // Between two neighbours either may be given.
    expect(merged).toBeGreaterThanOrEqual(sorted[Math.floor(place)]! * 0.99);
    expect(merged).toBeLessThanOrEqual(sorted[Math.ceil(place)]! * 1.01);
  });
});
