/**
 * A receiver of OTLP over HTTP, as a collector is one, that gives what it got as OTLP's JSON form has it, and can be told to
 * refuse or to hang. The protobuf is read by the tables below, which are those of opentelemetry-proto 1.x; where there is a
 * real collector the test holds what both have understood against each other.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';

export interface AnyValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: string;
  readonly doubleValue?: number;
}
export interface KeyValue {
  readonly key: string;
  readonly value: AnyValue;
}
export interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceState?: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: readonly KeyValue[];
  readonly events?: readonly { readonly name: string; readonly timeUnixNano: string; readonly attributes?: readonly KeyValue[] }[];
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status?: { readonly code?: number; readonly message?: string };
}
export interface NumberPoint {
  readonly attributes?: readonly KeyValue[];
  readonly startTimeUnixNano: string;
  readonly timeUnixNano: string;
  readonly asDouble: number;
}
export interface HistogramPoint extends Omit<NumberPoint, 'asDouble'> {
  readonly count: string;
  readonly sum: number;
  readonly bucketCounts: readonly string[];
  readonly explicitBounds: readonly number[];
}
export interface OtlpMetric {
  readonly name: string;
  readonly description?: string;
  readonly unit?: string;
  readonly gauge?: { readonly dataPoints: readonly NumberPoint[] };
  readonly sum?: { readonly dataPoints: readonly NumberPoint[]; readonly aggregationTemporality: number; readonly isMonotonic: boolean };
  readonly histogram?: { readonly dataPoints: readonly HistogramPoint[]; readonly aggregationTemporality: number };
}
export interface TraceRequest {
  readonly resourceSpans: readonly { readonly resource: { readonly attributes: readonly KeyValue[] }; readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[] }[];
}
export interface MetricRequest {
  readonly resourceMetrics: readonly { readonly resource: { readonly attributes: readonly KeyValue[] }; readonly scopeMetrics: readonly { readonly metrics: readonly OtlpMetric[] }[] }[];
}

type Kind = 'string' | 'hex' | 'bool' | 'int64' | 'enum' | 'uint32' | 'fixed64' | 'fixed32' | 'double' | Shape;
type Shape = Readonly<Record<number, readonly [name: string, kind: Kind, repeated?: 'many']>>;

const anyValue: Shape = { 1: ['stringValue', 'string'], 2: ['boolValue', 'bool'], 3: ['intValue', 'int64'], 4: ['doubleValue', 'double'] };
const keyValue: Shape = { 1: ['key', 'string'], 2: ['value', anyValue] };
const attributes = (number: number): Shape => ({ [number]: ['attributes', keyValue, 'many'] });
const dropped = (number: number): Shape => ({ [number]: ['droppedAttributesCount', 'uint32'] });
const resource: Shape = { ...attributes(1), ...dropped(2) };
const scope: Shape = { 1: ['name', 'string'], 2: ['version', 'string'], ...attributes(3), ...dropped(4) };
const event: Shape = { 1: ['timeUnixNano', 'fixed64'], 2: ['name', 'string'], ...attributes(3), ...dropped(4) };
const link: Shape = { 1: ['traceId', 'hex'], 2: ['spanId', 'hex'], 3: ['traceState', 'string'], ...attributes(4), ...dropped(5), 6: ['flags', 'fixed32'] };
const status: Shape = { 2: ['message', 'string'], 3: ['code', 'enum'] };
const span: Shape = {
  1: ['traceId', 'hex'], 2: ['spanId', 'hex'], 3: ['traceState', 'string'], 4: ['parentSpanId', 'hex'], 5: ['name', 'string'], 6: ['kind', 'enum'],
  7: ['startTimeUnixNano', 'fixed64'], 8: ['endTimeUnixNano', 'fixed64'], ...attributes(9), ...dropped(10),
  11: ['events', event, 'many'], 12: ['droppedEventsCount', 'uint32'], 13: ['links', link, 'many'], 14: ['droppedLinksCount', 'uint32'], 15: ['status', status], 16: ['flags', 'fixed32'],
};
const traceRequest: Shape = { 1: ['resourceSpans', { 1: ['resource', resource], 2: ['scopeSpans', { 1: ['scope', scope], 2: ['spans', span, 'many'], 3: ['schemaUrl', 'string'] }, 'many'], 3: ['schemaUrl', 'string'] }, 'many'] };

const times = { 2: ['startTimeUnixNano', 'fixed64'], 3: ['timeUnixNano', 'fixed64'] } as const;
const numberPoint: Shape = { ...times, 4: ['asDouble', 'double'], 6: ['asInt', 'fixed64'], ...attributes(7), 8: ['flags', 'uint32'] };
const histogramPoint: Shape = { ...times, 4: ['count', 'fixed64'], 5: ['sum', 'double'], 6: ['bucketCounts', 'fixed64', 'many'], 7: ['explicitBounds', 'double', 'many'], ...attributes(9), 10: ['flags', 'uint32'] };
const metric: Shape = {
  1: ['name', 'string'], 2: ['description', 'string'], 3: ['unit', 'string'], 5: ['gauge', { 1: ['dataPoints', numberPoint, 'many'] }],
  7: ['sum', { 1: ['dataPoints', numberPoint, 'many'], 2: ['aggregationTemporality', 'enum'], 3: ['isMonotonic', 'bool'] }],
  9: ['histogram', { 1: ['dataPoints', histogramPoint, 'many'], 2: ['aggregationTemporality', 'enum'] }],
};
const metricRequest: Shape = { 1: ['resourceMetrics', { 1: ['resource', resource], 2: ['scopeMetrics', { 1: ['scope', scope], 2: ['metrics', metric, 'many'], 3: ['schemaUrl', 'string'] }, 'many'], 3: ['schemaUrl', 'string'] }, 'many'] };

/** Throws where a field is not in the tables: nothing is skipped unseen. */
function readMessage(bytes: Buffer, shape: Shape): Record<string, unknown> {
  const message: Record<string, unknown> = {};
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const scalar = (kind: Exclude<Kind, Shape | 'string' | 'hex'>): unknown => {
    switch (kind) {
      case 'bool': return varint() !== 0n;
      case 'int64': return BigInt.asIntN(64, varint()).toString();
      case 'enum':
      case 'uint32': return Number(varint());
      case 'fixed64': return bytes.readBigUInt64LE((at += 8) - 8).toString();
      case 'fixed32': return bytes.readUInt32LE((at += 4) - 4);
      case 'double': return bytes.readDoubleLE((at += 8) - 8);
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const field = shape[tag >> 3];
    if (field === undefined) throw new Error(`field ${tag >> 3} is not in the tables, beside ${Object.values(shape).map(([name]) => name).join(', ')}`);
    const [name, kind, repeated] = field;
    const values: unknown[] = [];
    if ((tag & 7) === 2) {
      const length = Number(varint());
      const end = at + length;
      const body = bytes.subarray(at, end);
      if (typeof kind === 'object') values.push(readMessage(body, kind));
      else if (kind === 'string') values.push(body.toString());
      else if (kind === 'hex') values.push(body.toString('hex'));
      else while (at < end) values.push(scalar(kind));
      at = end;
    } else {
      values.push(scalar(kind as 'bool'));
    }
    if (repeated === 'many') ((message[name] ??= []) as unknown[]).push(...values);
    else message[name] = values.at(-1);
  }
  return message;
}

export class OtlpReceiver {
  readonly traces: TraceRequest[] = [];
  readonly metrics: MetricRequest[] = [];
  /** Everything as it came, for a real collector. */
  readonly bodies: { readonly path: string; readonly body: Buffer }[] = [];
  behaviour: 'takes' | 'refuses' | 'hangs' = 'takes';
  requests = 0;
  failure: unknown;
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch((error: unknown) => {
      this.failure = error;
      response.writeHead(500).end();
    });
  });

  static async start(): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver();
    receiver.#server.listen(0, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  get spans(): OtlpSpan[] {
    return this.traces.flatMap(({ resourceSpans }) => resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    this.requests++;
    if (this.behaviour === 'hangs') return;
    if (this.behaviour === 'refuses') {
      response.writeHead(400).end();
      return;
    }
    if (request.headers['content-type'] !== 'application/x-protobuf') throw new Error(`content-type ${request.headers['content-type']}`);
    const path = request.url ?? '';
    if (path === '/v1/traces') this.traces.push(readMessage(body, traceRequest) as unknown as TraceRequest);
    else if (path === '/v1/metrics') this.metrics.push(readMessage(body, metricRequest) as unknown as MetricRequest);
    else throw new Error(`path ${path}`);
    this.bodies.push({ path, body });
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}

/** An attribute as a plain value. */
export function attribute(of: { readonly attributes?: readonly KeyValue[] }, key: string): string | number | boolean | undefined {
  const value = of.attributes?.find((one) => one.key === key)?.value;
  if (value?.intValue !== undefined) return Number(value.intValue);
  return value?.stringValue ?? value?.doubleValue ?? value?.boolValue;
}
