/**
 * Tries every query of a Grafana dashboard against a real Prometheus: a panel without data is a panel that will be empty on
 * the night when somebody looks at it.
 */
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: readonly { readonly refId: string; readonly expr: string }[];
}

export interface PanelOptions {
  /** How far back data counts, in seconds. */
  readonly rangeSeconds?: number;
  /** What `$__rate_interval` stands for; at least four scrapes. */
  readonly rateInterval?: string;
}

const folder = join(import.meta.dirname, '../../grafana/dashboards');

/** Every dashboard of ours. */
export function dashboardPaths(): readonly string[] {
  return readdirSync(folder).filter((name) => name.endsWith('.json')).sort().map((name) => join(folder, name));
}

/** All panels that show something, those in folded rows too. */
export async function readPanels(dashboardPath: string): Promise<readonly Panel[]> {
  const dashboard = JSON.parse(await readFile(dashboardPath, 'utf8')) as { panels: (Panel & { panels?: Panel[] })[] };
  return dashboard.panels.flatMap((panel) => (panel.type === 'row' ? (panel.panels ?? []) : [panel]));
}

/**
 * Throws one error that names every panel of which a query fails or has no finite value in the range, with the query. A
 * series of zeros is data; a series of NaN (a quantile of nothing) is not. Asks once: the caller knows what to wait for.
 */
export async function assertEveryPanelHasData(
  prometheusUrl: string,
  dashboardPath: string,
  options: PanelOptions = {},
): Promise<void> {
  const panels = await readPanels(dashboardPath);
  const queries = panels.flatMap((panel) => panel.targets.map(({ refId, expr }) => ({ panel, refId, expr })));
  if (queries.length === 0) throw new Error(`${dashboardPath} has no panel with a query`);
  const without = panels.filter(({ targets }) => targets.length === 0).map(({ title }) => `"${title}" has no query`);
  const findings = await Promise.all(
    queries.map(async ({ panel, refId, expr }) => {
      const finding = await tryQuery(prometheusUrl, expr, options);
      return finding === null ? [] : [`"${panel.title}" (${refId}): ${finding}: ${expr}`];
    }),
  );
  const wrong = [...without, ...findings.flat()];
  if (wrong.length > 0) throw new Error(`${wrong.length} of ${queries.length} queries show nothing:\n${wrong.join('\n')}`);
}

/** Null when the query has data, else what is wrong with it. */
async function tryQuery(prometheusUrl: string, expression: string, options: PanelOptions): Promise<string | null> {
  const { rangeSeconds = 900, rateInterval = '1m' } = options;
  const query = expression.replaceAll('$__rate_interval', rateInterval);
  const variable = /\$\{?\w+\}?/.exec(query);
  if (variable !== null) return `the variable ${variable[0]} is not known here`;
  const end = Date.now() / 1_000;
  // Prometheus gives at most 11,000 points a series.
  const step = Math.max(1, Math.ceil(rangeSeconds / 1_000));
  const parameters = new URLSearchParams({
    query,
    start: String(end - rangeSeconds),
    end: String(end),
    step: String(step),
  });
  const response = await fetch(`${prometheusUrl}/api/v1/query_range?${parameters}`, { signal: AbortSignal.timeout(10_000) });
  const answer = (await response.json()) as {
    status: string;
    error?: string;
    data?: { result: { values: [number, string][] }[] };
  };
  if (answer.status !== 'success') return `refused (${answer.error ?? response.status})`;
  const series = answer.data?.result ?? [];
  if (series.length === 0) return 'no series';
  const finite = series.some(({ values }) => values.some(([, value]) => Number.isFinite(Number(value))));
  return finite ? null : 'no finite value';
}
