/** What the report draws of each kind of measurement. */
import { Latencies } from '../load/latencies.ts';
import { judgeMemory } from '../memory.ts';
import { chainParts } from '../parts-round.ts';
import type { BenchRecord, BenchRound } from '../record.ts';
import { median } from '../statistics.ts';
import { barChart, lineChart, shortNumber, stackedChart } from './charts.ts';
import type { Axis, Bar, Line } from './charts.ts';

export interface Section {
  readonly title: string;
  /** How to read it, in a sentence or two. */
  readonly about: string;
  readonly charts: readonly string[];
}

/** A subject has one colour wherever it appears; what has no own one gets the next that is free. */
const ownColours: Readonly<Record<string, string>> = { fleet: 'c0', streams: 'c1', plain: 'c2', ceiling: 'c7', 'at-least-once': 'c3' };

function colours(names: readonly string[]): (name: string) => string {
  const free = ['c0', 'c4', 'c5', 'c6', 'c3', 'c2', 'c1', 'c7'].filter((colour) => !names.some((name) => ownColours[name] === colour));
  const given = new Map<string, string>();
  for (const name of names) given.set(name, ownColours[name] ?? free[given.size % free.length] ?? 'c7');
  return (name) => given.get(name) ?? 'c7';
}

const shownMicroseconds = 'CPU µs an event';

export function sectionOf(record: BenchRecord): Section {
  const rounds = record.rounds.filter(({ discarded }) => discarded.length === 0);
  switch (record.name) {
    case 'drain':
      return { title: 'A backlog, worked off', about: 'Events become visible at one moment; the clock runs until the group has committed behind the last of them. More is better.', charts: drainCharts(rounds) };
    case 'http':
      return { title: 'Being looked at', about: 'The same drain alone, scraped as Prometheus does it, and asked for everything without a pause. A scrape must not cost throughput.', charts: drainCharts(rounds) };
    case 'latency':
      return { title: 'Latency at fixed rates', about: 'From the moment at which an event was to be sent until a read_committed reader holds its result, under a load that waits for nothing. Less is better; a line ends at the last rate that was sustained.', charts: latencyCharts(rounds) };
    case 'sustained':
      return { title: 'The highest rate that is kept up with', about: 'With bounded lag and a bounded p99 under an open load, found by steps upwards and then by halves. More is better.', charts: sustainedCharts(rounds) };
    case 'parts':
      return { title: 'Where the CPU goes', about: 'Each part of a worker\'s work measured alone by the product\'s own code, beside the worker as a whole. Less is better.', charts: partsCharts(rounds) };
    case 'parse':
      return { title: 'Reading one message', about: 'CPU of one thread. Ours holds the message against the whole XSD and writes the rows for settlement; the others do what their line says. Less is better.', charts: parseCharts(rounds) };
    case 'scale':
      return { title: 'More of it', about: 'Whether doubling the work doubles the time, no more.', charts: scaleCharts(rounds) };
    case 'memory':
      return { title: 'Memory under a steady load', about: 'Resident size every second, and the line fitted behind the first part. Flat is good.', charts: memoryCharts(record, rounds) };
    default:
      return { title: record.name, about: '', charts: [] };
  }
}

function namesOf(rounds: readonly BenchRound[]): string[] {
  return [...new Set(rounds.map(({ subject }) => subject))];
}

function figuresOf(rounds: readonly BenchRound[], subject: string, figure: string): number[] {
  return rounds.filter((round) => round.subject === subject).flatMap(({ figures }) => figures[figure] ?? []);
}

function barsOf(rounds: readonly BenchRound[], figure: string): Bar[] {
  const names = namesOf(rounds);
  const colour = colours(names);
  return names.flatMap((name) => {
    const values = figuresOf(rounds, name, figure);
    return values.length === 0 ? [] : [{ label: name, value: median(values), rounds: values, colour: colour(name) }];
  });
}

function drainCharts(rounds: readonly BenchRound[]): string[] {
  return [
    barChart('Throughput', barsOf(rounds, 'eventsPerSecond'), 'events a second'),
    stackedChart('CPU an event', namesOf(rounds).map((name) => ({
      label: name,
      parts: [
        { name: 'the subject', value: median(figuresOf(rounds, name, 'subjectCpuMicrosecondsAnEvent')), colour: 'c0' },
        { name: 'Kafka', value: median(figuresOf(rounds, name, 'kafkaCpuMicrosecondsAnEvent')), colour: 'c3' },
        { name: 'Redis', value: median(figuresOf(rounds, name, 'redisCpuMicrosecondsAnEvent')), colour: 'c1' },
      ],
    })), 'microseconds, all processes; medians'),
    barChart('Memory at most', barsOf(rounds, 'memoryMegabytes'), 'MB of the largest process'),
  ];
}

