/** The server for metrics and health, asked over HTTP. */
import { once } from 'node:events';
import { createServer, request } from 'node:http';

import { Gauge, Registry } from 'prom-client';
import { afterEach, describe, expect, it } from 'vitest';

import { startHealthServer } from '../../src/adapters/http/server.ts';
import type { HealthServer, HealthServerOptions } from '../../src/adapters/http/server.ts';
import { ConfigurationError } from '../../src/errors.ts';
import type { Log } from '../../src/ports.ts';
import { until } from '../until.ts';

describe('the server for metrics and health', () => {
  let server: HealthServer | undefined;
  let logged: string[] = [];
  const keep = (_fields: unknown, message: string): void => void logged.push(message);
  const log: Log = { debug: keep, info: keep, warn: keep, error: keep };

  afterEach(async () => {
    await server?.close();
    server = undefined;
    logged = [];
  });

  async function start(options: Partial<HealthServerOptions> = {}): Promise<string> {
    server = await startHealthServer({ port: 0, registry: new Registry(), reasonsNotReady: () => [], log, ...options });
    return `http://127.0.0.1:${server.port}`;
  }

  it('gives the metrics in the format of Prometheus', async () => {
    const registry = new Registry();
    new Gauge({ name: 'x', help: 'X.', registers: [registry] }).set(7);
    const response = await fetch(`${await start({ registry })}/metrics`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    expect(await response.text()).toContain('\nx 7\n');
  });

  it('is alive', async () => {
    const response = await fetch(`${await start()}/healthz?full=1`);
    expect([response.status, await response.text()]).toEqual([200, 'alive\n']);
  });

  it('is ready, or says why not', async () => {
    let reasons: string[] = ['kafka: no partitions are assigned yet', 'redis: does not answer'];
    const url = await start({ reasonsNotReady: () => reasons });
    const waiting = await fetch(`${url}/readyz`);
    expect([waiting.status, await waiting.text()]).toEqual([
      503,
      'kafka: no partitions are assigned yet\nredis: does not answer\n',
    ]);
    reasons = [];
    const ready = await fetch(`${url}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([200, 'ready\n']);
  });

  it.each(['/metrics', '/healthz', '/readyz'])('answers HEAD of %s without a body, and refuses POST', async (path) => {
    const url = await start();
    const head = await fetch(`${url}${path}`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    const post = await fetch(`${url}${path}`, { method: 'POST', body: 'x' });
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    await post.text();
  });

  it('says what there is where nothing is', async () => {
    const response = await fetch(`${await start()}/metric`);
    expect([response.status, await response.text()]).toEqual([
      404,
      'nothing here, expected one of: /metrics /healthz /readyz\n',
    ]);
  });

  it('serves other paths beside its own', async () => {
    const handlers = new Map([['/sql', (_request: unknown, response: { end(body: string): void }) => response.end('1\n')]]);
    const response = await fetch(`${await start({ handlers })}/sql`, { method: 'POST', body: 'SELECT 1' });
    expect(await response.text()).toBe('1\n');
  });

  it('answers 500 and goes on when a scrape fails', async () => {
    const registry = new Registry();
    let broken = true;
    new Gauge({
      name: 'x',
      help: 'X.',
      registers: [registry],
      collect() {
        if (broken) throw new Error('broken');
        this.set(1);
      },
    });
    const url = await start({ registry });
    const failed = await fetch(`${url}/metrics`);
    expect(failed.status).toBe(500);
    await failed.text();
    expect(logged).toContain('A request could not be answered');
    broken = false;
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
  });

  it('names METRICS_PORT when the port is taken', async () => {
    const other = createServer().listen(0);
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const refused = startHealthServer({ port, registry: new Registry(), reasonsNotReady: () => [], log });
    await expect(refused).rejects.toThrow(ConfigurationError);
    await expect(refused).rejects.toThrow(`METRICS_PORT ${port} is taken by another process, expected a free port (0: any)`);
    other.close();
  });

  it('lets an answer under way end when it closes, and takes no more', async () => {
    let finish: (() => void) | undefined;
    const handlers = new Map([
      ['/slow', (_request: unknown, response: { end(body: string): void }) => void (finish = () => response.end('done'))],
    ]);
    const url = await start({ handlers });
    const slow = fetch(`${url}/slow`);
    await until('the request has arrived', () => finish !== undefined);
    const closing = server!.close();
    server = undefined;
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
    finish!();
    expect(await (await slow).text()).toBe('done');
    await closing;
  });

  it('closes although a client keeps its connection open', async () => {
    const url = new URL(await start());
    const stuck = request({ host: url.hostname, port: url.port, path: '/healthz', method: 'GET', agent: false });
    stuck.on('error', () => undefined);
    stuck.flushHeaders();
    const [response] = (await once(stuck, 'response')) as [{ resume(): void }];
    response.resume();
    await server!.close();
    server = undefined;
  });
});
