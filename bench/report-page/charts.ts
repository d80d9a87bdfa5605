/**
 * The drawings of the report: SVG in the page, in the page's own colours, so that one drawing serves light and dark. Every
 * series is named where it ends, and every bar carries its number: nothing has to be read off a legend or an axis.
 */
import { escapeText, niceCeiling } from '../../scripts/dashboards/svg.ts';

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** Of the rounds; drawn as a line with the rounds as dots where there are several. */
  readonly rounds: readonly number[];
  /** Class of its colour. */
  readonly colour: string;
  /** What is written behind it; left out: the value. */
  readonly text?: string;
}

export interface StackedBar {
  readonly label: string;
  readonly parts: readonly { readonly name: string; readonly value: number; readonly colour: string }[];
}

export interface Line {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [number, number])[];
  readonly isDashed?: boolean;
}

export interface Axis {
  readonly label: string;
  readonly isLog?: boolean;
  /** Left out: from the data, and from 0 where the axis is not logarithmic. */
  readonly from?: number;
  readonly to?: number;
  readonly ticks?: readonly { readonly at: number; readonly text: string }[];
  readonly form?: (value: number) => string;
}

const width = 760;
const barHeight = 26;
const rowHeight = 38;

/** Room for the longest of the names at the left. */
function roomForLabels(bars: readonly { readonly label: string }[]): number {
  return Math.min(270, Math.max(110, 20 + 7.4 * Math.max(...bars.map(({ label }) => label.length))));
}

const numberWidth = 120;

/** `12,345`, `31.4`, `0.52`: as many digits as a person wants. */
export function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return '';
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}

/** Nothing where there is nothing to show, as the two below. */
export function barChart(title: string, given: readonly Bar[], unit: string): string {
  const bars = given.filter(({ value }) => Number.isFinite(value));
  if (bars.length === 0) return '';
  const labelWidth = roomForLabels(bars);
  const highest = niceCeiling(Math.max(0, ...bars.flatMap(({ value, rounds }) => [value, ...rounds]).filter(Number.isFinite)));
  const scale = (width - labelWidth - numberWidth) / highest;
  const height = bars.length * rowHeight + 8;
  const drawn = bars.map(({ label, value, rounds, colour, text }, i) => {
    const y = i * rowHeight + 6;
    const middle = y + barHeight / 2;
    const end = labelWidth + Math.max(value, ...rounds, 0) * scale;
    const whisker = rounds.length < 2 ? '' : [
      `<path class="ink thin" d="M${at(labelWidth + Math.min(...rounds) * scale)} ${middle}H${at(labelWidth + Math.max(...rounds) * scale)}"/>`,
      ...rounds.map((round) => `<circle class="dot" cx="${at(labelWidth + round * scale)}" cy="${middle}" r="2.6"/>`),
    ].join('');
    return [
      `<text class="label" x="${labelWidth - 10}" y="${middle + 4}" text-anchor="end">${escapeText(label)}</text>`,
      `<rect class="fill ${colour}" x="${labelWidth}" y="${y}" width="${at(Math.max(1, value * scale))}" height="${barHeight}" rx="3"/>`,
      whisker,
      `<text class="number" x="${at(end + 10)}" y="${middle + 4}">${escapeText(text ?? shortNumber(value))}</text>`,
    ].join('');
  });
  return figure(title, `${unit}${bars.some(({ rounds }) => rounds.length > 1) ? '; bar: median, dots: rounds' : ''}`, height, drawn.join('\n'));
}

export function stackedChart(title: string, given: readonly StackedBar[], unit: string): string {
  const bars = given.map((bar) => ({ ...bar, parts: bar.parts.filter(({ value }) => Number.isFinite(value)) })).filter(({ parts }) => parts.length > 0);
  if (bars.length === 0) return '';
  const labelWidth = roomForLabels(bars);
  const sum = ({ parts }: StackedBar): number => parts.reduce((all, { value }) => all + value, 0);
  const scale = (width - labelWidth - numberWidth) / niceCeiling(Math.max(0, ...bars.map(sum)));
  const names = [...new Map(bars.flatMap(({ parts }) => parts.map(({ name, colour }) => [name, colour] as const)))];
  let legendX = labelWidth;
  let legendY = 0;
  const legend = names.map(([name, colour]) => {
    const needed = 30 + name.length * 7;
    if (legendX + needed > width) [legendX, legendY] = [labelWidth, legendY + 18];
    const drawn = `<rect class="fill ${colour}" x="${legendX}" y="${legendY + 2}" width="11" height="11" rx="2"/><text class="small" x="${legendX + 16}" y="${legendY + 12}">${escapeText(name)}</text>`;
    legendX += needed;
    return drawn;
  });
  const top = legendY + 26;
  const drawn = bars.map((bar, i) => {
    const y = top + i * rowHeight + 6;
    const middle = y + barHeight / 2;
    let x = labelWidth;
    const parts = bar.parts.map(({ name, value, colour }) => {
      const wide = value * scale;
      const inside = wide > 34 ? `<text class="inside ${colour}" x="${at(x + wide / 2)}" y="${middle + 4}" text-anchor="middle">${shortNumber(value)}</text>` : '';
      const part = `<rect class="fill ${colour}" x="${at(x)}" y="${y}" width="${at(Math.max(0, wide - 1))}" height="${barHeight}"><title>${escapeText(`${name}: ${shortNumber(value)}`)}</title></rect>${inside}`;
      x += wide;
      return part;
    });
    return `<text class="label" x="${labelWidth - 10}" y="${middle + 4}" text-anchor="end">${escapeText(bar.label)}</text>${parts.join('')}<text class="number" x="${at(x + 10)}" y="${middle + 4}">${shortNumber(sum(bar))}</text>`;
  });
  return figure(title, unit, top + bars.length * rowHeight + 8, [...legend, ...drawn].join('\n'));
}

