/**
 * The chaos run: the whole line on real processes under open load with a known truth, while everything that can be struck
 * is; afterwards every promise is checked. First workers are killed one at a time with nothing else going on, which is what
 * recovery times are taken from; then all strands at once.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Bench } from '../integration/harness/bench.ts';
import { sums } from '../integration/harness/bench.ts';
import { OpenLoad } from '../integration/harness/load.ts';
import { createRandom, createTraffic } from '../integration/harness/traffic.ts';
import type { Random } from '../integration/harness/traffic.ts';
import { compare } from '../integration/harness/truth.ts';
import { compareDeadLetterRows, compareResultRows } from '../soak/clickhouse.ts';
import { sinkPoints, wirePointNames, workerPoints } from './crash-points.ts';
import type { CrashPoint } from './crash-points.ts';
import { crashKind, endedInRebalance, Fleet, randomKill, zombie } from './fleet.ts';
import type { Fate, Role } from './fleet.ts';
import { Ledger } from './ledger.ts';
import { emptied, keysOfWeight, runStrand, shuffled, strandsOf } from './nemesis.ts';
import type { Check, ChaosReport } from './report.ts';
import { quantiles } from './report.ts';
import { Watch } from './watch.ts';
import { World } from './world.ts';

export interface ChaosOptions {
  readonly seed: number;
  /** Of faults. Starting, catching up and checking come on top. */
  readonly minutes: number;
  readonly eventsPerSecond: number;
  /** For data, logs and, on failure, the history. */
  readonly folder: string;
  /** File systems of its own can be mounted, and so be full. */
  readonly canMount: boolean;
  /** Which faults and crash points; left out: all. */
  readonly only?: readonly RegExp[];
  /** How much of the time belongs to kills alone. */
  readonly aloneShare?: number;
  readonly say: (line: string) => void;
}

const partitions = 8;
const participants = 60;
const recoveredMs = 45_000;
const catchUpMs = 300_000;
/** After the time is up, faults that have not happened yet get so much more; a run in which all have happened ends at once. */
const lateShare = 0.5;
const lateMinMs = 240_000;
const progressMs = 15_000;

export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { seed, folder, say } = options;
  const begun = performance.now();
  const traffic = createTraffic({ seed, partitions, participants });
  const world = await World.create({ name: `chaos-${seed}`, partitions, participants: traffic.participants, folder, smallDisks: options.canMount });
  say(`up: three brokers, Redis with a replica, ClickHouse, proxies (${seconds(begun)})`);
  const ledger = new Ledger(say);
  /** The first promise that is seen broken ends the run, so that its history is short. */
  const violated = new AbortController();
  const load = new OpenLoad(world.bench, traffic, createRandom(seed + 2));
  let watch: Watch | undefined;
  let fleet: Fleet | undefined;
  const checks: Check[] = [];
  let isKept = true;
  try {
    watch = await Watch.start(world.bench, ledger, () => violated.abort());
    const plan = new FatePlan(createRandom(seed + 3), options.only);
    fleet = new Fleet({
      world, watch, ledger, folder, random: createRandom(seed + 4),
      plan: { workers: 3, sinks: 2, nextFate: (role) => plan.next(role) },
      emptyRedis: async () => {
        // Again and again in vain would keep the others from filling it.
        if (await world.redis.keys().catch(() => 0) < keysOfWeight) return;
        const injection = ledger.begin(emptied);
        const keys = await world.redis.empty().catch(() => 0);
        ledger.end(injection, keys >= keysOfWeight ? `${keys} keys gone` : null);
      },
      onFindings: () => violated.abort(),
    });
    const missing = await strike({ options, world, watch, fleet, ledger, load, plan, violated: violated.signal });
    say(`faults are over (${seconds(begun)}); the fleet catches up`);
    await fleet.calm();
    await check(checks, 'every planned fault really happened', () => missing.map((kind) => `never happened: ${kind}`));
    await examine({ checks, bench: world.bench, watch, load, traffic, fleet, say });
    isKept = checks.some(({ problems }) => problems.length > 0);
  } catch (error) {
    checks.push({ what: 'the run came to its end', problems: [error instanceof Error ? error.stack ?? error.message : String(error)] });
  } finally {
    await watch?.stop().catch(() => undefined);
    if (isKept) keepHistory(folder, world.bench, ledger);
    await world.close();
  }
  const { results, deadLetters, sent } = world.bench;
  return {
    seed, minutes: options.minutes, seconds: Math.round((performance.now() - begun) / 1000),
    events: sent.length, results: results.length, deadLetters: deadLetters.length,
    settled: results.filter(({ status }) => status === 'ACSC').length,
    commits: watch?.commits ?? 0,
    injected: Object.fromEntries([...ledger.counts()].toSorted()),
    notReally: ledger.injections.filter(({ proof }) => proof === null).length,
    recoveryAlone: quantiles(ledger.undisturbed().map(({ milliseconds }) => milliseconds)),
    recoveryAll: quantiles(ledger.recoveries.map(({ milliseconds }) => milliseconds)),
    endedByThemselves: Object.fromEntries(fleet?.endedByThemselves ?? []),
    cannot: options.canMount ? [] : ['disk full under Redis, disk full under ClickHouse: no file system can be mounted here'],
    checks,
    history: isKept ? folder : null,
  };
}

