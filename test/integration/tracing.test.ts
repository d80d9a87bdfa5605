/**
 * Traces go through the fleet, from the headers of an event to those of its result, and spans and metrics arrive where they
 * are sent; a collector that is away costs neither a payment nor its time (docs/tracing.md). What is received is read by our own
 * receiver, and by a real collector where there is one.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../until.ts';
import { Bench, headerText } from './harness/bench.ts';
import type { Sent } from './harness/bench.ts';
import { message, participant, transaction } from './harness/directory.ts';
import { readTopics } from './harness/kafka.ts';
import type { Header, Received } from './harness/kafka.ts';
import { buildMessage } from './harness/message.ts';
import { owningPartition } from './harness/murmur2.ts';
import { attribute, OtlpReceiver } from './harness/otlp.ts';
import type { MetricRequest, OtlpMetric, OtlpSpan, TraceRequest } from './harness/otlp.ts';
import { runCommand } from './harness/processes.ts';
import type { Service } from './harness/processes.ts';

const participants = [participant('COBADEFFXXX'), participant('DEUTDEFFXXX')];
const consumerKind = 5;
const internalKind = 1;
let bench: Bench;
let receiver: OtlpReceiver;
let worker: Service;

const header = (key: string, value: string): Header => ({ key, value: Buffer.from(value) });
/** A producer's context: the ids that its own span would have. */
const context = (): { traceId: string; spanId: string } => ({ traceId: randomBytes(16).toString('hex'), spanId: randomBytes(8).toString('hex') });
const traceparent = ({ traceId, spanId }: { traceId: string; spanId: string }, flags = '01'): Header => header('traceparent', `00-${traceId}-${spanId}-${flags}`);
const one = (): ReturnType<typeof message> => message(transaction({ amount: '0.01' }));

beforeAll(async () => {
  receiver = await OtlpReceiver.start();
  bench = await Bench.create('trace', { participants });
  worker = await (await bench.startWorker({
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_PROPAGATORS: 'tracecontext,xray',
    OTEL_BSP_SCHEDULE_DELAY: '50',
    OTEL_METRIC_EXPORT_INTERVAL: '500',
    OTEL_SERVICE_NAME: 'settlement-test',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
    EMF_OUTPUT: bench.folder('emf.json'),
    EMF_INTERVAL_SECONDS: '1',
  })).ready();
});
afterAll(async () => {
  await bench?.close();
  await receiver?.close();
});

/** The result's record, with its headers. */
async function resultRecord(sent: Sent, on = bench): Promise<Received> {
  const { partition, offset } = (await on.outcome(sent))[0]!;
  return (await readTopics(on.brokers, [on.topic('results')])).find((record) => record.partition === partition && record.offset === offset)!;
}

async function spansOf(traceId: string, count: number): Promise<OtlpSpan[]> {
  const found = (): OtlpSpan[] => receiver.spans.filter((span) => span.traceId === traceId);
  await until(`${count} spans of trace ${traceId}`, () => {
    if (receiver.failure !== undefined) throw receiver.failure as Error;
    return found().length >= count;
  }, 10_000);
  return found();
}

