/**
 * Three times what the fleet can do, for a while, and what must hold meanwhile and afterwards: it goes on at the speed that it
 * has, in bounded memory, ready, without losing its place in the group; the backlog is worked off; and new payments are then as
 * quick as before. What was told is looked at event by event, and by `settlefleet verify`.
 *
 *     warm ─▶ alone ─▶ beside a sham ─▶ calm ─▶ overload ─▶ drain ─▶ calm again
 *
 * All of it runs on one machine, and whoever sends three times as much takes CPU time too. So what the fleet can do is measured
 * twice: alone, and while the same load is sent to a topic that nobody reads. Overload is compared with the latter. What else the
 * machine does meanwhile changes every one of these rates, so the CPU time that the worker takes for an event is compared, too. No
 * figure is compared with one of another run or machine.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import kafka from '@confluentinc/kafka-javascript';
import { LoadProcess } from '../../bench/load/processes.ts';
import type { Generator, ResultReader } from '../../bench/load/processes.ts';
import { Latencies } from '../../bench/load/latencies.ts';
import type { FromGenerator, FromReader, LoadRun } from '../../bench/load/messages.ts';
import { nowMicroseconds } from '../../bench/load/schedule.ts';
import { fleet as settlefleet } from '../../bench/peers/subjects.ts';
import type { Running } from '../../bench/peers/subjects.ts';
import { cpuSeconds } from '../../bench/usage.ts';
import { openWorld } from '../../bench/world.ts';
import type { World } from '../../bench/world.ts';
import { runCommand } from '../../src/demo/children.ts';
import { scaledRules } from '../alerts/scaled-rules.ts';
import { call } from '../integration/harness/kafka.ts';
import { startPrometheus } from '../stack.ts';
import { until } from '../until.ts';
import { Observer } from './observer.ts';
import { judge } from './judge.ts';
import type { OverloadBounds } from './judge.ts';

export interface OverloadOptions {
  readonly seed: number;
  /** Of overload, at least; longer where the machine is so slow that this would be over before lanes are full. */
  readonly seconds: number;
  /** Of each of the two calm phases. */
  readonly calmSeconds: number;
  /** Events drained before anything is measured, and in each of the two measurements of what the fleet can do. */
  readonly warmEvents: number;
  readonly drainEvents: number;
  readonly bounds: OverloadBounds;
  readonly say: (line: string) => void;
}

export interface Sample {
  readonly second: number;
  readonly sent: number;
  readonly answered: number;
}

export interface CalmFigures {
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface OverloadFigures {
  /** Events a second, of a backlog. */
  readonly aloneRate: number;
  /** The same while the overload goes to a topic that nobody reads. */
  readonly besideShamRate: number;
  /** CPU time of the worker, of a backlog and from the begin of the overload to the end of the drain, which tells the same whatever else the machine is busy with: microseconds an event. */
  readonly cpu: { readonly alone: number; readonly overload: number };
  readonly calm: CalmFigures;
  readonly calmAgain: CalmFigures;
  /** So long it takes until what a worker reads ahead is full; until then its answers say nothing about its speed. */
  readonly fillSeconds: number;
  readonly asked: { readonly rate: number; readonly seconds: number };
  readonly events: number;
  /** From the begin of the overload to the end of the drain. */
  readonly samples: readonly Sample[];
  readonly overloadSeconds: number;
  readonly drainSeconds: number;
  /** From the last answer of the backlog until everything stood in ClickHouse, too. */
  readonly sinkSeconds: number;
  /** Megabytes, most at any time. */
  readonly memory: { readonly worker: number; readonly sink: number; readonly workerBefore: number; readonly sinkBefore: number };
  readonly asks: number;
  readonly notReady: readonly string[];
  readonly rebalances: readonly string[];
  readonly abortedTransactions: number;
  readonly alerts: readonly string[];
  readonly endedWith: readonly unknown[];
  /** What is wrong with what was told. */
  readonly faults: readonly string[];
}

export interface OverloadReport extends OverloadFigures {
  readonly problems: readonly string[];
}

/** Three times what it can do; and a third of it is calm. */
export const overloadFactor = 3;
export const calmFactor = 1 / 3;
/** After the backlog is gone, new payments may take this long until they are as quick as before. */
export const settleSeconds = 2;

/** Events of 2 KB in the 24 MiB that a worker reads ahead: they are decoded in turn, so the first answers come after all of them. */
const takenMax = 12_000;
const fillSecondsMin = 1;
const steadySecondsMin = 3;
const partitions = 8;
const participants = 64;
const leadMs = 300;
const sampleEveryMs = 100;
const processBoundMs = 60_000;
const drainBoundMs = 180_000;

export async function runOverload(options: OverloadOptions): Promise<OverloadReport> {
  const world = await openWorld({ subject: 'overload', seed: options.seed, participants, partitions, transactions: 1, commitIntervalMs: 100 });
  const ends: (() => Promise<unknown>)[] = [() => world.close()];
  try {
    const figures = await new OverloadRun(world, options, ends).measure();
    return { ...figures, problems: judge(figures, options.bounds) };
  } finally {
    for (const end of ends.toReversed()) await end();
  }
}

class OverloadRun {
  readonly #world: World;
  readonly #options: OverloadOptions;
  readonly #ends: (() => Promise<unknown>)[];
  readonly #generator: Generator;
  readonly #sham: Generator;
  readonly #reader: ResultReader;
  #published = 0;

