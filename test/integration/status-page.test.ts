/** The status page of a real worker, looked at in a real browser: what it shows, to whom, and what it does when nobody answers. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PrometheusSinkTelemetry } from '../../src/adapters/prometheus/sink-telemetry.ts';
import { snapshotRegistry } from '../../src/adapters/prometheus/registry-snapshot.ts';
import { startHealthServer } from '../../src/adapters/http/server.ts';
import { statusPageHandlers } from '../../src/adapters/http/status-page.ts';
import { commandLog } from '../../src/cli/console.ts';
import { browserPath, inaccessible, startBrowser } from '../browser.ts';
import type { Browser, OpenPage } from '../browser.ts';
import { Bench } from './harness/bench.ts';
import { message, participant, transaction } from './harness/directory.ts';
import type { Service } from './harness/processes.ts';

describe.skipIf(browserPath === null)('the status page', () => {
  let bench: Bench;
  let worker: Service;
  let browser: Browser;
  let open: OpenPage;

  beforeAll(async () => {
    bench = await Bench.create('page', { participants: [participant('COBADEFFXXX', { EUR: '100.00' }), participant('DEUTDEFFXXX')] });
    worker = await (await bench.startWorker()).ready();
    browser = await startBrowser();
    open = await browser.openPage(`http://127.0.0.1:${worker.port}/`);
  });
  afterAll(async () => {
    await browser?.close();
    await bench?.close();
  });

  const text = (selector: string): Promise<string> => open.page.locator(selector).innerText();
  const saysIn = (selector: string, wanted: RegExp, boundMs = 10_000): Promise<void> =>
    bench.waitFor(`${selector} says ${String(wanted)}`, async () => wanted.test(await text(selector)), boundMs);

  test('shows how it stands, what became of events, its lanes and what it depends on', async () => {
    const payment = transaction({ amount: '1.00' });
    await bench.outcome(await bench.send(message(payment)));
    await bench.outcome(await bench.send(message(payment)));
    await bench.deadLetter(await bench.sendValue(Buffer.from('not framed'), { key: 'COBADEFFXXX' }));

    await saysIn('#word', /^Ready$/);
    await saysIn('#outcomes', /Settled 33\.3%\s+\d\s+1\b[^]*Rejected 33\.3%[^]*AM05 duplicate\s+\d\s+1\b[^]*Dead letters 33\.3%[^]*NOT_FRAMED not the wire format\s+\d\s+1\b[^]*Unaccounted for\s+–\s+0\b/);
    expect(await open.page.locator('#lanes tr').count()).toBe(bench.partitions);
    expect(await text('#lanes tr:first-child')).toMatch(/^0\s+running\s/);
    expect(await text('#dependencies')).toMatch(/kafka\s+answered\s+registry\s+answered\s+redis\s+answered/);
    expect(await text('#figures')).toMatch(/Throughput[^]*answers\/s[^]*Latency[^]*99% within, half within \d[^]*Lag[^]*records[^]*oldest waits [^]*Commits[^]*per s/);
    expect(await open.page.title()).toMatch(/^● [\d.–]+\/s · /);
  });

  test.each(['light', 'dark'] as const)('can be read by everybody, in the %s', async (colorScheme) => {
    await open.page.emulateMedia({ colorScheme });
    const ground = await open.page.evaluate('getComputedStyle(document.body).backgroundColor');
    expect(ground).toBe(colorScheme === 'light' ? 'rgb(251, 250, 247)' : 'rgb(21, 23, 26)');
    expect(await inaccessible(open.page)).toEqual([]);
  });

  test('fits a phone', async () => {
    await open.page.setViewportSize({ width: 360, height: 740 });
    expect(await open.page.evaluate('document.documentElement.scrollWidth')).toBe(360);
    await open.page.setViewportSize({ width: 1180, height: 900 });
  });

  test('says that an operator paused it', async () => {
    await worker.post('/admin/pause');
    await saysIn('#word', /^Paused$/);
    expect(await text('#reasons')).toBe('paused by an operator');
    expect(await open.page.title()).toMatch(/^‖ paused · /);
    await worker.post('/admin/resume');
    await saysIn('#word', /^Ready$/);
  });

  test('marks everything as old when the worker no longer answers, and is live again when it does', async () => {
    worker.signal('SIGSTOP');
    await saysIn('#word', /^No answer$/);
    expect(await text('#sentence')).toMatch(/^This process has not answered for \d+ s\. Everything below is as it was at \d\d:\d\d:\d\d\.$/);
    expect(await open.page.title()).toMatch(/^✕ no answer · /);
    expect(await inaccessible(open.page)).toEqual([]);
    worker.signal('SIGCONT');
    await saysIn('#word', /^(Ready|Not ready)$/);
  });

  test('asks nobody but its own process, and breaks no rule that it was served with', async () => {
    const { headers } = await fetch(`http://127.0.0.1:${worker.port}/`);
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(open.complaints).toEqual([]);
  });

  test('of a sink shows rows and what is not stored yet', async () => {
    const telemetry = new PrometheusSinkTelemetry(() => true, true);
    telemetry.rows('results', 1234);
    telemetry.lag('payments.results', 3, 17);
    telemetry.dependency('kafka', true);
    const read = async () => ({
      process: 'sink', name: 'sink-1', group: 'settlefleet-sink', version: '0', startedAt: 0, now: Date.now(), state: 'running',
      reasonsNotReady: ['<b>ClickHouse</b> does not answer'], logLevel: 'info', lanes: [], ...(await snapshotRegistry(telemetry.registry)),
    });
    const server = await startHealthServer({
      port: 0, registry: telemetry.registry, reasonsNotReady: () => [], handlers: new Map(statusPageHandlers(read)), log: commandLog,
    });
    const { page, complaints } = await browser.openPage(`http://127.0.0.1:${server.port}/`);
    try {
      await page.locator('#lanes tr').waitFor();
      expect(await page.locator('#outcomes').innerText()).toMatch(/results 100%\s+0\s+1,234/);
      expect(await page.locator('#lanes').innerText()).toMatch(/^3\s+17$/);
      // What the process says is text, never markup.
      expect(await page.locator('#reasons').innerText()).toBe('<b>ClickHouse</b> does not answer');
      expect(await page.locator('#dependencies').innerText()).toMatch(/kafka\s+answered\s+registry\s+did not answer/);
      expect(await inaccessible(page)).toEqual([]);
      expect(complaints).toEqual([]);
    } finally {
      await page.close();
      await server.close();
    }
  });
});
