/** What the sink tells Prometheus: how many rows went in, and how far it is behind (contract section 9). */
import { Counter, Gauge, Registry } from 'prom-client';

import type { Dependency } from '../../ports.ts';
import { sinkTables } from '../../sink/ports.ts';
import type { SinkTable, SinkTelemetry } from '../../sink/ports.ts';
import { DependencyGauge, registerKafkaBridge, registerProcess } from './shared.ts';

const dependencies: readonly Dependency[] = ['kafka', 'registry', 'clickhouse'];

export class PrometheusSinkTelemetry implements SinkTelemetry {
  /** To be served at `/metrics`. */
  readonly registry = new Registry();
  readonly #rows: Counter<'table'>;
  readonly #dependency: DependencyGauge;
  /** Records by partition, by topic: the metric adds the topics of a partition up. */
  readonly #lag = new Map<string, Map<number, number>>();
  readonly #viewsLag = new Map<number, number>();

  /** `isReady`: as `/readyz` says; must answer at once. `kafkaBridge`: whether records go over the packed bridge. */
  constructor(isReady: () => boolean, kafkaBridge: boolean) {
    const registers = [this.registry];
    registerProcess(this.registry, isReady);
    registerKafkaBridge(this.registry, kafkaBridge);
    this.#rows = new Counter({
      name: 'settlefleet_sink_rows_total',
      help: 'Rows that ClickHouse has taken.',
      labelNames: ['table'],
      registers,
    });
    this.#dependency = new DependencyGauge(dependencies, this.registry);
    const lag = this.#lag;
    new Gauge({
      name: 'settlefleet_sink_lag',
      help: 'Records of the results and dead-letter topics that are not in ClickHouse yet.',
      labelNames: ['partition'],
      registers,
      collect() {
        this.reset();
        for (const partitions of lag.values()) {
          for (const [partition, records] of partitions) this.inc({ partition }, records);
        }
      },
    });
    const viewsLag = this.#viewsLag;
    new Gauge({
      name: 'settlefleet_sink_views_lag',
      help: 'Offsets of the results topic whose rows are in ClickHouse and that its materialized views do not hold yet.',
      labelNames: ['partition'],
      registers,
      collect() {
        this.reset();
        for (const [partition, offsets] of viewsLag) this.set({ partition }, offsets);
      },
    });
    for (const table of sinkTables) this.#rows.inc({ table }, 0);
  }

  rows(table: SinkTable, count: number): void {
    this.#rows.inc({ table }, count);
  }

  lag(topic: string, partition: number, records: number): void {
    const partitions = this.#lag.get(topic) ?? new Map<number, number>();
    partitions.set(partition, Math.max(0, records));
    this.#lag.set(topic, partitions);
  }

  viewsLag(partition: number, offsets: number): void {
    this.#viewsLag.set(partition, offsets);
  }

  forget(topic: string, partition: number): void {
    this.#lag.get(topic)?.delete(partition);
    this.#viewsLag.delete(partition);
  }

  dependency(dependency: Dependency, up: boolean): void {
    this.#dependency.set(dependency, up);
  }
}