  constructor(world: World, options: OverloadOptions, ends: (() => Promise<unknown>)[]) {
    this.#world = world;
    this.#options = options;
    this.#ends = ends;
    this.#generator = LoadProcess.start<FromGenerator, object>('generator.ts');
    this.#sham = LoadProcess.start<FromGenerator, object>('generator.ts');
    this.#reader = LoadProcess.start<FromReader, object>('result-reader.ts');
    ends.push(() => this.#generator.end(), () => this.#sham.end(), () => this.#reader.end());
  }

  async measure(): Promise<OverloadFigures> {
    const { say } = this.#options;
    await this.#startLoad();
    const [worker, sink] = await this.#startFleet();
    // A fleet that begins fills its windows of claims: what rose before the first scrape is no increase to Prometheus.
    await this.#drain(this.#options.warmEvents);
    const prometheus = await startPrometheus({ targets: [worker, sink].map(({ metricsPort }) => `127.0.0.1:${metricsPort}`), rules: scaledRules() });
    this.#ends.push(() => prometheus.remove());
    const observer = new Observer({ worker, sink, prometheusUrl: prometheus.url });
    this.#ends.push(() => observer.stop());

    const cpuAtFirst = cpuSeconds(worker.pid);
    const aloneRate = await this.#drain(this.#options.drainEvents);
    const cpuAlone = ((cpuSeconds(worker.pid) - cpuAtFirst) / this.#options.drainEvents) * 1e6;
    say(`alone it drains ${Math.round(aloneRate)} events/s`);
    const rate = Math.round(aloneRate * overloadFactor);
    const besideShamRate = await this.#besideSham(rate);
    say(`beside ${rate} events/s that go elsewhere it drains ${Math.round(besideShamRate)} events/s`);

    observer.start();
    const calm = await this.#calm(aloneRate * calmFactor);
    say(`calm: ${Math.round(calm.rate)} events/s, p50 ${calm.p50Ms.toFixed(0)} ms, p99 ${calm.p99Ms.toFixed(0)} ms`);
    const before = { worker: observer.most('worker'), sink: observer.most('sink') };

    const samples: Sample[] = [];
    const fillSeconds = fillSecondsMin + takenMax / besideShamRate;
    const seconds = Math.max(this.#options.seconds, fillSeconds + steadySecondsMin);
    const cpuBefore = cpuSeconds(worker.pid);
    const overload = await this.#overload(rate, seconds, samples);
    say(`sent ${overload.sent} events in ${overload.seconds.toFixed(1)} s; ${overload.sent - samples.at(-1)!.answered} are on their way`);
    const drainSeconds = await this.#workOff(overload, samples);
    const cpuOverload = ((cpuSeconds(worker.pid) - cpuBefore) / overload.sent) * 1e6;
    say(`the backlog is gone after ${drainSeconds.toFixed(1)} s`);
    const calmAgain = await this.#calm(aloneRate * calmFactor);
    say(`calm again: p50 ${calmAgain.p50Ms.toFixed(0)} ms, p99 ${calmAgain.p99Ms.toFixed(0)} ms`);
    const sinkSeconds = await this.#stored(sink);
    await observer.stop();

    const faults = await this.#faults();
    const rebalances = Array.from(readFileSync(join(this.#world.place.folder, 'worker-0.log'), 'utf8').matchAll(/"msg":"(Partitions \w+)"/g), ([, words]) => words!);
    const abortedTransactions = await metric(worker, 'settlefleet_transactions_aborted_total');
    const endedWith = [await worker.end(), await sink.end()];
    return {
      aloneRate, besideShamRate, cpu: { alone: cpuAlone, overload: cpuOverload }, calm, calmAgain, samples, faults, rebalances, abortedTransactions, endedWith, drainSeconds, sinkSeconds,
      asked: { rate, seconds }, fillSeconds, events: this.#published, overloadSeconds: overload.seconds,
      memory: { worker: observer.most('worker'), sink: observer.most('sink'), workerBefore: before.worker, sinkBefore: before.sink },
      asks: observer.asks, notReady: observer.notReady, alerts: observer.alerts,
    };
  }

  async #startLoad(): Promise<void> {
    const { config, topics, workloadOptions } = this.#world;
    const shamTopic = `${config.topicPrefix}sham`;
    await createTopic(config.kafkaBrokers, shamTopic);
    this.#ends.push(() => deleteTopic(config.kafkaBrokers, shamTopic));
    const start = { brokers: config.kafkaBrokers, topics, partitions, workload: workloadOptions };
    const sham = { ...start, topics: { ...topics, inbound: shamTopic } };
    for (const [generator, its] of [[this.#generator, start], [this.#sham, sham]] as const) {
      generator.tell({ kind: 'start', start: its });
      await generator.next('ready', processBoundMs);
    }
    this.#reader.tell({ kind: 'start', start });
    await this.#reader.next('ready', processBoundMs);
  }

  async #startFleet(): Promise<readonly [Running, Running]> {
    const place = { ...this.#world.place, environment: { ...this.#world.place.environment, LOG_LEVEL: 'info' } };
    const [worker] = await settlefleet.start(place, 1);
    this.#ends.push(() => worker!.end());
    const [sink] = await settlefleet.startSink!(place);
    this.#ends.push(() => sink!.end());
    return [worker!, sink!];
  }

  /** Events a second at which a backlog is worked off that becomes visible at one moment. */
  async #drain(events: number): Promise<number> {
    await this.#world.publish(this.#published, events);
    this.#published += events;
    const begun = performance.now();
    await this.#world.drained(drainBoundMs);
    return (events / (performance.now() - begun)) * 1000;
  }

  async #besideSham(rate: number): Promise<number> {
    const run: LoadRun = { startMicroseconds: nowMicroseconds(), rate, from: 0, count: rate * (drainBoundMs / 1000), unmeasured: 0 };
    this.#sham.tell({ kind: 'run', run });
    const drained = await this.#drain(this.#options.drainEvents);
    const done = this.#sham.next('done', processBoundMs);
    this.#sham.tell({ kind: 'stop' });
    await done;
    return drained;
  }

  /** Open load; the figures are of all but its first moments. */
  async #calm(rate: number): Promise<CalmFigures> {
    const unmeasured = Math.round(rate * settleSeconds);
    const run = this.#begin(rate, unmeasured + Math.round(rate * this.#options.calmSeconds), unmeasured);
    let answered = 0;
    this.#reader.listen((message) => void (message.kind === 'answered' && (answered = message.answered)));
    const done = await this.#generator.next('done', (run.count / rate) * 1000 + processBoundMs);
    await until(`${done.sent} answers`, () => answered >= done.sent, drainBoundMs);
    this.#reader.tell({ kind: 'collect' });
    const latencies = Latencies.merge([(await this.#reader.next('collected', processBoundMs)).latencies]);
    return { rate, p50Ms: latencies.quantile(0.5), p99Ms: latencies.quantile(0.99) };
  }

  async #overload(rate: number, seconds: number, samples: Sample[]): Promise<{ readonly sent: number; readonly seconds: number; readonly beganAt: number; answered(): number }> {
    const { say } = this.#options;
    const run = this.#begin(rate, Math.round(rate * seconds), 0);
    const beganAt = performance.now() + leadMs;
    let sent = 0;
    let answered = 0;
    let told = performance.now();
    this.#reader.listen((message) => void (message.kind === 'answered' && (answered = message.answered)));
    const looking = setInterval(() => {
      const second = (performance.now() - beganAt) / 1000;
      if (second < 0) return;
      samples.push({ second, sent, answered });
      if (performance.now() - told < 10_000) return;
      told = performance.now();
      say(`second ${second.toFixed(0)} of ${seconds.toFixed(0)}: ${sent} sent, ${answered} answered`);
    }, sampleEveryMs);
    try {
      const done = await this.#generator.next('done', seconds * 1000 + drainBoundMs, (message) => void (message.kind === 'sent' && (sent = message.sent)));
      // What the client was given may reach the broker later; the load ended when the last of it had.
      const endedAfter = (performance.now() - beganAt) / 1000;
      samples.push({ second: endedAfter, sent: done.sent, answered });
      if (done.sent < run.count) throw new Error(`the generator sent ${done.sent} of ${run.count} events`);
      return { sent: done.sent, seconds: endedAfter, beganAt, answered: () => answered };
    } finally {
      clearInterval(looking);
    }
  }

  async #workOff(overload: { readonly sent: number; readonly beganAt: number; answered(): number }, samples: Sample[]): Promise<number> {
    const begun = performance.now();
    // Twice the time that it would take alone, and what a busy machine needs.
    while (overload.answered() < overload.sent && performance.now() - begun < drainBoundMs * 2) {
      await sleep(sampleEveryMs);
      samples.push({ second: (performance.now() - overload.beganAt) / 1000, sent: overload.sent, answered: overload.answered() });
    }
    return (performance.now() - begun) / 1000;
  }

  #begin(rate: number, count: number, unmeasured: number): LoadRun {
    const run: LoadRun = { startMicroseconds: nowMicroseconds() + leadMs * 1000, rate, from: this.#published, count, unmeasured };
    this.#published += count;
    this.#reader.tell({ kind: 'run', run });
    this.#generator.tell({ kind: 'run', run });
    return run;
  }

  /** Seconds until the sink has stored everything, too. */
  async #stored(sink: Running): Promise<number> {
    const begun = performance.now();
    await this.#world.drained(drainBoundMs);
    await until('the sink to have stored everything', async () => (await metric(sink, 'settlefleet_sink_lag')) === 0, drainBoundMs);
    return (performance.now() - begun) / 1000;
  }

  /** Every event answered once and rightly; order, sequences, positions, the chain and ClickHouse as they must be. */
  async #faults(): Promise<string[]> {
    const { say } = this.#options;
    const faults = await this.#world.faults(this.#published, true);
    say(`${this.#published} events looked at one by one; settlefleet verify`);
    await runCommand(['verify', '--clickhouse'], this.#world.place.environment).catch((error: unknown) => faults.push(String(error)));
    return faults;
  }
}

/** Over all labels. */
async function metric(of: Running, name: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${of.metricsPort}/metrics`, { signal: AbortSignal.timeout(10_000) });
  const values = (await answer.text()).split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `)).map((line) => Number(line.slice(line.lastIndexOf(' '))));
  return values.reduce((sum, value) => sum + value, 0);
}

type Admin = ReturnType<typeof kafka.AdminClient.create>;

async function withAdmin(brokers: string, work: (admin: Admin) => Promise<unknown>): Promise<void> {
  const admin = kafka.AdminClient.create({ 'bootstrap.servers': brokers, log_level: 0 });
  try {
    await work(admin);
  } finally {
    admin.disconnect();
  }
}

function createTopic(brokers: string, topic: string): Promise<void> {
  return withAdmin(brokers, (admin) => call((done) => admin.createTopic({ topic, num_partitions: partitions, replication_factor: 1 }, 20_000, done as never)));
}

/** Best effort: the stack's own data goes with the stack. */
function deleteTopic(brokers: string, topic: string): Promise<void> {
  return withAdmin(brokers, (admin) => call((done) => admin.deleteTopic(topic, 5_000, done as never)).catch(() => undefined));
}