describe('the context of an event goes on in its result', () => {
  test('in W3C form: the same trace, with the span that settled it as the parent', async () => {
    const producer = context();
    const sent = await bench.send(message(transaction({ amount: '0.01' }), transaction({ currency: 'XAU' })), { headers: [traceparent(producer), header('tracestate', 'vendor=opaque')] });
    const result = await resultRecord(sent);
    const [span, ...others] = await spansOf(producer.traceId, 1);
    expect(others).toEqual([]);
    expect(headerText(result, 'traceparent')).toBe(`00-${producer.traceId}-${span!.spanId}-01`);
    expect(headerText(result, 'tracestate')).toBe('vendor=opaque');
    expect(span).toMatchObject({ parentSpanId: producer.spanId, name: `settle ${bench.topic('inbound')}`, kind: consumerKind, traceState: 'vendor=opaque' });
    expect(Object.fromEntries(span!.attributes!.map(({ key }) => [key, attribute(span!, key)]))).toEqual({
      'messaging.system': 'kafka',
      'messaging.operation.name': 'settle',
      'messaging.operation.type': 'process',
      'messaging.destination.name': bench.topic('inbound'),
      'messaging.destination.partition.id': String(sent.partition),
      'messaging.kafka.offset': sent.offset,
      'messaging.consumer.group.name': bench.group,
      'messaging.client.id': `${bench.group}-worker-1`,
      'messaging.message.id': sent.eventId,
      'messaging.message.body.size': sent.value!.length,
      'settlefleet.message_type': 'pacs.008.001.08',
      'settlefleet.source': 'integration',
    });
    // One event of the span for each outcome of the message.
    expect(span!.events!.map((event) => [event.name, attribute(event, 'settlefleet.transaction.index'), attribute(event, 'settlefleet.status'), attribute(event, 'settlefleet.reason_code')])).toEqual([
      ['result', 0, 'ACSC', undefined],
      ['result', 1, 'RJCT', 'AM11'],
    ]);
  });

  test('in the form of AWS X-Ray, whatever the case of its name', async () => {
    const producer = context();
    const root = `1-${producer.traceId.slice(0, 8)}-${producer.traceId.slice(8)}`;
    const result = await resultRecord(await bench.send(one(), { headers: [header('X-Amzn-Trace-Id', `Root=${root};Parent=${producer.spanId};Sampled=1`)] }));
    const [span] = await spansOf(producer.traceId, 1);
    expect(span!.parentSpanId).toBe(producer.spanId);
    expect(headerText(result, 'x-amzn-trace-id')).toBe(`Root=${root};Parent=${span!.spanId};Sampled=1`);
    expect(headerText(result, 'traceparent')).toBe(`00-${producer.traceId}-${span!.spanId}-01`);
  });

  test('of a trace that is not recorded: as it came', async () => {
    const producer = context();
    const given = [traceparent(producer, '00'), header('tracestate', 'vendor=opaque'), header('something', 'else')];
    const result = await resultRecord(await bench.send(one(), { headers: given }));
    expect(result.headers.map(({ key, value }) => [key, value?.toString()])).toEqual([
      ['traceparent', `00-${producer.traceId}-${producer.spanId}-00`],
      ['tracestate', 'vendor=opaque'],
    ]);
    expect(receiver.spans.filter(({ traceId }) => traceId === producer.traceId)).toEqual([]);
  });

  test('through two lanes, where the event lay in another partition than its owner\'s', async () => {
    const producer = context();
    const owner = owningPartition('COBADEFFXXX', bench.partitions);
    const elsewhere = (owner + 1) % bench.partitions;
    const result = await resultRecord(await bench.send(one(), { partition: elsewhere, headers: [traceparent(producer)] }));
    expect(result.partition).toBe(owner);
    const spans = await spansOf(producer.traceId, 2);
    const handing = spans.find(({ name }) => name === `settle ${bench.topic('inbound')}`)!;
    const settling = spans.find(({ name }) => name === `settle ${bench.prefix}routed`)!;
    expect(handing.parentSpanId).toBe(producer.spanId);
    expect(handing.events!.map(({ name }) => name)).toEqual(['handed over']);
    expect(settling.parentSpanId).toBe(handing.spanId);
    expect(headerText(result, 'traceparent')).toBe(`00-${producer.traceId}-${settling.spanId}-01`);
  });

  test('in its dead letter, byte for byte, and the span says why it became one', async () => {
    const producer = context();
    const sent = await bench.sendValue(Buffer.from('no frame'), { key: 'COBADEFFXXX', headers: [traceparent(producer)] });
    const letter = await bench.deadLetter(sent);
    expect(headerText(letter, 'traceparent')).toBe(`00-${producer.traceId}-${producer.spanId}-01`);
    const [span] = await spansOf(producer.traceId, 1);
    expect(attribute(span!, 'error.type')).toBe('NOT_FRAMED');
    expect(span!.status?.code).toBe(2);
  });

  test.each<[string, Header[]]>([
    ['that came without one', []],
    ['that is no context', [header('traceparent', '00-zz-1-01')]],
    ['that is all zeros', [traceparent({ traceId: '0'.repeat(32), spanId: '0'.repeat(16) })]],
    ['that is empty', [header('traceparent', '')]],
  ])('but for an event %s: the result has none', async (_what, headers) => {
    expect((await resultRecord(await bench.send(one(), { headers }))).headers).toEqual([]);
  });
});

