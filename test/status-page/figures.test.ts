/** What the status page computes in the browser, computed here: the same file, in Node. */
import { describe, expect, it } from 'vitest';
import {
  beginningOf, countsBetween, laneRows, outcomeGroups, quantileOf, rateOf, remember, words, writeDuration, writeRate, writeSeconds, writeShare,
} from '../../src/adapters/http/status-page/figures.js';
import { deadLetterCodes, formalReasonCodes, messageReasonCodes, settlementReasonCodes } from '../../src/domain/codes.ts';

interface Sample {
  readonly now: number;
  readonly startedAt: number;
  readonly name: string;
  readonly lanes: readonly { readonly partition: number; readonly state: string }[];
  readonly values: Readonly<Record<string, readonly { readonly labels: Readonly<Record<string, string | number>>; readonly value: number }[]>>;
  readonly histograms: Readonly<Record<string, readonly { readonly labels: object; readonly bounds: readonly number[]; readonly counts: readonly number[] }[]>>;
}

/** A sample at a second, with the results that were settled until then. */
function sample(second: number, settled: number, more: Partial<Sample> = {}): Sample {
  const values = { settlefleet_results_total: [{ labels: { status: 'ACSC', reason_code: '' }, value: settled }] };
  return { now: second * 1000, startedAt: 0, name: 'w', lanes: [], values, histograms: {}, ...more };
}

function historyOf(...samples: Sample[]): Sample[] {
  const history: Sample[] = [];
  for (const one of samples) remember(history, one);
  return history;
}

const settled = (status: Sample): number => status.values['settlefleet_results_total']![0]!.value;

describe('what the page remembers', () => {
  it('is five minutes', () => {
    expect(historyOf(sample(0, 0), sample(299, 1), sample(301, 2)).map(({ now }) => now)).toEqual([299_000, 301_000]);
  });

  it('begins anew when the process was started anew', () => {
    expect(historyOf(sample(0, 100), sample(1, 3, { startedAt: 900 }))).toHaveLength(1);
  });
});

describe('a rate', () => {
  it('is the growth over the last ten seconds, whatever was before', () => {
    expect(rateOf(historyOf(sample(0, 0), sample(90, 500), sample(100, 700)), settled)).toBe(20);
  });

  it('is over what there is, while that is less', () => {
    expect(rateOf(historyOf(sample(0, 0), sample(4, 100)), settled)).toBe(25);
  });

  it('is unknown from one sample, which is not 0', () => {
    expect(rateOf(historyOf(sample(0, 0)), settled)).toBeNull();
    expect(writeRate(null)).toBe('–');
    expect([0, 0.25, 9.94, 1234.4].map((rate) => writeRate(rate))).toEqual(['0', '0.3', '9.9', '1,234']);
  });
});

describe('a quantile', () => {
  const buckets = (...counts: number[]) => ({ bounds: [0.1, 0.2, 0.4], counts });

  it('lies within its bucket, as Prometheus has it', () => {
    expect(quantileOf(buckets(50, 50, 0, 0), 0.5)).toEqual({ seconds: 0.1, above: false });
    expect(quantileOf(buckets(50, 50, 0, 0), 0.99)!.seconds).toBeCloseTo(0.198, 9);
  });

  it('says that it lies above all bounds', () => {
    expect(writeSeconds(quantileOf(buckets(0, 0, 0, 3), 0.5)).join(' ')).toBe('> 400 ms');
  });

  it('is none where nothing was observed', () => {
    expect(quantileOf(buckets(0, 0, 0, 0), 0.5)).toBeNull();
    expect(quantileOf(null, 0.5)).toBeNull();
  });

  it('is of what was added between two samples', () => {
    const at = (second: number, ...counts: number[]) => sample(second, 0, { histograms: { h: [{ labels: {}, bounds: [0.1, 0.2, 0.4], counts }] } });
    const history = historyOf(at(0, 1000, 0, 0, 0), at(60, 1000, 0, 10, 0));
    expect(countsBetween(beginningOf(history, 60_000), history[1], 'h')).toEqual({ bounds: [0.1, 0.2, 0.4], counts: [0, 0, 10, 0] });
  });
});

describe('tables', () => {
  it('have the outcomes by kind, codes in their own order, without what never happened', () => {
    const status = sample(1, 0, {
      values: {
        settlefleet_results_total: [
          { labels: { status: 'ACSC', reason_code: '' }, value: 90 },
          { labels: { status: 'RJCT', reason_code: 'AM04' }, value: 1 },
          { labels: { status: 'RJCT', reason_code: 'AM05' }, value: 8 },
          { labels: { status: 'RJCT', reason_code: 'FF01' }, value: 0 },
        ],
        settlefleet_dead_letters_total: [{ labels: { code: 'XML_INVALID' }, value: 1 }],
      },
    });
    expect(outcomeGroups(historyOf(status)).map(({ kind, total, rows }) => [kind, total, rows.map(({ code }) => code).join(' ')])).toEqual([
      ['Settled', 90, ''],
      ['Rejected', 9, 'AM04 AM05'],
      ['Dead letters', 1, 'XML_INVALID'],
    ]);
  });

  it('have a row for each partition, by number', () => {
    const lag = (topic: string, partition: number, value: number) => ({ labels: { topic, partition }, value });
    const status = sample(1, 0, {
      lanes: [{ partition: 10, state: 'halted' }, { partition: 2, state: 'running' }],
      values: { settlefleet_consumer_lag: [lag('eu.payments.inbound', 2, 7), lag('eu.payments.routed', 2, 1), lag('eu.payments.inbound', 10, 0)] },
    });
    expect(laneRows(historyOf(status), 'settlefleet_consumer_lag').map(({ partition, state, lag: lags }) => [partition, state, Object.fromEntries(lags)])).toEqual([
      [2, 'running', { inbound: 7, routed: 1 }],
      [10, 'halted', { inbound: 0 }],
    ]);
  });

  it('know a few words for every code', () => {
    const codes = [...messageReasonCodes, ...formalReasonCodes, ...settlementReasonCodes, ...deadLetterCodes];
    expect(codes.filter((code) => !(code in words))).toEqual([]);
  });
});

it.each([
  [0, '0 s'],
  [59_400, '59 s'],
  [61_000, '1 min 1 s'],
  [3_600_000, '1 h'],
  [90_061_000, '1 d 1 h'],
])('%d ms are written as %s', (ms, written) => {
  expect(writeDuration(ms)).toBe(written);
});

it('writes no share as nothing or all that is not', () => {
  expect([0, 0.0004, 0.5, 0.9999, 1].map(writeShare)).toEqual(['0%', '< 0.1%', '50%', '> 99.9%', '100%']);
});
