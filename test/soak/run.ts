/**
 * The whole line under traffic with a known truth, while workers and the sink are killed and Redis is emptied at random;
 * afterwards everything that was told is compared with that truth, and ClickHouse with the topics row by row.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { startRedis } from '../stack.ts';
import { Bench } from '../integration/harness/bench.ts';
import { OpenLoad } from '../integration/harness/load.ts';
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
const answersMs = 180_000;

export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const begun = performance.now();
  const redis = await startRedis();
  const traffic = createTraffic({ seed: options.seed, partitions, participants: options.participants });
  const bench = await Bench.create(`soak-${options.seed}`, { partitions, participants: traffic.participants, environment: { REDIS_URL: redis.url } });
  const faults = new Faults(bench, redis.url, createRandom(options.seed + 1), options.say);
  try {
    await faults.start();
    const load = new OpenLoad(bench, traffic, createRandom(options.seed + 2));
    const faulting = faults.run();
    await load.send(options.events, options.minutes * 60_000, options.say);
    faults.stop();
    await faulting;
    options.say('everything is sent; waiting for the rest of the answers');
    await bench.waitFor('Kafka says the group has no lag', async () => (await bench.offsets.lag(bench.topic('inbound'))) === 0, answersMs);
    await bench.atRest(answersMs);
    const { results, deadLetters } = bench;
    options.say(`${results.length} results and ${deadLetters.length} dead letters; comparing`);
    const problems = compare({ ...bench, participants: traffic.participants, positions: bench.positions(), ...load.expected, workersDied: true });
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

