/** The alert rules, by Prometheus' own tools: that they parse, and that each fires when it should and not beside it. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { promtool } from './promtool.ts';

it('are accepted by Prometheus', () => {
  expect(promtool(['check', 'rules', 'grafana/rules/settlefleet.yml'])).toEqual({
    status: 0,
    said: expect.stringContaining('SUCCESS') as unknown,
  });
});

it('fire when they should, and are quiet beside a fleet that keeps up or has no work', () => {
  const { status, said } = promtool(['test', 'rules', 'test/dashboards/rules.promtool.yml']);
  expect(status, said).toBe(0);
});

const repository = join(import.meta.dirname, '..', '..');
const rules = readFileSync(join(repository, 'grafana/rules/settlefleet.yml'), 'utf8');
const tried = readFileSync(join(repository, 'test/dashboards/rules.promtool.yml'), 'utf8');
const alerts = Array.from(rules.matchAll(/^ {6}- alert: (\w+)\n([\s\S]*?)(?=\n\n|$(?![\s\S]))/gm), ([, name = '', text = '']) => ({ name, text }));

describe('each alert', () => {
  it('is seen by this test', () => {
    expect(alerts.length).toBe(rules.split('- alert:').length - 1);
    expect(alerts.length).toBeGreaterThan(10);
  });

  it('has a runbook page that it points to, and each page has its alert', () => {
    const pages = readdirSync(join(repository, 'docs/runbooks')).sort();
    expect(pages).toEqual(alerts.map(({ name }) => `${name}.md`).sort());
    for (const { name, text } of alerts) expect(text).toContain(`runbook_url: "docs/runbooks/${name}.md"`);
  });

  it.each(alerts)('$name: the page says what it means, what to look at, and what to do', ({ name }) => {
    const page = readFileSync(join(repository, `docs/runbooks/${name}.md`), 'utf8');
    expect(Array.from(page.matchAll(/^#+ .+$/gm), ([heading]) => heading)).toEqual([`# ${name}`, '## What it means', '## What to look at', '## What to do']);
    const metrics = new Set(page.match(/settlefleet_\w+/g));
    for (const metric of metrics) expect(known(metric), `${metric} in ${name}.md`).toBe(true);
  });

  it.each(alerts)('$name: is tried by promtool both ways, and says first what to do', ({ name, text }) => {
    expect(tried).toMatch(new RegExp(`alertname: ${name}\\n +exp_alerts:`));
    expect(tried).toMatch(new RegExp(`eval_time: \\w+, alertname: ${name} \\}`));
    expect(text).toMatch(/severity: (critical|warning) /);
    expect(text).toMatch(/summary: ".+"\n +action: ".+"/);
  });

  it('stands in the table of docs/operations.md', () => {
    const table = readFileSync(join(repository, 'docs/operations.md'), 'utf8');
    for (const { name } of alerts) expect(table).toContain(`[${name}](runbooks/${name}.md)`);
  });
});

const telemetry = ['telemetry', 'sink-telemetry', 'shared'].map((file) => readFileSync(join(repository, `src/adapters/prometheus/${file}.ts`), 'utf8')).join('\n');
const known = (metric: string): boolean => telemetry.includes(`'${metric.replace(/_(count|sum|bucket)$/, '')}'`);