/** Gives what was planned and never happened. */
async function strike(run: {
  options: ChaosOptions; world: World; watch: Watch; fleet: Fleet; ledger: Ledger; load: OpenLoad; plan: FatePlan; violated: AbortSignal;
}): Promise<string[]> {
  const { options, world, watch, fleet, ledger, load, plan, violated } = run;
  const { say } = options;
  const durationMs = options.minutes * 60_000;
  const lateMs = Math.max(lateMinMs, durationMs * lateShare);
  const allMs = durationMs + lateMs;
  const loadEnds = new AbortController();
  const begun = performance.now();
  const aloneUntilMs = begun + durationMs * (options.aloneShare ?? 0.15);
  const progress = setInterval(() => {
    const { results, deadLetters } = watch.checked;
    say(`${seconds(begun)}: ${load.sent} events sent, ${results} results and ${deadLetters} dead letters seen, ${watch.commits} commits, ${ledger.injections.length} faults, ${watch.problems.length} problems`);
  }, progressMs);
  const loading = load.send(Math.ceil(options.eventsPerSecond * allMs / 1000), allMs, say, loadEnds.signal);
  loading.catch(() => undefined);
  try {
    plan.isCalm = performance.now() < aloneUntilMs;
    fleet.start();
    await killAlone({ fleet, watch, untilMs: aloneUntilMs, random: createRandom(options.seed + 5), violated });
    plan.isCalm = false;
    fleet.unleash();
    const timeUp = AbortSignal.any([violated, AbortSignal.timeout(Math.max(1, Math.round(begun + durationMs - performance.now())))]);
    const lateSignal = AbortSignal.any([violated, AbortSignal.timeout(Math.max(1, Math.round(begun + allMs - performance.now())))]);
    timeUp.addEventListener('abort', () => plan.becomeLate((kind) => ledger.count(kind) === 0), { once: true });
    const strands = strandsOf({ world, fleet, watch })
      .map((strand) => ({ ...strand, faults: Object.fromEntries(Object.entries(strand.faults).filter(([kind]) => isWanted(kind, options.only))) }))
      .filter(({ faults }) => Object.keys(faults).length > 0);
    const missing = await Promise.all(strands.map((strand, i) => runStrand(strand, { ledger, random: createRandom(options.seed + 100 + i), signal: timeUp, lateSignal })));
    const fates = (): string[] => plan.kinds.filter((kind) => ledger.count(kind) === 0);
    while ((fates().length > 0 || !timeUp.aborted) && !lateSignal.aborted) await pause(200);
    // What broke ended the run before everything could happen: that is told by itself.
    return violated.aborted ? [] : [...missing.flat(), ...fates()];
  } finally {
    clearInterval(progress);
    loadEnds.abort();
    world.heal();
    await loading;
  }
}

/** One worker after another is killed, each when the partitions of the one before it have been committed by others. */
async function killAlone({ fleet, watch, untilMs, random, violated }: { fleet: Fleet; watch: Watch; untilMs: number; random: Random; violated: AbortSignal }): Promise<void> {
  while (performance.now() < untilMs && !violated.aborted) {
    const { workers } = fleet;
    const victim = workers[random(workers.length)];
    if (workers.length < 3 || victim === undefined || victim.partitions.length === 0) {
      await pause(100);
      continue;
    }
    await pause(2_500 + random(2_000));
    if (victim.service.hasEnded) continue;
    const injection = await fleet.kill(victim, randomKill.worker);
    const deadline = performance.now() + recoveredMs;
    while (watch.awaiting(injection) > 0 && performance.now() < deadline && !violated.aborted) await pause(50);
  }
}

