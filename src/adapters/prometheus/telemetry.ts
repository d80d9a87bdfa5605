/**
 * What a worker tells Prometheus. Names and labels are the contract's (section 9). Series that a rule or a panel asks for
 * are there from the start with 0, because Prometheus cannot see the first increase of a series that it has never met.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

import { amountScale } from '../../domain/amount.ts';
import {
  deadLetterCodes,
  formalReasonCodes,
  messageReasonCodes,
  settlementReasonCodes,
} from '../../domain/codes.ts';
import { stages } from '../../ports.ts';
import type { CapUse } from '../../domain/cap-use.ts';
import type { CommittedReport, Dependency, Telemetry } from '../../ports.ts';
import { BatchHistogram } from './batch-histogram.ts';
import { secondsBuckets } from './buckets.ts';
import { DependencyGauge, registerKafkaBridge, registerProcess } from './shared.ts';

export interface PartitionLag {
  readonly topic: string;
  readonly partition: number;
  /** End offset minus committed offset; transactions' markers count as records do. */
  readonly records: number;
  /** Age of the oldest record that is not committed; 0 when there is none. */
  readonly ageMs: number;
}

export interface PartitionAccount {
  readonly partition: number;
  readonly inFlight: number;
  readonly unaccounted: number;
}

/** Asked at each scrape; must answer at once, from memory. */
export interface WorkerView {
  /** Of the partitions that this worker has, and of no others: each is reported by its owner only. */
  readonly lag: () => Iterable<PartitionLag>;
  /** One word for each lane that this worker has: the state that it is in. */
  readonly lanes: () => Iterable<string>;
  readonly accounts: () => Iterable<PartitionAccount>;
  readonly isReady: () => boolean;
  /** Whether records go over the packed bridge. */
  readonly kafkaBridge: boolean;
  /** Windows of claims that are being filled again; `ratio`: from 0 to 1. */
  readonly rebuilds: () => Iterable<{ readonly partition: number; readonly ratio: number }>;
  readonly bytes: () => { readonly lanes: number; readonly epoch: number };
  readonly decoder: () => { readonly threads: number; readonly busySeconds: number };
  /** The few positions that have used most of their caps; a metric for each participant would have no bound. */
  readonly capUse: () => Iterable<CapUse>;
}

const dependencies: readonly Dependency[] = ['kafka', 'registry', 'redis'];
const dedupeOutcomes = ['claimed', 'duplicate', 'redelivered'] as const;

export class PrometheusTelemetry implements Telemetry {
  /** To be served at `/metrics`. */
  readonly registry = new Registry();
  readonly #endToEnd: BatchHistogram;
  readonly #commit: Histogram;
  readonly #stage: BatchHistogram<'stage'>;
  readonly #results: Counter<'status' | 'reason_code'>;
  readonly #deadLetters: Counter<'code'>;
  readonly #consumed: Counter<'partition'>;
  readonly #dedupe: Counter<'outcome'>;
  readonly #aborted: Counter;
  readonly #windowsRebuilt: Counter;
  readonly #settledValue: Counter<'currency'>;
  readonly #audits: Counter<'outcome'>;
  readonly #dependency: DependencyGauge;

