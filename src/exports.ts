/** What a process sends of itself beside what Prometheus scrapes. Nothing is loaded that was not asked for. */
import packageJson from '../package.json' with { type: 'json' };
import type { PrometheusTelemetry } from './adapters/prometheus/telemetry.ts';
import type { Config } from './config.ts';
import type { Log } from './ports.ts';

export interface Exports {
  /** Sends what is left, for a few seconds at most. */
  close(): Promise<void>;
}

export function tellerOf(process: string, { workerId }: Config): { readonly process: string; readonly workerId: string; readonly version: string } {
  return { process, workerId, version: packageJson.version };
}

/** Metrics by OTLP and as embedded metrics, where the settings want them. */
export async function startMetricExports(process: 'worker' | 'sink', config: Config, registry: PrometheusTelemetry['registry'], log: Log): Promise<Exports> {
  const { metrics, embeddedMetrics } = config.telemetry;
  const closing: (() => void | Promise<void>)[] = [];
  if (metrics !== null || embeddedMetrics !== null) {
    const { createRegistryReader } = await import('./adapters/prometheus/registry-readings.ts');
    // One for each: both forget what they have told.
    const reader = (): (() => ReturnType<ReturnType<typeof createRegistryReader>['read']>) => {
      const created = createRegistryReader(registry);
      closing.push(() => created.close());
      return () => created.read();
    };
    if (metrics !== null) {
      const { startMetricExport } = await import('./adapters/opentelemetry/metrics.ts');
      const started = await startMetricExport({ settings: metrics, teller: tellerOf(process, config), read: reader(), log });
      closing.push(() => started.close());
    }
    if (embeddedMetrics !== null) {
      const { startEmbeddedMetrics } = await import('./adapters/cloudwatch/embedded-metrics.ts');
      const started = startEmbeddedMetrics({ settings: embeddedMetrics, teller: { process, worker: config.workerId }, read: reader(), log });
      closing.push(() => started.close());
    }
  }
  return {
    async close() {
      // Readers last: what is sent on closing is read once more.
      for (const close of closing.reverse()) await close();
    },
  };
}
