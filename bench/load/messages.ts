/** What the process that measures, the load generator and the reader tell each other over their IPC channels. */
import type { WorkloadOptions } from '../workload.ts';

export interface LoadStart {
  readonly brokers: string;
  readonly topics: { readonly inbound: string; readonly results: string; readonly deadLetter: string };
  readonly partitions: number;
  readonly workload: WorkloadOptions;
}

/** One rate for a while. Events `from` to `from + count - 1`; the first `unmeasured` of them only warm up. */
export interface LoadRun {
  readonly startMicroseconds: number;
  readonly rate: number;
  readonly from: number;
  readonly count: number;
  readonly unmeasured: number;
}

export type ToGenerator =
  | { readonly kind: 'start'; readonly start: LoadStart }
  | { readonly kind: 'run'; readonly run: LoadRun }
  | { readonly kind: 'stop' };

export type FromGenerator =
  | { readonly kind: 'ready' }
  | { readonly kind: 'sent'; readonly sent: number }
  /** `late`: how long after its intended time each measured event was handed to the client, an encoded histogram. */
  | { readonly kind: 'done'; readonly sent: number; readonly late: string; readonly cpuSeconds: number };

export type ToReader =
  | { readonly kind: 'start'; readonly start: LoadStart }
  | { readonly kind: 'run'; readonly run: LoadRun }
  | { readonly kind: 'collect' };

export type FromReader =
  | { readonly kind: 'ready' }
  /** Answers of the present run, dead letters among them. */
  | { readonly kind: 'answered'; readonly answered: number }
  | { readonly kind: 'collected'; readonly answered: number; readonly latencies: string; readonly cpuSeconds: number };
