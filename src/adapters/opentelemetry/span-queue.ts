/**
 * What stands between a span that ends and the collector: a bounded queue, so that a collector that is away or slow costs
 * spans and nothing else. The SDK's own processor has a bound too, and drops in silence; this one counts.
 */
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace';
import type { ReadableSpan, SpanExporter, SpanProcessor } from '@opentelemetry/sdk-trace';
import { ExportResultCode } from '@opentelemetry/core';
import type { TraceSettings } from '../../config-telemetry.ts';
import type { Log } from '../../ports.ts';

/** `dropped`: the queue was full. `failed`: the collector did not take them, or did not answer in time. */
export type SpanOutcome = 'exported' | 'dropped' | 'failed';

export function createSpanQueue(options: {
  readonly exporter: SpanExporter;
  readonly limits: Pick<TraceSettings, 'queueSpansMax' | 'exportSpansMax' | 'exportDelayMs' | 'exportTimeoutMs'>;
  readonly onSpans: (outcome: SpanOutcome, count: number) => void;
  readonly log: Log;
}): SpanProcessor {
  const { exporter, limits, onSpans, log } = options;
  /** In the queue, or on their way. */
  let waiting = 0;
  let hasDropped = false;
  let isFailing = false;

  const counting: SpanExporter = {
    export(spans, done) {
      exporter.export(spans, (result) => {
        waiting -= spans.length;
        const hasWorked = result.code === ExportResultCode.SUCCESS;
        onSpans(hasWorked ? 'exported' : 'failed', spans.length);
        if (!hasWorked && !isFailing) {
          log.warn({ error: result.error?.message }, 'The collector does not take traces: spans are lost until it does');
        } else if (hasWorked && isFailing) {
          log.info({}, 'The collector takes traces again');
        }
        isFailing = !hasWorked;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
  };
  const inner = new BatchSpanProcessor({
    exporter: counting,
    maxQueueSize: limits.queueSpansMax,
    maxExportBatchSize: limits.exportSpansMax,
    scheduledDelayMillis: limits.exportDelayMs,
    exportTimeoutMillis: limits.exportTimeoutMs,
  });

  return {
    onStart: (span, context) => inner.onStart(span, context),
    onEnd(span: ReadableSpan) {
      // Never more than the inner queue holds, so that it drops none that was not counted.
      if (waiting >= limits.queueSpansMax) {
        onSpans('dropped', 1);
        if (!hasDropped) log.warn({ queue: limits.queueSpansMax }, 'Spans are dropped: sample fewer, or raise OTEL_BSP_MAX_QUEUE_SIZE. This is said once; settlefleet_spans_total counts');
        hasDropped = true;
        return;
      }
      waiting++;
      inner.onEnd(span);
    },
    forceFlush: () => inner.forceFlush(),
    shutdown: () => inner.shutdown(),
  };
}
