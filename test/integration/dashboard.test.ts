/** The dashboards show something in every panel after a real run: a worker and a sink, scraped by a real Prometheus. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { assertEveryPanelHasData, dashboardPaths } from '../dashboards/panels.ts';
import { startPrometheus } from '../stack.ts';
import type { OwnPrometheus } from '../stack.ts';
import { until } from '../until.ts';
import { Bench } from './harness/bench.ts';
import { message, participant, transaction } from './harness/directory.ts';

let bench: Bench;
let prometheus: OwnPrometheus | undefined;

beforeAll(async () => {
  bench = await Bench.create('dashboard', { participants: [participant('COBADEFFXXX', { EUR: '100.00' }), participant('DEUTDEFFXXX')] });
  const [worker, sink] = await Promise.all([bench.startWorker(), bench.startSink()]);
  await Promise.all([worker.ready(), sink.ready()]);
  prometheus = await startPrometheus({ targets: [worker, sink].map((service) => `127.0.0.1:${service.port}`) });
});

afterAll(async () => {
  await prometheus?.remove();
  await bench?.close();
});

/** One of each outcome that a panel tells apart. */
async function someTraffic(): Promise<void> {
  const payment = transaction({ amount: '1.00' });
  await bench.send(message(payment));
  await bench.send(message(payment));
  await bench.send(message(transaction({ amount: '500.00' })));
  await bench.sendValue(Buffer.from('not framed'), { key: 'COBADEFFXXX' });
}

test('no panel is without data', async () => {
  let last: unknown;
  await until('every panel has data', async () => {
    await someTraffic();
    last = undefined;
    for (const dashboard of dashboardPaths()) {
      await assertEveryPanelHasData(prometheus!.url, dashboard, { rangeSeconds: 60, rateInterval: '10s' }).catch((error: unknown) => (last ??= error));
    }
    return last === undefined;
  }, 50_000).catch(() => undefined);
  expect(last).toBeUndefined();
});