export function lineChart(title: string, lines: readonly Line[], x: Axis, y: Axis): string {
  const shown = lines.filter(({ points }) => points.length > 0);
  if (shown.length === 0) return '';
  const plot = { left: 64, top: 10, width: width - 64 - 150, height: 270 };
  const xs = shown.flatMap(({ points }) => points.map(([value]) => value));
  const ys = shown.flatMap(({ points }) => points.map(([, value]) => value)).filter(Number.isFinite);
  const place = scaleOf(x, xs, plot.left, plot.left + plot.width);
  const level = scaleOf(y, ys, plot.top + plot.height, plot.top);
  const grid = level.ticks.map(({ at: value, text }) => `<path class="grid" d="M${plot.left} ${at(level.of(value))}h${plot.width}"/><text class="small" x="${plot.left - 8}" y="${at(level.of(value) + 4)}" text-anchor="end">${escapeText(text)}</text>`);
  const across = place.ticks.map(({ at: value, text }) => `<path class="grid" d="M${at(place.of(value))} ${plot.top}v${plot.height}"/><text class="small" x="${at(place.of(value))}" y="${plot.top + plot.height + 18}" text-anchor="middle">${escapeText(text)}</text>`);
  // Names at the ends of their lines, moved apart where they would lie on each other.
  const ends = shown.map((line) => ({ line, y: level.of(line.points.at(-1)![1]) })).sort((a, b) => a.y - b.y);
  for (let i = 1; i < ends.length; i++) ends[i]!.y = Math.max(ends[i]!.y, ends[i - 1]!.y + 15);
  for (let i = ends.length - 1, lowest = plot.top + plot.height; i >= 0; i--, lowest -= 15) ends[i]!.y = Math.min(ends[i]!.y, Math.max(lowest, plot.top));
  const drawn = ends.map(({ line, y: nameY }) => {
    const path = line.points.map(([px, py], i) => `${i === 0 ? 'M' : 'L'}${at(place.of(px))} ${at(level.of(py))}`).join('');
    const dots = line.points.length > 40 ? '' : line.points.map(([px, py]) => `<circle class="fill ${line.colour}" cx="${at(place.of(px))}" cy="${at(level.of(py))}" r="3"><title>${escapeText(`${line.name}: ${shortNumber(px)}, ${shortNumber(py)}`)}</title></circle>`).join('');
    const endX = place.of(line.points.at(-1)![0]);
    return `<path class="line ${line.colour}${line.isDashed === true ? ' dashed' : ''}" d="${path}"/>${dots}<path class="grid" d="M${at(endX + 5)} ${at(level.of(line.points.at(-1)![1]))}L${plot.left + plot.width + 8} ${at(nameY)}"/><text class="name ${line.colour}" x="${plot.left + plot.width + 12}" y="${at(nameY + 4)}">${escapeText(line.name)}</text>`;
  });
  const axes = `<text class="small" x="${plot.left + plot.width / 2}" y="${plot.top + plot.height + 38}" text-anchor="middle">${escapeText(x.label)}</text>`;
  return figure(title, y.label, Math.max(plot.top + plot.height + 48, (ends.at(-1)?.y ?? 0) + 12), [...grid, ...across, ...drawn, axes].join('\n'));
}

interface Scale {
  readonly ticks: readonly { readonly at: number; readonly text: string }[];
  of(value: number): number;
}

function scaleOf(axis: Axis, values: readonly number[], begin: number, end: number): Scale {
  const form = axis.form ?? shortNumber;
  if (axis.isLog === true) {
    const positive = values.filter((value) => value > 0);
    const low = Math.log10(axis.from ?? decadeBelow(Math.min(...positive)));
    const high = Math.max(low + 0.3, Math.log10(axis.to ?? decadeAbove(Math.max(...positive))));
    const ticks = axis.ticks ?? steps(low, high).map((value) => ({ at: value, text: form(value) }));
    return { ticks, of: (value) => begin + ((Math.log10(Math.max(value, 10 ** low)) - low) / (high - low)) * (end - begin) };
  }
  const low = axis.from ?? 0;
  const high = axis.to ?? niceCeiling(Math.max(...values, low));
  const ticks = axis.ticks ?? [0, 0.25, 0.5, 0.75, 1].map((share) => ({ at: low + share * (high - low), text: form(low + share * (high - low)) }));
  return { ticks, of: (value) => begin + ((value - low) / (high - low || 1)) * (end - begin) };
}

/** The next of 1, 2, 5 times a power of ten. */
function decadeBelow(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return [5, 2, 1].map((step) => step * power).find((step) => step <= value * 1.0001) ?? power;
}

function decadeAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.9999) ?? power * 10;
}

/** 1, 2, 5, 10, ... between two powers; 1, 10, 100 where that would be too many. */
function steps(low: number, high: number): number[] {
  const all: number[] = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power++) {
    for (const step of high - low > 3 ? [1] : [1, 2, 5]) {
      const value = step * 10 ** power;
      if (Math.log10(value) >= low - 1e-6 && Math.log10(value) <= high + 1e-6) all.push(value);
    }
  }
  return all;
}

function figure(title: string, subtitle: string, height: number, inner: string): string {
  return `<figure><figcaption><strong>${escapeText(title)}</strong><span>${escapeText(subtitle)}</span></figcaption>
<svg viewBox="0 0 ${width} ${Math.ceil(height)}" role="img" aria-label="${escapeText(title)}">${inner}</svg></figure>`;
}

function at(value: number): number {
  return Math.round(value * 10) / 10;
}
