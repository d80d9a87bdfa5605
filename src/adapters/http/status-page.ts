/**
 * The page at `/` for whoever looks at one process, and the JSON at `/status` that it is drawn from. Everything comes from
 * this process: no build, no font and no script from elsewhere, and the browser is told to take none. When nobody looks,
 * nothing is computed.
 */
import { readFile } from 'node:fs/promises';

import { readOnly, send } from './server.ts';
import type { Handler } from './server.ts';

const folder = new URL('./status-page/', import.meta.url);
const files = [
  { path: '/', file: 'index.html', type: 'text/html; charset=utf-8' },
  { path: '/status.css', file: 'status.css', type: 'text/css; charset=utf-8' },
  { path: '/status.js', file: 'status.js', type: 'text/javascript; charset=utf-8' },
  { path: '/figures.js', file: 'figures.js', type: 'text/javascript; charset=utf-8' },
] as const;

/** Nothing but what this origin serves: no inline script, no frame around it, no form. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const safeHeaders = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};

/** `read` gives what the page shows beside the vitals; asked once for each look. */
export function statusPageHandlers(read: () => Promise<object>): [path: string, handler: Handler][] {
  const pages = files.map(({ path, file, type }): [string, Handler] => {
    let text: Promise<string> | undefined;
    return [
      path,
      readOnly(async (response) => {
        text ??= readFile(new URL(file, folder), 'utf8');
        setHeaders(response);
        send(response, 200, await text, type);
      }),
    ];
  });
  const status: Handler = readOnly(async (response) => {
    const body = `${JSON.stringify({ ...(await read()), vitals: vitals() })}\n`;
    setHeaders(response);
    send(response, 200, body, 'application/json');
  });
  return [...pages, ['/status', status]];
}

/** What this process takes, in totals where a rate is wanted: whoever asks twice can tell. */
function vitals(): Readonly<Record<string, number>> {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  const { active, idle } = performance.eventLoopUtilization();
  return { cpuSeconds: (user + system) / 1e6, residentBytes: rss, heapBytes: heapUsed, loopActiveMs: active, loopIdleMs: idle };
}

function setHeaders(response: { setHeader(name: string, value: string): unknown }): void {
  for (const [name, value] of Object.entries(safeHeaders)) response.setHeader(name, value);
}
