/**
 * Draws the page, once a second, out of /status. It remembers five minutes by itself, so that the process remembers nothing;
 * a page that nobody sees does not ask. What is old says so: after three seconds without an answer nothing looks like now.
 */
import {
  beginningOf, byLabel, countsBetween, historyMs, laneRows, outcomeGroups, quantileOf, rateOf, rateWindowMs, remember, total, windowMs, words,
  writeBytes, writeCount, writeDuration, writeRate, writeSeconds, writeShare, writeSpan,
} from './figures.js';

const askEveryMs = 1000;
const answerWithinMs = 3000;
/** An answer that is older is not now. */
const staleAfterMs = 3000;

const history = [];
/** By the browser's own clock, which need not agree with the process's. */
let answeredAt = null;
let failing = false;

const $ = (id) => document.getElementById(id);

async function ask() {
  if (!document.hidden) {
    try {
      const response = await fetch('status', { cache: 'no-store', signal: AbortSignal.timeout(answerWithinMs) });
      if (!response.ok) throw new Error(`status ${response.status}`);
      remember(history, await response.json());
      answeredAt = Date.now();
      failing = false;
      draw();
    } catch {
      // Whatever the reason, what is on the page is no longer known to be so; it says since when.
      failing = true;
    }
    drawFreshness();
  }
  setTimeout(ask, askEveryMs);
}

function draw() {
  const status = history.at(-1);
  $('process').textContent = status.process;
  $('identity').replaceChildren(element('code', {}, status.name), ` in group `, element('code', {}, status.group));
  drawFigures(status);
  drawOutcomes(status);
  drawLanes(status);
  drawDependencies(status);
  drawStages(status);
  drawVitals(status);
}

// ── How it stands ────────────────────────────────────────────────────────────────────────────────────────────────────────

function drawFreshness() {
  const status = history.at(-1);
  const ageMs = answeredAt === null ? Infinity : Date.now() - answeredAt;
  const isStale = failing && (status === undefined || ageMs > staleAfterMs);
  const health = isStale ? 'silent' : status === undefined ? 'waiting' : healthOf(status);
  document.body.dataset.health = health;
  const [word, sentence] = standing(health, status, ageMs);
  setText($('word'), word);
  setText($('sentence'), sentence);
  const reasons = status === undefined || isStale ? [] : status.reasonsNotReady;
  $('reasons').hidden = reasons.length === 0;
  fillWhenChanged($('reasons'), reasons);
  setText($('freshness'), answeredAt === null ? 'Not answered yet' : `Answered ${clock(answeredAt)}${ageMs < 2 * askEveryMs ? ', asked every second' : `, ${writeDuration(ageMs)} ago`}`);
  document.title = `${marks[health]} ${titleFigure(health, status)} · ${status?.name ?? 'settlefleet'}`;
  drawIcon(health);
}

const marks = { ready: '●', unready: '▲', held: '‖', silent: '✕', waiting: '…' };

function healthOf(status) {
  if (status.state !== 'running') return 'held';
  return status.reasonsNotReady.length === 0 ? 'ready' : 'unready';
}

function standing(health, status, ageMs) {
  switch (health) {
    case 'silent':
      return ['No answer', status === undefined
        ? 'The process does not answer.'
        : `This process has not answered for ${writeDuration(ageMs)}. Everything below is as it was at ${clock(answeredAt)}.`];
    case 'held':
      return [`${status.state[0].toUpperCase()}${status.state.slice(1)}`, heldSentences[status.state] ?? ''];
    case 'unready':
      return ['Not ready', `${status.reasonsNotReady.length === 1 ? 'One reason' : `${status.reasonsNotReady.length} reasons`}, for ${writeDuration(sinceNotReady())} or longer:`];
    case 'ready':
      return ['Ready', readySentence(status)];
    default:
      return ['Asking', 'Waiting for the first answer.'];
  }
}

const heldSentences = {
  pausing: 'An operator paused it: what was begun is being committed.',
  paused: 'An operator paused it: it keeps its partitions and reads nothing.',
  draining: 'An operator drains it: what was begun is being committed.',
  drained: 'An operator drained it: it has left the group, and is alive.',
};

function sinceNotReady() {
  let first = history.length - 1;
  while (first > 0 && history[first - 1].reasonsNotReady.length > 0) first -= 1;
  return history.at(-1).now - history[first].now;
}

