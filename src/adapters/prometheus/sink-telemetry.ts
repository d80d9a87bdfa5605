/** What the sink tells Prometheus: how many rows went in, and how far it is behind (contract section 9). */
import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';

export type SinkTable = 'results' | 'dead_letters';

export interface SinkView {
  /**
   * Records of the topics that are not in ClickHouse yet, of the partitions that this sink has. Asked at each scrape; must
   * answer at once, from memory. Entries of one partition (of two topics) are added up.
   */
  readonly lag: () => Iterable<{ readonly partition: number; readonly records: number }>;
}

export class PrometheusSinkTelemetry {
  /** To be served at `/metrics`. */
  readonly registry = new Registry();
  readonly #rows: Counter<'table'>;
  readonly #dependency: Gauge<'dependency'>;

  constructor(view: SinkView) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.#rows = new Counter({
      name: 'settlefleet_sink_rows_total',
      help: 'Rows that ClickHouse has taken.',
      labelNames: ['table'],
      registers,
    });
    this.#dependency = new Gauge({
      name: 'settlefleet_dependency_up',
      help: 'Whether a dependency answered when it was last needed.',
      labelNames: ['dependency'],
      registers,
    });
    new Gauge({
      name: 'settlefleet_sink_lag',
      help: 'Records of the results and dead-letter topics that are not in ClickHouse yet.',
      labelNames: ['partition'],
      registers,
      collect() {
        this.reset();
        for (const { partition, records } of view.lag()) this.inc({ partition }, Math.max(0, records));
      },
    });
    for (const table of ['results', 'dead_letters'] satisfies SinkTable[]) this.#rows.inc({ table }, 0);
    for (const dependency of ['kafka', 'registry', 'clickhouse']) this.#dependency.set({ dependency }, 0);
  }

  rows(table: SinkTable, count: number): void {
    this.#rows.inc({ table }, count);
  }

  dependency(dependency: 'kafka' | 'registry' | 'clickhouse', up: boolean): void {
    this.#dependency.set({ dependency }, up ? 1 : 0);
  }
}
