/**
 * What the registry holds at this moment, for those who send metrics elsewhere: every series that Prometheus scrapes, as
 * plain values.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Registry } from 'prom-client';
import type { MetricReading, MetricSeries } from '../../ports.ts';
import { gather } from './registry-snapshot.ts';
import type { Readable } from './registry-snapshot.ts';

export interface RegistryReader {
  read(): Promise<readonly MetricReading[]>;
  close(): void;
}

/**
 * To be closed. prom-client forgets the event loop's lag when it is asked, and the next scrape would be wrong: here it is
 * measured once more, over the time between two calls of `read`.
 */
export function createRegistryReader(registry: Registry): RegistryReader {
  const delay = monitorEventLoopDelay();
  delay.enable();
  const lags = async (): Promise<ReadonlyMap<string, number>> => {
    const asked = performance.now();
    await nextTurn();
    const nanoseconds = new Map<string, number>([
      ['', (performance.now() - asked) * 1e6],
      ['min_', delay.min], ['max_', delay.max], ['mean_', delay.mean], ['stddev_', delay.stddev],
      ['p50_', delay.percentile(50)], ['p90_', delay.percentile(90)], ['p99_', delay.percentile(99)],
    ]);
    delay.reset();
    return new Map(Array.from(nanoseconds, ([which, value]) => [`nodejs_eventloop_lag_${which}seconds`, value / 1e9]));
  };
  return {
    async read() {
      const ownLags = await lags();
      const readings: MetricReading[] = [];
      for (const metric of registry.getMetricsAsArray() as readonly { readonly name: string; readonly help: string }[]) {
        const { name, help } = metric;
        const lag = ownLags.get(name);
        if (lag !== undefined) {
          // Not a number before anything was measured.
          if (Number.isFinite(lag)) readings.push({ name, help, kind: 'gauge', series: [{ labels: {}, value: lag, buckets: null }] });
          continue;
        }
        const { type, values } = await (metric as unknown as Readable).get();
        if (type === 'histogram') readings.push({ name, help, kind: type, series: gather(values).map(({ labels, bounds, counts, sum }) => ({ labels: texts(labels), value: sum, buckets: { bounds, counts } })) });
        else if (type === 'counter' || type === 'gauge') readings.push({ name, help, kind: type, series: values.map(({ labels, value }): MetricSeries => ({ labels: texts(labels), value, buckets: null })) });
        else throw new Error(`The metric ${name} is a ${type}, which only Prometheus can have.`);
      }
      return readings;
    },
    close: () => delay.disable(),
  };
}

function texts(labels: Readonly<Record<string, string | number>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, String(value)]));
}
