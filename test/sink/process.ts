/**
 * The sink and `settlefleet sql` as processes of their own, as a user starts them, so that they can be killed and frozen.
 */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { until } from '../until.ts';
import type { SinkWorld } from './support.ts';

const program = join(import.meta.dirname, '../../src/main.ts');

export interface SinkProcess {
  readonly child: ChildProcess;
  readonly metricsPort: number;
  /** All log lines so far. */
  log(): string;
  readyz(): Promise<{ readonly status: number; readonly text: string }>;
  metrics(): Promise<string>;
  /** Sends a signal and gives the exit code, null when the signal killed it. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

export function environmentOf(world: SinkWorld, clickhouseUrl: string, name: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    KAFKA_BROKERS: world.brokers,
    SCHEMA_REGISTRY_URL: world.registryUrl,
    SCHEMA_CACHE_DIR: '',
    TOPIC_PREFIX: world.prefix,
    CONSUMER_GROUP: world.prefix,
    CLICKHOUSE_URL: clickhouseUrl,
    WORKER_ID: name,
    METRICS_PORT: '0',
    LOG_LEVEL: 'info',
  };
}

/** Starts a sink; returns when it serves its metrics. */
export async function startSink(world: SinkWorld, clickhouseUrl: string, name = 'sink-a', settings: NodeJS.ProcessEnv = {}): Promise<SinkProcess> {
  const child = spawn(process.execPath, [program, 'sink'], {
    env: { ...environmentOf(world, clickhouseUrl, name), ...settings },
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  let port = 0;
  await until('the sink serves metrics', () => {
    port = Number(/"port":(\d+),"msg":"Metrics/.exec(log)?.[1] ?? 0);
    if (child.exitCode !== null) throw new Error(`the sink ended: ${log}`);
    return port > 0;
  }, 20_000);
  const get = async (path: string): Promise<{ status: number; text: string }> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5000) });
    return { status: response.status, text: await response.text() };
  };
  return {
    child,
    metricsPort: port,
    log: () => log,
    readyz: () => get('/readyz'),
    metrics: async () => (await get('/metrics')).text,
    async end(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      const gone = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
      child.kill(signal);
      const [code, by] = await gone;
      if (by !== null && by !== signal) throw new Error(`the sink was told to end by ${signal}, and died of ${by}: ${log.slice(-4000)}`);
      return code;
    },
  };
}

export interface Answer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `settlefleet sql ...`, with a query on standard input where `input` is given. */
export async function sql(world: SinkWorld, clickhouseUrl: string, args: readonly string[], input?: string): Promise<Answer> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [program, 'sql', ...args],
      { env: environmentOf(world, clickhouseUrl, 'analyst'), maxBuffer: 1 << 30, timeout: 60_000 },
      (error, stdout, stderr) => resolve({ exitCode: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
    );
    child.stdin?.end(input ?? '');
  });
}
