/** What every process of ours tells Prometheus in the same words. */
import { Counter, Gauge, collectDefaultMetrics } from 'prom-client';
import type { Registry } from 'prom-client';

import type { Dependency } from '../../ports.ts';

/** Node's own metrics (event loop, memory, garbage collection, CPU), and what Node's leave out. */
export function registerProcess(register: Registry, isReady: () => boolean): void {
  collectDefaultMetrics({ register });
  new Counter({
    name: 'settlefleet_event_loop_busy_seconds_total',
    help: 'Time in which the main thread was at work; a second of it each second is all that there is.',
    registers: [register],
    collect() {
      this.reset();
      this.inc(performance.eventLoopUtilization().active / 1_000);
    },
  });
  new Gauge({
    name: 'settlefleet_ready',
    help: 'Whether the process says that it is ready (/readyz).',
    registers: [register],
    collect() {
      this.set(isReady() ? 1 : 0);
    },
  });
}

/** How records come from Kafka: the path in force has 1, the other 0. */
export function registerKafkaBridge(register: Registry, inForce: boolean): void {
  const gauge = new Gauge({
    name: 'settlefleet_kafka_bridge',
    help: "Which way records go: 'packed' over the bridge, 'raw' over the Kafka client's own API; 1 for the one in force.",
    labelNames: ['path'],
    registers: [register],
  });
  gauge.set({ path: 'packed' }, inForce ? 1 : 0);
  gauge.set({ path: 'raw' }, inForce ? 0 : 1);
}

/** Where traces are sent: what becomes of spans. */
export function spanCounter(register: Registry): (outcome: 'exported' | 'dropped' | 'failed', count: number) => void {
  const spans = new Counter({
    name: 'settlefleet_spans_total',
    help: 'Spans that the collector took (exported), did not take (failed), or for which the queue had no room (dropped).',
    labelNames: ['outcome'],
    registers: [register],
  });
  for (const outcome of ['exported', 'dropped', 'failed']) spans.inc({ outcome }, 0);
  return (outcome, count) => spans.inc({ outcome }, count);
}

/** Down until it has answered. */
export class DependencyGauge {
  readonly #gauge: Gauge<'dependency'>;

  constructor(dependencies: readonly Dependency[], register: Registry) {
    this.#gauge = new Gauge({
      name: 'settlefleet_dependency_up',
      help: 'Whether a dependency answered when it was last needed.',
      labelNames: ['dependency'],
      registers: [register],
    });
    for (const dependency of dependencies) this.set(dependency, false);
  }

  set(dependency: Dependency, up: boolean): void {
    this.#gauge.set({ dependency }, up ? 1 : 0);
  }
}
