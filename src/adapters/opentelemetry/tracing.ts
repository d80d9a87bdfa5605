/**
 * Traces by OpenTelemetry. An event that came with a context goes on in its own trace: one span from when the worker got it
 * to the commit that holds its result, and the result carries the context on. A batch has a trace of its own, with a span
 * for each stage and links to the events in it.
 *
 *     producer's trace   send ──▶ settle payments.inbound ──(header)──▶ whoever reads the result
 *                                        ▲ link
 *     batch's trace      process payments.inbound ─┬─ consume, decode, lane, route, dedupe, settle, epoch, commit
 *
 * Spans end when their Kafka transaction has committed, and only then are they given to the queue: what was thrown away with
 * its epoch is in no trace, and the next owner's attempt is the one that shows. The batch's spans are made from the marks of
 * its journey after the fact, so nothing is measured for them on the way.
 *
 * Source of the names: OpenTelemetry semantic conventions, "Messaging spans" and "Kafka".
 */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Attributes, Link, Span, Tracer } from '@opentelemetry/api';
import { AlwaysOffSampler, AlwaysOnSampler, ParentBasedSampler, TraceIdRatioBasedSampler, TracerProvider } from '@opentelemetry/sdk-trace';
import type { Sampler as SdkSampler, SpanExporter } from '@opentelemetry/sdk-trace';
import type { RecordBatch, RecordHeader } from '../../codec/record-batch.ts';
import { eventPlace, headersByEvent } from '../../codec/routed.ts';
import type { TraceSettings } from '../../config-telemetry.ts';
import type { DeadLetterCode } from '../../domain/codes.ts';
import type { Decision, EventHeader } from '../../domain/transfer.ts';
import type { Journey } from '../../journey.ts';
import type { BatchTrace, CommittedReport, Log, Tracing } from '../../ports.ts';
import { createPropagation } from './propagation.ts';
import type { Propagation } from './propagation.ts';
import { resourceOf } from './resource.ts';
import type { Teller } from './resource.ts';
import { createSpanQueue } from './span-queue.ts';
import type { SpanOutcome } from './span-queue.ts';

/** The SDK's own limits, said here because the code counts on them. */
const linksMax = 128;
const eventsMax = 128;
/** Nobody needs more of an event id, which is for the producer to choose. */
const attributeCharactersMax = 256;
const closeDeadlineMs = 2_000;

export interface TracingOptions {
  readonly settings: TraceSettings;
  readonly teller: Teller;
  readonly consumerGroup: string;
  readonly routedTopic: string;
  readonly onSpans: (outcome: SpanOutcome, count: number) => void;
  readonly log: Log;
  /** Left out: OTLP over HTTP, to where OTEL_EXPORTER_OTLP_* says. */
  readonly exporter?: SpanExporter;
}

/** Gives what is left to the collector, for two seconds at most. */
export interface ClosableTracing extends Tracing {
  close(): Promise<void>;
}

export async function createTracing(options: TracingOptions): Promise<ClosableTracing> {
  const provider = await createTracerProvider(options);
  const shared: Shared = {
    tracer: provider.getTracer('settlefleet', options.teller.version),
    propagation: createPropagation(options.settings.propagators),
    routedTopic: options.routedTopic,
    attributes: {
      'messaging.system': 'kafka',
      'messaging.consumer.group.name': options.consumerGroup,
      'messaging.client.id': options.teller.workerId,
    },
  };
  return {
    begin: (records, arrivedAt) => new TracedBatch(records, arrivedAt, shared),
    committed(report) {
      for (const journey of report.journeys) {
        if (journey.trace instanceof TracedBatch) journey.trace.end(journey, report);
      }
    },
    close: () => closeWithin(provider, closeDeadlineMs),
  };
}

