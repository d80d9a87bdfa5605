/** The JSON at `/status` for whoever looks at one process. When nobody looks, nothing is computed. */
import { readOnly, send } from './server.ts';
import type { Handler } from './server.ts';

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

/** `read` gives what the page shows; asked once for each look. */
export function statusPageHandlers(read: () => Promise<object>): [path: string, handler: Handler][] {
  const status: Handler = readOnly(async (response) => {
    const body = `${JSON.stringify(await read())}\n`;
    setHeaders(response);
    send(response, 200, body, 'application/json');
  });
  return [['/status', status]];
}

function setHeaders(response: { setHeader(name: string, value: string): unknown }): void {
  for (const [name, value] of Object.entries(safeHeaders)) response.setHeader(name, value);
}
