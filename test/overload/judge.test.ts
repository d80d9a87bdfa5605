/** Who judges a run under overload (`./dev overload`) finds each thing that may be wrong with it. */
import { expect, test } from 'vitest';
import { judge } from './judge.ts';
import type { OverloadFigures, Sample } from './run.ts';

/** Ten seconds at 3,000 events/s sent and a speed for each second, then the rest at 1,000 a second. */
function samplesAt(answeredEachSecond: readonly number[]): Sample[] {
  const samples: Sample[] = [];
  let answered = 0;
  for (const [second, rate] of answeredEachSecond.entries()) {
    samples.push({ second, sent: second * 3_000, answered });
    answered += rate;
  }
  const sent = answeredEachSecond.length * 3_000;
  for (let second = answeredEachSecond.length; ; second++) {
    samples.push({ second, sent, answered: Math.min(sent, answered) });
    if (answered >= sent) return samples;
    answered += 1_000;
  }
}

const steady = Array.from({ length: 10 }, () => 1_000);
const good: OverloadFigures = {
  aloneRate: 1_000, besideShamRate: 1_000, cpu: { alone: 50, overload: 55 }, calm: { rate: 333, p50Ms: 100, p99Ms: 200 }, calmAgain: { rate: 333, p50Ms: 110, p99Ms: 220 },
  fillSeconds: 1, asked: { rate: 3_000, seconds: 10 }, events: 30_000, samples: samplesAt(steady), overloadSeconds: 10, drainSeconds: 20, sinkSeconds: 1,
  memory: { worker: 400, sink: 500, workerBefore: 380, sinkBefore: 480 }, asks: 100, notReady: [], rebalances: ['Partitions assigned'],
  abortedTransactions: 0, alerts: ['LagGrows', 'SettlementIsLate'], endedWith: [0, 0], faults: [],
};
const strict = { throughputShareMin: 0.8, thirdShareMin: 0.7, cpuFactorMax: 1.5, lagSteadinessMin: 0.6, workerMegabytesMax: 600, memoryFactorMax: 1.4, latencyFactorMax: 2, latencyMsMore: 100 };

test('nothing is wrong with a steady run', () => expect(judge(good, strict)).toEqual([]));

test.each<readonly [string, Partial<OverloadFigures>, RegExp]>([
  ['that is slower all the while', { samples: samplesAt(steady.map(() => 700)) }, /under overload 700 events\/s/],
  ['that collapses towards the end', { samples: samplesAt([1_200, 1_200, 1_200, 1_200, 1_200, 1_200, 1_200, 300, 300, 300]) }, /in the last third/],
  ['that works harder for the same', { cpu: { alone: 50, overload: 90 } }, /90 µs CPU an event of the overload, 50 of a backlog/],
  ['whose lag grows faster and faster', { samples: samplesAt([2_600, 2_600, 2_600, 2_600, 2_600, 2_600, 1_000, 1_000, 1_000, 1_000]), besideShamRate: 500 }, /the lag grew/],
  ['without an overload', { samples: samplesAt(steady.map(() => 2_900)) }, /no overload/],
  ['whose backlog is not worked off', { samples: samplesAt(steady).slice(0, -3) }, /of the backlog were not answered/],
  ['whose worker holds the backlog', { memory: { ...good.memory, worker: 590 } }, /the worker held 590 MB, 380 before/],
  ['whose sink holds the backlog', { memory: { ...good.memory, sink: 900 } }, /the sink held 900 MB/],
  ['that is slow afterwards', { calmAgain: { rate: 333, p50Ms: 110, p99Ms: 900 } }, /p99 is 900 ms after the drain/],
  ['that was not ready', { notReady: ['the worker is not ready: 503'] }, /not ready/],
  ['that lost its place in the group', { rebalances: ['Partitions assigned', 'Partitions lost', 'Partitions assigned'] }, /the group rebalanced/],
  ['that aborts', { abortedTransactions: 1 }, /1 Kafka transactions were aborted/],
  ['that raises another alert', { alerts: ['ProcessIsNotReady'] }, /the alert ProcessIsNotReady fired/],
  ['that does not end well', { endedWith: [0, 1] }, /ended with 0 and 1/],
  ['with a wrong answer', { faults: ['event 7 has two answers'] }, /two answers/],
])('a run %s is found', (_what, changes, found) => {
  expect(judge({ ...good, ...changes }, strict).join('\n')).toMatch(found);
});
