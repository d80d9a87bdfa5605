/** A run under overload, for a person. */
import type { OverloadReport } from './run.ts';

export function reportText(report: OverloadReport): string {
  const { samples, overloadSeconds, fillSeconds, memory, calm, calmAgain } = report;
  const end = samples.findLast(({ second }) => second <= overloadSeconds)!;
  const full = samples.findLast(({ second }) => second <= fillSeconds)!;
  const rate = (value: number): string => Math.round(value).toLocaleString('en');
  const rows: readonly (readonly [string, string])[] = [
    ['a backlog, alone', `${rate(report.aloneRate)} events/s`],
    ['a backlog, beside the overload sent elsewhere', `${rate(report.besideShamRate)} events/s`],
    ['overload sent', `${rate(end.sent / overloadSeconds)} events/s for ${overloadSeconds.toFixed(1)} s (asked: ${rate(report.asked.rate)})`],
    ['answered meanwhile', `${rate((end.answered - full.answered) / (overloadSeconds - full.second))} events/s once its lanes were full, after ${fillSeconds.toFixed(1)} s`],
    ['CPU time of the worker for an event', `${report.cpu.overload.toFixed(0)} µs of the overload and its backlog, ${report.cpu.alone.toFixed(0)} of a backlog alone`],
    ['on their way at its end', `${rate(end.sent - end.answered)} events`],
    ['the backlog was gone after', `${report.drainSeconds.toFixed(1)} s (${rate((end.sent - end.answered) / report.drainSeconds)} events/s)`],
    ['ClickHouse had everything', `${report.sinkSeconds.toFixed(1)} s after the last payment`],
    ['latency at a third, before', `p50 ${calm.p50Ms.toFixed(0)} ms, p99 ${calm.p99Ms.toFixed(0)} ms`],
    ['latency at a third, after', `p50 ${calmAgain.p50Ms.toFixed(0)} ms, p99 ${calmAgain.p99Ms.toFixed(0)} ms`],
    ['memory of the worker, at most', `${memory.worker} MB (${memory.workerBefore} before the overload)`],
    ['memory of the sink, at most', `${memory.sink} MB (${memory.sinkBefore} before the overload)`],
    ['asked whether ready', `${report.asks} times, ${report.notReady.length === 0 ? 'always yes' : 'not always yes'}`],
    ['rebalances after the first assignment', String(report.rebalances.length - 1)],
    ['Kafka transactions aborted', String(report.abortedTransactions)],
    ['alerts, all times divided by twenty', report.alerts.join(', ') || 'none'],
    ['events looked at', rate(report.events)],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return [...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`), ...report.problems.map((problem) => `PROBLEM ${problem}`), `${report.problems.length} problems`].join('\n');
}
