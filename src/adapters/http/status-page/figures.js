/**
 * What the page computes out of what the process counts: rates over a window, quantiles out of buckets, and how both are
 * written. Pure, so that it runs in a test as it runs in the browser.
 */

/** Rates are over this; long enough to be calm, short enough to be now. */
export const rateWindowMs = 10_000;
/** Quantiles and outcomes are over this. */
export const windowMs = 60_000;
/** The curves show this. */
export const historyMs = 300_000;

/** A value of the snapshot, all its series added up, or those with these labels. */
export function total(status, name, labels = {}) {
  let sum = 0;
  for (const series of status.values[name] ?? []) {
    if (Object.entries(labels).every(([label, value]) => String(series.labels[label]) === value)) sum += series.value;
  }
  return sum;
}

/** Values by one label. */
export function byLabel(status, name, label) {
  const found = new Map();
  for (const series of status.values[name] ?? []) {
    const key = String(series.labels[label] ?? '');
    found.set(key, (found.get(key) ?? 0) + series.value);
  }
  return found;
}

/** The samples of the last five minutes, oldest first. A process that was started anew begins anew. */
export function remember(history, status) {
  const last = history.at(-1);
  if (last !== undefined && (last.startedAt !== status.startedAt || last.name !== status.name)) history.length = 0;
  history.push(status);
  while (history.length > 0 && history[0].now < status.now - historyMs) history.shift();
}

/** The sample that a window of this length begins with: the youngest that is old enough, or the oldest there is. */
export function beginningOf(history, lengthMs, end = history.length - 1) {
  let begin = end;
  while (begin > 0 && history[end].now - history[begin].now < lengthMs) begin -= 1;
  return history[begin];
}

/** How much a sum of counters grew a second; null while one sample is all there is. */
export function rateOf(history, read, lengthMs = rateWindowMs, end = history.length - 1) {
  const begin = beginningOf(history, lengthMs, end);
  const seconds = (history[end].now - begin.now) / 1000;
  return seconds <= 0 ? null : Math.max(0, read(history[end]) - read(begin)) / seconds;
}

/** Bucket counts of a histogram's series: what was added between two samples. */
export function countsBetween(begin, end, name, labels = {}) {
  const pick = (status) => (status?.histograms[name] ?? []).find((series) => Object.entries(labels).every(([label, value]) => series.labels[label] === value));
  const after = pick(end);
  if (after === undefined) return null;
  const before = begin === end ? undefined : pick(begin);
  return { bounds: after.bounds, counts: after.counts.map((count, bucket) => Math.max(0, count - (before?.counts[bucket] ?? 0))) };
}

/** As Prometheus computes it: linear within a bucket. Null where nothing was counted. `above`: it lies beyond the last bound. */
export function quantileOf(buckets, share) {
  const all = buckets === null ? 0 : buckets.counts.reduce((sum, count) => sum + count, 0);
  if (all === 0) return null;
  const rank = share * all;
  let below = 0;
  for (const [bucket, count] of buckets.counts.entries()) {
    if (below + count >= rank && count > 0) {
      const upper = buckets.bounds[bucket];
      if (upper === undefined) return { seconds: buckets.bounds.at(-1), above: true };
      const lower = bucket === 0 ? 0 : buckets.bounds[bucket - 1];
      return { seconds: lower + (upper - lower) * ((rank - below) / count), above: false };
    }
    below += count;
  }
  return null;
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const oneDecimal = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

export function writeCount(value) {
  return whole.format(value);
}

/** Small rates keep a decimal. */
export function writeRate(value) {
  return value === null ? '–' : value > 0 && value < 10 ? oneDecimal.format(value) : whole.format(value);
}

/** Never 0% of something, nor all of it but something. */
export function writeShare(share) {
  if (share > 0 && share < 0.001) return '< 0.1%';
  if (share < 1 && share > 0.999) return '> 99.9%';
  return `${oneDecimal.format(share * 100)}%`;
}

/** A number and its unit, apart, so that they can be set apart. */
export function writeSeconds(quantile) {
  if (quantile === null) return ['–', ''];
  const { seconds, above } = quantile;
  const than = above ? '> ' : '';
  if (seconds < 0.0095) return [than + oneDecimal.format(seconds * 1000), 'ms'];
  if (seconds < 0.9995) return [than + whole.format(seconds * 1000), 'ms'];
  if (seconds < 60) return [than + oneDecimal.format(seconds), 's'];
  return [than + oneDecimal.format(seconds / 60), 'min'];
}

/** How long something has been so, in its largest two units. */
export function writeDuration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  if (first === -1) return '0 s';
  return parts.slice(first, first + 2).filter(([value]) => value > 0).map(([value, unit]) => `${value} ${unit}`).join(' ');
}