test('an event that `settlefleet submit` sends is in one trace from there to its result', async () => {
  const file = bench.folder('payment.xml');
  writeFileSync(file, buildMessage(one()));
  await bench.command('schemas', 'register');
  const { stdout, stderr, code } = await runCommand(['submit', file], { ...bench.environment, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${receiver.url}/v1/traces` });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [eventId] = stdout.split(' ');
  await until('its result', () => bench.resultsOf(eventId!).length === 1, 10_000);
  const ofEvent = (): OtlpSpan[] => receiver.spans.filter((span) => attribute(span, 'messaging.message.id') === eventId);
  await until('both spans', () => ofEvent().length === 2, 10_000);
  const sending = ofEvent().find(({ name }) => name === `send ${bench.topic('inbound')}`)!;
  const settling = ofEvent().find(({ name }) => name === `settle ${bench.topic('inbound')}`)!;
  expect(sending.kind).toBe(4);
  expect([settling.traceId, settling.parentSpanId]).toEqual([sending.traceId, sending.spanId]);
  expect([attribute(settling, 'messaging.kafka.offset'), attribute(settling, 'messaging.destination.partition.id')])
    .toEqual([attribute(sending, 'messaging.kafka.offset'), attribute(sending, 'messaging.destination.partition.id')]);
});

test('a batch has a trace of its own, with its stages one after another and links to the events in it', async () => {
  const producers = Array.from({ length: 5 }, context);
  const sent = await Promise.all(producers.map((producer) => bench.send(one(), { headers: [traceparent(producer)] })));
  await bench.answered(sent);
  const linked = (producer: { spanId: string }): OtlpSpan | undefined =>
    receiver.spans.find(({ name, links }) => name === `process ${bench.topic('inbound')}` && links?.some(({ spanId }) => spanId === producer.spanId));
  await until('batches with links to all five', () => producers.every((producer) => linked(producer) !== undefined), 10_000);
  for (const producer of producers) {
    const batch = linked(producer)!;
    expect(batch.links!.find(({ spanId }) => spanId === producer.spanId)!.traceId).toBe(producer.traceId);
    expect(batch.parentSpanId ?? '').toBe('');
    expect(Number(attribute(batch, 'messaging.batch.message_count'))).toBeGreaterThanOrEqual(batch.links!.length);
    const stages = (await spansOf(batch.traceId, 9)).filter(({ parentSpanId }) => parentSpanId === batch.spanId);
    expect(stages.map(({ name }) => name)).toEqual(['consume', 'decode', 'lane', 'route', 'dedupe', 'settle', 'epoch', 'commit']);
    expect(stages.every(({ kind }) => kind === internalKind)).toBe(true);
    // They tile the batch's span: the time is accounted for, to a millisecond's rounding.
    for (const [i, stage] of stages.entries()) {
      expect(Math.abs(nanoseconds(stage.startTimeUnixNano, i === 0 ? batch.startTimeUnixNano : stages[i - 1]!.endTimeUnixNano))).toBeLessThan(1.1e6);
      expect(nanoseconds(stage.endTimeUnixNano, stage.startTimeUnixNano)).toBeGreaterThanOrEqual(0);
    }
    expect(stages.at(-1)!.endTimeUnixNano).toBe(batch.endTimeUnixNano);
    // And from the event's own span one comes to the batch.
    const [settling] = await spansOf(producer.traceId, 1);
    expect(settling!.links!.map(({ spanId }) => spanId)).toEqual([batch.spanId]);
    expect(settling!.endTimeUnixNano).toBe(batch.endTimeUnixNano);
  }
});

const nanoseconds = (a: string, b: string): number => Number(BigInt(a) - BigInt(b));

describe('metrics', () => {
  /** Of the product's own; what the process does changes between two looks. */
  const own = (name: string): boolean => /^settlefleet_(results|dead_letters|dedupe|events_consumed|settled_value|end_to_end|stage|commit|position|dependency|unaccounted|consumer_lag)/.test(name);

  interface Sample { readonly series: string; readonly value: number }
  const seriesName = (name: string, labels: Readonly<Record<string, string>>): string =>
    `${name}{${Object.entries(labels).map(([label, value]) => `${label}="${value}"`).toSorted().join(',')}}`;

  async function scraped(): Promise<Sample[]> {
    const { body } = await worker.get('/metrics');
    return body.split('\n').flatMap((line) => {
      const match = /^([\w:]+)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (match === null || !own(match[1]!)) return [];
      const labels = Object.fromEntries(Array.from((match[2] ?? '').matchAll(/(\w+)="([^"]*)"/g), ([, label, value]) => [label!, value!]));
      return [{ series: seriesName(match[1]!, labels), value: Number(match[3]) }];
    });
  }

  /** The same samples, as Prometheus would have made them of what came by OTLP. */
  function received(request: MetricRequest): Sample[] {
    return metricsOf(request).filter(({ name }) => own(name)).flatMap(({ name, gauge, sum, histogram }) => [
      ...(gauge?.dataPoints ?? sum?.dataPoints ?? []).map((point) => ({ series: seriesName(name, labelsOf(point)), value: point.asDouble })),
      ...(histogram?.dataPoints ?? []).flatMap((point) => {
        const labels = labelsOf(point);
        let below = 0;
        const buckets = point.bucketCounts.map((count, i) => ({ series: seriesName(`${name}_bucket`, { ...labels, le: String(point.explicitBounds[i] ?? '+Inf') }), value: (below += Number(count)) }));
        return [...buckets, { series: seriesName(`${name}_sum`, labels), value: point.sum }, { series: seriesName(`${name}_count`, labels), value: Number(point.count) }];
      }),
    ]);
  }
  const labelsOf = (point: { readonly attributes?: OtlpSpan['attributes'] }): Record<string, string> =>
    Object.fromEntries((point.attributes ?? []).map(({ key, value }) => [key, value.stringValue ?? '']));
  const metricsOf = (request: MetricRequest): OtlpMetric[] => request.resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics));
  const sorted = (samples: readonly Sample[]): Sample[] => samples.toSorted((a, b) => (a.series < b.series ? -1 : 1));

  test('by OTLP are those that Prometheus scrapes, series by series, to the last digit', async () => {
    await bench.atRest();
    let before = await scraped();
    // At rest until the next export but one.
    await until('two scrapes with an export between that say the same', async () => {
      const exports = receiver.metrics.length;
      await until('the next exports', () => receiver.metrics.length >= exports + 2, 5_000);
      const after = await scraped();
      const isSame = JSON.stringify(after) === JSON.stringify(before);
      before = after;
      return isSame;
    }, 15_000);
    const last = receiver.metrics.at(-1)!;
    expect(sorted(received(last))).toEqual(sorted(before));
    expect(before.length).toBeGreaterThan(200);
    const named = new Map(metricsOf(last).map((metric) => [metric.name, metric]));
    expect(named.get('settlefleet_results_total')!.sum).toMatchObject({ aggregationTemporality: 2, isMonotonic: true });
    expect(named.get('settlefleet_end_to_end_seconds')).toMatchObject({ unit: 's', histogram: { aggregationTemporality: 2 } });
    // Nothing that Prometheus has is left out: not what Node says of itself either.
    const { body } = await worker.get('/metrics');
    expect([...named.keys()].toSorted()).toEqual(Array.from(body.matchAll(/^# TYPE (\S+)/gm), ([, name]) => name!).toSorted());
    const resource = Object.fromEntries(last.resourceMetrics[0]!.resource.attributes.map(({ key, value }) => [key, value.stringValue]));
    expect(resource).toMatchObject({ 'service.name': 'settlement-test', 'service.namespace': 'settlefleet', 'service.instance.id': `${bench.group}-worker-1`, 'deployment.environment.name': 'test' });
  });

  test('as embedded metrics add up to those that Prometheus scrapes', async () => {
    const file = bench.folder('emf.json');
    const expected = new Map((await scraped()).map(({ series, value }) => [series, value]));
    const sums = (): Map<string, number> => {
      const found = new Map<string, number>();
      const add = (series: string, value: number): void => void found.set(series, (found.get(series) ?? 0) + value);
      for (const line of readFileSync(file, 'utf8').trim().split('\n')) {
        const document = JSON.parse(line) as { _aws: { Timestamp: number; CloudWatchMetrics: [{ Namespace: string; Dimensions: string[][]; Metrics: { Name: string; Unit: string }[] }] } } & Record<string, unknown>;
        const [{ Namespace, Dimensions, Metrics }] = document._aws.CloudWatchMetrics;
        expect(Namespace).toBe('settlefleet');
        expect(Metrics.length).toBeLessThanOrEqual(100);
        expect(Dimensions).toHaveLength(1);
        const labels = Object.fromEntries(Dimensions[0]!.filter((name) => name !== 'process').map((name) => [name, document[name] as string]));
        expect([document['process'], ...Object.values(labels)].every((value) => typeof value === 'string' && value !== '')).toBe(true);
        for (const { Name, Unit } of Metrics) {
          const value = document[Name] as number | { Values: number[]; Counts: number[]; Count: number; Sum: number };
          const bare = Object.fromEntries(Object.entries(labels).map(([name, text]) => [name, text === 'none' ? '' : text]));
          if (typeof value === 'number') {
            if (Unit === 'Count') add(seriesName(Name, bare), value);
            continue;
          }
          expect(value.Values).toHaveLength(value.Counts.length);
          expect(value.Counts.reduce((a, b) => a + b, 0)).toBe(value.Count);
          add(seriesName(`${Name}_count`, bare), value.Count);
          add(seriesName(`${Name}_sum`, bare), value.Sum);
        }
      }
      return found;
    };
    const compared = [...expected].filter(([series, value]) => /_(total|count|sum)\{/.test(series) && value > 0);
    expect(compared.length).toBeGreaterThan(15);
    let told = new Map<string, number>();
    await until('the file has all of it', () => {
      told = sums();
      return compared.every(([series, value]) => (told.get(series) ?? 0) >= value - 1e-9);
    }, 10_000);
    // What is new in each line adds up: nothing was told twice.
    for (const [series, value] of compared) expect(told.get(series), series).toBeCloseTo(value, 9);
  });
});

const collectorFile = process.env['COLLECTOR'] ?? '';
const hasCollector = collectorFile !== '' && existsSync(collectorFile);

test.skipIf(!hasCollector)(`a real collector understands the same${hasCollector ? '' : ' (skipped: there is none, ./dev collector builds one)'}`, async () => {
  const collector = await Collector.start(collectorFile);
  try {
    const { bodies } = receiver;
    const own = { traces: receiver.traces.slice(), metrics: receiver.metrics.slice() };
    expect(own.traces.length).toBeGreaterThan(5);
    for (const { path, body } of bodies.slice(0, own.traces.length + own.metrics.length)) {
      const answer = await fetch(`${collector.url}${path}`, { method: 'POST', headers: { 'content-type': 'application/x-protobuf' }, body: new Uint8Array(body) });
      expect(answer.status).toBe(200);
    }
    const spansIn = (requests: readonly TraceRequest[]): OtlpSpan[] => requests.flatMap(({ resourceSpans }) => resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))).toSorted((a, b) => (a.spanId < b.spanId ? -1 : 1));
    await until('the collector has written all spans', () => spansIn(collector.read<TraceRequest>('traces')).length >= spansIn(own.traces).length, 10_000);
    expect(spansIn(collector.read<TraceRequest>('traces')).map(plain)).toEqual(spansIn(own.traces).map(plain));
    await until('the collector has written all metrics', () => collector.read<MetricRequest>('metrics').length >= own.metrics.length, 10_000);
    expect(plain(collector.read<MetricRequest>('metrics').slice(0, own.metrics.length))).toEqual(plain(own.metrics));
  } finally {
    await collector.stop();
  }
});

/** JSON leaves out what protobuf leaves out, but not everywhere the same: empty texts, empty lists and zeros go. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]).filter(([key, inner]) => key === 'value' || !(inner === '' || inner === 0 || inner === '0' || (Array.isArray(inner) && inner.length === 0) || (typeof inner === 'object' && inner !== null && Object.keys(inner).length === 0))));
}

class Collector {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly url: string;

  private constructor(child: ChildProcess, folder: string, port: number) {
    this.#child = child;
    this.#folder = folder;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(file: string): Promise<Collector> {
    const folder = mkdtempSync(join(tmpdir(), 'settlefleet-collector-'));
    const port = await freePort();
    const exporter = (name: string): object => ({ path: join(folder, `${name}.jsonl`), flush_interval: '50ms' });
    const pipeline = (name: string): object => ({ receivers: ['otlp'], exporters: [`file/${name}`] });
    // JSON is YAML.
    writeFileSync(join(folder, 'collector.yaml'), JSON.stringify({
      receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
      exporters: { 'file/traces': exporter('traces'), 'file/metrics': exporter('metrics') },
      service: { telemetry: { metrics: { level: 'none' } }, pipelines: { traces: pipeline('traces'), metrics: pipeline('metrics') } },
    }));
    const child = spawn(file, ['--config', join(folder, 'collector.yaml')], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
    await until('the collector answers', async () => {
      if (child.exitCode !== null) throw new Error(`the collector ended: ${said}`);
      return fetch(`http://127.0.0.1:${port}/v1/traces`, { method: 'POST' }).then(() => true, () => false);
    }, 20_000);
    return new Collector(child, folder, port);
  }

  read<T>(name: 'traces' | 'metrics'): T[] {
    const file = join(this.#folder, `${name}.jsonl`);
    if (!existsSync(file)) return [];
    return readFileSync(file, 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line) as T);
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await once(this.#child, 'close');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

// Tells of each module of OpenTelemetry that is loaded; its API comes with prom-client in any case.
const preload = `import { registerHooks } from 'node:module'; registerHooks({ load(url, context, next) { if (/opentelemetry.(?!api.)/.test(url)) process.stderr.write('loaded ' + url + String.fromCharCode(10)); return next(url, context); } });`;
const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(preload)}`;

// Last: it ends the worker.
describe('a collector that is away', () => {
  test.each(['hangs', 'refuses'] as const)('and %s costs spans, and neither payments nor their time, nor an orderly end', async (behaviour) => {
    if (!worker.hasEnded) expect((await worker.terminate()).code).toBe(0);
    receiver.behaviour = behaviour;
    const requests = receiver.requests;
    const away = await (await bench.startWorker({
      NODE_OPTIONS,
      OTEL_TRACES_EXPORTER: 'otlp',
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_METRIC_EXPORT_INTERVAL: '200',
      OTEL_BSP_SCHEDULE_DELAY: '50',
      OTEL_BSP_MAX_QUEUE_SIZE: '16',
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '8',
    })).ready();
    const sent = await Promise.all(Array.from({ length: 300 }, () => bench.send(one(), { headers: [traceparent(context())] })));
    await bench.answered(sent, 15_000);
    await until('spans that were not sent are counted', async () => {
      const spans = await away.metric('settlefleet_spans_total');
      const lost = (spans.get('{outcome="dropped"}') ?? 0) + (spans.get('{outcome="failed"}') ?? 0);
      return lost > 0 && spans.get('{outcome="exported"}') === 0;
    }, 5_000);
    expect(receiver.requests).toBeGreaterThan(requests);
    const ended = await away.terminate(10_000);
    expect(ended.code).toBe(0);
    // What the last test of this file looks for is seen where it is.
    expect(ended.stderr).toContain('loaded ');
    const said = ended.stderr.split('\n').filter((line) => /collector|Spans are dropped/.test(line));
    // Once for each thing that is amiss: spans refused, spans dropped, metrics refused.
    expect(new Set(said.map((line) => (JSON.parse(line) as { msg: string }).msg)).size).toBe(said.length);
    expect(said.length).toBeGreaterThan(0);
  });
});

test('a worker that nobody asked to trace loads nothing for it, and its results carry nothing', async () => {
  const plainWorker = await (await bench.startWorker({ NODE_OPTIONS, OTEL_SERVICE_NAME: 'not enough', OTEL_TRACES_SAMPLER: 'always_on' })).ready();
  const result = await resultRecord(await bench.send(one(), { headers: [traceparent(context())] }));
  expect(result.headers).toEqual([]);
  expect((await plainWorker.terminate()).stderr).not.toContain('loaded ');
});