  constructor(view: WorkerView) {
    const registers = [this.registry];
    const buckets = [...secondsBuckets];
    registerProcess(this.registry, view.isReady);
    this.#endToEnd = new BatchHistogram({
      name: 'settlefleet_end_to_end_seconds',
      help: 'Time from the creation of an event to the commit that holds its result.',
      register: this.registry,
    });
    this.#commit = new Histogram({
      name: 'settlefleet_commit_seconds',
      help: 'Time that a Kafka transaction took from its first record to the certainty that it is committed.',
      buckets,
      registers,
    });
    this.#stage = new BatchHistogram({
      name: 'settlefleet_stage_seconds',
      help: "Time that a result's batch spent in a stage; for each result, so that the stages add up to the end-to-end time.",
      register: this.registry,
      label: { name: 'stage', values: stages },
    });
    this.#results = new Counter({
      name: 'settlefleet_results_total',
      help: 'Committed results by transaction status and ISO 20022 reason code (empty when there is none).',
      labelNames: ['status', 'reason_code'],
      registers,
    });
    this.#deadLetters = new Counter({
      name: 'settlefleet_dead_letters_total',
      help: 'Committed dead letters by code.',
      labelNames: ['code'],
      registers,
    });
    this.#consumed = new Counter({
      name: 'settlefleet_events_consumed_total',
      help: 'Events read from the inbound topic, those that were read again included.',
      labelNames: ['partition'],
      registers,
    });
    this.#dedupe = new Counter({
      name: 'settlefleet_dedupe_total',
      help: 'Identities claimed, met as a duplicate, or met again by their own event.',
      labelNames: ['outcome'],
      registers,
    });
    this.#aborted = new Counter({
      name: 'settlefleet_transactions_aborted_total',
      help: 'Kafka transactions that were aborted; nothing of them is visible.',
      registers,
    });
    this.#windowsRebuilt = new Counter({
      name: 'settlefleet_windows_rebuilt_total',
      help: 'Windows of claims that were filled from the results topic, because Redis did not hold them.',
      registers,
    });
    this.#settledValue = new Counter({
      name: 'settlefleet_settled_value_total',
      help: 'What was settled, in units of its currency; for a chart, not for the books.',
      labelNames: ['currency'],
      registers,
    });
    this.#audits = new Counter({
      name: 'settlefleet_audits_total',
      help: 'How often the accounts of the partitions were compared with what Kafka says, or could not be.',
      labelNames: ['outcome'],
      registers,
    });
    this.#dependency = new DependencyGauge(dependencies, this.registry);
    registerKafkaBridge(this.registry, view.kafkaBridge);
    registerView(view, this.registry);
    this.#startAtZero();
  }

  consumed(partition: number, records: number): void {
    this.#consumed.inc({ partition }, records);
  }

  dedupe(outcome: 'claimed' | 'duplicate' | 'redelivered', count: number): void {
    this.#dedupe.inc({ outcome }, count);
  }

  committed(report: CommittedReport): void {
    this.#endToEnd.observeSince(report.createdAt, report.committedAt);
    this.#commit.observe(report.seconds);
    this.#observeStages(report);
    for (const [statusAndReason, count] of report.results) {
      const [status = '', reasonCode = ''] = statusAndReason.split('|');
      this.#results.inc({ status, reason_code: reasonCode }, count);
    }
    for (const [currency, units] of report.settled) this.#settledValue.inc({ currency }, inUnitsOfCurrency(units));
    for (const [code, count] of report.deadLetters) this.#deadLetters.inc({ code }, count);
  }

  aborted(): void {
    this.#aborted.inc();
  }

  windowRebuilt(): void {
    this.#windowsRebuilt.inc();
  }

  audited(outcome: 'done' | 'failed'): void {
    this.#audits.inc({ outcome });
  }

  dependency(dependency: Dependency, up: boolean): void {
    this.#dependency.set(dependency, up);
  }

  #observeStages({ journeys, createdAt, sealedAt, seconds }: CommittedReport): void {
    const stage = this.#stage;
    let from = 0;
    for (const journey of journeys) {
      const { results } = journey;
      stage.observeSince(createdAt, journey.arrivedAt, { label: journey.from, from, to: from + results });
      stage.observeTimes(journey.takeOverMs, results, 'consume');
      stage.observeTimes(journey.decodedAt - journey.takenAt, results, 'decode');
      stage.observeTimes(journey.begunAt - journey.decodedAt, results, 'lane');
      stage.observeTimes(journey.routedAt - journey.begunAt, results, 'route');
      stage.observeTimes(journey.claimedAt - journey.routedAt, results, 'dedupe');
      stage.observeTimes(journey.settledAt - journey.claimedAt, results, 'settle');
      stage.observeTimes(sealedAt - journey.settledAt, results, 'epoch');
      stage.observeTimes(seconds * 1_000, results, 'commit');
      from += results;
    }
  }

  #startAtZero(): void {
    this.#results.inc({ status: 'ACSC', reason_code: '' }, 0);
    for (const reasonCode of [...messageReasonCodes, ...formalReasonCodes, ...settlementReasonCodes]) {
      this.#results.inc({ status: 'RJCT', reason_code: reasonCode }, 0);
    }
    for (const code of deadLetterCodes) this.#deadLetters.inc({ code }, 0);
    for (const outcome of ['done', 'failed']) this.#audits.inc({ outcome }, 0);
    for (const outcome of dedupeOutcomes) this.#dedupe.inc({ outcome }, 0);
  }
}

