/**
 * The whole line under traffic with a known truth, while workers and the sink are killed and Redis is emptied at random;
 * afterwards everything that was told is compared with that truth, and ClickHouse with the topics row by row.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { startRedis } from '../stack.ts';
import { Bench } from '../integration/harness/bench.ts';
import type { Sending, Sent } from '../integration/harness/bench.ts';
import { buildMessage } from '../integration/harness/message.ts';
import type { Service } from '../integration/harness/processes.ts';
import { createRandom, createTraffic } from '../integration/harness/traffic.ts';
import type { Random } from '../integration/harness/traffic.ts';
import { compare } from '../integration/harness/truth.ts';
import { compareDeadLetterRows, compareResultRows } from './clickhouse.ts';

export interface SoakOptions {
  readonly events: number;
  readonly seed: number;
  /** In which the events are sent; faults happen all the while. */
  readonly minutes: number;
  readonly participants: number;
  readonly say: (line: string) => void;
}

export interface SoakReport {
  readonly events: number;
  readonly results: number;
  readonly settled: number;
  readonly byReason: Readonly<Record<string, number>>;
  readonly deadLetters: number;
  readonly rows: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly problems: readonly string[];
}

const partitions = 8;
/** Sent and not acknowledged by the broker. */
const underWayMax = 500;
const answersMs = 180_000;

export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const begun = performance.now();
  const redis = await startRedis();
  const traffic = createTraffic({ seed: options.seed, partitions, participants: options.participants });
  const bench = await Bench.create(`soak-${options.seed}`, { partitions, participants: traffic.participants, environment: { REDIS_URL: redis.url } });
  const faults = new Faults(bench, redis.url, createRandom(options.seed + 1), options.say);
  try {
    await faults.start();
    const codes = new Map<string, string>();
    const formFaults = new Set<string>();
    const upstream = new Upstream(bench, traffic, createRandom(options.seed + 2), codes, formFaults);
    const faulting = faults.run();
    await upstream.send(options.events, options.minutes * 60_000, options.say);
    faults.stop();
    await faulting;
    options.say('everything is sent; waiting for the rest of the answers');
    await bench.waitFor('Kafka says the group has no lag', async () => (await bench.offsets.lag(bench.topic('inbound'))) === 0, answersMs);
    await bench.atRest(answersMs);
    const { results, deadLetters } = bench;
    options.say(`${results.length} results and ${deadLetters.length} dead letters; comparing`);
    const problems = compare({ ...bench, participants: traffic.participants, positions: bench.positions(), deadLetterCodes: codes, formFaults, workersDied: true });
    const rows = await compareRows(bench, problems, options.say);
    problems.push(...(await faults.end()));
    return {
      events: options.events,
      results: results.length,
      settled: results.filter(({ status }) => status === 'ACSC').length,
      byReason: countedBy(results.map(({ reasonCode }) => reasonCode ?? 'settled')),
      deadLetters: deadLetters.length,
      rows,
      faults: faults.counts,
      seconds: Math.round((performance.now() - begun) / 1000),
      problems,
    };
  } finally {
    faults.stop();
    await bench.close();
    await redis.remove();
  }
}

function countedBy(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}

/** ClickHouse must hold what the topics hold, each row once. */
async function compareRows(bench: Bench, problems: string[], say: (line: string) => void): Promise<number> {
  const wanted = bench.results.length + bench.deadLetters.length;
  let rows = 0;
  await bench.waitFor('ClickHouse to hold as many rows as the topics have records', async () => {
    const answer = await bench.command('sql', 'SELECT (SELECT count() FROM payments.results) + (SELECT count() FROM payments.dead_letters)');
    rows = Number(answer.stdout.trim());
    return rows >= wanted;
  }, answersMs);
  say(`${rows} rows in ClickHouse; comparing them`);
  problems.push(...(await compareResultRows(bench)), ...(await compareDeadLetterRows(bench)));
  return rows;
}

/** Sends what the traffic makes, and now and then what nobody can read. */
class Upstream {
  readonly #bench: Bench;
  readonly #traffic: ReturnType<typeof createTraffic>;
  readonly #random: Random;
  readonly #codes: Map<string, string>;
  readonly #formFaults: Set<string>;

  constructor(bench: Bench, traffic: ReturnType<typeof createTraffic>, random: Random, codes: Map<string, string>, formFaults: Set<string>) {
    this.#bench = bench;
    this.#traffic = traffic;
    this.#random = random;
    this.#codes = codes;
    this.#formFaults = formFaults;
  }

