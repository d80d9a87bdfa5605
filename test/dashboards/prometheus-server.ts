/** A Prometheus of the test's own: real, on a free port, scraping what it is told every half second. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { until } from '../until.ts';

export interface PrometheusServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** `targets`: job to `host:port`s. */
export async function startPrometheus(targets: Readonly<Record<string, readonly string[]>>): Promise<PrometheusServer> {
  const directory = await mkdtemp(join(tmpdir(), 'settlefleet-prometheus-'));
  const groups = Object.entries(targets).map(([job, hosts]) => ({ targets: hosts, labels: { job } }));
  await writeFile(join(directory, 'targets.json'), JSON.stringify(groups));
  await writeFile(
    join(directory, 'prometheus.yml'),
    `global: { scrape_interval: 500ms, scrape_timeout: 500ms }
scrape_configs:
  - job_name: settlefleet
    file_sd_configs: [{ files: [targets.json] }]
`,
  );
  const port = await freePort();
  const child = spawn(
    'prometheus',
    [
      '--config.file=prometheus.yml',
      '--storage.tsdb.path=data',
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=error',
    ],
    { cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const exited = once(child, 'exit');
  const url = `http://127.0.0.1:${port}`;
  await until('Prometheus is ready', async () => (await fetch(`${url}/-/ready`)).ok, 20_000);
  return {
    url,
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}
