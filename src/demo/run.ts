/**
 * The demo's story, in its order: topics, schemas and participants; two workers and the sink; events of every kind; one
 * worker killed in the middle; then the reckoning.
 */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connectTopicAdmin } from '../adapters/kafka/admin.ts';
import type { KafkaTopicReader } from '../adapters/kafka/topic-reader.ts';
import { commandLog } from '../cli/console.ts';
import { connectEventPublisher } from '../cli/event-publisher.ts';
import { publisherOptions, topicReader } from '../cli/kafka-session.ts';
import { outlineMessage } from '../cli/message-outline.ts';
import { applyParticipants } from '../cli/participants.ts';
import { registerBoth } from '../cli/schemas.ts';
import { applyTopics } from '../cli/topics.ts';
import { registerSchemas } from '../adapters/registry/register.ts';
import { currencyDecimals } from '../codec/data/currencies.ts';
import { loadConfig, loadDemoEnvironment } from '../config.ts';
import type { Config } from '../config.ts';
import { readParticipantsFile } from '../domain/participants-file.ts';
import type { Participant } from '../domain/participant.ts';
import { topicNames } from '../domain/topics.ts';
import type { TopicNames } from '../domain/topics.ts';
import { CommandError } from '../errors.ts';
import { killChildren, runCommand, startChild } from './children.ts';
import type { Child } from './children.ts';
import { generateEvents } from './generate.ts';
import { reckon, showReport } from './report.ts';
import { Submission, exampleOutcome, xmlFiles } from './submission.ts';
import { Tally } from './tally.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const examples = join(root, 'examples');
const samples = join(root, '..', 'shared', 'iso20022', 'samples');

const generatedDefault = 5000;
const generatedPerSecond = 500;
/** After the last event: a killed worker's partitions wait for its session and its Kafka transaction to time out. */
const answersWaitMs = 90_000;
const clickhouseWaitMs = 60_000;
const progressMs = 2000;

interface DemoOptions {
  /** Everything stays up at the end until Ctrl-C, for a look around. */
  readonly keep: boolean;
  /** How many events are generated. */
  readonly events: number;
}

/** Gives the exit code. */
export async function runDemo(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options === null) {
    process.stderr.write('usage: ./dev demo [--keep] [--events N]\n');
    return 2;
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      killChildren();
      process.exit(130);
    });
  }
  process.once('exit', killChildren);
  try {
    return await demo(options);
  } catch (error) {
    killChildren();
    process.stderr.write(`${error instanceof Error ? (error instanceof CommandError ? error.message : error.stack) : String(error)}\n`);
    return 1;
  }
}

function parseOptions(args: readonly string[]): DemoOptions | null {
  const rest = [...args];
  let keep = false;
  let events = generatedDefault;
  while (rest.length > 0) {
    const arg = rest.shift();
    if (arg === '--keep') keep = true;
    else if (arg === '--events' && /^[1-9]\d{2,6}$/.test(rest[0] ?? '')) events = Number(rest.shift());
    else return null;
  }
  return { keep, events };
}