  /** Evenly over the time. */
  async send(count: number, durationMs: number, say: (line: string) => void): Promise<void> {
    const begun = performance.now();
    const underWay = new Set<Promise<void>>();
    let failure: Error | undefined;
    const raise = (): void => {
      if (failure !== undefined) throw failure;
    };
    for (let sent = 0; sent < count; sent++) {
      const dueMs = (sent / count) * durationMs - (performance.now() - begun);
      if (dueMs > 5) await pause(dueMs);
      while (underWay.size >= underWayMax) await Promise.race(underWay);
      raise();
      const one: Promise<void> = this.#sendOne().catch((error: unknown) => {
        failure = error instanceof Error ? error : new Error(String(error));
      }).finally(() => underWay.delete(one));
      underWay.add(one);
      if ((sent + 1) % 10_000 === 0) say(`${sent + 1} events sent, ${this.#bench.results.length} results`);
    }
    await Promise.all(underWay);
    raise();
  }

  async #sendOne(): Promise<void> {
    const { message, sending } = this.#traffic.next();
    const dice = this.#random(400);
    if (dice === 0) return this.#sendUnreadable('NOT_FRAMED', Buffer.from(`no frame ${this.#random(1_000_000)}`));
    if (dice === 1) return this.#sendUnreadable('NOT_FRAMED', null);
    if (dice === 2) return this.#sendUnreadable('XML_INVALID', this.#encoded('<Document>', {}));
    if (dice === 3) return this.#sendUnreadable('TYPE_MISMATCH', this.#encoded(buildMessage(message), { messageType: 'pacs.009.001.08' }));
    if (dice === 4) {
      const sent = await this.#bench.sendDocument(buildMessage(message).replace('SLEV', 'OOPS'), { ...sending, message });
      this.#formFaults.add(`${sent.partition}/${sent.offset}`);
      forgetValue(sent);
      return;
    }
    forgetValue(await this.#bench.send(message, sending));
  }

  #encoded(document: string, sending: Sending): Buffer {
    return this.#bench.encode(document, { eventId: randomUUID(), createdAt: Date.now(), ...sending });
  }

  async #sendUnreadable(code: string, value: Buffer | null): Promise<void> {
    const sent = await this.#bench.sendValue(value, { partition: this.#random(partitions), key: this.#random(2) === 0 ? null : 'some key' });
    this.#codes.set(`${sent.partition}/${sent.offset}`, code);
  }
}

/** Hundreds of thousands of them would fill the memory; only dead letters are compared with what was sent. */
function forgetValue(sent: Sent): void {
  (sent as { value: Buffer | null }).value = null;
}

/** Keeps two or three workers and the sink running, and does to them what happens in the world. */
class Faults {
  readonly #bench: Bench;
  readonly #redisUrl: string;
  readonly #random: Random;
  readonly #say: (line: string) => void;
  readonly counts: Record<string, number> = {};
  readonly #problems: string[] = [];
  #workers: Service[] = [];
  #sink: Service | undefined;
  readonly #stopping = new AbortController();

  constructor(bench: Bench, redisUrl: string, random: Random, say: (line: string) => void) {
    this.#bench = bench;
    this.#redisUrl = redisUrl;
    this.#random = random;
    this.#say = say;
  }

  async start(): Promise<void> {
    const started = await Promise.all([this.#bench.startWorker(), this.#bench.startWorker(), this.#bench.startSink()]);
    this.#workers = started.slice(0, 2);
    this.#sink = started[2];
  }

  async run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        await pause(2_000 + this.#random(6_000), undefined, { signal: this.#stopping.signal });
      } catch {
        break;
      }
      await this.#once();
    }
    while (this.#workers.length < 2) this.#workers.push(await this.#bench.startWorker());
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** Everything must end well: exit code 0 after SIGTERM. */
  async end(): Promise<readonly string[]> {
    for (const service of [...this.#workers, this.#sink!]) this.#judge(service, (await service.terminate(60_000)).code);
    return this.#problems;
  }

  #judge(service: Service, code: number | null): void {
    if (code !== 0) this.#problems.push(`${service.name} ended with ${code} after SIGTERM\n${service.output}`);
  }

  async #once(): Promise<void> {
    this.#lookForDead();
    const fault = this.#random(10);
    if (fault <= 2) await this.#kill('a worker killed');
    else if (fault <= 4) await this.#terminate();
    else if (fault <= 6) await this.#emptyRedis();
    else if (fault <= 7) await this.#killSink();
    else if (this.#workers.length < 3) await this.#join();
    else await this.#kill('the third worker killed');
  }

  /** Nobody ends by himself here: that is a finding. A new one takes his place, as a supervisor would have it. */
  #lookForDead(): void {
    const dead = this.#workers.filter((worker) => worker.hasEnded);
    for (const worker of dead) this.#problems.push(`${worker.name} ended by itself\n${worker.output}`);
    this.#workers = this.#workers.filter((worker) => !worker.hasEnded);
    if (this.#sink!.hasEnded) this.#problems.push(`the sink ended by itself\n${this.#sink!.output}`);
  }

  #count(fault: string): void {
    this.counts[fault] = (this.counts[fault] ?? 0) + 1;
    this.#say(`fault: ${fault}`);
  }

  async #join(): Promise<void> {
    this.#count('a worker joined');
    this.#workers.push(await this.#bench.startWorker());
  }

  async #replace(): Promise<void> {
    await pause(this.#random(3_000));
    if (this.#workers.length < 2) this.#workers.push(await this.#bench.startWorker());
  }

  async #kill(what: string): Promise<void> {
    const [victim] = this.#workers.splice(this.#random(this.#workers.length), 1);
    if (victim !== undefined) {
      this.#count(what);
      await victim.kill();
    }
    await this.#replace();
  }

  async #terminate(): Promise<void> {
    const [victim] = this.#workers.splice(this.#random(this.#workers.length), 1);
    if (victim !== undefined) {
      this.#count('a worker ended');
      this.#judge(victim, (await victim.terminate(60_000)).code);
    }
    await this.#replace();
  }

  async #emptyRedis(): Promise<void> {
    this.#count('Redis emptied');
    const client = new Redis(this.#redisUrl, { lazyConnect: true });
    await client.connect();
    await client.flushall();
    client.disconnect();
  }

  async #killSink(): Promise<void> {
    this.#count('the sink killed');
    await this.#sink!.kill();
    await pause(this.#random(2_000));
    this.#sink = await this.#bench.startSink();
  }
}

