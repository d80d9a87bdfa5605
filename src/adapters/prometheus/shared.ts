/** What every process of ours tells Prometheus in the same words. */
import { Gauge, collectDefaultMetrics } from 'prom-client';
import type { Registry } from 'prom-client';

import type { Dependency } from '../../ports.ts';

/** Node's own metrics: event loop, memory, garbage collection, CPU. */
export function registerProcess(register: Registry): void {
  collectDefaultMetrics({ register });
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
