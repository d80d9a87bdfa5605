/**
 * The dashboards against a real Prometheus that scraped the real telemetry adapters under plausible activity. The same
 * check runs over a real fleet in test/integration; here it is fast, and the check itself is checked.
 */
import { readFile, writeFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startHealthServer } from '../src/adapters/http/server.ts';
import type { HealthServer } from '../src/adapters/http/server.ts';
import { PrometheusSinkTelemetry } from '../src/adapters/prometheus/sink-telemetry.ts';
import { PrometheusTelemetry } from '../src/adapters/prometheus/telemetry.ts';
import type { Log } from '../src/ports.ts';
import { dashboards } from '../scripts/dashboards/definitions.ts';
import { renderDashboard } from '../scripts/dashboards/grafana.ts';
import { assertEveryPanelHasData, dashboardPaths, readPanels } from './dashboards/panels.ts';
import type { Panel } from './dashboards/panels.ts';
import { startPrometheus } from './stack.ts';
import type { OwnPrometheus } from './stack.ts';
import { until } from './until.ts';

const quiet: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const named = dashboardPaths().map((path) => [basename(path), path] as const);
const options = { rangeSeconds: 60, rateInterval: '5s' };

describe('the dashboards', () => {
  let servers: HealthServer[] = [];
  let prometheus: OwnPrometheus;
  let activity: NodeJS.Timeout;

  beforeAll(async () => {
    const worker = new PrometheusTelemetry({
      lag: () => ['inbound', 'routed'].map((topic) => ({ topic: `payments.${topic}`, partition: 0, records: 12, ageMs: 300 })),
      lanes: () => ['running'],
      accounts: () => [{ partition: 0, inFlight: 12, unaccounted: 0 }],
      isReady: () => true, kafkaBridge: true,
      rebuilds: () => [{ partition: 0, ratio: 0.4 }],
      bytes: () => ({ lanes: 1_000, epoch: 500 }),
      decoder: () => ({ threads: 2, busySeconds: performance.now() / 1_000 }),
      capUse: () => [{ participant: 'COBADEFFXXX', currency: 'EUR', units: -75_000_000n, used: 0.75 }],
    });
    const sink = new PrometheusSinkTelemetry(() => true, true);
    servers = await Promise.all(
      [worker.registry, sink.registry].map((registry) =>
        startHealthServer({ port: 0, registry, reasonsNotReady: () => [], log: quiet }),
      ),
    );
    activity = setInterval(() => act(worker, sink), 50);
    prometheus = await startPrometheus({ targets: servers.map(({ port }) => `127.0.0.1:${port}`) });
  }, 60_000);

  afterAll(async () => {
    clearInterval(activity);
    await prometheus.remove();
    await Promise.all(servers.map((server) => server.close()));
  });

  it('are what the definitions say: node scripts/dashboards/main.ts writes them anew', async () => {
    expect(dashboardPaths().map((path) => basename(path, '.json')).sort()).toEqual(dashboards.map(({ uid }) => uid).sort());
    for (const path of dashboardPaths()) {
      const spec = dashboards.find(({ uid }) => uid === basename(path, '.json'))!;
      expect(await readFile(path, 'utf8')).toBe(renderDashboard(spec));
    }
  });

  it.each(named)('have data in every panel: %s', { timeout: 60_000 }, async (_name, dashboardPath) => {
    let last: unknown;
    const attempt = async (): Promise<boolean> => {
      last = undefined;
      await assertEveryPanelHasData(prometheus.url, dashboardPath, options).catch((error: unknown) => (last = error));
      return last === undefined;
    };
    await until('every panel has data', attempt, 40_000).catch(() => undefined);
    expect(last).toBeUndefined();
  });

  it.each([
    ['a metric that nobody gives', 'sum(settlefleet_unheard_of_total)', /no series/],
    ['a label value that nobody gives', 'settlefleet_results_total{status="PDNG"}', /no series/],
    ['a quantile of nothing', 'histogram_quantile(0.99, sum by (le) (settlefleet_end_to_end_seconds_bucket * 0))', /no finite/],
    ['a query that does not parse', 'sum(rate(', /refused/],
    ['a variable that nobody sets', 'settlefleet_consumer_lag{topic="$topic"}', /variable \$topic is not known/],
  ])('fail for a panel with %s, and names it', async (_what, expression, finding) => {
    const directory = await mkdtemp(join(tmpdir(), 'settlefleet-dashboard-'));
    const path = join(directory, 'dashboard.json');
    const text = await readFile(dashboardPaths().find((one) => one.includes('dependencies'))!, 'utf8');
    const spoilt = JSON.parse(text) as { panels: { type: string; title: string; targets?: { expr: string }[] }[] };
    const panel = spoilt.panels.find(({ title }) => title === 'How long does a commit take?')!;
    panel.targets![0]!.expr = expression;
    await writeFile(path, JSON.stringify(spoilt));
    const verdict = assertEveryPanelHasData(prometheus.url, path, options);
    await expect(verdict).rejects.toThrow(finding);
    await expect(verdict).rejects.toThrow('"How long does a commit take?" (A)');
    await rm(directory, { recursive: true });
  });

  it('stand beside alerts that ask for nothing that nobody gives', async () => {
    const rules = await readFile(new URL('../grafana/rules/settlefleet.yml', import.meta.url), 'utf8');
    const metrics = new Set(rules.match(/settlefleet_\w+/g));
    const answer = await fetch(`${prometheus.url}/api/v1/label/__name__/values`);
    const { data } = (await answer.json()) as { data: string[] };
    expect(metrics.size).toBeGreaterThan(5);
    expect([...metrics].filter((metric) => !data.includes(metric))).toEqual([]);
  });

  it('fail without panels', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'settlefleet-dashboard-'));
    await writeFile(join(directory, 'empty.json'), '{"panels":[{"type":"row","title":"Empty"}]}');
    await expect(assertEveryPanelHasData(prometheus.url, join(directory, 'empty.json'))).rejects.toThrow(/no panel/);
    await rm(directory, { recursive: true });
  });

  it('ask a question in every title, and say in every description what is shown', async () => {
    for (const panel of await readAllPanels()) {
      expect(panel.title).toMatch(/^[A-Z].*\?$/);
      expect(panel.description, panel.title).toMatch(/\S/);
    }
  });

  it.each(named)('lay their panels out without an overlap: %s', async (_name, dashboardPath) => {
    const { panels } = JSON.parse(await readFile(dashboardPath, 'utf8')) as { panels: Awaited<ReturnType<typeof readPanels>> };
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const taken = new Map<string, string>();
    for (const { title, gridPos } of panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect(taken.get(`${x},${y}`), `beside ${title}`).toBeUndefined();
          taken.set(`${x},${y}`, title);
        }
      }
    }
  });

  it('show every metric of the contract', async () => {
    const expressions = (await readAllPanels()).flatMap(({ targets }) => targets.map(({ expr }) => expr)).join('\n');
    for (const metric of contractMetrics) expect(expressions).toContain(metric);
  });
});