/** Empty. Always the same place, unless another demo of this checkout is at work there. */
async function makeDataDirectory(): Promise<string> {
  const usual = join(root, '.data', 'demo');
  const holder = Number(await readFile(join(usual, 'pid'), 'utf8').catch(() => ''));
  const directory = holder > 0 && isAlive(holder) ? `${usual}-${process.pid}` : usual;
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, 'pid'), String(process.pid));
  return directory;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function demo({ keep, events: generatedCount }: DemoOptions): Promise<number> {
  const startedAt = performance.now();
  const dataDirectory = await makeDataDirectory();
  const given = loadConfig();
  // A folder of our own, so that the rows can still be asked when everything else is gone.
  const clickhouseUrl = given.clickhouseUrl.startsWith('chdb:') ? `chdb:${join(dataDirectory, 'clickhouse')}` : given.clickhouseUrl;
  const config: Config = { ...given, clickhouseUrl };
  const environment = { CLICKHOUSE_URL: clickhouseUrl, SCHEMA_CACHE_DIR: join(dataDirectory, 'schemas'), LOG_LEVEL: 'info' };
  const names = topicNames(config.topicPrefix);
  const elapsed = (): string => `${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s`;
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const step = (line: string): void => say(`\n${elapsed()}  ${line}`);
  const detail = (line: string): void => say(`          ${line}`);

  step('settlefleet topics apply');
  await refuseUsedTopics(config, names);
  await applyTopics(config, {}, (line) => detail(line.split(',')[0]!));
  step('settlefleet schemas register');
  await registerBoth(config, detail);
  step('settlefleet participants apply examples/participants.json');
  const participantsFile = join(examples, 'participants.json');
  await applyParticipants(config, participantsFile, false, detail);

  step('settlefleet worker (twice) and settlefleet sink');
  const start = (name: string, command: string): Promise<Child> =>
    startChild(name, command, { logFile: join(dataDirectory, `${name}.log`), environment });
  const first = await start('worker-1', 'worker');
  const second = await start('worker-2', 'worker');
  const sink = await start('sink', 'sink');
  const running = new Set([first, second, sink]);
  await scrape(running);
  await Promise.all([...running].map((child) => child.ready()));
  detail(`worker-1 is process ${first.pid}, worker-2 ${second.pid}, the sink ${sink.pid}; all are ready`);

  const publisher = await connectEventPublisher(config, 'demo');
  const reader = topicReader(config, 'demo');
  const partitionCount = await countInbound(config, names);
  const submission = new Submission(publisher, partitionCount);
  const tally = new Tally();
  const watch = watchTopics(reader, names, partitionCount, tally);
  let phase = 'submitting';
  const progress = setInterval(() => {
    const count = (test: (outcome: string) => boolean): number =>
      [...tally.outcomes].reduce((sum, [outcome, n]) => (test(outcome) ? sum + n : sum), 0);
    say(
      `${elapsed()}  ${phase}: ${submission.events.size} events in, ${tally.events.size} answered: ` +
        `${count((o) => o === 'ACSC')} settled, ${count((o) => o.startsWith('RJCT'))} rejected, ${count((o) => o.startsWith('dead'))} dead-lettered`,
    );
  }, progressMs);

  try {
    step('messages of our own: examples/messages');
    const good = await xmlFiles(join(examples, 'messages', 'good'));
    const wrong = await xmlFiles(join(examples, 'messages', 'wrong'));
    await submission.files([...good, ...wrong], 'examples', exampleOutcome);
    detail(`${good.length} good ones and ${wrong.length} wrong ones submitted`);
    const real = await paymentSamples();
    if (real.length > 0) {
      step('real-world pacs.008 messages, as they are: ../shared/iso20022/samples');
      await submission.files(real, 'samples', () => null);
      detail(`${real.length} submitted`);
    }

    const seed = Math.floor(Date.now() / 1000);
    step(`${generatedCount} generated events, ${generatedPerSecond} a second, from seed ${seed}`);
    phase = 'generated';
    const incompatible = await registerSchemas({
      url: config.schemaRegistryUrl, prefix: config.topicPrefix, log: commandLog, signal: AbortSignal.timeout(10_000),
    });
    const events = generateEvents({
      seed,
      count: generatedCount,
      participants: await readParticipants(participantsFile),
      maxEventBytes: config.maxEventBytes,
      // PaymentResult is registered, and is no PaymentEvent.
      incompatibleSchemaId: incompatible.find(({ subject }) => subject.startsWith(names.results))!.id,
      source: 'demo-generated',
    });
    const pending: Promise<void>[] = [];
    const sendingSince = performance.now();
    let killedAt = Number.MAX_SAFE_INTEGER;
    let sent = 0;
    for (const event of events) {
      pending.push(submission.generated(event));
      if (++sent % 50 === 0) await sleep(Math.max(0, (sent / generatedPerSecond) * 1000 - (performance.now() - sendingSince)));
      if (sent === Math.floor(generatedCount / 2)) {
        killedAt = Date.now();
        await first.kill();
        running.delete(first);
        step(`half-way: worker-1 was killed (SIGKILL) with work in its hands; starting worker-3`);
        running.add(await start('worker-3', 'worker'));
        await scrape(running);
        phase = 'worker-1 is dead';
      }
    }
    await Promise.all(pending);

    phase = 'all submitted';
    await untilAnswered(submission, tally, running, watch.failure);
    await watch.stop();
    clearInterval(progress);
    await readPositions(reader, names, partitionCount, tally);
    step('every event has its answer; comparing with ClickHouse');
    const rows = await untilRowsAgree(tally, environment);

    if (keep) {
      step('everything stays up; Ctrl-C ends it');
      const { grafanaUrl, prometheusUrl } = loadDemoEnvironment();
      if (grafanaUrl !== null) detail(`Grafana     ${grafanaUrl}`);
      if (prometheusUrl !== null) detail(`Prometheus  ${prometheusUrl}`);
      for (const child of running) detail(`${child.name.padEnd(10)}  http://127.0.0.1:${child.metricsPort}/metrics`);
      await sleep(2 ** 31 - 1);
    }
    step('SIGTERM to the workers and the sink');
    const ends = await Promise.all([...running].map(async (child) => ({ name: child.name, code: await child.end() })));
    await scrape(new Set());

    const report = reckon({ submission, tally, rows, ends, killedAt });
    showReport(report, say);
    say(`\nTook ${((performance.now() - startedAt) / 1000).toFixed(0)} s. Where to look next:`);
    whereToLook(config, relative(root, dataDirectory)).forEach((line) => say(`  ${line}`));
    return report.facts.every((fact) => fact.holds) ? 0 : 1;
  } finally {
    clearInterval(progress);
    await watch.stop();
    await reader.close();
    await publisher.close();
  }
}

