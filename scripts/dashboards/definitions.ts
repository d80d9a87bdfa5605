/**
 * The dashboards: what somebody asks at night, and the query that answers it. `node scripts/dashboards/main.ts` writes them
 * to grafana/dashboards/; a test sees to it that what lies there is what stands here, and that no panel is without data.
 */
import type { DashboardSpec, PanelSpec } from './grafana.ts';

const perSecond = (metric: string, by: string): string => `sum${by === '' ? '' : ` by (${by})`} (rate(${metric}[$__rate_interval]))`;
const quantile = (share: number, metric: string, by = ''): string =>
  `histogram_quantile(${share}, ${perSecond(`${metric}_bucket`, by === '' ? 'le' : `le, ${by}`)})`;
const mean = (sum: string, count: string): string => `${perSecond(sum, '')} / ${perSecond(count, '')}`;

const endToEnd = 'settlefleet_end_to_end_seconds';
const inbound = '{topic=~".*inbound"}';
const routed = '{topic=~".*routed"}';

const latency: PanelSpec = {
  kind: 'lines',
  title: "How long from a payment's creation to its committed result?",
  about: 'createdAt of the event to the commit that holds the result. A clock of the sender that runs ahead counts as 0.',
  unit: 's',
  queries: [
    [quantile(0.5, endToEnd), 'p50'],
    [quantile(0.95, endToEnd), 'p95'],
    [quantile(0.99, endToEnd), 'p99'],
  ],
};

const outcomes: PanelSpec = {
  kind: 'stacked',
  title: 'What becomes of the payments?',
  about: 'Committed results by status, and dead letters.',
  unit: 'ops',
  queries: [
    [perSecond('settlefleet_results_total', 'status'), '{{status}}'],
    [perSecond('settlefleet_dead_letters_total', ''), 'dead letter'],
  ],
};

const lanes: PanelSpec = {
  kind: 'lines',
  title: 'What are the lanes doing?',
  about: 'Assigned partitions by the state of their lane. A halted one has a torn state and waits for a person.',
  unit: 'none',
  queries: [['sum by (state) (settlefleet_lanes)', '{{state}}']],
};

const commitTime: PanelSpec = {
  kind: 'lines',
  title: 'How long does a commit take?',
  about: 'A Kafka transaction from its first record to the certainty that it is committed.',
  unit: 's',
  queries: [
    [quantile(0.5, 'settlefleet_commit_seconds'), 'p50'],
    [quantile(0.99, 'settlefleet_commit_seconds'), 'p99'],
  ],
};

