/** An operator's word to a running worker: pause, drain, resume, another log level; and who may say it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bench } from './harness/bench.ts';
import { message, participant, transaction } from './harness/directory.ts';
import { runCommand } from './harness/processes.ts';
import type { Ended, Service } from './harness/processes.ts';

const token = 'a-token-of-24-characters';
let bench: Bench;
let worker: Service;

beforeAll(async () => {
  bench = await Bench.create('operator', { participants: [participant('COBADEFFXXX', { EUR: '1000.00' }), participant('DEUTDEFFXXX')] });
  worker = await (await bench.startWorker()).ready();
});
afterAll(() => bench?.close());

const say = (service: Service, ...args: string[]): Promise<Ended> =>
  runCommand([...args, '--url', `http://127.0.0.1:${service.port}`], bench.environment);

describe('a worker that is paused', () => {
  test('keeps its partitions, reads nothing, is not ready, and goes on where it was', async () => {
    const said = await say(worker, 'pause');
    expect(said).toMatchObject({ code: 0, stderr: '' });
    expect(said.stdout).toMatch(/ is paused: /);
    expect(await worker.get('/readyz')).toEqual({ status: 503, body: 'paused by an operator\n' });
    expect((await worker.get('/healthz')).status).toBe(200);
    expect(await worker.metric('settlefleet_lanes')).toContainEqual(['{state="running"}', bench.partitions]);

    const consumed = async () => [...(await worker.metric('settlefleet_events_consumed_total')).values()].reduce((a, b) => a + b, 0);
    const before = await consumed();
    const waiting = await bench.send(message(transaction({ amount: '1.00' })));
    await bench.waitFor('the lag of the paused worker is seen', async () =>
      [...(await worker.metric('settlefleet_consumer_lag')).values()].some((records) => records > 0));
    expect(await consumed()).toBe(before);
    expect(bench.resultsOf(waiting.eventId)).toEqual([]);

    expect((await say(worker, 'resume')).stdout).toMatch(/ is running: /);
    expect(await bench.only(waiting)).toMatchObject({ status: 'ACSC' });
    await worker.ready();
  });
});

describe('a worker that is drained', () => {
  test('gives its partitions to the others, stays alive, comes back when it is told to, and ends at SIGTERM with exit code 0', async () => {
    expect((await say(worker, 'drain')).stdout).toMatch(/ is drained: /);
    expect(await worker.get('/readyz')).toEqual({ status: 503, body: 'drained by an operator\n' });
    expect((await worker.get('/healthz')).status).toBe(200);
    expect([...(await worker.metric('settlefleet_lanes')).values()].reduce((a, b) => a + b, 0)).toBe(0);

    // All partitions go to the other one: the drained one is no member any more, however alive.
    const other = await (await bench.startWorker()).ready();
    await bench.waitFor('the other worker has every partition', async () =>
      (await other.metric('settlefleet_lanes')).get('{state="running"}') === bench.partitions);
    expect(await bench.only(await bench.send(message(transaction({ amount: '1.00' }))))).toMatchObject({ status: 'ACSC' });

    expect((await say(worker, 'resume')).code).toBe(0);
    await bench.waitFor('both have half of the partitions', async () =>
      (await worker.metric('settlefleet_lanes')).get('{state="running"}') === bench.partitions / 2
      && (await other.metric('settlefleet_lanes')).get('{state="running"}') === bench.partitions / 2);

    await say(other, 'drain');
    expect((await other.terminate()).code).toBe(0);
  });
});

test('the log level changes while a worker runs', async () => {
  const said = await say(worker, 'loglevel', 'error');
  expect(said.stdout).toMatch(/logs at level error/);
  expect(JSON.parse((await worker.get('/status')).body)).toMatchObject({ logLevel: 'error' });
  expect(await say(worker, 'loglevel', 'loud')).toMatchObject({ code: 1, stderr: expect.stringContaining('expected one of trace') as string });
});

describe('an operator is believed', () => {
  const post = (url: string, headers: Record<string, string> = {}) => fetch(url, { method: 'POST', headers });

  test('on this machine, but not through a proxy and not in a browser', async () => {
    const url = `http://127.0.0.1:${worker.port}/admin/resume`;
    expect((await post(url)).status).toBe(200);
    expect((await post(url, { 'x-forwarded-for': '192.0.2.7' })).status).toBe(403);
    expect((await post(url, { origin: 'http://example.org' })).status).toBe(403);
    expect((await fetch(url)).status).toBe(405);
  });

  test('with the token where ADMIN_TOKEN is set, and without it nowhere', async () => {
    const guarded = await bench.startWorker({ ADMIN_TOKEN: token });
    const url = `http://127.0.0.1:${guarded.port}/admin/resume`;
    expect((await post(url)).status).toBe(401);
    expect((await post(url, { authorization: 'Bearer another-token-of-24-chars' })).status).toBe(401);
    expect((await post(url, { authorization: `Bearer ${token}` })).status).toBe(200);
    const withToken = { ...bench.environment, ADMIN_TOKEN: token };
    expect((await runCommand(['resume', '--url', `http://127.0.0.1:${guarded.port}`], withToken)).code).toBe(0);
    await guarded.kill();
  });
});