/** The truth is known only where nobody else has sent anything. */
async function refuseUsedTopics(config: Config, names: TopicNames): Promise<void> {
  const admin = await connectTopicAdmin(publisherOptions(config, 'demo'));
  const present = await admin.describe([names.inbound]);
  admin.close();
  const partitions = present.get(names.inbound)?.partitions ?? 0;
  const reader = topicReader(config, 'demo-check');
  try {
    for (let partition = 0; partition < partitions; partition++) {
      if ((await reader.watermarks(names.inbound, partition)).high > 0) {
        throw new CommandError(
          `${names.inbound} at ${config.kafkaBrokers} has events already; the demo needs topics of its own: run it as "./dev demo", or set TOPIC_PREFIX.`,
        );
      }
    }
  } finally {
    await reader.close();
  }
}

async function countInbound(config: Config, names: TopicNames): Promise<number> {
  const admin = await connectTopicAdmin(publisherOptions(config, 'demo'));
  try {
    return (await admin.describe([names.inbound])).get(names.inbound)?.partitions ?? 0;
  } finally {
    admin.close();
  }
}

async function readParticipants(file: string): Promise<readonly Participant[]> {
  const read = readParticipantsFile(await readFile(file, 'utf8'), (currency) => currencyDecimals.get(currency));
  if (read.kind === 'faulty') throw new CommandError(`${file} has faults.`);
  return read.participants;
}

async function paymentSamples(): Promise<string[]> {
  const files = await xmlFiles(samples);
  const types = await Promise.all(files.map(async (file) => outlineMessage(await readFile(file)).messageType));
  return files.filter((_, i) => types[i]?.startsWith('pacs.008.') === true);
}

/** Tells Prometheus, where there is one, whom to ask. */
async function scrape(children: ReadonlySet<Child>): Promise<void> {
  const { prometheusTargetsFile } = loadDemoEnvironment();
  if (prometheusTargetsFile === null) return;
  const targets = [...children].map((child) => `127.0.0.1:${child.metricsPort}`);
  // By renaming: Prometheus must not meet half a file.
  await writeFile(`${prometheusTargetsFile}.new`, JSON.stringify(targets.length === 0 ? [] : [{ targets, labels: {} }]));
  await rename(`${prometheusTargetsFile}.new`, prometheusTargetsFile);
}

interface Watch {
  /** Rejects when the topics cannot be read or understood. */
  readonly failure: Promise<never>;
  /** Reads everything that is there once more, then stops. */
  stop(): Promise<void>;
}

