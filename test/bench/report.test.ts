/** The report that is drawn from what measurements left behind. */
import { describe, expect, test } from 'vitest';
import { Latencies } from '../../bench/load/latencies.ts';
import { judgeMemory } from '../../bench/memory.ts';
import { partsSummary } from '../../bench/parts.ts';
import type { BenchRecord, BenchRound } from '../../bench/record.ts';
import { reportPage } from '../../bench/report-page/page.ts';
import { scaleSummary } from '../../bench/scale.ts';

const round = (subject: string, figures: Record<string, number>, more: Partial<BenchRound> = {}): BenchRound => ({
  round: 1, subject, parameters: {}, figures: { subjectCpuMicrosecondsAnEvent: 20, kafkaCpuMicrosecondsAnEvent: 9, redisCpuMicrosecondsAnEvent: 2, memoryMegabytes: 300, ...figures }, histograms: {}, series: {}, discarded: [], ...more,
});

const record = (name: string, rounds: readonly BenchRound[], more: Partial<BenchRecord> = {}): BenchRecord => ({
  format: 'settlefleet-bench/1', name, command: `./dev bench ${name}`, startedAt: '2026-11-27T06:00:00.000Z', endedAt: '2026-11-27T06:05:00.000Z',
  machine: { cpu: 'a <fast> CPU', cores: 2, memoryBytes: 2 ** 34, system: 'linux', loadBefore: [1], loadAfter: [2] },
  versions: { node: 'v24' }, git: { commit: 'abc', hasChanges: false }, settings: {}, subjects: { fleet: 'the worker & all' }, skipped: {}, rounds, summary: ['a table'], ...more,
});

describe('the report', () => {
  const latencies = new Latencies();
  for (let i = 0; i < 10_000; i++) latencies.record(1_000 + i * 5);
  const records = [
    record('drain', [round('fleet', { eventsPerSecond: 31_234 }), round('streams', { eventsPerSecond: 12_345 })], { skipped: { plain: 'no reason' } }),
    record('latency', [
      round('fleet', { rate: 1_000, p99Ms: 50 }, { parameters: { sustained: true }, histograms: { latency: latencies.encode() } }),
      round('fleet', { rate: 9_000 }, { parameters: { sustained: false }, series: { lag: [[0, 0], [1, 4_000]] } }),
    ]),
    record('memory', [round('fleet', {}, { series: { memory: Array.from({ length: 60 }, (_, i) => [i, 300 + (i % 3)] as const) } })]),
    record('parse', [1, 2, 3].map((number) => round('ours: XSD', { microsecondsAMessage: 4 + number / 10 }, { round: number, parameters: { message: 'pacs.008', bytes: 1_793 } }))),
    record('drain', [round('fleet', { eventsPerSecond: 777 }, { discarded: ['3 answers were wrong'] })]),
  ];
  const page = reportPage(records);

  test('shows every figure that counts, and says what does not and why', () => {
    expect(page).toContain('31,234');
    expect(page).toContain('12,345');
    expect(page).toContain('plain was skipped: no reason.');
    expect(page).toContain('1 of 1 rounds were discarded: 3 answers were wrong.');
    expect(page).not.toContain('777');
    expect(page).toContain('pacs.008, 1,793 bytes');
    expect(page).toContain('>4.2<');
    expect(page).toContain('All quantiles at 1,000/s');
    expect(page).not.toContain('All quantiles at 9,000/s');
  });

  test('is whole in itself: it loads nothing and runs nothing, and what it tells is text', () => {
    expect(page).not.toMatch(/<script|<link|<img|@import|url\(|href="(?!#)|src=/);
    expect(page).toContain('a &lt;fast&gt; CPU');
    expect(page).toContain('the worker &amp; all');
    expect(page).not.toMatch(/NaN|Infinity|undefined/);
  });

  test('can be drawn where nothing counts', () => {
    expect(reportPage([record('latency', []), record('parts', []), record('scale', []), record('sustained', []), record('parse', []), record('http', [])])).not.toMatch(/NaN|Infinity|undefined/);
  });
});

describe('whether memory is flat', () => {
  /** 30 minutes of looks; a heap that breathes by 15 MB every 20 seconds. */
  const looks = (growthPerHour: number, minutes = 30): [number, number][] => Array.from({ length: minutes * 60 }, (_, second) => [second, 300 + ((second * 7) % 20) * 0.75 + (second / 3_600) * growthPerHour]);

  test.each([[0, 'flat'], [4, 'flat'], [60, 'grows'], [600, 'grows'], [-30, 'flat']] as const)('%d MB an hour under its breath: %s', (growth, verdict) => {
    const judged = judgeMemory(looks(growth), 540);
    expect(judged.verdict).toBe(verdict);
    expect(Math.abs(judged.megabytesAnHour - growth)).toBeLessThan(2);
  });

  test('growth before the part that is fitted does not count', () => {
    const warming = looks(0).map(([second, megabytes]): [number, number] => [second, second < 500 ? 100 + second / 5 : megabytes]);
    expect(judgeMemory(warming, 540).verdict).toBe('flat');
  });

  test('three minutes say nothing', () => {
    expect(judgeMemory(looks(0, 3), 54).verdict).toBe('unclear');
  });
});

test('the table of parts has their sum beside the whole', () => {
  const lines = partsSummary([round('consume', { eventsPerSecond: 80_000, subjectCpuMicrosecondsAnEvent: 10 }), { ...round('parts', { subjectCpuMicrosecondsAnEvent: 27 }), figures: { subjectCpuMicrosecondsAnEvent: 27, kafkaCpuMicrosecondsAnEvent: 8, redisCpuMicrosecondsAnEvent: 3, eventsPerSecond: null } }, round('fleet', { eventsPerSecond: 25_000, subjectCpuMicrosecondsAnEvent: 31 })]);
  expect(lines.find((line) => line.startsWith('parts'))).toMatch(/27\.0/);
  expect(lines.find((line) => line.startsWith('fleet'))).toMatch(/31\.0/);
});

test('the table of sizes says how time grows', () => {
  const of = (size: number, seconds: number) => round('fleet', { seconds, eventsPerSecond: size / seconds }, { parameters: { dimension: 'events', size } });
  expect(scaleSummary([of(100_000, 5), of(200_000, 10), of(400_000, 20)])).toContain('twice the events take 2.00 times as long');
  expect(scaleSummary([of(100_000, 5), of(200_000, 20), of(400_000, 80)])).toContain('twice the events take 4.00 times as long');
});