/** Also for those who trace without a batch. */
export async function createTracerProvider({ settings, teller, onSpans, log, exporter }: Pick<TracingOptions, 'settings' | 'teller' | 'onSpans' | 'log' | 'exporter'>): Promise<TracerProvider> {
  const otlp = async (): Promise<SpanExporter> => new (await import('@opentelemetry/exporter-trace-otlp-proto')).OTLPTraceExporter();
  return new TracerProvider({
    resource: resourceOf(teller),
    sampler: samplerOf(settings),
    spanLimits: { linkCountLimit: linksMax, eventCountLimit: eventsMax, attributeValueLengthLimit: attributeCharactersMax },
    spanProcessors: [createSpanQueue({ exporter: exporter ?? (await otlp()), limits: settings, onSpans, log })],
  });
}

/** A collector that is away must not hold up a process that ends. */
export async function closeWithin(provider: { shutdown(): Promise<void> }, deadlineMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, deadlineMs);
  });
  // What could not be sent was counted where it failed.
  await Promise.race([provider.shutdown().catch(() => undefined), deadline]);
  clearTimeout(timer);
}

function samplerOf({ sampler, ratio }: TraceSettings): SdkSampler {
  switch (sampler) {
    case 'always_on':
      return new AlwaysOnSampler();
    case 'always_off':
      return new AlwaysOffSampler();
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(ratio);
    case 'parentbased_always_on':
      return new ParentBasedSampler({ root: new AlwaysOnSampler() });
    case 'parentbased_always_off':
      return new ParentBasedSampler({ root: new AlwaysOffSampler() });
    case 'parentbased_traceidratio':
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) });
  }
}

interface Shared {
  readonly tracer: Tracer;
  readonly propagation: Propagation;
  readonly routedTopic: string;
  readonly attributes: Attributes;
}

/** An event that came with a context. */
interface TracedEvent {
  /** Null: its trace is not recorded, and its headers go on as they came. */
  readonly span: Span | null;
  readonly origin: Link;
  readonly headers: readonly RecordHeader[];
}

class TracedBatch implements BatchTrace {
  readonly #records: RecordBatch;
  readonly #arrivedAt: number;
  readonly #shared: Shared;
  readonly #isRouted: boolean;
  /** By row, or by the event's place where it came from another lane; null: it came without a context. */
  readonly #events = new Map<number | string, TracedEvent | null>();
  readonly #carried = new Map<number, ReadonlyMap<string, readonly RecordHeader[]>>();
  #transfers = 0;

  constructor(records: RecordBatch, arrivedAt: number, shared: Shared) {
    this.#records = records;
    this.#arrivedAt = arrivedAt;
    this.#shared = shared;
    this.#isRouted = records.topic === shared.routedTopic;
  }

  result(row: number, event: EventHeader, transactionIndex: number, decision: Decision): readonly RecordHeader[] | undefined {
    const traced = this.#find(row, event);
    if (traced === null) return undefined;
    traced.span?.addEvent('result', {
      'settlefleet.transaction.index': transactionIndex,
      'settlefleet.status': decision.status,
      ...(decision.reasonCode === null ? {} : { 'settlefleet.reason_code': decision.reasonCode }),
    });
    return traced.headers;
  }

  deadLetter(row: number, code: DeadLetterCode): void {
    const span = this.#find(row, null)?.span;
    span?.setStatus({ code: SpanStatusCode.ERROR, message: 'dead letter' });
    span?.setAttribute('error.type', code);
  }

  handOver(row: number, event: EventHeader): readonly RecordHeader[] | undefined {
    const traced = this.#find(row, event);
    traced?.span?.addEvent('handed over');
    return traced?.headers;
  }

  /** Everything of it is committed. */
  end(journey: Journey, report: CommittedReport): void {
    // The journey's marks are of a clock that never goes back; spans want the time of day.
    const endedAt = report.sealedAt + report.seconds * 1_000;
    const timeOfDay = (mark: number): Date => new Date(report.committedAt - (endedAt - mark));
    const batch = this.#endBatch(journey, report, timeOfDay);
    for (const traced of this.#events.values()) {
      if (traced?.span == null) continue;
      if (batch !== null) traced.span.addLink({ context: batch.spanContext() });
      traced.span.end(timeOfDay(endedAt));
    }
  }

