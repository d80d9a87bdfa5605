/** The producer's end of a trace: a span for each event that is sent, whose context goes with the record. */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { RecordHeader } from '../../codec/record-batch.ts';
import type { TraceSettings } from '../../config-telemetry.ts';
import type { Log } from '../../ports.ts';
import { createPropagation } from './propagation.ts';
import type { Teller } from './resource.ts';
import { closeWithin, createTracerProvider } from './tracing.ts';

/** Whoever runs a command waits for it. */
const closeDeadlineMs = 5_000;

export interface SendTracing {
  begin(eventId: string, bodyBytes: number): Sending;
  /** Sends what is left. */
  close(): Promise<void>;
}

export interface Sending {
  readonly headers: readonly RecordHeader[];
  acknowledged(place: { readonly partition: number; readonly offset: number }): void;
  failed(error: Error): void;
}

export async function createSendTracing(options: { readonly settings: TraceSettings; readonly teller: Teller; readonly topic: string; readonly log: Log }): Promise<SendTracing> {
  const { settings, teller, topic, log } = options;
  const provider = await createTracerProvider({ settings, teller, log, onSpans: () => undefined });
  const tracer = provider.getTracer('settlefleet', teller.version);
  const propagation = createPropagation(settings.propagators);
  return {
    begin(eventId, bodyBytes) {
      const span = tracer.startSpan(`send ${topic}`, {
        kind: SpanKind.PRODUCER,
        root: true,
        attributes: {
          'messaging.system': 'kafka',
          'messaging.operation.name': 'send',
          'messaging.operation.type': 'send',
          'messaging.destination.name': topic,
          'messaging.client.id': teller.workerId,
          'messaging.message.id': eventId,
          'messaging.message.body.size': bodyBytes,
        },
      });
      return {
        headers: propagation.inject(trace.setSpan(ROOT_CONTEXT, span)),
        acknowledged({ partition, offset }) {
          span.setAttributes({ 'messaging.destination.partition.id': String(partition), 'messaging.kafka.offset': offset });
          span.end();
        },
        failed(error) {
          span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
          span.setAttribute('error.type', error.name);
          span.end();
        },
      };
    },
    close: () => closeWithin(provider, closeDeadlineMs),
  };
}