function latencyCharts(rounds: readonly BenchRound[]): string[] {
  const names = namesOf(rounds);
  const colour = colours(names);
  const ratesOf = (name: string): number[] => [...new Set(figuresOf(rounds, name, 'rate'))].sort((a, b) => a - b);
  const at = (name: string, rate: number): BenchRound[] => rounds.filter(({ subject, figures }) => subject === name && figures['rate'] === rate);
  const merged = (name: string, rate: number): Latencies | null => {
    const here = at(name, rate);
    return here.length > 0 && here.every(({ parameters }) => parameters['sustained'] === true) ? Latencies.merge(here.map(({ histograms }) => histograms['latency']!)) : null;
  };
  const rates = [...new Set(names.flatMap(ratesOf))].sort((a, b) => a - b);
  const rateAxis = { label: 'events a second', isLog: true, ticks: rates.map((rate) => ({ at: rate, text: shortNumber(rate) })), from: rates[0]! * 0.9, to: rates.at(-1)! * 1.1 };
  const overRate = (share: number): Line[] => names.map((name) => ({
    name, colour: colour(name), points: ratesOf(name).flatMap((rate) => {
      const all = merged(name, rate);
      return all === null ? [] : [[rate, all.quantile(share)] as const];
    }),
  }));
  const milliseconds = { label: 'milliseconds, logarithmic', isLog: true };
  // As far as everybody came, and as far as the best did.
  const common = rates.filter((rate) => names.every((name) => merged(name, rate) !== null)).at(-1);
  const best = rates.filter((rate) => names.some((name) => merged(name, rate) !== null)).at(-1);
  const shares = [0, 50, 75, 90, 95, 97, 98, 99, 99.5, 99.7, 99.9, 99.95, 99.99];
  const tail = (rate: number): string => lineChart(`All quantiles at ${shortNumber(rate)}/s`, names.flatMap((name) => {
    const all = merged(name, rate);
    return all === null ? [] : [{ name, colour: colour(name), points: shares.filter((share) => all.count * (1 - share / 100) >= 1).map((share) => [1 / (1 - share / 100), all.quantile(share / 100)] as const) }];
  }), { label: 'share of events that were quicker', isLog: true, ticks: [0, 50, 90, 99, 99.9, 99.99].map((share) => ({ at: 1 / (1 - share / 100), text: `${share}%` })), from: 1, to: 10_000 }, milliseconds);
  const behind = rounds.filter(({ parameters }) => parameters['sustained'] === false);
  return [
    lineChart('Half are quicker (p50)', overRate(0.5), rateAxis, milliseconds),
    lineChart('99 of 100 are quicker (p99)', overRate(0.99), rateAxis, milliseconds),
    lineChart('999 of 1,000 are quicker (p99.9)', overRate(0.999), rateAxis, milliseconds),
    ...[...new Set([common, best])].flatMap((rate) => (rate === undefined ? [] : [tail(rate)])),
    behind.length === 0 ? '' : lineChart('Events on their way where a rate was not kept up with', behind.slice(0, 8).map(({ subject, figures, series, round }) => ({
      name: `${subject} ${shortNumber(figures['rate']!)}/s${round > 1 ? `, ${round}` : ''}`, colour: colour(subject), points: series['lag'] ?? [], isDashed: round > 1,
    })), { label: 'seconds since the load began' }, { label: 'events' }),
    stackedChart('CPU an event by rate', names.flatMap((name) => ratesOf(name).map((rate) => ({
      label: `${name} ${shortNumber(rate)}/s`,
      parts: (['subject', 'kafka', 'redis'] as const).map((part, i) => ({
        name: ['the subject', 'Kafka', 'Redis'][i]!, value: median(at(name, rate).map(({ figures }) => figures[`${part}CpuMicrosecondsAnEvent`]!)), colour: ['c0', 'c3', 'c1'][i]!,
      })),
    }))), 'microseconds; medians. The load generator and the reader are not in it'),
  ];
}

function sustainedCharts(rounds: readonly BenchRound[]): string[] {
  const found = rounds.filter(({ parameters }) => parameters['step'] === 'highest');
  const tries = rounds.filter(({ parameters }) => parameters['step'] === 'try');
  const names = namesOf(tries);
  const colour = colours(names);
  return [
    barChart('Highest sustained rate', barsOf(found, 'highestRate'), 'events a second'),
    lineChart('p99 of the rates that were tried and held', names.map((name) => ({
      name, colour: colour(name),
      points: tries.filter(({ subject, figures, parameters }) => subject === name && figures['p99Ms'] !== null && parameters['sustained'] === true)
        .map(({ figures }) => [figures['rate']!, figures['p99Ms']!] as const).sort((a, b) => a[0] - b[0]),
    })), { label: 'events a second', isLog: true }, { label: 'milliseconds, logarithmic', isLog: true }),
  ];
}

