/**
 * Fires every alert by striking a real fleet with a real Prometheus over it: `./dev alerts [--draw FOLDER] [--pace
 * PAYMENTS_A_SECOND]`, five minutes. What strikes the sink goes on beside what strikes the workers. Then tries every panel of the dashboards on what
 * Prometheus has seen, and draws them. Exit code 1 when an alert did not fire, fired where nothing was wrong, or a panel is without
 * data.
 */
import { mkdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { assertEveryPanelHasData, dashboardPaths } from '../dashboards/panels.ts';
import { drawDashboard } from '../../scripts/dashboards/draw.ts';
import { startStandIn } from '../sink/clickhouse-stand-in.ts';
import { alertNames } from './scaled-rules.ts';
import { until } from '../until.ts';
import { StruckFleet } from './struck-fleet.ts';

// What is written goes when the stack does, also where a signal ends us.
process.env['TMPDIR'] = process.env['STACK_DIRECTORY'];
const { values } = parseArgs({ options: { draw: { type: 'string' }, pace: { type: 'string', default: '40' } } });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

const begun = performance.now();
const say = (line: string): void => console.log(`${((performance.now() - begun) / 1000).toFixed(0).padStart(5)} s  ${line}`);
const found = new Set<string>();
const problems = { push: (problem: string): unknown => found.add(problem) };
const fired = new Set<string>();
/** Whatever fired at any time, wanted or not. */
const seen = new Set<string>();

const clickhouse = await startStandIn();
const fleet = await StruckFleet.start({ ownKafka: true, workers: 2, sink: true, clickhouseUrl: clickhouse.url });
const { bench, redis, kafka } = fleet;
const watching = setInterval(() => void fleet.firing().then((names) => names.forEach((name) => seen.add(name)), () => undefined), 1000);
const pace = Number(values.pace);

/** Each waits until an alert has ended. */
const endings: Promise<unknown>[] = [];

/** Strikes, waits until each alert has fired, and relieves. That the alerts end then is looked at beside what comes next. */
async function strike(what: string, alerts: readonly string[], provoke: () => Promise<unknown>, relieve: () => Promise<unknown> = async () => undefined): Promise<void> {
  say(`${what}: ${alerts.join(', ')}`);
  try {
    const before = await fleet.firing();
    for (const name of alerts) if (before.has(name)) problems.push(`${name} fires before: ${what}`);
    await provoke();
    for (const name of await fleet.firedOf(alerts, 150_000)) fired.add(name);
    for (const name of alerts) if (!fired.has(name)) problems.push(`${name} did not fire: ${what}`);
  } catch (error) {
    problems.push(`${what}: ${String(error)}`);
  }
  await relieve().catch((error: unknown) => problems.push(`${what}, relief: ${String(error)}`));
  for (const name of alerts) endings.push(fleet.quiet([name], 180_000).catch(() => problems.push(`${name} did not end: ${what}`)));
}

/** Resolves once nothing has fired for so many seconds on end. */
async function nothingFires(seconds: number, boundMs: number): Promise<void> {
  let since = performance.now();
  await until(`nothing to fire for ${seconds} s`, async () => {
    if ((await fleet.firing()).size > 0) since = performance.now();
    return performance.now() - since > seconds * 1000;
  }, boundMs);
}

async function strikeSink(): Promise<void> {
  await strike('ClickHouse is away', ['SinkFallsBehind'], () => clickhouse.goAway(), () => clickhouse.comeBack());
  await strike('the sink ends', ['NoSinkIsScraped'], () => fleet.sink!.terminate(), () => fleet.startSink());
}

async function strikeWorkers(): Promise<void> {
  let late: NodeJS.Timeout | undefined;
  await strike('a sender that delivers a minute late', ['SettlementIsLate'], async () => {
    late = setInterval(() => void fleet.sendLate(10, 60_000).catch(() => undefined), 500);
  }, async () => clearInterval(late));

  await strike('a sender that breaks its messages', ['ManyDeadLetters'], () => fleet.sendGarbage(400));

  await strike('a worker in the group gets no records', ['ReadyButNothingCommits'],
    async () => fleet.withholdRecords(),
    async () => fleet.letRecordsPass());

  await strike('Redis comes back empty', ['RedisForgot'], async () => {
    await redis.kill();
    await redis.start();
  });
}

try {
  fleet.keepSending(pace);
  // A fleet that begins on an empty Redis fills its windows, and tells so for half a minute.
  await nothingFires(35, 300_000).catch(() => problems.push('Alerts fire from the start.'));
  say('Nothing fires. It stays so for 15 s.');
  for (let second = 0; second < 15; second++) {
    for (const name of await fleet.firing()) problems.push(`${name} fires where nothing is wrong.`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }

  await Promise.all([strikeSink(), strikeWorkers()]);

  await strike('Redis is frozen', ['DependencyIsAway', 'SettlementStandsStill', 'ProcessIsNotReady', 'LagGrows'],
    async () => redis.signal('SIGSTOP'),
    async () => redis.signal('SIGCONT'));

  let thaw: NodeJS.Timeout | undefined;
  await strike('the broker is frozen, for 50 s at most', ['TransactionsAreAborted', 'AccountsAreNotCompared'], async () => {
    kafka!.signal('SIGSTOP');
    thaw = setTimeout(() => kafka!.signal('SIGCONT'), 50_000);
  }, async () => {
    clearTimeout(thaw);
    kafka!.signal('SIGCONT');
  });

  await strike('a worker is killed three times', ['ProcessRestartsOften'], async () => {
    for (let i = 0; i < 3; i++) {
      await fleet.workers[0]!.kill();
      await fleet.startWorker(0);
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
  });

  fleet.stopSending();
  await bench.atRest(120_000);
  await strike('no worker runs', ['NoWorkerIsScraped'], () => fleet.endWorkers(), () => fleet.startWorkers());

  const places: { offset: number }[] = [];
  await strike('Kafka deletes what was not read', ['EventsAreUnaccountedFor'], async () => {
    await fleet.endWorkers();
    const value = fleet.anEvent();
    for (let i = 0; i < 6; i++) places.push(await bench.sendValue(value, { partition: 1, key: 'x' }));
    await fleet.deleteRecords(1, places[4]!.offset);
    await fleet.startWorkers();
  }, () => fleet.endWorkers());

  await strike('somebody moves an offset of the group', ['LaneIsHalted'], async () => {
    await fleet.moveOffset(2, 1);
    await fleet.startWorkers(false);
  }, async () => {
    await fleet.endWorkers();
    await fleet.moveOffset(2, -1);
    await fleet.startWorkers();
  });

  fleet.keepSending(pace);
  await Promise.all([...endings, new Promise((resolve) => setTimeout(resolve, 20_000))]);
  fleet.stopSending();
  const seconds = Math.ceil((performance.now() - begun) / 1000);
  for (const path of dashboardPaths()) {
    await assertEveryPanelHasData(fleet.prometheus.url, path, { rangeSeconds: seconds, rateInterval: '10s' }).catch((error: unknown) => problems.push(String(error)));
    if (values.draw === undefined) continue;
    mkdirSync(values.draw, { recursive: true });
    say(`drawn: ${await drawDashboard({ prometheusUrl: fleet.prometheus.url, dashboardPath: path, folder: values.draw, rangeSeconds: seconds, rateInterval: '10s' })}`);
  }
} finally {
  clearInterval(watching);
  await fleet.close();
  await clickhouse.close();
}

const notTried = alertNames().filter((name) => !fired.has(name));
say(`Fired: ${[...fired].sort().join(', ')}.`);
const others = [...seen].filter((name) => !fired.has(name));
if (others.length > 0) say(`Beside them: ${others.join(', ')}.`);
say(`Not provoked: ${notTried.join(', ') || 'none'}.`);
for (const problem of found) console.log(`PROBLEM ${problem}`);
process.exit(found.size === 0 ? 0 : 1);
