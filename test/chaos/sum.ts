/** `node test/chaos/sum.ts REPORT.json...`: what several chaos runs come to together, in Markdown. */
import { readFileSync } from 'node:fs';
import { passed } from './report.ts';
import type { ChaosReport } from './report.ts';

/** What counts as what. */
const groups: Readonly<Record<string, RegExp>> = {
  'kills of workers at random': /^worker killed at random/,
  'kills of sinks at random': /^sink killed at random/,
  'kills at crash points': /^crash point/,
  'workers frozen beyond their session': /^worker frozen/,
  'sinks frozen beyond their session': /^sink frozen/,
  'SIGTERM during a rebalance, rebalance storms': /^(SIGTERM|rebalance storm)/,
  'broker bounces (killed or stopped, and started)': /^broker (killed|stopped)/,
  'brokers frozen': /^broker frozen/,
  'Redis losses (emptied, killed, failed over to a stale replica)': /^Redis (emptied|killed|failed)/,
  'Redis otherwise (frozen, slow, cut off, replies cut or lost, disk full)': /^(Redis( frozen| slow| cut|:)|disk full under Redis)/,
  'ClickHouse faults': /ClickHouse/,
  'connections to brokers cut, slow, held': /^Kafka:/,
  'registry away, silent, failing': /^registry/,
  'clock jumps': /^clock/,
};

const reports = process.argv.slice(2).map((file) => JSON.parse(readFileSync(file, 'utf8')) as ChaosReport);
const sum = (pick: (report: ChaosReport) => number): number => reports.reduce((total, report) => total + pick(report), 0);
const injected = (kinds: RegExp): number => sum((report) => Object.entries(report.injected).reduce((total, [kind, count]) => total + (kinds.test(kind) ? count : 0), 0));
const points = new Map<string, number>();
for (const report of reports) {
  for (const [kind, count] of Object.entries(report.injected)) if (kind.startsWith('crash point')) points.set(kind, (points.get(kind) ?? 0) + count);
}

console.log(`${reports.length} runs (seeds ${reports.map(({ seed }) => seed).join(', ')}), ${reports.filter((report) => !passed(report)).length} failed; ${sum(({ events }) => events)} events, ${sum(({ results }) => results)} results, ${sum(({ deadLetters }) => deadLetters)} dead letters.\n`);
console.log('| injected | times |\n| --- | --- |');
for (const [name, kinds] of Object.entries(groups)) console.log(`| ${name} | ${injected(kinds)} |`);
console.log(`\n${points.size} crash points, each ${Math.min(...points.values())} to ${Math.max(...points.values())} times.`);
