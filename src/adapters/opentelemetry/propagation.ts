/** The context of a trace in the headers of a Kafka record, in the forms that were asked for. */
import { ROOT_CONTEXT, trace } from '@opentelemetry/api';
import type { Context, SpanContext, TextMapGetter, TextMapPropagator, TextMapSetter } from '@opentelemetry/api';
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from '@opentelemetry/core';
import { AWSXRayPropagator } from '@opentelemetry/propagator-aws-xray';
import type { RecordHeader } from '../../codec/record-batch.ts';
import type { Propagator } from '../../config-telemetry.ts';

const makers: Readonly<Record<Propagator, () => TextMapPropagator>> = {
  tracecontext: () => new W3CTraceContextPropagator(),
  baggage: () => new W3CBaggagePropagator(),
  xray: () => new AWSXRayPropagator(),
};

export interface Propagation {
  /** The context that headers carry; null where they carry none that is whole. */
  extract(headers: readonly RecordHeader[]): { readonly context: Context; readonly span: SpanContext } | null;
  /** A span's context as headers. */
  inject(context: Context): readonly RecordHeader[];
  /** Those of the headers that `extract` looks at, as they are. */
  carried(headers: readonly RecordHeader[]): readonly RecordHeader[];
}

export function createPropagation(propagators: readonly Propagator[]): Propagation {
  const propagator = new CompositePropagator({ propagators: propagators.map((name) => makers[name]()) });
  const fields = new Set(propagator.fields().map((field) => field.toLowerCase()));
  return {
    extract(headers) {
      const context = propagator.extract(ROOT_CONTEXT, headers, getter);
      const span = trace.getSpanContext(context);
      return span === undefined ? null : { context, span };
    },
    inject(context) {
      const headers: RecordHeader[] = [];
      propagator.inject(context, headers, setter);
      return headers;
    },
    carried: (headers) => headers.filter(({ key }) => fields.has(key.toLowerCase())),
  };
}

/** Names are compared as HTTP does, for that is where most of them come from; of several, the last one holds, as is Kafka's custom. */
const getter: TextMapGetter<readonly RecordHeader[]> = {
  keys: (headers) => headers.map(({ key }) => key),
  get(headers, key) {
    const value = headers.findLast((header) => header.key.length === key.length && header.key.toLowerCase() === key.toLowerCase())?.value;
    return value == null ? undefined : Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString();
  },
};

const setter: TextMapSetter<RecordHeader[]> = {
  set: (headers, key, value) => headers.push({ key, value: Buffer.from(value) }),
};
