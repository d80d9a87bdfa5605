/** What the benchmarks judge by: a wrong judge makes every figure wrong. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { drainSummary } from '../../bench/drain.ts';
import { boundsDefault, judgeRate } from '../../bench/load/judge.ts';
import { Latencies } from '../../bench/load/latencies.ts';
import { searchRate } from '../../bench/load/rate-search.ts';
import { Schedule } from '../../bench/load/schedule.ts';
import { latencySummary } from '../../bench/latency.ts';
import { benchFolder, readRecord, Recording, recordFormat } from '../../bench/record.ts';
import { readSettings, UsageError } from '../../bench/settings.ts';
import { fitLine, median, spread } from '../../bench/statistics.ts';

describe('the schedule of an open load', () => {
  test.each([1, 3, 500, 999, 7_777, 20_000])('at %d events/s each event is due at its intended time and not a moment before', (rate) => {
    const schedule = new Schedule(1_000_000_007, rate, 50_000);
    for (let n = 0; n < 50_000; n += 7) {
      expect(schedule.due(schedule.intended(n) + 0.001)).toBe(n + 1);
      expect(schedule.due(schedule.intended(n) - 2)).toBe(n);
    }
  });

  test('intended times do not depend on when anything was sent, and do not drift', () => {
    const schedule = new Schedule(0, 3, 1_000_000);
    expect(schedule.intended(999_999)).toBe(999_999 * 1e6 / 3);
    expect(schedule.end).toBeCloseTo(1e12 / 3, 0);
  });

  test('nothing is due before the start, and never more than there is', () => {
    const schedule = new Schedule(5_000_000, 100, 10);
    expect(schedule.due(4_999_999)).toBe(0);
    expect(schedule.due(1e12)).toBe(10);
  });

  test('a system that stands still for a second shows it in the latency of every event that was due meanwhile', () => {
    // 1,000 events/s; answers take 1 ms, but from second 1 to 2 nothing is answered.
    const schedule = new Schedule(0, 1_000, 4_000);
    const latencies = new Latencies();
    for (let n = 0; n < 4_000; n++) {
      const intended = schedule.intended(n);
      const answered = intended >= 1e6 && intended < 2e6 ? 2e6 + 1_000 : intended + 1_000;
      latencies.record(answered - intended);
    }
    // A quarter of all events waited half a second on average: p90 is 0.6 s, not the 1 ms of a generator that waited too.
    expect(latencies.quantile(0.5)).toBeCloseTo(1, 1);
    expect(latencies.quantile(0.9)).toBeGreaterThan(590);
    expect(latencies.quantile(0.9)).toBeLessThan(610);
  });
});

describe('latencies', () => {
  test('quantiles are exact to three digits', () => {
    const latencies = new Latencies();
    for (let i = 1; i <= 100_000; i++) latencies.record(i * 10);
    expect(latencies.quantile(0.5) / 500).toBeCloseTo(1, 3);
    expect(latencies.quantile(0.99) / 990).toBeCloseTo(1, 2);
    expect(latencies.quantile(0.999) / 999).toBeCloseTo(1, 2);
    expect(latencies.mostMilliseconds / 1000).toBeCloseTo(1, 2);
  });

  test('rounds merged are what one histogram of all would be, and never a mean of quantiles', () => {
    const quick = new Latencies();
    const slow = new Latencies();
    const all = new Latencies();
    for (let i = 0; i < 9_000; i++) [quick, all].forEach((one) => one.record(1_000 + i));
    for (let i = 0; i < 1_000; i++) [slow, all].forEach((one) => one.record(500_000 + i * 100));
    const merged = Latencies.merge([quick.encode(), slow.encode()]);
    expect(merged.count).toBe(10_000);
    for (const share of [0.5, 0.9, 0.95, 0.99, 0.999]) expect(merged.quantile(share)).toBe(all.quantile(share));
    expect(merged.quantile(0.95)).toBeGreaterThan(500);
  });

  test('nothing recorded is no number, and what is out of range is not lost', () => {
    expect(new Latencies().quantile(0.99)).toBeNaN();
    const latencies = new Latencies();
    latencies.record(-5);
    latencies.record(1e12);
    expect(latencies.count).toBe(2);
    expect(latencies.mostMilliseconds).toBeGreaterThan(590_000);
  });
});

describe('whether a rate was sustained', () => {
  const good = { rate: 1_000, asked: 20_000, sent: 20_000, unanswered: 0, lagAtEnd: 100, p99Ms: 120, generatorLateP99Ms: 2 };
  test.each([
    ['all answered in time', {}, 'sustained'],
    ['as much on its way as is allowed', { lagAtEnd: 1_000 }, 'sustained'],
    ['more on its way than comes in a second', { lagAtEnd: 1_001 }, 'notSustained'],
    ['p99 above the bound', { p99Ms: 1_001 }, 'notSustained'],
    ['no latency at all', { p99Ms: NaN }, 'notSustained'],
    ['an event without an answer', { unanswered: 1 }, 'notSustained'],
    ['given up before its time', { sent: 12_000, lagAtEnd: 3_001 }, 'notSustained'],
    ['a generator that was late', { generatorLateP99Ms: 21 }, 'void'],
    ['a generator that was late and a p99 above the bound: nobody knows whose it is', { generatorLateP99Ms: 500, p99Ms: 2_000 }, 'void'],
  ] as const)('%s', (_, change, kind) => {
    expect(judgeRate({ ...good, ...change }, boundsDefault).kind).toBe(kind);
  });
});

describe('the search for the highest rate', () => {
  const search = (limit: number, from: number) => searchRate({ from, factor: 1.5, resolution: 0.05, triesMax: 30, tryRate: async (rate) => rate <= limit });

  test.each([[1_000, 300], [17_321, 5_000], [31_000, 31_000], [700, 20_000], [2, 1]])('finds a limit of %d from %d', async (limit, from) => {
    const { highest, failed } = await search(limit, from);
    expect(highest).toBeLessThanOrEqual(limit);
    expect(failed).toBeGreaterThan(limit);
    expect(failed! / highest!).toBeLessThanOrEqual(limit < 50 ? 2 : 1.05);
  });

  test('says so when nothing holds, and when nothing fails', async () => {
    expect((await search(0, 1_000)).highest).toBeNull();
    const endless = await searchRate({ from: 1_000, factor: 2, resolution: 0.1, triesMax: 4, tryRate: async () => true });
    expect(endless).toMatchObject({ highest: 8_000, failed: null });
  });

  test('ends after the tries it has', async () => {
    const { tries } = await searchRate({ from: 1_000, factor: 1.1, resolution: 0.001, triesMax: 5, tryRate: async (rate) => rate < 1e9 });
    expect(tries).toHaveLength(5);
  });
});

describe('what rounds say together', () => {
  test('median, least and most', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(median([])).toBeNaN();
    expect(spread([10, 30, 20])).toEqual({ median: 20, least: 10, most: 30, rounds: 3 });
  });

  test('a line is fitted by least squares, with the error of its slope', () => {
    const straight = fitLine([0, 1, 2, 3].map((x) => ({ x, y: 7 + 2 * x })));
    expect(straight.slope).toBeCloseTo(2);
    expect(straight.intercept).toBeCloseTo(7);
    expect(straight.slopeError).toBeCloseTo(0);
    // Anscombe's first quartet: slope 0.5, error 0.118, intercept 3.
    const xs = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5];
    const ys = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
    const known = fitLine(xs.map((x, i) => ({ x, y: ys[i]! })));
    expect(known.slope).toBeCloseTo(0.5, 3);
    expect(known.slopeError).toBeCloseTo(0.118, 3);
  });

  const round = (subject: string, figures: Record<string, number>, parameters = {}) => ({ round: 1, subject, parameters, figures, histograms: {}, series: {}, discarded: [] });

  test('the drain\'s table has ratios of medians to the first subject', () => {
    const rounds = [[30_000, 20], [10_000, 30], [20_000, 25]].map(([eventsPerSecond, cpu]) => round('fleet', { eventsPerSecond: eventsPerSecond!, subjectCpuMicrosecondsAnEvent: cpu!, kafkaCpuMicrosecondsAnEvent: 1, redisCpuMicrosecondsAnEvent: 1, memoryMegabytes: 100 }));
    const peer = round('streams', { eventsPerSecond: 10_000, subjectCpuMicrosecondsAnEvent: 50, kafkaCpuMicrosecondsAnEvent: 1, redisCpuMicrosecondsAnEvent: 0, memoryMegabytes: 500 });
    const [, , fleet, streams] = drainSummary(['fleet', 'streams'], [...rounds, peer]);
    expect(fleet).toMatch(/20,000 \(10,000-30,000\).*1\.00 +1\.00$/);
    expect(streams).toMatch(/10,000.*2\.00 +0\.50$/);
  });

  test('a rate that fell behind in one round has no quantiles in the table', () => {
    const latencies = new Latencies();
    latencies.record(5_000);
    const held = { ...round('fleet', { rate: 500, p99Ms: 5, subjectCpuMicrosecondsAnEvent: 30 }, { sustained: true }), histograms: { latency: latencies.encode() } };
    const behind = round('fleet', { rate: 500, subjectCpuMicrosecondsAnEvent: 30 }, { sustained: false });
    expect(latencySummary([held])[2]).toMatch(/500 +5\.0/);
    expect(latencySummary([held, behind])[2]).toMatch(/falls behind in 1 of 2/);
  });
});

describe('settings', () => {
  const forms = {
    events: { default: 100, what: '' },
    rates: { default: [1, 2], what: '' },
    subjects: { default: ['a'], oneOf: ['a', 'b'], what: '' },
    sink: { default: false, what: '' },
  } as const;

  test('are read by the form of their default', () => {
    expect(readSettings('x', forms, ['--events', '1_000', '--rates', '5,10', '--subjects', 'a,b', '--sink'])).toEqual({ events: 1_000, rates: [5, 10], subjects: ['a', 'b'], sink: true });
    expect(readSettings('x', forms, [])).toEqual({ events: 100, rates: [1, 2], subjects: ['a'], sink: false });
  });

  test.each([[['--events', '0']], [['--events', 'many']], [['--rates', '5,x']], [['--subjects', 'c']], [['--nothing', '1']], [['stray']]])('%j is refused', (args) => {
    expect(() => readSettings('x', forms, args)).toThrow(UsageError);
  });
});

describe('the file that a measurement leaves behind', () => {
  test('holds machine, versions, commit, settings and every round, also before the measurement has ended, and a turn that failed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bench-recording-'));
    try {
      const recording = new Recording('drain', ['--events', '5'], { events: 5 }, folder);
      const file = (): string => join(folder, readdirSync(folder)[0]!);
      recording.subject('fleet', 'the worker');
      recording.add({ round: 1, subject: 'fleet', figures: { eventsPerSecond: 7, p99Ms: null } });
      expect(readRecord(file()).rounds).toHaveLength(1);
      await recording.turn(1, 'streams', async () => {
        throw new Error('no Java here');
      });
      recording.finish(['a table']);
      expect(readRecord(file())).toMatchObject({
        name: 'drain', command: './dev bench drain --events 5', settings: { events: 5 }, subjects: { fleet: 'the worker' }, summary: ['a table'],
        versions: { node: process.version, librdkafka: expect.stringMatching(/^\d/), kafka: expect.stringMatching(/^\d/) }, git: { commit: expect.stringMatching(/^[0-9a-f]{40}$|^unknown$/) },
        rounds: [{ subject: 'fleet', figures: { eventsPerSecond: 7, p99Ms: null }, discarded: [] }, { subject: 'streams', discarded: ['it failed: no Java here'] }],
      });
      expect(recording.counted).toHaveLength(1);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('does not lie in the folder of the stack that it was measured on, which is removed with the stack', () => {
    const name = /run_on_stack (\S+) "\$NODE" "\$ROOT\/bench\/main\.ts"/.exec(readFileSync(new URL('../../dev', import.meta.url), 'utf8'))?.[1];
    expect(name).toBeDefined();
    expect(benchFolder.split('/')).not.toContain(name);
  });

  test('is refused when it is of another kind, or lacks something', () => {
    const folder = mkdtempSync(join(tmpdir(), 'bench-record-'));
    try {
      const write = (value: unknown): string => {
        writeFileSync(join(folder, 'record.json'), JSON.stringify(value));
        return join(folder, 'record.json');
      };
      const whole = { format: recordFormat, machine: {}, versions: {}, git: {}, settings: {}, subjects: {}, skipped: {}, rounds: [], summary: [] };
      expect(readRecord(write(whole))).toEqual(whole);
      expect(() => readRecord(write({ ...whole, format: 'another' }))).toThrow('is no settlefleet-bench/1');
      expect(() => readRecord(write({ ...whole, rounds: undefined }))).toThrow('has no rounds');
      expect(() => readRecord(write(null))).toThrow('is no settlefleet-bench/1');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
