/** A real Chromium, as `./dev test` brings it: for tests of what a person sees. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axe from 'axe-core';
import { chromium } from 'playwright-core';
import type { Page } from 'playwright-core';

/** Null where no browser could be had; tests then skip. */
export const browserPath = process.env['BROWSER'] || null;
if (browserPath === null) console.log('Tests in a browser are skipped: no Chromium (BROWSER is not set; ./dev test sets it).');

/** Without a sandbox, since tests may run as root; and without anything that a browser fetches on its own. */
const flags = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

export interface OpenPage {
  readonly page: Page;
  /** What went wrong in the page: errors, refusals of the content security policy, requests to anywhere else. */
  readonly complaints: readonly string[];
}

export interface Browser {
  openPage(url: string): Promise<OpenPage>;
  close(): Promise<void>;
}

/** One browser, with a profile of its own. */
export async function startBrowser(): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'settlefleet-browser-'));
  const viewport = { width: 1180, height: 900 };
  const context = await chromium.launchPersistentContext(profile, { executablePath: browserPath!, headless: true, viewport, args: flags });
  return {
    async openPage(url) {
      const page = await context.newPage();
      const complaints: string[] = [];
      page.on('pageerror', (error) => complaints.push(String(error)));
      page.on('console', (message) => {
        // A process that does not answer is told by the browser too.
        if (message.type() === 'error' && !message.text().includes('Failed to load resource')) complaints.push(message.text());
      });
      page.on('request', (request) => {
        if (!request.url().startsWith('data:') && new URL(request.url()).origin !== new URL(url).origin) complaints.push(`asks ${request.url()}`);
      });
      await page.goto(url);
      return { page, complaints };
    },
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** What axe finds: contrast, names, structure, landmarks; one line each. */
export async function inaccessible(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: { run(): Promise<axe.AxeResults> } }).axe.run());
  return violations.flatMap(({ id, help, nodes }) => nodes.map(({ target }) => `${id}: ${help}: ${target.join(' ')}`));
}