/** Gauges that are read from the worker when Prometheus asks, so that a partition that has gone is gone at once. */
function registerView(view: WorkerView, register: Registry): void {
  new Gauge({
    name: 'settlefleet_consumer_lag',
    help: 'End offset minus committed offset, of the partitions that this worker has.',
    labelNames: ['topic', 'partition'],
    registers: [register],
    collect() {
      this.reset();
      // The two offsets are not read at the same instant.
      for (const { topic, partition, records } of view.lag()) this.set({ topic, partition }, Math.max(0, records));
    },
  });
  new Gauge({
    name: 'settlefleet_lag_seconds',
    help: 'Age of the oldest record that is not committed, of the partitions that this worker has; 0 when there is none.',
    labelNames: ['topic', 'partition'],
    registers: [register],
    collect() {
      this.reset();
      for (const { topic, partition, ageMs } of view.lag()) this.set({ topic, partition }, ageMs / 1_000);
    },
  });
  new Gauge({
    name: 'settlefleet_in_flight_events',
    help: 'Records taken from Kafka and not committed, of the partitions that this worker has.',
    labelNames: ['partition'],
    registers: [register],
    collect() {
      this.reset();
      for (const { partition, inFlight } of view.accounts()) this.set({ partition }, inFlight);
    },
  });
  new Gauge({
    name: 'settlefleet_unaccounted_events',
    help: 'What was taken from Kafka and is neither settled, rejected, dead-lettered, handed over nor in flight: 0, or something is wrong.',
    labelNames: ['partition'],
    registers: [register],
    collect() {
      this.reset();
      for (const { partition, unaccounted } of view.accounts()) this.set({ partition }, unaccounted);
    },
  });
  new Gauge({
    name: 'settlefleet_window_rebuild_ratio',
    help: 'How much of a window of claims is filled again from the results topic; the partition waits meanwhile. None: nothing is rebuilt.',
    labelNames: ['partition'],
    registers: [register],
    collect() {
      this.reset();
      for (const { partition, ratio } of view.rebuilds()) this.set({ partition }, ratio);
    },
  });
  new Gauge({
    name: 'settlefleet_pending_bytes',
    help: 'Bytes in memory that are not committed: read and not settled (lanes), settled and not being committed (epoch).',
    labelNames: ['place'],
    registers: [register],
    collect() {
      const { lanes, epoch } = view.bytes();
      this.set({ place: 'lanes' }, lanes);
      this.set({ place: 'epoch' }, epoch);
    },
  });
  new Gauge({
    name: 'settlefleet_decoder_threads',
    help: 'Decoder threads; 0: decoding is done in the main thread.',
    registers: [register],
    collect() {
      this.set(view.decoder().threads);
    },
  });
  new Counter({
    name: 'settlefleet_decoder_busy_seconds_total',
    help: 'Time that decoder threads had something to do, of all threads together.',
    registers: [register],
    collect() {
      this.reset();
      this.inc(view.decoder().busySeconds);
    },
  });
  const perPosition = { labelNames: ['participant', 'currency'] as const, registers: [register] };
  const tightest = (gauge: Gauge<'participant' | 'currency'>, valueOf: (use: CapUse) => number): void => {
    gauge.reset();
    for (const use of view.capUse()) gauge.set({ participant: use.participant, currency: use.currency }, valueOf(use));
  };
  new Gauge({
    ...perPosition,
    name: 'settlefleet_debit_cap_used_ratio',
    help: 'Share of the debit cap that a position has used, of the ten that have used most of it.',
    collect() {
      tightest(this, ({ used }) => used);
    },
  });
  new Gauge({
    ...perPosition,
    name: 'settlefleet_position',
    help: 'Position in units of its currency, of the ten that have used most of their debit cap; for a chart, not for the books.',
    collect() {
      tightest(this, ({ units }) => inUnitsOfCurrency(units));
    },
  });
  const states = new Set<string>();
  new Gauge({
    name: 'settlefleet_lanes',
    help: 'Lanes (assigned partitions) of this worker by state; not part of the contract.',
    labelNames: ['state'],
    registers: [register],
    collect() {
      // A state that no lane is in any more says 0 instead of falling silent.
      for (const state of states) this.set({ state }, 0);
      for (const state of view.lanes()) {
        states.add(state);
        this.inc({ state });
      }
    },
  });
}

/** A float, as all that Prometheus takes. */
function inUnitsOfCurrency(units: bigint): number {
  return Number(units) / 10 ** amountScale;
}
