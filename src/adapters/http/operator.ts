/**
 * What an operator may tell a running process, on the port that also serves metrics: hold reading, leave the group, go on,
 * log more or less. A metrics port is often open to a whole cluster, so a word that changes something is taken
 *
 * - with ADMIN_TOKEN set: from whoever brings it (`authorization: Bearer ...`), and from nobody else;
 * - without: from this machine only, and not through a proxy that stands on it.
 *
 * Never from a page in somebody's browser: a browser says where a page came from (`origin`), `settlefleet` and curl do not.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Handler } from './server.ts';
import type { Log } from '../../ports.ts';

/** A word, e.g. `pause` or `log-level`; gives what is so from then on, or refuses with a reason. */
export type OperatorAction = (argument: string) => OperatorAnswer;
export type OperatorAnswer = { readonly done: Readonly<Record<string, string>> } | { readonly refused: string };

export interface OperatorOptions {
  /** ADMIN_TOKEN; null: only this machine. */
  readonly token: string | null;
  /** By word: `POST /admin/WORD`, with the argument as body where there is one. */
  readonly actions: Readonly<Record<string, OperatorAction>>;
  readonly log: Log;
}

const argumentBytesMax = 100;
const proxyHeaders = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'] as const;

export function operatorHandlers(options: OperatorOptions): [path: string, handler: Handler][] {
  return Object.entries(options.actions).map(([word, action]) => [`/admin/${word}`, handler(word, action, options)]);
}

function handler(word: string, action: OperatorAction, { token, log }: OperatorOptions): Handler {
  return async (request, response) => {
    if (request.method !== 'POST') {
      response.setHeader('allow', 'POST');
      return send(response, 405, { refused: 'expected POST' });
    }
    const refusal = refusalOf(request, token);
    if (refusal !== null) {
      log.warn({ word, from: request.socket.remoteAddress }, `An operator's word was refused: ${refusal.refused}`);
      return send(response, refusal.status, { refused: refusal.refused });
    }
    const argument = await bodyOf(request);
    if (argument === null) return send(response, 413, { refused: `expected at most ${argumentBytesMax} bytes` });
    const answer = action(argument.trim());
    if ('refused' in answer) return send(response, 400, answer);
    log.info({ word, from: request.socket.remoteAddress, ...answer.done }, 'An operator said');
    send(response, 200, answer.done);
  };
}

function refusalOf(request: IncomingMessage, token: string | null): { readonly status: number; readonly refused: string } | null {
  if (request.headers.origin !== undefined) return { status: 403, refused: 'not from a browser' };
  if (token !== null) {
    const given = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
    return isSame(given, token) ? null : { status: 401, refused: 'expected "authorization: Bearer" with ADMIN_TOKEN' };
  }
  const isNear = isLoopback(request.socket.remoteAddress ?? '') && proxyHeaders.every((name) => request.headers[name] === undefined);
  return isNear ? null : { status: 403, refused: 'only from this machine, unless ADMIN_TOKEN is set' };
}

/** In constant time, whatever the lengths. */
function isSame(given: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127\./.test(address);
}

async function bodyOf(request: IncomingMessage): Promise<string | null> {
  let text = '';
  for await (const part of request as AsyncIterable<Buffer>) {
    text += part.toString();
    if (text.length > argumentBytesMax) return null;
  }
  return text;
}

function send(response: ServerResponse, status: number, answer: object): void {
  const body = `${JSON.stringify(answer)}\n`;
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
