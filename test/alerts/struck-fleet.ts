/** A real fleet with parts of its own that may be struck, and a real Prometheus that evaluates the (scaled) rules over it. */
import kafka from '@confluentinc/kafka-javascript';
import { chooseFreePort } from '../../scripts/dev/stack/ports.ts';
import { Bench } from '../integration/harness/bench.ts';
import { call } from '../integration/harness/kafka.ts';
import { buildMessage } from '../integration/harness/message.ts';
import type { Service } from '../integration/harness/processes.ts';
import { createTraffic } from '../integration/harness/traffic.ts';
import { apiKeys, clientIdOf, startFrameProxy } from '../late-endtxn/frame-proxy.ts';
import type { FrameProxy } from '../late-endtxn/frame-proxy.ts';
import { startKafka, startPrometheus, startRedis } from '../stack.ts';
import type { OwnKafka, OwnPrometheus, OwnRedis } from '../stack.ts';
import { until } from '../until.ts';
import { scaledRules } from './scaled-rules.ts';

export const partitions = 4;

export interface StruckFleetOptions {
  /** A broker of its own, that may be frozen, and that the first worker reaches through a proxy; else the shared stack's. */
  readonly ownKafka?: boolean;
  readonly clickhouseUrl?: string;
  readonly workers: number;
  readonly sink: boolean;
}

export class StruckFleet {
  readonly bench: Bench;
  readonly redis: OwnRedis;
  readonly kafka: OwnKafka | undefined;
  readonly prometheus: OwnPrometheus;
  /** Before the broker of its own, for the first worker. */
  readonly #proxy: FrameProxy | undefined;
  readonly #ports: readonly number[];
  readonly #sinkPort: number;
  readonly #traffic = createTraffic({ seed: 77, partitions });
  workers: Service[] = [];
  sink: Service | undefined;
  #sending = new AbortController();
  #asked: { readonly at: number; readonly names: Promise<ReadonlySet<string>> } | undefined;

  private constructor(parts: { bench: Bench; redis: OwnRedis; kafka: OwnKafka | undefined; proxy: FrameProxy | undefined; prometheus: OwnPrometheus; ports: readonly number[]; sinkPort: number }) {
    this.bench = parts.bench;
    this.redis = parts.redis;
    this.kafka = parts.kafka;
    this.prometheus = parts.prometheus;
    this.#proxy = parts.proxy;
    this.#ports = parts.ports;
    this.#sinkPort = parts.sinkPort;
  }