function isWanted(kind: string, only: readonly RegExp[] | undefined): boolean {
  return only === undefined || only.some((pattern) => pattern.test(kind));
}

/** Whose turn it is: crash points, kills, freezes and ends in a shuffled deck that is gone through again and again. */
export class FatePlan {
  /** While it lasts nobody has a fate. */
  isCalm = true;
  /** Late: what has not happened yet. */
  #isMissing: ((kind: string) => boolean) | null = null;
  readonly kinds: readonly string[];
  /** The first time round each kind is dealt once, so that a short run has all of them. */
  readonly #isFresh: Record<Role, boolean> = { worker: true, sink: true };
  readonly #random: Random;
  readonly #cards: Readonly<Record<Role, readonly { readonly kind: string; readonly deal: () => Fate }[]>>;
  readonly #decks: Record<Role, { readonly kind: string; readonly deal: () => Fate }[]> = { worker: [], sink: [] };

  constructor(random: Random, only: readonly RegExp[] | undefined) {
    this.#random = random;
    const crash = (point: CrashPoint) => ({ kind: crashKind(point), deal: (): Fate => ({ kind: 'crash', point }) });
    const killed = (role: Role, mostMs: number) => ({ kind: randomKill[role], deal: (): Fate => ({ kind: 'killed', afterMs: random(mostMs) }) });
    const frozen = (role: Role) => ({ kind: zombie[role], deal: (): Fate => ({ kind: 'frozen', afterMs: random(3_000), frozenMs: 6_200 + random(7_000) }) });
    const ends = { kind: endedInRebalance, deal: (): Fate => ({ kind: 'ends' }) };
    const times = <T>(count: number, card: T): T[] => Array.from({ length: count }, () => card);
    const cards = {
      worker: [
        ...[...workerPoints, ...wirePointNames].map(crash),
        ...times(8, killed('worker', 2_500)), ...times(3, killed('worker', 15_000)),
        ...times(6, frozen('worker')), ...times(2, ends),
      ],
      sink: [...sinkPoints.map(crash), ...times(2, killed('sink', 3_000)), frozen('sink')],
    };
    this.#cards = { worker: cards.worker.filter(({ kind }) => isWanted(kind, only)), sink: cards.sink.filter(({ kind }) => isWanted(kind, only)) };
    this.kinds = [...new Set([...this.#cards.worker, ...this.#cards.sink].map(({ kind }) => kind))];
  }

  /**
   * From now on only what is missing is dealt, and a crash point at once; who has nothing to meet is left alone, because each
   * process that is started takes the others' time.
   */
  becomeLate(isMissing: (kind: string) => boolean): void {
    this.#isMissing = isMissing;
  }

  next(role: Role): Fate {
    if (this.#isMissing !== null) return this.#nextMissing(role, this.#isMissing);
    if (this.isCalm) return { kind: 'spared' };
    const deck = this.#decks[role];
    if (this.#isFresh[role]) {
      this.#isFresh[role] = false;
      deck.push(...shuffled([...new Map(this.#cards[role].map((card) => [card.kind, card])).values()], this.#random));
    }
    if (deck.length === 0) deck.push(...shuffled(this.#cards[role], this.#random));
    return deck.pop()?.deal() ?? { kind: 'killed', afterMs: 20_000 };
  }

  #nextMissing(role: Role, isMissing: (kind: string) => boolean): Fate {
    const deck = this.#decks[role];
    while (deck.length > 0 && !isMissing(deck.at(-1)!.kind)) deck.pop();
    if (deck.length === 0) deck.push(...shuffled(this.#cards[role].filter(({ kind }) => isMissing(kind)), this.#random));
    const fate = deck.pop()?.deal() ?? { kind: 'leftAlone' };
    return fate.kind === 'crash' ? { ...fate, isAtOnce: true } : fate;
  }
}

async function check(checks: Check[], what: string, find: () => Promise<readonly string[]> | readonly string[]): Promise<void> {
  try {
    checks.push({ what, problems: await find() });
  } catch (error) {
    checks.push({ what, problems: [error instanceof Error ? error.message : String(error)] });
  }
}

async function examine(run: {
  checks: Check[]; bench: Bench; watch: Watch; load: OpenLoad; traffic: ReturnType<typeof createTraffic>; fleet: Fleet; say: (line: string) => void;
}): Promise<void> {
  const { checks, bench, watch, load, traffic, fleet, say } = run;
  await check(checks, 'the fleet catches up: no lag, the positions of each currency add up to 0', async () => {
    await bench.atRest(catchUpMs);
    return [];
  });
  await check(checks, 'as it came: one outcome for each transaction, order, sequence without a gap', () => watch.problems);
  await check(checks, 'everything told is what the contract says of what was sent', () =>
    compare({ ...bench, participants: traffic.participants, positions: bench.positions(), ...load.expected, workersDied: true }));
  await check(checks, 'in = settled + rejected + dead-lettered', () => {
    const answered = new Set(bench.results.map(({ inboundPartition, inboundOffset }) => `${inboundPartition}/${inboundOffset}`)).size;
    return answered + bench.deadLetters.length === bench.sent.length ? [] : [`${bench.sent.length} events in, ${answered} with results, ${bench.deadLetters.length} dead letters`];
  });
  await check(checks, 'the positions of each currency add up to 0', () => [...sums(bench.positions())].filter(([, sum]) => sum !== 0n).map(([currency, sum]) => `${currency}: ${sum}`));
  const wanted = bench.results.length + bench.deadLetters.length;
  await check(checks, `ClickHouse holds the ${wanted} records of the topics, cell by cell`, async () => {
    await bench.waitFor('ClickHouse to hold as many rows as the topics have records', async () => {
      const answer = await bench.command('sql', 'SELECT (SELECT count() FROM payments.results) + (SELECT count() FROM payments.dead_letters)');
      return Number(answer.stdout.trim()) >= wanted;
    }, catchUpMs);
    return [...(await compareResultRows(bench)), ...(await compareDeadLetterRows(bench))];
  });
  say('comparing by settlefleet verify');
  await check(checks, 'settlefleet verify --clickhouse: everything is as it must be', async () => {
    const { stdout } = await bench.command('verify', '--clickhouse');
    return stdout.includes('everything is as it must be') ? [] : [stdout];
  });
  await fleet.end();
  await check(checks, 'nobody ended without a cause that was injected; SIGTERM ends with exit code 0', () => fleet.problems);
}

/** What was seen, beside the logs, for whoever looks for the cause. */
function keepHistory(folder: string, bench: Bench, ledger: Ledger): void {
  const logs = join(folder, 'logs');
  mkdirSync(logs, { recursive: true });
  for (const service of bench.services) writeFileSync(join(logs, `${service.name}.log`), `${service.stdout}${service.stderr}`);
  const lines = (records: readonly unknown[]): string => records.map((record) => `${JSON.stringify(record, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}\n`).join('');
  writeFileSync(join(folder, 'results.jsonl'), lines(bench.results));
  writeFileSync(join(folder, 'dead-letters.jsonl'), lines(bench.deadLetters.map(({ partition, offset, headers }) => ({ partition, offset, headers: headers.map(({ key, value }) => [key, value === null ? null : Buffer.from(value).toString()]) }))));
  writeFileSync(join(folder, 'positions.jsonl'), lines(bench.positionRecords.map(({ partition, offset, key, value }) => ({ partition, offset, key: key?.toString(), value: value?.toString() }))));
  writeFileSync(join(folder, 'sent.jsonl'), lines(bench.sent.map(({ partition, offset, eventId, message }) => ({ partition, offset, eventId, message }))));
  writeFileSync(join(folder, 'faults.jsonl'), lines(ledger.injections));
  const stack = process.env['STACK_DIRECTORY'];
  if (stack === undefined || !existsSync(stack)) return;
  for (const name of readdirSync(stack)) {
    if (name.startsWith('settlefleet-kafka-')) cpSync(join(stack, name, 'kafka.log'), join(logs, `${name}.log`));
  }
}

function seconds(since: number): string {
  return `${Math.round((performance.now() - since) / 1000)} s`;
}