export const dashboards: readonly DashboardSpec[] = [
  {
    uid: 'settlefleet',
    title: 'settlefleet: the fleet at a glance',
    about: 'From a payment event to its durable result: does it flow, is it right, and if not, where does it stop?',
    rows: [
      {
        name: 'Now',
        height: 4,
        panels: [
          {
            kind: 'stat',
            title: 'Is everything accounted for?',
            about: 'Taken from Kafka and neither settled, rejected, dead-lettered, handed over nor in flight. Anything but 0 needs a person.',
            unit: 'none',
            good: { below: 1 },
            width: 3,
            queries: [['sum(settlefleet_unaccounted_events)', 'unaccounted']],
          },
          {
            kind: 'stat',
            title: 'Is everything there that the fleet needs?',
            about: 'A process says so of a dependency when it last needed it. Down: the lanes wait and go on by themselves.',
            unit: 'none',
            good: { from: 1 },
            words: { 0: 'down', 1: 'up' },
            width: 5,
            queries: [['min by (dependency) (settlefleet_dependency_up)', '{{dependency}}']],
          },
          {
            kind: 'stat',
            title: 'How many are ready?',
            about: 'As /readyz says. A worker without a partition is ready: it stands by.',
            unit: 'none',
            width: 4,
            queries: [['sum(settlefleet_ready)', 'ready']],
          },
          {
            kind: 'stat',
            title: 'How many payments settle?',
            about: 'Committed results with status ACSC, each second.',
            unit: 'ops',
            width: 4,
            queries: [['sum(rate(settlefleet_results_total{status="ACSC"}[$__rate_interval]))', 'settled']],
          },
          {
            kind: 'stat',
            title: 'How long do 99 of 100 take?',
            about: 'From the creation of the event to the commit of its result.',
            unit: 's',
            good: { below: 5 },
            width: 4,
            queries: [[quantile(0.99, endToEnd), 'p99']],
          },
          {
            kind: 'stat',
            title: 'Since when does the oldest wait?',
            about: 'Age of the oldest record that is not committed, over all partitions.',
            unit: 's',
            good: { below: 30 },
            width: 4,
            queries: [['max(settlefleet_lag_seconds)', 'oldest']],
          },
        ],
      },
      { name: 'Payments', panels: [latency, outcomes] },
      {
        name: 'Flow',
        panels: [
          {
            kind: 'lines',
            title: 'Does more come in than goes out?',
            about: 'Events read, against results and dead letters committed. Messages with several transactions have more results than events.',
            unit: 'ops',
            queries: [
              [perSecond('settlefleet_events_consumed_total', ''), 'events in'],
              [`${perSecond('settlefleet_results_total', '')} + ${perSecond('settlefleet_dead_letters_total', '')}`, 'outcomes'],
            ],
          },
          {
            kind: 'lines',
            title: 'How many records wait to be settled?',
            about: 'End offset minus committed offset. Markers of Kafka transactions count; the fleet commits past them within a second.',
            unit: 'short',
            queries: [['sum by (topic) (settlefleet_consumer_lag)', '{{topic}}']],
          },
          lanes,
        ],
      },
    ],
  },
  {
    uid: 'settlefleet-lanes',
    title: 'settlefleet: lanes and lag',
    about: 'Which partition falls behind, by how many records, for how long, and how much money waits there.',
    rows: [
      {
        name: 'What waits',
        panels: [
          {
            kind: 'lines',
            title: 'Which partition falls behind?',
            about: 'Records of the inbound topic that are not committed. Markers of an upstream that uses Kafka transactions count.',
            unit: 'short',
            queries: [[`max by (partition) (settlefleet_consumer_lag${inbound})`, 'partition {{partition}}']],
          },
          {
            kind: 'lines',
            title: 'For how long does the oldest record of a partition wait?',
            about: 'Since it was put into Kafka; of the inbound and the routed topic the longer. 0 where only markers are left.',
            unit: 's',
            queries: [['max by (partition) (settlefleet_lag_seconds)', 'partition {{partition}}']],
          },
          {
            kind: 'lines',
            title: 'How much money waits, roughly?',
            about:
              'An estimate: what waits has not been read, so nobody knows its amounts. Events that are not committed, times what an event has settled on average since the workers began, in units of the currency.',
            unit: 'short',
            queries: [
              [
                `sum by (currency) (settlefleet_settled_value_total) * scalar(sum(settlefleet_consumer_lag${inbound}) / sum(settlefleet_events_consumed_total))`,
                '{{currency}}',
              ],
            ],
          },
        ],
      },
      {
        name: 'What is on its way',
        panels: [
          {
            kind: 'lines',
            title: 'How many records are in flight?',
            about: 'Taken from Kafka and not committed.',
            unit: 'short',
            queries: [['sum by (partition) (settlefleet_in_flight_events)', 'partition {{partition}}']],
          },
          {
            kind: 'lines',
            title: 'Do credits and transfers wait between partitions?',
            about: 'Records of the routed topic that are not committed; each holds what one commit of one lane has for another. Each commit also leaves a marker.',
            unit: 'short',
            queries: [[`max by (partition) (settlefleet_consumer_lag${routed})`, 'partition {{partition}}']],
          },
          {
            kind: 'lines',
            title: 'Is every event accounted for?',
            about: 'By partition; anything but 0 needs a person, and stays until the process ends.',
            unit: 'none',
            queries: [['sum by (partition) (settlefleet_unaccounted_events)', 'partition {{partition}}']],
          },
        ],
      },
      {
        name: 'The lanes',
        panels: [
          {
            kind: 'lines',
            title: 'How many events come in, by partition?',
            about: 'Events that are read again count again.',
            unit: 'ops',
            queries: [[perSecond('settlefleet_events_consumed_total', 'partition'), 'partition {{partition}}']],
          },
          lanes,
          {
            kind: 'stacked',
            title: 'How much waits in memory?',
            about: 'Read and not settled (lanes), settled and not being committed (epoch), of all workers. Reading pauses at 64 MiB and 32 MiB a worker.',
            unit: 'bytes',
            queries: [['sum by (place) (settlefleet_pending_bytes)', '{{place}}']],
          },
          {
            kind: 'lines',
            title: 'Are the accounts compared with Kafka?',
            about: 'Rounds of comparison; "failed" while Kafka does not answer.',
            unit: 'ops',
            queries: [[perSecond('settlefleet_audits_total', 'outcome'), '{{outcome}}']],
          },
        ],
      },
    ],
  },
  {
    uid: 'settlefleet-latency',
    title: 'settlefleet: where the time goes',
    about: 'The time from creation to commit in stages that add up to the whole.',
    rows: [
      {
        name: 'On average',
        panels: [
          {
            kind: 'stacked',
            title: 'Where does the time go?',
            about:
              'Mean time of a committed result in each stage, one after another: in Kafka (or, where another lane took it in, until it was handed over), taken over, decoded, waiting for its turn, routed, claimed, settled, waiting for the next Kafka transaction, committed.',
            unit: 's',
            width: 14,
            queries: [[`${perSecond('settlefleet_stage_seconds_sum', 'stage')} / scalar(${perSecond(`${endToEnd}_count`, '')})`, '{{stage}}']],
          },
          {
            kind: 'lines',
            title: 'Do the stages add up to the whole?',
            about: 'Mean end-to-end time, and the sum of the mean stages. They differ by rounding; by more, where a clock was set.',
            unit: 's',
            width: 10,
            queries: [
              [mean(`${endToEnd}_sum`, `${endToEnd}_count`), 'end to end'],
              [mean('settlefleet_stage_seconds_sum', `${endToEnd}_count`), 'sum of the stages'],
            ],
          },
        ],
      },
      {
        name: 'At worst',
        panels: [
          latency,
          {
            kind: 'lines',
            title: 'Which stage is slow at worst?',
            about: '95 of 100 results spend at most so long in a stage. These do not add up.',
            unit: 's',
            queries: [[quantile(0.95, 'settlefleet_stage_seconds', 'stage'), '{{stage}}']],
          },
          {
            kind: 'lines',
            title: 'How many payments keep to the target?',
            about: 'Share of results that were committed within a second, and within five.',
            unit: 'percentunit',
            queries: [
              [`sum(rate(${endToEnd}_bucket{le="1"}[$__rate_interval])) / ${perSecond(`${endToEnd}_count`, '')}`, 'within 1 s'],
              [`sum(rate(${endToEnd}_bucket{le="5"}[$__rate_interval])) / ${perSecond(`${endToEnd}_count`, '')}`, 'within 5 s'],
            ],
          },
        ],
      },
    ],
  },
  {
    uid: 'settlefleet-settlement',
    title: 'settlefleet: what settles',
    about: 'Outcomes, money, and who is near the debit cap.',
    rows: [
      {
        name: 'Outcomes',
        panels: [
          outcomes,
          {
            kind: 'lines',
            title: 'Why are payments rejected?',
            about: 'Committed rejections by ISO 20022 reason code, of those that occurred.',
            unit: 'ops',
            queries: [['sum by (reason_code) (rate(settlefleet_results_total{status="RJCT"}[$__rate_interval])) > 0', '{{reason_code}}']],
          },
          {
            kind: 'lines',
            title: 'Which events could not be understood, and why?',
            about: 'Committed dead letters by code, of those that occurred.',
            unit: 'ops',
            queries: [[`${perSecond('settlefleet_dead_letters_total', 'code')} > 0`, '{{code}}']],
          },
        ],
      },
      {
        name: 'Money',
        panels: [
          {
            kind: 'lines',
            title: 'How much money settles each second?',
            about: 'By currency, in its units. A float, for a chart; the books are in Kafka and ClickHouse.',
            unit: 'short',
            queries: [[perSecond('settlefleet_settled_value_total', 'currency'), '{{currency}}']],
          },
          {
            kind: 'lines',
            title: 'Who is near the debit cap?',
            about: 'Share of the cap that is used, of the ten positions of each worker that have used most. At 100 % payments are rejected with AM04.',
            unit: 'percentunit',
            queries: [['topk(10, max by (participant, currency) (settlefleet_debit_cap_used_ratio))', '{{participant}} {{currency}}']],
          },
          {
            kind: 'lines',
            title: 'How far below 0 do these stand?',
            about: 'The same positions in units of their currency, turned positive.',
            unit: 'short',
            queries: [['topk(10, max by (participant, currency) (-settlefleet_position))', '{{participant}} {{currency}}']],
          },
        ],
      },
      {
        name: 'Quality of what comes in',
        panels: [
          {
            kind: 'lines',
            title: 'Are payments sent twice?',
            about: 'Identities claimed, met as a duplicate (AM05), or met again by their own event (a redelivery, which settles once).',
            unit: 'ops',
            queries: [[perSecond('settlefleet_dedupe_total', 'outcome'), '{{outcome}}']],
          },
          {
            kind: 'lines',
            title: 'What share is rejected or not understood?',
            about: 'Of all outcomes.',
            unit: 'percentunit',
            queries: [
              [
                `sum(rate(settlefleet_results_total{status="RJCT"}[$__rate_interval])) / (${perSecond('settlefleet_results_total', '')} + ${perSecond('settlefleet_dead_letters_total', '')})`,
                'rejected',
              ],
              [
                `${perSecond('settlefleet_dead_letters_total', '')} / (${perSecond('settlefleet_results_total', '')} + ${perSecond('settlefleet_dead_letters_total', '')})`,
                'dead letters',
              ],
            ],
          },
        ],
      },
    ],
  },
  {
    uid: 'settlefleet-dependencies',
    title: 'settlefleet: what it depends on',
    about: 'Kafka, Redis, the schema registry, ClickHouse: are they there, how quick are they, what did they forget?',
    rows: [
      {
        name: 'There or away',
        panels: [
          {
            kind: 'states',
            title: 'When was a dependency away?',
            about: 'As the processes found when they last needed it.',
            unit: 'none',
            good: { from: 1 },
            words: { 0: 'down', 1: 'up' },
            queries: [['min by (dependency) (settlefleet_dependency_up)', '{{dependency}}']],
          },
          {
            kind: 'states',
            title: 'When was a process not ready?',
            about: 'As /readyz says.',
            unit: 'none',
            good: { from: 1 },
            words: { 0: 'not ready', 1: 'ready' },
            queries: [['settlefleet_ready', '{{instance}}']],
          },
        ],
      },
      {
        name: 'Kafka',
        panels: [
          commitTime,
          {
            kind: 'lines',
            title: 'Does the fleet commit?',
            about: 'Kafka transactions committed each second. None while records wait: it stands still.',
            unit: 'ops',
            queries: [[perSecond('settlefleet_commit_seconds_count', 'instance'), '{{instance}}']],
          },
          {
            kind: 'lines',
            title: 'Was a Kafka transaction aborted?',
            about: 'Within the last minutes. Nothing of it is visible; what it held is committed later.',
            unit: 'none',
            queries: [['sum by (instance) (increase(settlefleet_transactions_aborted_total[5m]))', '{{instance}}']],
          },
        ],
      },
      {
        name: 'Redis and the registry',
        panels: [
          {
            kind: 'lines',
            title: 'How long does Redis take?',
            about: 'Claiming a batch, one round trip, and the wait while Redis is away or its window is rebuilt.',
            unit: 's',
            queries: [
              ['histogram_quantile(0.5, sum by (le) (rate(settlefleet_stage_seconds_bucket{stage="dedupe"}[$__rate_interval])))', 'p50'],
              ['histogram_quantile(0.99, sum by (le) (rate(settlefleet_stage_seconds_bucket{stage="dedupe"}[$__rate_interval])))', 'p99'],
            ],
          },
          {
            kind: 'lines',
            title: 'Did Redis forget?',
            about: 'Windows of claims that were filled from the results topic within the last minutes; one a partition where a fleet begins.',
            unit: 'none',
            queries: [['sum by (instance) (increase(settlefleet_windows_rebuilt_total[5m]))', '{{instance}}']],
          },
          {
            kind: 'lines',
            title: 'Does decoding wait for the registry?',
            about: 'Time until a batch is decoded: milliseconds, unless a schema is not known and the registry does not answer, or threads have too much to do.',
            unit: 's',
            queries: [
              ['histogram_quantile(0.5, sum by (le) (rate(settlefleet_stage_seconds_bucket{stage="decode"}[$__rate_interval])))', 'p50'],
              ['histogram_quantile(0.99, sum by (le) (rate(settlefleet_stage_seconds_bucket{stage="decode"}[$__rate_interval])))', 'p99'],
            ],
          },
        ],
      },
      {
        name: 'ClickHouse',
        panels: [
          {
            kind: 'lines',
            title: 'Do the results arrive in ClickHouse?',
            about: 'Rows that ClickHouse has taken each second.',
            unit: 'ops',
            queries: [[perSecond('settlefleet_sink_rows_total', 'table'), '{{table}}']],
          },
          {
            kind: 'lines',
            title: 'How far is ClickHouse behind Kafka?',
            about: 'Records of the results and dead-letter topics that are not in ClickHouse. Settlement does not depend on it.',
            unit: 'short',
            queries: [['max by (partition) (settlefleet_sink_lag)', 'partition {{partition}}']],
          },
          {
            kind: 'lines',
            title: 'How far are the views behind their rows?',
            about: 'Offsets of results that are in ClickHouse and not yet in what is counted as rows come in (docs/analytics.md); some two seconds is usual.',
            unit: 'short',
            queries: [['max by (partition) (settlefleet_sink_views_lag)', 'partition {{partition}}']],
          },
        ],
      },
    ],
  },
  {
    uid: 'settlefleet-process',
    title: 'settlefleet: the processes',
    about: 'Event loop, threads, memory: is a process at its limit?',
    rows: [
      {
        name: 'The main thread',
        panels: [
          {
            kind: 'lines',
            title: 'Is the main thread at its limit?',
            about: 'Share of the time in which it was at work. It holds Kafka, Redis and settlement: at 100 % more workers help, not more threads.',
            unit: 'percentunit',
            queries: [['rate(settlefleet_event_loop_busy_seconds_total[$__rate_interval])', '{{instance}}']],
          },
          {
            kind: 'lines',
            title: 'Is a main thread blocked?',
            about: 'How late a timer was at worst (99 of 100), since the scrape before.',
            unit: 's',
            queries: [['nodejs_eventloop_lag_p99_seconds', '{{instance}}']],
          },
          {
            kind: 'lines',
            title: 'Are the decoder threads at their limit?',
            about: 'Share of the time in which they had something to do. At 100 % more PARSER_THREADS help, where there are cores.',
            unit: 'percentunit',
            queries: [['rate(settlefleet_decoder_busy_seconds_total[$__rate_interval]) / clamp_min(settlefleet_decoder_threads, 1)', '{{instance}}']],
          },
        ],
      },
      {
        name: 'The process',
        panels: [
          {
            kind: 'lines',
            title: 'Does a process grow without end?',
            about: 'Memory that it holds, and the part of it that is JavaScript.',
            unit: 'bytes',
            queries: [
              ['process_resident_memory_bytes and on (job, instance) nodejs_version_info', '{{instance}} resident'],
              ['nodejs_heap_size_used_bytes', '{{instance}} heap'],
            ],
          },
          {
            kind: 'lines',
            title: 'How much processor time does each process take?',
            about: 'Cores, threads and libraries included.',
            unit: 'none',
            queries: [['rate(process_cpu_seconds_total[$__rate_interval]) and on (job, instance) nodejs_version_info', '{{instance}}']],
          },
          {
            kind: 'lines',
            title: 'How long has each process run?',
            about: 'A line that falls to 0 is a process that was started again.',
            unit: 's',
            queries: [['time() - process_start_time_seconds and on (job, instance) nodejs_version_info', '{{instance}}']],
          },
          {
            kind: 'lines',
            title: 'How much time goes into collecting garbage?',
            about: 'Share of the main thread, by kind.',
            unit: 'percentunit',
            queries: [[perSecond('nodejs_gc_duration_seconds_sum', 'kind'), '{{kind}}']],
          },
        ],
      },
    ],
  },
];