  #endBatch(journey: Journey, report: CommittedReport, timeOfDay: (mark: number) => Date): Span | null {
    // Credits from other lanes, which belong to no event any more.
    if (this.#isRouted && this.#transfers === 0) return null;
    const { tracer, attributes } = this.#shared;
    const { topic, partition, offsets, count } = this.#records;
    const links = Array.from(this.#events.values()).flatMap((traced) => (traced?.span == null ? [] : [traced.origin]));
    const span = tracer.startSpan(`process ${topic}`, {
      kind: SpanKind.CONSUMER,
      root: true,
      startTime: timeOfDay(journey.takenAt - journey.takeOverMs),
      links: links.slice(0, linksMax),
      attributes: {
        ...attributes,
        'messaging.operation.name': 'process',
        'messaging.operation.type': 'process',
        'messaging.destination.name': topic,
        'messaging.destination.partition.id': String(partition),
        'messaging.batch.message_count': count,
        'messaging.kafka.offset': offsets[0]!,
        'settlefleet.results': journey.results,
      },
    });
    if (!span.isRecording()) return null;
    const within = trace.setSpan(ROOT_CONTEXT, span);
    const marks: readonly (readonly [stage: string, from: number, to: number])[] = [
      ['consume', journey.takenAt - journey.takeOverMs, journey.takenAt],
      ['decode', journey.takenAt, journey.decodedAt],
      ['lane', journey.decodedAt, journey.begunAt],
      ['route', journey.begunAt, journey.routedAt],
      ['dedupe', journey.routedAt, journey.claimedAt],
      ['settle', journey.claimedAt, journey.settledAt],
      ['epoch', journey.settledAt, report.sealedAt],
      ['commit', report.sealedAt, report.sealedAt + report.seconds * 1_000],
    ];
    for (const [stage, from, to] of marks) tracer.startSpan(stage, { startTime: timeOfDay(from) }, within).end(timeOfDay(to));
    span.end(timeOfDay(report.sealedAt + report.seconds * 1_000));
    return span;
  }

  #find(row: number, event: EventHeader | null): TracedEvent | null {
    if (this.#isRouted) this.#transfers++;
    // What most records have, where producers do not trace.
    if (this.#records.headers[row] === null) return null;
    const name = this.#isRouted && event !== null ? eventPlace(event) : row;
    let traced = this.#events.get(name);
    if (traced === undefined) this.#events.set(name, (traced = this.#begin(row, name, event)));
    return traced;
  }

  #begin(row: number, name: number | string, event: EventHeader | null): TracedEvent | null {
    const { propagation, tracer, attributes } = this.#shared;
    const headers = this.#headersOf(row, name);
    const found = headers === null ? null : propagation.extract(headers);
    if (headers === null || found === null) return null;
    const { topic, partition, offsets, valueLength } = this.#records;
    const span = tracer.startSpan(
      `settle ${topic}`,
      {
        kind: SpanKind.CONSUMER,
        startTime: this.#arrivedAt,
        attributes: {
          ...attributes,
          'messaging.operation.name': 'settle',
          'messaging.operation.type': 'process',
          'messaging.destination.name': topic,
          'messaging.destination.partition.id': String(partition),
          'messaging.kafka.offset': offsets[row]!,
          ...(this.#isRouted ? {} : { 'messaging.message.body.size': valueLength[row]! }),
          // A dead letter says nothing that could be relied on.
          ...(event === null ? {} : { 'messaging.message.id': event.eventId, 'settlefleet.message_type': event.messageType, 'settlefleet.source': event.source }),
        },
      },
      found.context,
    );
    const origin = { context: found.span };
    if (!span.isRecording()) return { span: null, origin, headers: propagation.carried(headers) };
    return { span, origin, headers: propagation.inject(trace.setSpan(found.context, span)) };
  }

  #headersOf(row: number, name: number | string): readonly RecordHeader[] | null {
    const headers = this.#records.headers[row] ?? null;
    if (headers === null || typeof name === 'number') return headers;
    let byEvent = this.#carried.get(row);
    if (byEvent === undefined) this.#carried.set(row, (byEvent = headersByEvent(headers)));
    return byEvent.get(name) ?? null;
  }
}
