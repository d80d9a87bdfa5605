/**
 * The alert rules for an impatient test: the same expressions with all times divided by twenty, so that what takes a night's
 * quarter of an hour takes 45 seconds. A few thresholds go with them; each is named here, and must be found.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const times = 20;

const thresholds: readonly (readonly [was: string, is: string])[] = [
  // A minute.
  ['max by (instance) (settlefleet_lag_seconds) > 60', 'max by (instance) (settlefleet_lag_seconds) > 3'],
  ['max by (topic, partition) (settlefleet_lag_seconds) > 60', 'max by (topic, partition) (settlefleet_lag_seconds) > 3'],
  // One outage aborts one Kafka transaction or two; to wait for six would take minutes.
  ['settlefleet_transactions_aborted_total[10m])) > 5', 'settlefleet_transactions_aborted_total[10m])) > 0'],
  ['sum(settlefleet_sink_lag) > 100000', 'sum(settlefleet_sink_lag) > 100'],
];

export function scaledRules(): string {
  let rules = readFileSync(join(import.meta.dirname, '../../grafana/rules/settlefleet.yml'), 'utf8');
  for (const [was, is] of thresholds) {
    if (rules.split(was).length !== 2) throw new Error(`The rules hold ${JSON.stringify(was)} ${rules.split(was).length - 1} times, expected once.`);
    rules = rules.replace(was, is);
  }
  const scaled = (minutes: string): string => `${(Number(minutes) * 60) / times}s`;
  return rules
    .replaceAll(/\[(\d+)m\]/g, (_, minutes: string) => `[${scaled(minutes)}]`)
    .replaceAll(/for: (\d+)m\b/g, (_, minutes: string) => `for: ${scaled(minutes)}`)
    .replace('  - name: settlefleet\n', '  - name: settlefleet\n    interval: 1s\n');
}

/** Every alert that there is. */
export function alertNames(): readonly string[] {
  return Array.from(scaledRules().matchAll(/- alert: (\w+)/g), ([, name]) => name!);
}
