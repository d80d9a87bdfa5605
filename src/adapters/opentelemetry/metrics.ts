/** The metrics that Prometheus scrapes, sent by OTLP: the same names, labels and values, at an interval. */
import { ValueType } from '@opentelemetry/api';
import type { HrTime } from '@opentelemetry/api';
import { ExportResultCode, millisToHrTime } from '@opentelemetry/core';
import { AggregationTemporality, DataPointType, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import type { DataPoint, MetricData, MetricProducer, PushMetricExporter, ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { MetricSettings } from '../../config-telemetry.ts';
import type { Log, MetricReading, MetricSeries } from '../../ports.ts';
import { resourceOf } from './resource.ts';
import type { Teller } from './resource.ts';
import { closeWithin } from './tracing.ts';

const closeDeadlineMs = 2_000;

export interface MetricExportOptions {
  readonly settings: MetricSettings;
  readonly teller: Teller;
  readonly read: () => Promise<readonly MetricReading[]>;
  readonly log: Log;
  /** Left out: OTLP over HTTP, to where OTEL_EXPORTER_OTLP_* says. */
  readonly exporter?: PushMetricExporter;
}

/** Sends until it is closed, and once more then. */
export async function startMetricExport({ settings, teller, read, log, exporter }: MetricExportOptions): Promise<{ close(): Promise<void> }> {
  const resource = resourceOf(teller);
  const scope = { name: 'settlefleet', version: teller.version };
  // Since the process began: none of its counters is older.
  const startTime = millisToHrTime(performance.timeOrigin);
  const producer: MetricProducer = {
    async collect() {
      const endTime = millisToHrTime(Date.now());
      try {
        const metrics = (await read()).map((reading) => metricData(reading, startTime, endTime));
        return { resourceMetrics: { resource, scopeMetrics: [{ scope, metrics }] }, errors: [] };
      } catch (error) {
        return { resourceMetrics: { resource, scopeMetrics: [] }, errors: [error] };
      }
    },
  };
  const otlp = async (): Promise<PushMetricExporter> => new (await import('@opentelemetry/exporter-metrics-otlp-proto')).OTLPMetricExporter();
  const provider = new MeterProvider({
    resource,
    readers: [
      new PeriodicExportingMetricReader({
        exporter: telling(exporter ?? (await otlp()), log),
        exportIntervalMillis: settings.exportIntervalMs,
        exportTimeoutMillis: settings.exportTimeoutMs,
        metricProducers: [producer],
      }),
    ],
  });
  return { close: () => closeWithin(provider, closeDeadlineMs) };
}

/** Says once that the collector takes nothing, and once that it does again. */
function telling(exporter: PushMetricExporter, log: Log): PushMetricExporter {
  let isFailing = false;
  return {
    export(metrics: ResourceMetrics, done) {
      exporter.export(metrics, (result) => {
        const hasWorked = result.code === ExportResultCode.SUCCESS;
        if (!hasWorked && !isFailing) log.warn({ error: result.error?.message }, 'The collector does not take metrics');
        else if (hasWorked && isFailing) log.info({}, 'The collector takes metrics again');
        isFailing = !hasWorked;
        done(result);
      });
    },
    // Cumulative, which is what our counters are; another preference cannot be met.
    selectAggregationTemporality: () => AggregationTemporality.CUMULATIVE,
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  };
}

export function metricData({ name, help, kind, series }: MetricReading, startTime: HrTime, endTime: HrTime): MetricData {
  const descriptor = { name, description: help, unit: unitOf(name), valueType: ValueType.DOUBLE };
  const aggregationTemporality = AggregationTemporality.CUMULATIVE;
  const points = <T>(valueOf: (one: MetricSeries) => T): DataPoint<T>[] =>
    series.map((one) => ({ startTime, endTime, attributes: one.labels, value: valueOf(one) }));
  switch (kind) {
    case 'counter':
      return { descriptor, aggregationTemporality, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints: points(({ value }) => value) };
    case 'gauge':
      return { descriptor, aggregationTemporality, dataPointType: DataPointType.GAUGE, dataPoints: points(({ value }) => value) };
    case 'histogram':
      return {
        descriptor,
        aggregationTemporality,
        dataPointType: DataPointType.HISTOGRAM,
        dataPoints: points(({ value, buckets }) => ({
          buckets: { boundaries: [...buckets!.bounds], counts: [...buckets!.counts] },
          sum: value,
          count: buckets!.counts.reduce((a, b) => a + b, 0),
          hasMinMax: false,
        })),
      };
  }
}

/** Prometheus has the unit in the name, OTLP in a field, in the words of UCUM. */
function unitOf(name: string): string {
  const bare = name.replace(/_total$/, '');
  if (bare.endsWith('_seconds')) return 's';
  if (bare.endsWith('_bytes')) return 'By';
  return bare.endsWith('_ratio') ? '1' : '';
}