function readySentence(status) {
  const lanes = status.lanes.length;
  const holding = status.process === 'sink' ? 'Everything it needs answers.' : lanes === 0 ? 'The group has no partition for it: it stands by.' : `${lanes} ${lanes === 1 ? 'lane' : 'lanes'}, and everything it needs answers.`;
  return `Up for ${writeDuration(status.now - status.startedAt)}. ${holding}`;
}

function titleFigure(health, status) {
  if (health === 'silent') return 'no answer';
  if (health === 'ready') return `${writeRate(rateOf(history, handled(status)))}/s`;
  return health === 'held' ? status.state : health === 'unready' ? 'not ready' : 'asking';
}

function clock(at) {
  return new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
}

let iconOf = '';
function drawIcon(health) {
  if (iconOf === health) return;
  iconOf = health;
  const colour = { ready: '#2e7d5b', held: '#7a6a3a', unready: '#b3541e', silent: '#b3261e', waiting: '#77797d' }[health];
  const shape = { ready: '<circle cx="8" cy="8" r="6"/>', held: '<path d="M3 2h4v12H3zM9 2h4v12H9z"/>', unready: '<path d="M8 1l7 13H1z"/>', silent: '<path d="M3 1l5 5 5-5 2 2-5 5 5 5-2 2-5-5-5 5-2-2 5-5-5-5z"/>', waiting: '<circle cx="8" cy="8" r="3"/>' }[health];
  document.querySelector('link[rel=icon]').href = `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" fill="${colour}">${shape}</svg>`)}`;
}

// ── Key figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What counts as throughput: answers of a worker, rows of a sink. */
function handled(status) {
  return status.process === 'sink'
    ? (one) => total(one, 'settlefleet_sink_rows_total')
    : (one) => total(one, 'settlefleet_results_total') + total(one, 'settlefleet_dead_letters_total');
}

function lagMetric(status) {
  return status.process === 'sink' ? 'settlefleet_sink_lag' : 'settlefleet_consumer_lag';
}

function drawFigures(status) {
  const rate = handled(status);
  const isSink = status.process === 'sink';
  const ages = status.values.settlefleet_lag_seconds ?? [];
  const oldest = ages.length === 0 ? undefined : Math.max(...ages.map(({ value }) => value));
  const figures = [
    {
      name: 'Throughput',
      value: [writeRate(rateOf(history, rate)), isSink ? 'rows/s' : 'answers/s'],
      note: (values) => `over 10 s; at most ${writeRate(peakOf(values))} in ${span()}`,
      curve: (end) => rateOf(history, rate, 10_000, end),
    },
    {
      name: 'Lag',
      value: [writeCount(total(status, lagMetric(status))), 'records'],
      note: (values) => `${oldest === undefined ? '' : `oldest waits ${writeSeconds({ seconds: oldest, above: false }).join(' ')}; `}at most ${writeCount(peakOf(values))} in ${span()}`,
      curve: (end) => total(history[end], lagMetric(status)),
    },
  ];
  if (!isSink) {
    const endToEnd = (end, share, lengthMs = windowMs) => quantileOf(countsBetween(beginningOf(history, lengthMs, end), history[end], 'settlefleet_end_to_end_seconds'), share);
    const last = history.length - 1;
    const [p50, p99] = [endToEnd(last, 0.5), endToEnd(last, 0.99)];
    figures.splice(1, 0, {
      name: 'Latency',
      value: writeSeconds(p99),
      note: () => p99 === null ? 'no answer in the last minute' : `99% within, half within ${writeSeconds(p50).join(' ')}; created to committed, over 1 min`,
      curve: (end) => endToEnd(end, 0.99, 10_000)?.seconds ?? null,
    });
    const commits = (one) => (one.histograms.settlefleet_commit_seconds?.[0]?.counts ?? []).reduce((sum, count) => sum + count, 0);
    const commit99 = quantileOf(countsBetween(beginningOf(history, windowMs), status, 'settlefleet_commit_seconds'), 0.99);
    const aborted = total(status, 'settlefleet_transactions_aborted_total');
    figures.push({
      name: 'Commits',
      value: [writeRate(rateOf(history, commits)), 'per s'],
      note: () => `99% take ${writeSeconds(commit99).join(' ')}; ${aborted === 0 ? 'none aborted' : `${writeCount(aborted)} aborted since start`}`,
      curve: (end) => rateOf(history, commits, 5000, end),
    });
  }
  $('figures').hidden = false;
  fill($('figures'), figures.map(({ name, value: [value, unit], note, curve }) => {
    const values = history.map((_, end) => curve(end));
    return element('div', { class: 'figure' },
      element('h2', {}, name),
      element('p', { class: 'value' }, value, ' ', element('span', { class: 'unit' }, unit)),
      sparkline(values),
      element('p', { class: 'note' }, note(values)));
  }));
}

function peakOf(values) {
  return values.reduce((most, value) => (value !== null && value > most ? value : most), 0);
}

/** How much of a window there is. */
function span(lengthMs = historyMs) {
  return writeSpan(Math.min(lengthMs, history.at(-1).now - history[0].now));
}

/** Five minutes, now at the right; a gap where there is no value. Told in words beside it, so it is left out for readers. */
function sparkline(values) {
  const [width, height] = [300, 44];
  const top = peakOf(values) || 1;
  const end = history.at(-1).now;
  const place = (value, index) => [
    (width - ((end - history[index].now) / historyMs) * width).toFixed(1),
    (height - 1 - (value / top) * (height - 4)).toFixed(1),
  ];
  let line = '';
  let area = '';
  let open = null;
  const shut = () => {
    if (open !== null) area += `L${open.last} ${height}L${open.first} ${height}Z`;
    open = null;
  };
  for (const [index, value] of values.entries()) {
    if (value === null) {
      shut();
      continue;
    }
    const [x, y] = place(value, index);
    line += `${open === null ? 'M' : 'L'}${x} ${y}`;
    area += `${open === null ? 'M' : 'L'}${x} ${y}`;
    open = { first: open?.first ?? x, last: x };
  }
  shut();
  const svg = svgElement('svg', { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true', class: 'sparkline' });
  svg.append(
    svgElement('path', { d: `M0 ${height - 0.5}H${width}`, class: 'base' }),
    svgElement('path', { d: area || 'M0 0', class: 'area' }),
    svgElement('path', { d: line || 'M0 0', class: 'line' }),
  );
  return svg;
}

// ── Tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

function drawOutcomes(status) {
  const isSink = status.process === 'sink';
  const groups = isSink ? sinkGroups(status) : outcomeGroups(history);
  setText($('outcomes-title'), isSink ? 'Rows' : 'Outcomes');
  setText($('outcomes-head'), isSink ? 'Table' : 'Answer');
  const all = groups.reduce((sum, group) => sum + group.total, 0) || 1;
  setText($('outcomes-window'), `Last ${span(windowMs)}`);
  $('outcomes-section').hidden = false;
  for (const old of document.querySelectorAll('#outcomes tbody')) old.remove();
  $('outcomes').append(...groups.map(({ kind, total: sum, lately, rows }) => {
    const name = element('th', { scope: 'rowgroup' }, kind, lately === null ? '' : element('span', { class: 'part' }, ` ${writeShare(sum / all)}`));
    name.style.setProperty('--share', String(sum / all));
    return element('tbody', { 'data-kind': kind },
      element('tr', { class: 'group' }, name, number(lately), number(sum)),
      ...rows.map((row) => element('tr', {},
        element('th', { scope: 'row' }, element('span', { class: 'code' }, row.code), element('span', { class: 'meaning' }, ` ${words[row.code] ?? ''}`)),
        number(row.lately), number(row.total))));
  }));
}

function sinkGroups(status) {
  const before = byLabel(beginningOf(history, windowMs), 'settlefleet_sink_rows_total', 'table');
  return Array.from(byLabel(status, 'settlefleet_sink_rows_total', 'table'), ([table, rows]) => ({
    kind: table.replace('_', ' '), total: rows, lately: rows - (before.get(table) ?? 0), rows: [],
  }));
}

function drawLanes(status) {
  const rows = laneRows(history, lagMetric(status));
  const topics = [...new Set(rows.flatMap((row) => [...row.lag.keys()]))].sort();
  const isSink = status.process === 'sink';
  $('lanes-section').hidden = false;
  setText($('lanes-title'), isSink ? 'Partitions' : 'Lanes');
  fill($('lanes-head'), [element('tr', {},
    element('th', { scope: 'col' }, 'Partition'),
    isSink ? '' : element('th', { scope: 'col' }, 'State'),
    ...topics.map((topic) => element('th', { scope: 'col', class: 'number' }, topic === 'waiting' ? 'Not stored yet' : `Lag ${topic}`)),
    isSink ? '' : element('th', { scope: 'col', class: 'number' }, 'Events/s'))]);
  fill($('lanes'), rows.map((row) => element('tr', { 'data-state': row.state },
    element('th', { scope: 'row' }, String(row.partition)),
    isSink ? '' : element('td', {}, row.state === '' ? '–' : row.state),
    ...topics.map((topic) => number(row.lag.get(topic) ?? null)),
    isSink ? '' : number(row.rate, writeRate))));
  setText($('lanes-note'), rows.length === 0 ? 'It has no partition at this moment.' : '');
}

function drawDependencies(status) {
  const parts = byLabel(status, 'settlefleet_dependency_up', 'dependency');
  $('dependencies-section').hidden = parts.size === 0;
  fill($('dependencies'), Array.from(parts, ([name, up]) => {
    const reason = status.reasonsNotReady.find((one) => one.startsWith(`${name}: `))?.slice(name.length + 2);
    return element('tr', { 'data-up': String(up === 1) },
      element('th', { scope: 'row' }, name),
      element('td', {}, element('span', { class: 'mark', 'aria-hidden': 'true' }), ' ', up === 1 ? 'answered' : (reason ?? 'did not answer')));
  }));
}

function drawStages(status) {
  const stages = status.histograms.settlefleet_stage_seconds ?? [];
  $('stages-section').hidden = stages.length === 0;
  setText($('stages-window'), `One batch, last ${span(windowMs)}`);
  const begin = beginningOf(history, windowMs);
  fill($('stages'), stages.map(({ labels }) => {
    const counts = countsBetween(begin, status, 'settlefleet_stage_seconds', labels);
    return element('tr', {}, element('th', { scope: 'row' }, String(labels.stage)),
      number(quantileOf(counts, 0.5), (quantile) => writeSeconds(quantile).join(' ')), number(quantileOf(counts, 0.99), (quantile) => writeSeconds(quantile).join(' ')));
  }));
}

function drawVitals(status) {
  const cpu = rateOf(history, (one) => one.vitals.cpuSeconds);
  const begin = beginningOf(history, rateWindowMs).vitals;
  const [busyMs, allMs] = [status.vitals.loopActiveMs - begin.loopActiveMs, status.vitals.loopActiveMs + status.vitals.loopIdleMs - begin.loopActiveMs - begin.loopIdleMs];
  const rows = [
    ['Version', status.version],
    ['Up for', writeDuration(status.now - status.startedAt)],
    ['Processor', cpu === null ? '–' : `${writeCount(cpu * 100)}% of a core`],
    ['Main thread busy', allMs <= 0 ? '–' : `${writeCount((busyMs / allMs) * 100)}%`],
    ['Memory', `${writeBytes(status.vitals.residentBytes)}, of it heap ${writeBytes(status.vitals.heapBytes)}`],
    ['Log level', status.logLevel],
  ];
  $('vitals-section').hidden = false;
  fill($('vitals'), rows.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))));
}

// ── Elements ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Text is always text: nothing that the process says is read as markup. */
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== ''));
  return made;
}

function svgElement(name, attributes) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** A cell at the right; nothing, or 0, steps back. */
function number(value, write = writeCount) {
  return element('td', { class: value === null || value === 0 ? 'number nil' : 'number' }, value === null ? '–' : write(value));
}

function setText(node, text) {
  // A live region speaks when it is written to, also with the same words.
  if (node.textContent !== text) node.textContent = text;
}

/** For a live region: it speaks when something is new. */
function fillWhenChanged(list, texts) {
  if (Array.from(list.children, (item) => item.textContent).join('\n') !== texts.join('\n')) fill(list, texts.map((text) => element('li', {}, text)));
}

function fill(node, children) {
  node.replaceChildren(...children);
}

document.addEventListener('visibilitychange', () => {
  // What happened while nobody looked is a gap, not a straight line.
  if (!document.hidden && answeredAt !== null && Date.now() - answeredAt > windowMs) history.length = 0;
});
void ask();