  static async start(options: StruckFleetOptions): Promise<StruckFleet> {
    const [redis, ownKafka] = await Promise.all([startRedis(), options.ownKafka === true ? startKafka() : undefined]);
    const traffic = createTraffic({ seed: 77, partitions });
    const bench = await Bench.create('alerts', {
      partitions,
      participants: traffic.participants,
      ...(ownKafka === undefined ? {} : { brokers: ownKafka.brokers }),
      environment: { REDIS_URL: redis.url, ...(options.clickhouseUrl === undefined ? {} : { CLICKHOUSE_URL: options.clickhouseUrl }) },
    });
    const ports: number[] = [];
    for (let i = 0; i <= options.workers; i++) ports.push(await chooseFreePort({ taken: new Set(ports) }));
    const sinkPort = ports.pop()!;
    const targets = [...ports, ...(options.sink ? [sinkPort] : [])].map((port) => `127.0.0.1:${port}`);
    const prometheus = await startPrometheus({ targets, rules: scaledRules() });
    const proxy = ownKafka === undefined ? undefined : await startFrameProxy(ownKafka.brokers);
    const fleet = new StruckFleet({ bench, redis, kafka: ownKafka, proxy, prometheus, ports, sinkPort });
    await fleet.startWorkers();
    if (options.sink) await fleet.startSink();
    // What rose before the first scrape is no increase to Prometheus.
    await until('Prometheus scrapes the fleet', async () => (await fleet.#scraped()) === targets.length, 30_000);
    return fleet;
  }

  /** On the ports that Prometheus knows, so that a worker that is started again is the same instance. */
  async startWorkers(ready = true): Promise<void> {
    await Promise.all(this.#ports.map((_, index) => this.startWorker(index)));
    if (ready) await Promise.all(this.workers.map((worker) => worker.ready(60_000)));
  }

  async startWorker(index: number): Promise<void> {
    this.workers[index] = await this.bench.startWorker({
      METRICS_PORT: String(this.#ports[index]),
      WORKER_ID: this.#workerId(index),
      ...(index === 0 && this.#proxy !== undefined ? { KAFKA_BROKERS: this.#proxy.brokers } : {}),
    });
  }

  #workerId(index: number): string {
    return `${this.bench.group}-${index}`;
  }

  async startSink(): Promise<void> {
    this.sink = await this.bench.startSink({ METRICS_PORT: String(this.#sinkPort) });
    await this.sink.ready(60_000);
  }

  async endWorkers(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }

  // ── Traffic ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async send(count: number, sending: { createdAt?: number } = {}): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => {
      const next = this.#traffic.next();
      return this.bench.send(next.message, { ...next.sending, ...sending });
    }));
  }

  /** Payments at a steady pace until `stopSending`; what Kafka does not take is left. */
  keepSending(eachSecond: number): void {
    this.#sending = new AbortController();
    const timer = setInterval(() => void this.send(Math.ceil(eachSecond / 10)).catch(() => undefined), 100);
    this.#sending.signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  stopSending(): void {
    this.#sending.abort();
  }

  async sendGarbage(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.bench.sendValue(Buffer.from(`not framed ${i}`), { key: 'COBADEFFXXX' });
  }

  /** Payments that the sender made a while ago. */
  async sendLate(count: number, byMs: number): Promise<void> {
    await this.send(count, { createdAt: Date.now() - byMs });
  }

  /** An event that fits the traffic, as bytes. */
  anEvent(): Buffer {
    const { message, sending } = this.#traffic.next();
    return this.bench.encode(buildMessage(message), { ...sending, eventId: 'e', createdAt: Date.now() });
  }

  // ── What a network may do ──────────────────────────────────────────────────────────────────────────────────────────

  /** The first worker stays in the group and gets no records any more: a connection that is half dead. */
  withholdRecords(): void {
    this.#proxy!.withholdAnswers(({ apiKey, frame }) => apiKey === apiKeys.fetch && clientIdOf(frame) === this.#workerId(0));
  }

  letRecordsPass(): void {
    this.#proxy!.letAnswersPass();
  }

  // ── What a person may do to Kafka ──────────────────────────────────────────────────────────────────────────────────

  /** Deletes the records of an inbound partition below an offset. */
  async deleteRecords(partition: number, offset: number): Promise<void> {
    const admin = kafka.AdminClient.create({ 'bootstrap.servers': this.bench.brokers });
    type Deleter = { deleteRecords(places: object[], options: object, done: (error: never, value: unknown) => void): void };
    await call((done) => (admin as unknown as Deleter).deleteRecords([{ topic: this.bench.topic('inbound'), partition, offset }], { timeout: 10_000 }, done));
    admin.disconnect();
  }

  /** Moves the group's committed offset of an inbound partition by so many; nobody must be in the group. */
  async moveOffset(partition: number, by: number): Promise<void> {
    const consumer = new kafka.KafkaConsumer({ 'bootstrap.servers': this.bench.brokers, 'group.id': this.bench.group, 'enable.auto.commit': false }, {});
    await call((done) => consumer.connect({ timeout: 10_000 }, done as never));
    const place = { topic: this.bench.topic('inbound'), partition };
    const [committed] = await call<{ offset: number }[]>((done) => consumer.committed([place], 10_000, done as never));
    consumer.commitSync({ ...place, offset: committed!.offset + by });
    await call((done) => consumer.disconnect(done as never));
  }

  // ── Alerts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #scraped(): Promise<number> {
    const answer = await fetch(`${this.prometheus.url}/api/v1/query?query=sum(up)`, { signal: AbortSignal.timeout(5_000) });
    const { data } = (await answer.json()) as { data: { result: { value: [number, string] }[] } };
    return Number(data.result[0]?.value[1] ?? 0);
  }

  /** No older than a quarter of a second. */
  firing(): Promise<ReadonlySet<string>> {
    const now = performance.now();
    if (this.#asked === undefined || now - this.#asked.at > 250) this.#asked = { at: now, names: this.#askFiring() };
    return this.#asked.names;
  }

  async #askFiring(): Promise<ReadonlySet<string>> {
    const answer = await fetch(`${this.prometheus.url}/api/v1/alerts`, { signal: AbortSignal.timeout(5_000) });
    const { data } = (await answer.json()) as { data: { alerts: { state: string; labels: { alertname: string } }[] } };
    return new Set(data.alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels.alertname));
  }

  /** Waits until each of these has fired, be it not all at a time; gives those that did. */
  async firedOf(names: readonly string[], boundMs: number): Promise<ReadonlySet<string>> {
    const fired = new Set<string>();
    await until(`the alerts ${names.join(', ')}`, async () => {
      for (const name of await this.firing()) if (names.includes(name)) fired.add(name);
      return fired.size === names.length;
    }, boundMs).catch(() => undefined);
    return fired;
  }

  /** The same, and throws when one did not. */
  async fired(names: readonly string[], boundMs: number): Promise<void> {
    const fired = await this.firedOf(names, boundMs);
    const missing = names.filter((name) => !fired.has(name));
    if (missing.length > 0) throw new Error(`Not fired within ${boundMs} ms: ${missing.join(', ')}`);
  }

  async quiet(names: readonly string[] | 'all', boundMs: number): Promise<void> {
    await until('alerts to end', async () => {
      const firing = await this.firing();
      return names === 'all' ? firing.size === 0 : names.every((name) => !firing.has(name));
    }, boundMs);
  }

  async close(): Promise<void> {
    this.stopSending();
    await this.bench.close();
    await this.#proxy?.close();
    await Promise.all([this.prometheus.remove(), this.redis.remove(), this.kafka?.remove()]);
  }
}
