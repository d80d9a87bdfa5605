/** What is wrong with a run under overload; every comparison is with the run itself. */
import type { OverloadFigures, Sample } from './run.ts';

export interface OverloadBounds {
  /** Results a second under overload, and in each third of it: at least these shares of what was drained beside the sham load. */
  readonly throughputShareMin: number;
  readonly thirdShareMin: number;
  /** CPU time of the worker for an event under overload, to that of a backlog. */
  readonly cpuFactorMax: number;
  /** What the lag grows by in the second half of the overload, to the first: between this and its inverse. */
  readonly lagSteadinessMin: number;
  readonly workerMegabytesMax: number;
  /** Of the most that it held before the overload: a backlog lies in Kafka, however long it is. */
  readonly memoryFactorMax: number;
  /** Calm again, to calm: so many times, and so many milliseconds on top. */
  readonly latencyFactorMax: number;
  readonly latencyMsMore: number;
}

/** Alerts that overload is to raise, be it not in a short one. */
const wanted: ReadonlySet<string> = new Set(['LagGrows', 'SettlementIsLate', 'SinkFallsBehind']);
/** An overload that sends less than so many times of what is answered was none. */
const overloadFactorMin = 1.5;

export function judge(figures: OverloadFigures, bounds: OverloadBounds): string[] {
  const problems: string[] = [];
  const must = (holds: boolean, otherwise: () => string): void => void (holds || problems.push(otherwise()));
  const { samples, overloadSeconds, fillSeconds, besideShamRate, calm, calmAgain, memory } = figures;
  const under = samples.filter(({ second }) => second <= overloadSeconds);
  const whole = answeredRate(under, fillSeconds, overloadSeconds);
  const part = (share: number): number => fillSeconds + (overloadSeconds - fillSeconds) * share;

  must(sentRate(under, overloadSeconds) > whole * overloadFactorMin, () => `no overload: ${round(sentRate(under, overloadSeconds))} events/s were sent, ${round(whole)} answered`);
  must(whole >= besideShamRate * bounds.throughputShareMin, () => `under overload ${round(whole)} events/s were answered, ${round(besideShamRate)} beside the same load elsewhere`);
  for (let third = 0; third < 3; third++) {
    const rate = answeredRate(under, part(third / 3), part((third + 1) / 3));
    must(rate >= besideShamRate * bounds.thirdShareMin, () => `in the ${['first', 'second', 'last'][third]} third of the overload ${round(rate)} events/s were answered, ${round(besideShamRate)} beside the same load elsewhere`);
  }
  must(figures.cpu.overload <= figures.cpu.alone * bounds.cpuFactorMax, () => `the worker took ${round(figures.cpu.overload)} µs CPU an event of the overload, ${round(figures.cpu.alone)} of a backlog`);
  const [first, second] = [growth(under, part(0), part(0.5)), growth(under, part(0.5), part(1))];
  must(Math.min(first, second) >= Math.max(first, second) * bounds.lagSteadinessMin, () => `the lag grew by ${round(first)} events in the first half of the overload, by ${round(second)} in the second`);
  const last = samples.at(-1)!;
  must(last.answered >= last.sent, () => `${last.sent - last.answered} events of the backlog were not answered in time`);

  must(memory.worker <= bounds.workerMegabytesMax, () => `the worker held ${memory.worker} MB, at most ${bounds.workerMegabytesMax} are expected`);
  must(memory.worker <= memory.workerBefore * bounds.memoryFactorMax, () => `the worker held ${memory.worker} MB, ${memory.workerBefore} before the overload`);
  must(memory.sink <= memory.sinkBefore * bounds.memoryFactorMax, () => `the sink held ${memory.sink} MB, ${memory.sinkBefore} before the overload`);
  for (const name of ['p50Ms', 'p99Ms'] as const) {
    must(calmAgain[name] <= calm[name] * bounds.latencyFactorMax + bounds.latencyMsMore, () => `${name.slice(0, 3)} is ${round(calmAgain[name])} ms after the drain, ${round(calm[name])} ms before the overload`);
  }
  must(figures.asks > 10, () => `readiness was asked ${figures.asks} times only`);
  problems.push(...figures.notReady);
  must(figures.rebalances.join() === 'Partitions assigned', () => `the group rebalanced: ${figures.rebalances.join(', ')}`);
  must(figures.abortedTransactions === 0, () => `${figures.abortedTransactions} Kafka transactions were aborted`);
  for (const alert of figures.alerts) must(wanted.has(alert), () => `the alert ${alert} fired`);
  must(figures.endedWith.every((code) => code === 0), () => `worker and sink ended with ${figures.endedWith.join(' and ')} after SIGTERM`);
  problems.push(...figures.faults);
  return problems;
}

const round = (value: number): string => String(Math.round(value));

/** Events a second that were answered between two moments. */
function answeredRate(samples: readonly Sample[], from: number, to: number): number {
  return (at(samples, to).answered - at(samples, from).answered) / (to - from);
}

function sentRate(samples: readonly Sample[], seconds: number): number {
  return at(samples, seconds).sent / seconds;
}

/** By how much the lag grew between two moments. */
function growth(samples: readonly Sample[], from: number, to: number): number {
  const lag = ({ sent, answered }: Sample): number => sent - answered;
  return lag(at(samples, to)) - lag(at(samples, from));
}

/** The last sample that is not later. */
function at(samples: readonly Sample[], second: number): Sample {
  return samples.findLast((sample) => sample.second <= second) ?? { second: 0, sent: 0, answered: 0 };
}
