/** Watches a worker and a sink all the time: are they ready, what do they hold, which alerts fire. */
import { readFileSync } from 'node:fs';
import type { Running } from '../../bench/peers/subjects.ts';

const lookEveryMs = 250;
const answerWithinMs = 5_000;

type Role = 'worker' | 'sink';

export class Observer {
  readonly #processes: Readonly<Record<Role, Running>>;
  readonly #prometheusUrl: string;
  readonly #most: Record<Role, number> = { worker: 0, sink: 0 };
  readonly #notReady = new Set<string>();
  readonly #alerts = new Set<string>();
  readonly #stopping = new AbortController();
  #looking: Promise<unknown> = Promise.resolve();
  asks = 0;

  constructor(options: { readonly worker: Running; readonly sink: Running; readonly prometheusUrl: string }) {
    this.#processes = { worker: options.worker, sink: options.sink };
    this.#prometheusUrl = options.prometheusUrl;
  }

  get notReady(): readonly string[] {
    return [...this.#notReady];
  }

  get alerts(): readonly string[] {
    return [...this.#alerts].sort();
  }

  /** Resident megabytes, the most that was seen. */
  most(role: Role): number {
    return Math.round(this.#most[role]);
  }

  start(): void {
    const every = async (look: () => Promise<unknown> | void): Promise<void> => {
      while (!this.#stopping.signal.aborted) {
        await look();
        await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
      }
    };
    // Side by side: one that answers late must not keep the others from being seen.
    this.#looking = Promise.all([
      every(() => this.#measure()),
      every(() => this.#askReady('worker')),
      every(() => this.#askReady('sink')),
      every(() => this.#askAlerts()),
    ]);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#looking;
  }

  #measure(): void {
    for (const role of ['worker', 'sink'] as const) {
      const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.#processes[role].pid}/status`, 'utf8'))?.[1];
      this.#most[role] = Math.max(this.#most[role], (Number(kibibytes) * 1024) / 1e6);
    }
  }

  async #askReady(role: Role): Promise<void> {
    this.asks++;
    try {
      const answer = await fetch(`http://127.0.0.1:${this.#processes[role].metricsPort}/readyz`, { signal: AbortSignal.timeout(answerWithinMs) });
      const body = (await answer.text()).trim();
      if (answer.status !== 200) this.#notReady.add(`the ${role} is not ready: ${answer.status} ${body}`);
    } catch (error) {
      this.#notReady.add(`the ${role} does not say whether it is ready: ${String(error)}`);
    }
  }

  async #askAlerts(): Promise<void> {
    const answer = await fetch(`${this.#prometheusUrl}/api/v1/alerts`, { signal: AbortSignal.timeout(answerWithinMs) }).catch(() => null);
    if (answer === null) return;
    const { data } = (await answer.json()) as { data: { alerts: { state: string; labels: { alertname: string } }[] } };
    for (const { state, labels } of data.alerts) if (state === 'firing') this.#alerts.add(labels.alertname);
  }
}