function partsCharts(rounds: readonly BenchRound[]): string[] {
  const each = (name: string): number => median(figuresOf(rounds, name, 'subjectCpuMicrosecondsAnEvent'));
  const whole = figuresOf(rounds, 'fleet', 'subjectCpuMicrosecondsAnEvent');
  const parts = chainParts.map((name, i) => ({ name, value: each(name), colour: `c${i}` }));
  const rates = ['avro', 'parse', ...chainParts, 'sink', 'restore'].map((name) => ({ label: name, value: median(figuresOf(rounds, name, 'eventsPerSecond')), rounds: figuresOf(rounds, name, 'eventsPerSecond'), colour: name === 'sink' || name === 'restore' ? 'c7' : 'c0' }));
  return [
    stackedChart(shownMicroseconds, [{ label: 'the parts', parts }, ...(whole.length > 0 ? [{ label: 'the worker', parts: [{ name: 'the worker as a whole', value: median(whole), colour: 'c7' }] }] : [])], 'microseconds of the worker\'s process; medians'),
    barChart('How fast each part is alone', rates, 'events, rows or positions a second'),
  ];
}

function parseCharts(rounds: readonly BenchRound[]): string[] {
  const names = namesOf(rounds);
  const messages = [...new Set(rounds.map(({ parameters }) => String(parameters['message'])))];
  return messages.map((message) => {
    const own = rounds.filter(({ parameters }) => parameters['message'] === message);
    return barChart(`${message}, ${shortNumber(Number(own[0]?.parameters['bytes']))} bytes`, barsOf(own, 'microsecondsAMessage').map((bar) => ({ ...bar, colour: bar.label === names[0] ? 'c0' : 'c7', label: bar.label.length > 32 ? `${bar.label.slice(0, 31)}…` : bar.label })), 'microseconds a message');
  });
}

function scaleCharts(rounds: readonly BenchRound[]): string[] {
  const names = namesOf(rounds);
  const colour = colours(names);
  const of = (dimension: string, figure: string): Line[] => names.map((name) => {
    const own = rounds.filter(({ subject, parameters }) => subject === name && parameters['dimension'] === dimension);
    const sizes = [...new Set(own.map(({ parameters }) => parameters['size'] as number))].sort((a, b) => a - b);
    return { name, colour: colour(name), points: sizes.map((size) => [size, median(own.filter(({ parameters }) => parameters['size'] === size).map(({ figures }) => figures[figure]!))] as const) };
  });
  const sizesOf = (dimension: string, label: string): Axis => {
    const sizes = [...new Set(of(dimension, 'seconds').flatMap(({ points }) => points.map(([size]) => size)))].sort((a, b) => a - b);
    return { label, isLog: true, ticks: sizes.map((size) => ({ at: size, text: shortNumber(size) })), from: (sizes[0] ?? 1) * 0.9, to: (sizes.at(-1) ?? 1) * 1.1 };
  };
  const linear = of('events', 'seconds').flatMap(({ points }): Line[] => {
    const [first] = points;
    const last = points.at(-1);
    return first === undefined || last === undefined || points.length < 2 ? [] : [{ name: 'proportional', colour: 'c7', isDashed: true, points: [first, [last[0], (first[1] * last[0]) / first[0]]] }];
  });
  return [
    lineChart('Time over events', [...of('events', 'seconds'), ...linear], sizesOf('events', 'events'), { label: 'seconds, logarithmic', isLog: true }),
    lineChart('Throughput over participants', of('participants', 'eventsPerSecond'), sizesOf('participants', 'participants'), { label: 'events a second' }),
    lineChart('Throughput over partitions', of('partitions', 'eventsPerSecond'), sizesOf('partitions', 'partitions'), { label: 'events a second' }),
  ];
}

function memoryCharts(record: BenchRecord, rounds: readonly BenchRound[]): string[] {
  const names = namesOf(rounds);
  const colour = colours(names);
  const settleShare = Number((record.settings as { 'settle-share'?: number })['settle-share'] ?? 0);
  const minutes = ([second, megabytes]: readonly [number, number]): readonly [number, number] => [second / 60, megabytes];
  const lines = rounds.flatMap(({ subject, series }): Line[] => {
    const looks = series['memory'] ?? [];
    const end = looks.at(-1)?.[0] ?? 0;
    const from = end * settleShare;
    const judged = judgeMemory(looks, from);
    const centre = (from + end) / 2;
    const on = (second: number): readonly [number, number] => [second / 60, judged.medianMegabytes + (judged.megabytesAnHour * (second - centre)) / 3_600];
    return [
      { name: subject, colour: colour(subject), points: looks.map(minutes) },
      { name: `${judged.megabytesAnHour >= 0 ? '+' : ''}${shortNumber(judged.megabytesAnHour)} MB an hour`, colour: 'c1', isDashed: true, points: [on(from), on(end)] },
    ];
  });
  return [lineChart('Resident memory', lines, { label: 'minutes' }, { label: 'MB of the largest process' })];
}
