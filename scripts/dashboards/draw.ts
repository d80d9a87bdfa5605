/**
 * Draws a dashboard from what a Prometheus holds, as one SVG in the layout of its panels: what Grafana would show, for the
 * documentation and for whoever has no Grafana at hand.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { colourOf, escapeText, formatSeconds, formatValue, niceCeiling } from './svg.ts';

interface Panel {
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
  readonly fieldConfig?: {
    readonly defaults: {
      readonly unit: string;
      readonly custom?: { readonly stacking: { readonly mode: string } };
      readonly thresholds?: { readonly steps: readonly { readonly color: string; readonly value: number | null }[] };
      readonly mappings?: readonly { readonly options: Readonly<Record<string, { readonly text: string }>> }[];
    };
  };
}

interface Line {
  readonly name: string;
  /** NaN where there is no value. */
  readonly values: readonly number[];
}

export interface DrawOptions {
  readonly prometheusUrl: string;
  readonly dashboardPath: string;
  /** The drawing goes there, named as the dashboard. */
  readonly folder: string;
  readonly rangeSeconds: number;
  readonly rateInterval: string;
}

const columnPx = 56;
const rowPx = 32;
const gapPx = 8;
const headPx = 44;
const pointsMax = 240;
const legendMax = 12;

/** Gives the path of the file. */
export async function drawDashboard(options: DrawOptions): Promise<string> {
  const dashboard = JSON.parse(await readFile(options.dashboardPath, 'utf8')) as { title: string; panels: readonly Panel[] };
  const end = Math.floor(Date.now() / 1000);
  const step = Math.max(1, Math.ceil(options.rangeSeconds / pointsMax));
  const axis = { start: end - Math.floor(options.rangeSeconds / step) * step, end, step };
  const drawn = await Promise.all(dashboard.panels.map((panel) => drawPanel(panel, axis, options)));
  const height = headPx + Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h)) * rowPx + gapPx;
  const width = 24 * columnPx + gapPx;
  const svg = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="Inter, 'Helvetica Neue', Arial, sans-serif" font-size="12" fill="#24292f">`,
    `<rect width="100%" height="100%" fill="#f4f5f7"/>`,
    `<text x="${gapPx + 4}" y="28" font-size="18" font-weight="600">${escapeText(dashboard.title)}</text>`,
    ...drawn,
    '</svg>\n',
  ].join('\n');
  const path = join(options.folder, `${basename(options.dashboardPath, '.json')}.svg`);
  await writeFile(path, svg);
  return path;
}

interface Axis {
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

async function drawPanel(panel: Panel, axis: Axis, options: DrawOptions): Promise<string> {
  const { x, y, w, h } = panel.gridPos;
  const box: Box = { x: gapPx + x * columnPx, y: headPx + y * rowPx, w: w * columnPx - gapPx, h: h * rowPx - gapPx };
  if (panel.type === 'row') return `<text x="${box.x + 4}" y="${box.y + 19}" font-size="13" font-weight="600" fill="#57606a">${escapeText(panel.title)}</text>`;
  const lines = (await Promise.all((panel.targets ?? []).map((target) => ask(target, axis, options)))).flat();
  const inner: Box = { x: box.x + 12, y: box.y + 34, w: box.w - 24, h: box.h - 46 };
  const body = panel.type === 'stat' ? drawStat(panel, lines, inner) : panel.type === 'state-timeline' ? drawStates(panel, lines, inner, axis) : drawChart(panel, lines, inner, axis);
  return [
    `<rect x="${box.x}" y="${box.y}" width="${box.w}" height="${box.h}" rx="4" fill="#fff" stroke="#d8dee4"/>`,
    `<text x="${box.x + 12}" y="${box.y + 21}" font-size="${titleSize(panel.title, box.w)}" font-weight="600">${escapeText(panel.title)}</text>`,
    body,
  ].join('\n');
}

/** A long question in a narrow panel is set smaller rather than cut. */
function titleSize(title: string, widthPx: number): number {
  return Math.max(8, Math.min(13, Math.floor(((widthPx - 24) / title.length / 0.6) * 10) / 10));
}

async function ask({ expr, legendFormat }: { expr: string; legendFormat: string }, axis: Axis, options: DrawOptions): Promise<Line[]> {
  const query = expr.replaceAll('$__rate_interval', options.rateInterval);
  const parameters = new URLSearchParams({ query, start: String(axis.start), end: String(axis.end), step: String(axis.step) });
  const response = await fetch(`${options.prometheusUrl}/api/v1/query_range?${parameters}`, { signal: AbortSignal.timeout(30_000) });
  const answer = (await response.json()) as { status: string; error?: string; data: { result: { metric: Record<string, string>; values: [number, string][] }[] } };
  if (answer.status !== 'success') throw new Error(`Prometheus refuses ${query}: ${answer.error}`);
  return answer.data.result.map(({ metric, values }) => {
    const at = new Map(values.map(([time, value]) => [time, Number(value)]));
    const points = Array.from({ length: (axis.end - axis.start) / axis.step + 1 }, (_, index) => at.get(axis.start + index * axis.step) ?? Number.NaN);
    return { name: legendFormat.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? ''), values: points };
  });
}

// ── Kinds of panels ──────────────────────────────────────────────────────────────────────────────────────────────────

function drawStat(panel: Panel, lines: readonly Line[], { x, y, w, h }: Box): string {
  const { unit, thresholds, mappings } = panel.fieldConfig!.defaults;
  const width = w / Math.max(1, lines.length);
  return lines.map(({ name, values }, index) => {
    const value = values.findLast(Number.isFinite) ?? Number.NaN;
    const text = mappings?.[0]?.options[String(value)]?.text ?? formatValue(value, unit);
    const left = x + index * width;
    const fontSize = Math.min(30, Math.floor((width - 8) / Math.max(3, text.length) / 0.6));
    return [
      `<rect x="${round(left)}" y="${y - 4}" width="${round(width - 4)}" height="${h + 8}" rx="3" fill="${thresholdColour(thresholds, value)}"/>`,
      `<text x="${round(left + width / 2 - 2)}" y="${round(y + h / 2 + 4)}" font-size="${fontSize}" font-weight="600" fill="#fff" text-anchor="middle">${escapeText(text)}</text>`,
      `<text x="${round(left + width / 2 - 2)}" y="${y + h - 2}" font-size="11" fill="#fff" text-anchor="middle">${escapeText(name)}</text>`,
    ].join('');
  }).join('\n');
}

function drawStates(panel: Panel, lines: readonly Line[], { x, y, w, h }: Box, axis: Axis): string {
  const { thresholds, mappings } = panel.fieldConfig!.defaults;
  const nameWidth = 110;
  const height = Math.min(34, (h - 22) / Math.max(1, lines.length));
  const scale = (w - nameWidth) / Math.max(1, (axis.end - axis.start) / axis.step);
  const rows = lines.map(({ name, values }, row) => {
    const top = y + row * height;
    const parts = [`<text x="${x}" y="${round(top + height / 2 + 4)}">${escapeText(name)}</text>`];
    for (let from = 0; from < values.length; ) {
      let to = from + 1;
      while (to < values.length && Object.is(values[to], values[from])) to++;
      if (Number.isFinite(values[from])) {
        parts.push(`<rect x="${round(x + nameWidth + from * scale)}" y="${round(top + 3)}" width="${round(Math.max(1, (to - from) * scale))}" height="${round(height - 6)}" fill="${thresholdColour(thresholds, values[from]!)}"/>`);
      }
      from = to;
    }
    return parts.join('');
  });
  const words = Object.entries(mappings?.[0]?.options ?? {}).map(([value, { text }], index) => legendEntry(x + nameWidth + index * 100, y + h + 2, thresholdColour(thresholds, Number(value)), text));
  return [...rows, timeAxis({ x: x + nameWidth, y, w: w - nameWidth, h: lines.length * height }, axis), ...words].join('\n');
}

function drawChart(panel: Panel, lines: readonly Line[], box: Box, axis: Axis): string {
  const { unit, custom } = panel.fieldConfig!.defaults;
  const isStacked = custom?.stacking.mode === 'normal';
  const sorted = lines.toSorted((a, b) => compareNames(a.name, b.name));
  const shown = isStacked ? stack(sorted) : sorted;
  const legendWidth = Math.min(150, 40 + 6.4 * Math.max(0, ...sorted.map(({ name }) => Math.min(name.length, 17))));
  const plot: Box = { x: box.x + 48, y: box.y, w: box.w - 48 - legendWidth, h: box.h - 18 };
  const highest = niceCeiling(Math.max(0, ...shown.flatMap(({ values }) => values.filter(Number.isFinite))));
  const xOf = (index: number): number => round(plot.x + (index * plot.w * axis.step) / (axis.end - axis.start));
  const yOf = (value: number): number => round(plot.y + plot.h - (Math.max(0, value) / highest) * plot.h);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const at = yOf(share * highest);
    return `<path d="M${plot.x} ${at}h${round(plot.w)}" stroke="#e6e9ed"/><text x="${plot.x - 6}" y="${at + 4}" font-size="10" fill="#57606a" text-anchor="end">${escapeText(formatValue(share * highest, unit))}</text>`;
  });
  const drawn = isStacked
    ? shown.map((line, index) => area(line.values, index === 0 ? null : shown[index - 1]!.values, xOf, yOf, colourOf(index))).toReversed()
    : shown.map((line, index) => `<path d="${pathOf(line.values, xOf, yOf)}" fill="none" stroke="${colourOf(index)}" stroke-width="1.4" stroke-linejoin="round"/>`);
  const legend = sorted.slice(0, legendMax).map(({ name }, index) => legendEntry(plot.x + plot.w + 14, plot.y + 8 + index * 15, colourOf(index), name.length > 17 ? `…${name.slice(-16)}` : name));
  if (sorted.length > legendMax) legend.push(`<text x="${round(plot.x + plot.w + 14)}" y="${plot.y + 12 + legendMax * 15}" font-size="10" fill="#57606a">and ${sorted.length - legendMax} more</text>`);
  return [...grid, timeAxis(plot, axis), ...drawn, ...legend].join('\n');
}

/** Each line on top of those before; a gap counts as 0 while another has a value. */
function stack(lines: readonly Line[]): Line[] {
  const stacked: Line[] = [];
  for (const line of lines) {
    const below = stacked.at(-1)?.values;
    stacked.push({
      name: line.name,
      values: line.values.map((value, index) => (Number.isFinite(value) ? value + (below === undefined || !Number.isFinite(below[index]) ? 0 : below[index]!) : (below?.[index] ?? Number.NaN))),
    });
  }
  return stacked;
}

function area(values: readonly number[], below: readonly number[] | null, xOf: (index: number) => number, yOf: (value: number) => number, colour: string): string {
  const runs: string[] = [];
  for (let from = 0; from < values.length; from++) {
    if (!Number.isFinite(values[from])) continue;
    let to = from;
    while (to + 1 < values.length && Number.isFinite(values[to + 1])) to++;
    const top = Array.from({ length: to - from + 1 }, (_, i) => `${xOf(from + i)} ${yOf(values[from + i]!)}`);
    const bottom = Array.from({ length: to - from + 1 }, (_, i) => `${xOf(to - i)} ${yOf(below !== null && Number.isFinite(below[to - i]) ? below[to - i]! : 0)}`);
    runs.push(`M${top.join('L')}L${bottom.join('L')}Z`);
    from = to;
  }
  return `<path d="${runs.join('')}" fill="${colour}" fill-opacity="0.75"/>`;
}

function pathOf(values: readonly number[], xOf: (index: number) => number, yOf: (value: number) => number): string {
  let path = '';
  let isDrawing = false;
  values.forEach((value, index) => {
    // A single point between two gaps is drawn as a short stroke.
    if (Number.isFinite(value)) path += isDrawing ? `L${xOf(index)} ${yOf(value)}` : `M${xOf(index)} ${yOf(value)}h0.8`;
    isDrawing = Number.isFinite(value);
  });
  return path;
}

function timeAxis({ x, y, w, h }: Box, { start, end }: Axis): string {
  const seconds = end - start;
  const every = [10, 30, 60, 120, 300, 600, 1800, 3600].find((one) => seconds / one <= Math.max(3, w / 70)) ?? 7200;
  const ticks: string[] = [];
  for (let at = 0; at <= seconds; at += every) {
    ticks.push(`<text x="${round(x + (at / seconds) * w)}" y="${round(y + h + 14)}" font-size="10" fill="#57606a" text-anchor="middle">${formatSeconds(at)}</text>`);
  }
  return ticks.join('');
}

function legendEntry(x: number, y: number, colour: string, text: string): string {
  return `<rect x="${round(x)}" y="${round(y - 7)}" width="9" height="9" rx="2" fill="${colour}"/><text x="${round(x + 14)}" y="${round(y + 2)}" font-size="11">${escapeText(text)}</text>`;
}

function thresholdColour(thresholds: { readonly steps: readonly { readonly color: string; readonly value: number | null }[] } | undefined, value: number): string {
  const step = thresholds?.steps.findLast((one) => one.value === null || value >= one.value);
  return { green: '#2da44e', red: '#cf222e', blue: '#3b6fb5' }[step?.color ?? 'blue'] ?? '#3b6fb5';
}

const compareNames = (a: string, b: string): number => a.localeCompare(b, 'en', { numeric: true });
const round = (value: number): number => Math.round(value * 10) / 10;
