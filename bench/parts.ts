/**
 * Where the CPU goes: every part of a worker's work measured alone, by the product's own code, beside the worker as a
 * whole. The parts should add up to the whole; what is left over is the loop around them, timers and the collector.
 *
 * `./dev bench parts --help` lists the options; bench/README.md says how to read it.
 */
import { table } from '../src/cli/console.ts';
import { drainRound } from './drain.ts';
import { measureDrain } from './drain-round.ts';
import { chainParts, measureParts, partNames } from './parts-round.ts';
import { fleet } from './peers/subjects.ts';
import { progress, Recording, saidDuration, sayHead } from './record.ts';
import type { BenchRound } from './record.ts';
import { readSettings } from './settings.ts';
import { grouped, saidSpread, spread } from './statistics.ts';

const forms = {
  events: { default: 60_000, least: 1_000, what: 'events, of which the first quarter warms up' },
  positions: { default: 1_000_000, least: 1_000, what: 'positions that are restored' },
  'epoch-events': { default: 2_000, what: 'events in a Kafka transaction, as many as come in 100 ms at 20,000/s' },
  rounds: { default: 3, what: 'rounds' },
} as const;

const explained: Readonly<Record<string, string>> = {
  consume: 'records from Kafka, packed by partition',
  decode: 'Avro and ISO 20022 in a worker thread, there and back',
  avro: '  of it: Avro, in the main thread',
  parse: '  of it: ISO 20022, the whole XSD, in the main thread',
  route: 'owners, and what message and directory refuse',
  dedupe: 'claims, a Redis round trip a batch',
  settle: 'decisions, postings, results as Avro, chain, seal',
  commit: 'Kafka transactions with offsets',
  parts: 'the sum of consume, decode, route, dedupe, settle, commit',
  fleet: 'settlefleet worker, a drain of as many events',
  sink: 'results to rows in ClickHouse (embedded), a row each',
  restore: 'positions from the changelog on assignment, a position each',
};

export async function run(args: readonly string[]): Promise<void> {
  const settings = readSettings('parts', forms, args);
  if (settings === null) return;
  const recording = new Recording('parts', args, settings);
  for (const [name, what] of Object.entries(explained)) recording.subject(name, what.trim());
  sayHead('parts', [`${grouped(settings.events)} events, ${grouped(settings.positions)} positions, ${settings.rounds} rounds`, `takes ${saidDuration(settings.rounds * (40 + settings.events / 1_500 + settings.positions / 30_000))}`]);
  for (let round = 1; round <= settings.rounds; round++) await recording.turn(round, 'parts', async () => {
    const parts = await measureParts({
      seed: round, events: settings.events, positions: settings.positions, epochEvents: settings['epoch-events'],
      onPart: (name) => progress.show(`round ${round}/${settings.rounds} ${name}`),
    });
    for (const name of partNames) {
      const { count, seconds, cpu } = parts[name];
      const each = (spent: number): number => (spent / count) * 1e6;
      recording.add({ round, subject: name, figures: { count, seconds, eventsPerSecond: count / seconds, subjectCpuMicrosecondsAnEvent: each(cpu.own), kafkaCpuMicrosecondsAnEvent: each(cpu.kafka), redisCpuMicrosecondsAnEvent: each(cpu.redis) } });
    }
    const sum = (of: 'own' | 'kafka' | 'redis'): number => chainParts.reduce((all, name) => all + (parts[name].cpu[of] / parts[name].count) * 1e6, 0);
    recording.add({ round, subject: 'parts', figures: { subjectCpuMicrosecondsAnEvent: sum('own'), kafkaCpuMicrosecondsAnEvent: sum('kafka'), redisCpuMicrosecondsAnEvent: sum('redis'), eventsPerSecond: null } });
    progress.show(`round ${round}/${settings.rounds} fleet`);
    const whole = await measureDrain(fleet, { seed: round, events: Math.round(settings.events * 0.75), transactions: 1, warm: Math.round(settings.events * 0.25), workers: 1, participants: 64, partitions: 8, commitIntervalMs: 100, sink: false });
    recording.add(drainRound(round, 'fleet', whole, {}));
    progress.clear();
    console.log(`round ${round}  parts ${sum('own').toFixed(1)} µs CPU an event, the worker as a whole ${((whole.cpu.subject / whole.events) * 1e6).toFixed(1)}`);
    if (whole.faults.length > 0) console.log(`          the worker's drain is DISCARDED: ${whole.faults.slice(0, 3).join('; ')}`);
  });
  recording.finish(partsSummary(recording.counted));
}

export function partsSummary(rounds: readonly BenchRound[]): string[] {
  const rows = Object.keys(explained).flatMap((name) => {
    const own = rounds.filter(({ subject }) => subject === name);
    if (own.length === 0) return [];
    const of = (figure: string) => spread(own.map(({ figures }) => figures[figure]!));
    const rate = own[0]!.figures['eventsPerSecond'] === null ? '' : saidSpread(of('eventsPerSecond'));
    return [[name, saidSpread(of('subjectCpuMicrosecondsAnEvent'), (value) => value.toFixed(1)), of('kafkaCpuMicrosecondsAnEvent').median.toFixed(1), of('redisCpuMicrosecondsAnEvent').median.toFixed(1), rate, explained[name]!]];
  });
  return rows.length === 0 ? ['No round counts.'] : table(['part', 'CPU µs each', 'broker', 'Redis', 'each/s', ''], rows);
}