/** About how long, in one unit. */
export function writeSpan(ms) {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

export function writeBytes(bytes) {
  return bytes < 1 << 30 ? `${whole.format(bytes / (1 << 20))} MiB` : `${oneDecimal.format(bytes / (1 << 30))} GiB`;
}

/** What the codes mean, in a few words (contract section 3). */
export const words = {
  FF01: 'breaks the XSD',
  AM19: 'number of transactions',
  AM20: 'number in a block',
  AM10: 'control sum',
  AM17: 'sum of a block',
  AM11: 'currency not active',
  AM12: 'decimals of the currency',
  AM01: 'zero amount',
  AM02: 'amount too large',
  AC02: 'debtor’s IBAN',
  AC03: 'creditor’s IBAN',
  DNOR: 'debited bank unknown',
  CNOR: 'credited bank unknown',
  AM03: 'currency not held',
  AM05: 'duplicate',
  AM04: 'above the debit cap',
  OVERSIZE: 'larger than the limit',
  NOT_FRAMED: 'not the wire format',
  UNKNOWN_SCHEMA: 'schema id unknown',
  SCHEMA_INCOMPATIBLE: 'schema does not fit',
  AVRO_INVALID: 'not that Avro',
  XML_FORBIDDEN: 'forbidden markup',
  XML_INVALID: 'not well-formed',
  TYPE_MISMATCH: 'another type than said',
  TYPE_UNSUPPORTED: 'type not settled here',
};

/**
 * Settled, rejected, dead letters; below the last two their codes, without what never happened, in the order of the checks:
 * a row keeps its place, however the counts race.
 */
export function outcomeGroups(history) {
  const now = history.at(-1);
  const before = beginningOf(history, windowMs);
  const counted = (name, labels) => {
    const sum = total(now, name, labels);
    return { total: sum, lately: Math.max(0, sum - total(before, name, labels)) };
  };
  const coded = (name, label, labels) => [...byLabel(now, name, label).keys()]
    .filter((code) => code !== '')
    .map((code) => ({ code, ...counted(name, { ...labels, [label]: code }) }))
    .filter((row) => row.total > 0);
  const unaccounted = now.values.settlefleet_unaccounted_events === undefined ? [] : [{ kind: 'Unaccounted for', total: total(now, 'settlefleet_unaccounted_events'), lately: null, rows: [] }];
  return [
    { kind: 'Settled', ...counted('settlefleet_results_total', { status: 'ACSC' }), rows: [] },
    { kind: 'Rejected', ...counted('settlefleet_results_total', { status: 'RJCT' }), rows: coded('settlefleet_results_total', 'reason_code', { status: 'RJCT' }) },
    { kind: 'Dead letters', ...counted('settlefleet_dead_letters_total', {}), rows: coded('settlefleet_dead_letters_total', 'code', {}) },
    // Taken from Kafka, and neither answered nor in flight: 0, or something is wrong.
    ...unaccounted,
  ];
}

/** One row a partition: its lane's state, and what waits in each topic of it. */
export function laneRows(history, metric) {
  const now = history.at(-1);
  const begin = beginningOf(history, rateWindowMs);
  const seconds = (now.now - begin.now) / 1000;
  const rows = new Map(now.lanes.map(({ partition, state }) => [partition, { partition, state, lag: new Map() }]));
  for (const { labels, value } of now.values[metric] ?? []) {
    const partition = Number(labels.partition);
    if (!rows.has(partition)) rows.set(partition, { partition, state: '', lag: new Map() });
    rows.get(partition).lag.set(topicWord(labels.topic), value);
  }
  const consumed = (status) => byLabel(status, 'settlefleet_events_consumed_total', 'partition');
  const [after, before] = [consumed(now), consumed(begin)];
  return [...rows.values()]
    .sort((a, b) => a.partition - b.partition)
    .map((row) => {
      const key = String(row.partition);
      const grown = (after.get(key) ?? 0) - (before.get(key) ?? 0);
      return { ...row, rate: seconds <= 0 ? null : Math.max(0, grown) / seconds };
    });
}

/** The last word of a topic's name: the prefix is the same for all. */
function topicWord(topic) {
  return topic === undefined ? 'waiting' : (/[a-z]+(?:-[a-z]+)*$/.exec(topic)?.[0] ?? topic);
}
