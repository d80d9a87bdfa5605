/**
 * What being looked at costs: the same drain alone, with somebody who scrapes as Prometheus does, and with somebody who
 * asks for everything as fast as it comes (autocannon), in turn. A scrape must not cost throughput.
 *
 * `./dev bench http --help` lists the options; bench/README.md says how to read it.
 */
import autocannon from 'autocannon';
import { table } from '../src/cli/console.ts';
import { drainRound, saidDrain } from './drain.ts';
import { measureDrain } from './drain-round.ts';
import { subjectsOf } from './peers/subjects.ts';
import type { Running } from './peers/subjects.ts';
import { progress, Recording, saidDuration, sayHead } from './record.ts';
import type { BenchRound } from './record.ts';
import { readSettings } from './settings.ts';
import { grouped, saidSpread, spread } from './statistics.ts';

const forms = {
  events: { default: 100_000, what: 'events that are drained while the clock runs' },
  warm: { default: 40_000, least: 0, what: 'events drained before, to warm up' },
  rounds: { default: 5, what: 'rounds; in each all variants take their turn' },
  paths: { default: ['/metrics', '/healthz', '/readyz', '/', '/status'], what: 'what is asked for' },
  connections: { default: 2, what: 'of the one who asks as fast as it comes, for each path' },
  'scrape-ms': { default: 1_000, what: 'how often the other one asks for each path' },
} as const;

/** Long enough for any drain; it is stopped when the drain ends. */
const cannonSeconds = 600;

interface Asked {
  readonly requests: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export async function run(args: readonly string[]): Promise<void> {
  const settings = readSettings('http', forms, args);
  if (settings === null) return;
  const [fleet] = subjectsOf(['fleet']);
  const recording = new Recording('http', args, settings);
  recording.subject('alone', `${fleet!.what}, nobody asks`);
  recording.subject('scraped', `each of ${settings.paths.join(', ')} every ${settings['scrape-ms']} ms`);
  recording.subject('beset', `each of them by ${settings.connections} connections, one request after another without a pause`);
  const variants = [
    { name: 'alone', beside: undefined },
    { name: 'scraped', beside: (running: readonly Running[]) => ask(running, settings.paths, { connections: 1, overallRate: Math.max(1, Math.round(1_000 / settings['scrape-ms'])) }) },
    { name: 'beset', beside: (running: readonly Running[]) => ask(running, settings.paths, { connections: settings.connections }) },
  ];
  sayHead('http', [`drains of ${grouped(settings.events)} events, ${settings.rounds} rounds`, `takes ${saidDuration(settings.rounds * variants.length * (15 + (settings.events + settings.warm) / fleet!.eventsPerSecond))}`]);

  for (let round = 1; round <= settings.rounds; round++) {
    for (const { name, beside } of variants) await recording.turn(round, name, async () => {
      const figures = await measureDrain(fleet!, {
        seed: round, events: settings.events, transactions: 1, warm: settings.warm, workers: 1, participants: 64, partitions: 8, commitIntervalMs: 100, sink: false,
        onProgress: (left) => progress.show(`round ${round}/${settings.rounds} ${name}: ${grouped(left)} events left`),
        ...(beside === undefined ? {} : { beside }),
      });
      progress.clear();
      const asked = (figures.beside ?? { requests: 0, failed: 0, p50Ms: 0, p99Ms: 0 }) as Asked;
      const own = drainRound(round, name, figures, {});
      recording.add({
        ...own,
        figures: { ...own.figures, requestsPerSecond: asked.requests / figures.seconds, requestP50Ms: asked.p50Ms, requestP99Ms: asked.p99Ms, requestsFailed: asked.failed },
        discarded: asked.failed > 0 ? [...own.discarded, `${asked.failed} requests failed`] : own.discarded,
      });
      console.log(`round ${round}  ${name.padEnd(8)} ${saidDrain(figures)}${name === 'alone' ? '' : `; ${grouped(asked.requests / figures.seconds)} requests/s, p50 ${asked.p50Ms} ms, p99 ${asked.p99Ms} ms`}`);
      if (figures.faults.length > 0 || asked.failed > 0) console.log(`          DISCARDED: ${[...figures.faults, ...(asked.failed > 0 ? [`${asked.failed} requests failed`] : [])].slice(0, 3).join('; ')}`);
    });
  }
  recording.finish(httpSummary(recording.counted));
}

/** Asks the first process for all paths until it is told to end. */
function ask(running: readonly Running[], paths: readonly string[], load: { readonly connections: number; readonly overallRate?: number }): { end(): Promise<Asked> } {
  const cannons = paths.map((path) => {
    const results = Promise.withResolvers<autocannon.Result>();
    const cannon = autocannon({ url: `http://127.0.0.1:${running[0]!.metricsPort}${path}`, duration: cannonSeconds, ...load }, (error, result) => {
      if (error) results.reject(error as Error);
      else results.resolve(result);
    });
    results.promise.catch(() => undefined);
    return { cannon, result: results.promise };
  });
  return {
    async end() {
      for (const { cannon } of cannons) (cannon as unknown as { stop(): void }).stop();
      const all = await Promise.all(cannons.map(({ result }) => result));
      return {
        requests: all.reduce((sum, { requests }) => sum + requests.total, 0),
        failed: all.reduce((sum, one) => sum + one.errors + one.timeouts + one.non2xx, 0),
        p50Ms: Math.max(...all.map(({ latency }) => latency.p50)),
        p99Ms: Math.max(...all.map(({ latency }) => latency.p99)),
      };
    },
  };
}

export function httpSummary(rounds: readonly BenchRound[]): string[] {
  const names = [...new Set(rounds.map(({ subject }) => subject))];
  const alone = rounds.filter(({ subject }) => subject === 'alone');
  if (alone.length === 0) return ['No round counts.'];
  return table(
    ['', 'events/s', 'of the rate alone, round by round', 'CPU µs an event', 'requests/s', 'p50 ms', 'p99 ms'],
    names.map((name) => {
      const own = rounds.filter(({ subject }) => subject === name);
      const of = (figure: string) => spread(own.map(({ figures }) => figures[figure]!));
      // Rounds are compared with their own neighbour: a machine that changes its mind between rounds does not matter then.
      const ratios = own.flatMap((one) => {
        const beside = alone.find(({ round }) => round === one.round);
        return beside === undefined ? [] : [one.figures['eventsPerSecond']! / beside.figures['eventsPerSecond']!];
      });
      return [
        name, saidSpread(of('eventsPerSecond')), saidSpread(spread(ratios), (value) => value.toFixed(2)), of('subjectCpuMicrosecondsAnEvent').median.toFixed(1),
        grouped(of('requestsPerSecond').median), of('requestP50Ms').median.toFixed(1), of('requestP99Ms').median.toFixed(1),
      ];
    }),
  );
}
