/**
 * Where traces and metrics go beside Prometheus. The variables are OpenTelemetry's own and mean what its specification says,
 * but for two things: nothing is sent unless one of them asks for it, and a wrong one is refused, where the specification
 * would have it ignored with a warning. They are often set for a whole cluster, so they are looked at only where they matter.
 *
 * Where to, with which headers, certificates and compression (OTEL_EXPORTER_OTLP_*), and what the resource is called
 * (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES), the SDK reads itself.
 *
 * Source: OpenTelemetry specification, "Environment Variable Specification" and "OTLP Exporter Configuration".
 */

export const samplers = ['always_on', 'always_off', 'traceidratio', 'parentbased_always_on', 'parentbased_always_off', 'parentbased_traceidratio'] as const;
export type Sampler = (typeof samplers)[number];

export const propagators = ['tracecontext', 'baggage', 'xray'] as const;
export type Propagator = (typeof propagators)[number];

export interface TraceSettings {
  readonly sampler: Sampler;
  /** Of the samplers by ratio; 0 to 1. */
  readonly ratio: number;
  /** In the order in which a record's headers are looked at; a later one wins. */
  readonly propagators: readonly Propagator[];
  /** Spans that wait for the exporter or are on their way; those beyond are dropped. */
  readonly queueSpansMax: number;
  readonly exportSpansMax: number;
  readonly exportDelayMs: number;
  readonly exportTimeoutMs: number;
}

export interface MetricSettings {
  readonly exportIntervalMs: number;
  readonly exportTimeoutMs: number;
}

export interface EmbeddedMetricSettings {
  /** A file to append to; null: standard output. */
  readonly path: string | null;
  readonly namespace: string;
  readonly intervalMs: number;
}

/** Null: not wanted, and nothing of it is loaded. */
export interface TelemetrySettings {
  readonly traces: TraceSettings | null;
  readonly metrics: MetricSettings | null;
  readonly embeddedMetrics: EmbeddedMetricSettings | null;
}

/** How a setting is read, and noted for those who want to see it; as config.ts has them. */
export interface SettingReaders {
  /** Checked by nobody. */
  text(name: string, fallback: string): string;
  integer(name: string, fallback: number, least: number, most: number): number;
  oneOf<T extends string>(name: string, fallback: T, allowed: readonly T[]): T;
  url(name: string): string;
  refuse(name: string, given: string, expected: string): never;
}

const queueSpansMaxMax = 1_000_000;
const dayMs = 86_400_000;

/** `refuse` throws for the first wrong one. */
export function readTelemetry(read: SettingReaders): TelemetrySettings {
  const isDisabled = read.text('OTEL_SDK_DISABLED', 'false').toLowerCase() === 'true';
  const wants = (signal: 'TRACES' | 'METRICS', allowed: readonly string[]): boolean => {
    const exporters = read.text(`OTEL_${signal}_EXPORTER`, '');
    const addresses = [read.url('OTEL_EXPORTER_OTLP_ENDPOINT'), read.url(`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`)];
    if (isDisabled) return false;
    if (exporters === '') return addresses.some((address) => address !== '');
    const named = list(exporters);
    if (named.some((one) => !allowed.includes(one)) || (named.includes('none') && named.length > 1)) {
      read.refuse(`OTEL_${signal}_EXPORTER`, exporters, `one of ${allowed.join(', ')}`);
    }
    return named.includes('otlp');
  };
  const traces = wants('TRACES', ['otlp', 'none']);
  // Prometheus is served in any case.
  const metrics = wants('METRICS', ['otlp', 'prometheus', 'none']);
  if (traces || metrics) {
    read.oneOf('OTEL_EXPORTER_OTLP_PROTOCOL', 'http/protobuf', ['http/protobuf']);
    if (traces) read.oneOf('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'http/protobuf', ['http/protobuf']);
    if (metrics) read.oneOf('OTEL_EXPORTER_OTLP_METRICS_PROTOCOL', 'http/protobuf', ['http/protobuf']);
  }
  return {
    traces: traces ? readTraces(read) : null,
    metrics: metrics ? readMetrics(read) : null,
    embeddedMetrics: readEmbeddedMetrics(read),
  };
}

function readTraces(read: SettingReaders): TraceSettings {
  const ratio = read.text('OTEL_TRACES_SAMPLER_ARG', '1.0');
  if (!/^(?:0|1|0?\.\d+|[01]\.\d*)$/.test(ratio) || Number(ratio) > 1) read.refuse('OTEL_TRACES_SAMPLER_ARG', ratio, 'a number from 0 to 1');
  const queueSpansMax = read.integer('OTEL_BSP_MAX_QUEUE_SIZE', 2048, 1, queueSpansMaxMax);
  return {
    sampler: read.oneOf('OTEL_TRACES_SAMPLER', 'parentbased_always_on', samplers),
    ratio: Number(ratio),
    propagators: readPropagators(read),
    queueSpansMax,
    exportSpansMax: read.integer('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', Math.min(512, queueSpansMax), 1, queueSpansMax),
    exportDelayMs: read.integer('OTEL_BSP_SCHEDULE_DELAY', 5_000, 1, dayMs),
    exportTimeoutMs: read.integer('OTEL_BSP_EXPORT_TIMEOUT', 30_000, 1, dayMs),
  };
}

function readPropagators(read: SettingReaders): readonly Propagator[] {
  const given = read.text('OTEL_PROPAGATORS', 'tracecontext,baggage');
  if (given === 'none') return [];
  return list(given).map((name) => propagators.find((known) => known === name) ?? read.refuse('OTEL_PROPAGATORS', given, `none, or some of ${propagators.join(', ')}`));
}

function readMetrics(read: SettingReaders): MetricSettings {
  const exportIntervalMs = read.integer('OTEL_METRIC_EXPORT_INTERVAL', 60_000, 1, dayMs);
  return { exportIntervalMs, exportTimeoutMs: read.integer('OTEL_METRIC_EXPORT_TIMEOUT', Math.min(30_000, exportIntervalMs), 1, exportIntervalMs) };
}

function readEmbeddedMetrics(read: SettingReaders): EmbeddedMetricSettings | null {
  const output = read.text('EMF_OUTPUT', '');
  if (output === '') return null;
  const namespace = read.text('EMF_NAMESPACE', 'settlefleet');
  // Source: CloudWatch's PutMetricData; AWS/ is Amazon's own.
  if (!/^(?!AWS\/)[\w.\-/#:]{1,255}$/.test(namespace)) {
    read.refuse('EMF_NAMESPACE', namespace, 'up to 255 letters, digits and characters of ".-_/#:", and not begin with AWS/');
  }
  return { path: output === 'stdout' ? null : output, namespace, intervalMs: read.integer('EMF_INTERVAL_SECONDS', 60, 1, 3600) * 1000 };
}

function list(text: string): string[] {
  return text.split(',').map((one) => one.trim()).filter((one) => one !== '');
}