const readAllPanels = async (): Promise<readonly Panel[]> => (await Promise.all(dashboardPaths().map(readPanels))).flat();

/** Contract section 9. */
const contractMetrics = [
  'settlefleet_end_to_end_seconds',
  'settlefleet_stage_seconds',
  'settlefleet_results_total',
  'settlefleet_dead_letters_total',
  'settlefleet_events_consumed_total',
  'settlefleet_consumer_lag',
  'settlefleet_commit_seconds',
  'settlefleet_transactions_aborted_total',
  'settlefleet_dedupe_total',
  'settlefleet_dependency_up',
  'settlefleet_sink_rows_total',
  'settlefleet_sink_lag',
];

/** What one commit interval of a small fleet looks like. */
function act(worker: PrometheusTelemetry, sink: PrometheusSinkTelemetry): void {
  const now = Date.now();
  worker.consumed(0, 10);
  worker.dedupe('claimed', 9);
  worker.committed({
    results: new Map([
      ['ACSC|', 8],
      ['RJCT|AM04', 1],
    ]),
    settled: new Map([['EUR', 100_000n]]),
    deadLetters: new Map([['XML_INVALID', 1]]),
    createdAt: [now - 30, now - 80, now - 110],
    journeys: [{ from: 'kafka', arrivedAt: now - 28, takenAt: 0, takeOverMs: 1, trace: null, decodedAt: 4, begunAt: 5, routedAt: 6, claimedAt: 9, settledAt: 10, results: 3 }],
    committedAt: now,
    sealedAt: 12,
    seconds: 0.016,
  });
  for (const dependency of ['kafka', 'registry', 'redis'] as const) worker.dependency(dependency, true);
  sink.lag('payments.results', 0, 3);
  sink.viewsLag(0, 2);
  sink.rows('results', 9);
  sink.rows('dead_letters', 1);
  for (const dependency of ['kafka', 'registry', 'clickhouse'] as const) sink.dependency(dependency, true);
}