function watchTopics(reader: KafkaTopicReader, names: TopicNames, partitionCount: number, tally: Tally): Watch {
  const next = new Map<string, number>();
  let stopping = false;
  const round = async (): Promise<void> => {
    for (const topic of [names.results, names.deadLetter]) {
      for (let partition = 0; partition < partitionCount; partition++) {
        const place = `${topic}/${partition}`;
        const end = await reader.readToEnd({ topic, partition, from: next.get(place) ?? null }, (batch) => {
          if (topic === names.results) tally.takeResults(batch);
          else tally.takeDeadLetters(batch);
        });
        next.set(place, end);
      }
    }
  };
  const watching = (async () => {
    while (!stopping) {
      await round();
      await sleep(100);
    }
    await round();
  })();
  let fail: (error: unknown) => void = () => undefined;
  const failure = new Promise<never>((_, reject) => (fail = reject));
  failure.catch(() => undefined);
  watching.catch(fail);
  return {
    failure,
    async stop() {
      stopping = true;
      await watching;
    },
  };
}

/** Until every event has an answer, and nothing has been added for a while: a message may hold many transactions. */
async function untilAnswered(submission: Submission, tally: Tally, running: ReadonlySet<Child>, failure: Promise<never>): Promise<void> {
  const deadline = performance.now() + answersWaitMs;
  const answers = (): number => [...tally.outcomes.values()].reduce((sum, count) => sum + count, 0);
  let before = -1;
  for (;;) {
    const open = [...submission.events].filter(([place]) => !tally.events.has(place));
    const now = answers();
    if (open.length === 0 && now === before) return;
    before = now;
    const dead = [...running].find((child) => child.exited() !== null);
    if (dead !== undefined) throw new CommandError(`${dead.name} ended by itself; its log is ${relative(root, dead.logFile)}.`);
    if (performance.now() > deadline) {
      const shown = open.slice(0, 5).map(([place, { what }]) => `${place} (${what})`);
      throw new CommandError(`${open.length} events have no answer after ${answersWaitMs / 1000} s: ${shown.join(', ')}.`);
    }
    await Promise.race([sleep(1500), failure]);
  }
}

async function readPositions(reader: KafkaTopicReader, names: TopicNames, partitionCount: number, tally: Tally): Promise<void> {
  // Credits may be applied a moment after their debits: at rest, the sums are 0.
  const deadline = performance.now() + 15_000;
  do {
    for (let partition = 0; partition < partitionCount; partition++) {
      await reader.readToEnd({ topic: names.positions, partition, from: null }, (batch) => tally.takePositions(batch));
    }
    if ([...tally.sums().values()].every((sum) => sum === 0n) && tally.differences().length === 0) return;
    await sleep(500);
  } while (performance.now() < deadline);
}

/** What ClickHouse counts: outcome to rows, in the tally's words. */
async function untilRowsAgree(tally: Tally, environment: Readonly<Record<string, string>>): Promise<ReadonlyMap<string, number>> {
  const query = `
    SELECT if(reason_code IS NULL, status, concat(status, ' ', reason_code)) AS outcome, count() AS rows FROM payments.results GROUP BY outcome
    UNION ALL SELECT concat('dead letter ', code), count() FROM payments.dead_letters GROUP BY code
    UNION ALL SELECT concat('last offset of results ', toString(result_partition)), max(result_offset) FROM payments.results GROUP BY result_partition`;
  const deadline = performance.now() + clickhouseWaitMs;
  for (;;) {
    const output = await runCommand(['sql', query, '--format', 'JSONEachRow'], environment);
    const rows = new Map<string, number>();
    for (const line of output.split('\n').filter((text) => text !== '')) {
      const row = JSON.parse(line) as { readonly outcome: string; readonly rows: string | number };
      rows.set(row.outcome, Number(row.rows));
    }
    const agree = [...tally.outcomes].every(([outcome, count]) => rows.get(outcome) === count);
    if (agree || performance.now() > deadline) return rows;
    await sleep(500);
  }
}

function whereToLook(config: Config, directory: string): string[] {
  const clickhouse = config.clickhouseUrl.startsWith('chdb:') ? `CLICKHOUSE_URL=chdb:${relative(root, config.clickhouseUrl.slice(5))} ` : '';
  return [
    `rows        ${clickhouse}./dev cli sql "SELECT status, reason_code, count() FROM results GROUP BY ALL ORDER BY 3 DESC"`,
    `logs        ${directory}/worker-1.log (killed), worker-2.log, worker-3.log, sink.log`,
    'dashboards  grafana/dashboards/; ./dev demo --keep leaves everything running to look at',
    'messages    examples/messages, examples/participants.json',
    'what holds  docs/guarantees.md, and how it is made: src/README.md',
  ];
}
