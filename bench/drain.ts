/**
 * How fast a backlog is worked off: N events become visible at once (one Kafka transaction of upstream's), and the clock
 * runs until the group's committed offsets stand behind the last of them. Every answer is compared with what must become of
 * the event; a run with a wrong one is discarded and said to be so.
 *
 * `./dev bench drain [--events 100000] [--warm 40000] [--rounds 3] [--workers 1] [--subjects fleet,ceiling,streams] [--sink]`.
 * `--warm 0`: cold, the clock runs from the start of the processes. Subjects take turns in each round:
 *
 *     fleet    settlefleet worker, as it is
 *     ceiling  the same Kafka client and transactions with nothing between: what this client can do at most
 *     streams  Kafka Streams 4.1, exactly_once_v2, an expert's version of the job without ISO 20022 validation
 */
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { table } from '../src/cli/console.ts';
import { measureDrain } from './drain-round.ts';
import type { DrainFigures } from './drain-round.ts';
import { ceiling, fleet, streams } from './peers/subjects.ts';
import type { Subject } from './peers/subjects.ts';

const subjects: Readonly<Record<string, Subject>> = { fleet, ceiling, streams };

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      events: { type: 'string', default: '100000' },
      warm: { type: 'string', default: '40000' },
      rounds: { type: 'string', default: '3' },
      workers: { type: 'string', default: '1' },
      participants: { type: 'string', default: '64' },
      partitions: { type: 'string', default: '8' },
      subjects: { type: 'string', default: 'fleet,ceiling,streams' },
      sink: { type: 'boolean', default: false },
    },
  });
  const number = (name: Exclude<keyof typeof values, 'subjects' | 'sink'>): number => Number(values[name]);
  const chosen = values.subjects.split(',').map((name) => {
    const subject = subjects[name];
    if (subject === undefined) throw new Error(`--subjects: ${name} is none of ${Object.keys(subjects).join(', ')}`);
    return { name, subject };
  });
  console.log(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}, ${new Date().toISOString().slice(0, 10)}; load ${loadavg().map((load) => load.toFixed(1)).join(' ')}`);
  console.log(`${values.events} events of about 1.9 KB after ${values.warm} to warm up, ${values.partitions} partitions, ${values.participants} participants, 1% duplicates, 0.5% wrong; ${values.workers} process(es)${values.sink ? ' and a sink' : ''}\n`);

  const measured = new Map<string, DrainFigures[]>(chosen.map(({ name }) => [name, []]));
  for (let round = 1; round <= number('rounds'); round++) {
    for (const { name, subject } of chosen) {
      const figures = await measureDrain(subject, {
        seed: round,
        events: number('events'),
        warm: number('warm'),
        workers: number('workers'),
        participants: number('participants'),
        partitions: number('partitions'),
        sink: values.sink && name === 'fleet',
      });
      if (figures === null) {
        measured.delete(name);
        console.log(`round ${round}  ${name} cannot be measured here: ${subject.lacking()}`);
        chosen.splice(chosen.findIndex((one) => one.name === name), 1);
        continue;
      }
      console.log(`round ${round}  ${name.padEnd(8)} ${said(figures)}`);
      if (figures.faults.length === 0) measured.get(name)!.push(figures);
      else console.log(`          DISCARDED: ${figures.faults.slice(0, 3).join('; ')}`);
    }
  }
  console.log('');
  for (const line of summary(measured)) console.log(line);
}

function said(figures: DrainFigures): string {
  const perEvent = (seconds: number): string => ((seconds / figures.events) * 1e6).toFixed(1);
  return `${Math.round(figures.events / figures.seconds)} events/s, CPU an event: ${perEvent(figures.cpu.subject)} µs, broker ${perEvent(figures.cpu.kafka)}, Redis ${perEvent(figures.cpu.redis)}; ${figures.memoryMegabytes} MB at most`;
}

/** Medians and ranges; ratios to the fleet, of medians. */
function summary(measured: ReadonlyMap<string, readonly DrainFigures[]>): string[] {
  const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? NaN;
  const rows = [...measured].filter(([, all]) => all.length > 0).map(([name, all]) => {
    const rates = all.map(({ events, seconds }) => events / seconds);
    return {
      name, rate: median(rates), low: Math.min(...rates), high: Math.max(...rates),
      cpu: median(all.map(({ cpu, events }) => (cpu.subject / events) * 1e6)),
      memory: Math.max(...all.map(({ memoryMegabytes }) => memoryMegabytes)),
    };
  });
  const own = rows.find(({ name }) => name === 'fleet');
  const ratio = (of: number | undefined, to: number): string => (of === undefined ? '' : (of / to).toFixed(2));
  return table(
    ['subject', 'events/s', 'range', 'CPU µs an event', 'MB', 'fleet is so many times as fast', 'and takes this much of its CPU'],
    rows.map(({ name, rate, low, high, cpu, memory }) => [
      name, Math.round(rate), `${Math.round(low)}-${Math.round(high)}`, cpu.toFixed(1), memory, ratio(own?.rate, rate), ratio(own?.cpu, cpu),
    ]),
  );
}
