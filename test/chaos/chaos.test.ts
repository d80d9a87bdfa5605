/** The short form of the chaos run; the long one is `./dev chaos`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { passed, reportText } from './report.ts';
import { runChaos } from './run.ts';

/** Longer than all bounds within the run together, so that it is the run that says what did not happen in time. */
const boundMs = 1_200_000;

/** One or two of each kind; a run in which one of them does not really happen fails. */
const planned = [
  'half of the records produced', 'commit answered', 'window restore added', 'EndTxn on its way', 'block inserted; not taken up',
  'worker killed at random', 'worker frozen', 'broker killed: the group coordinator', 'Redis failed over', 'ClickHouse killed in the middle',
  'Kafka: one broker holds', 'clocks of all',
];

test('half a minute of faults of each kind on real processes: every promise holds, and each fault really happened', async () => {
  const begun = performance.now();
  const said: string[] = [];
  const folder = mkdtempSync(join(process.env['STACK_DIRECTORY'] || tmpdir(), 'settlefleet-chaos-'));
  const report = await runChaos({
    seed: 5, minutes: 0.5, eventsPerSecond: 20, folder, canMount: false, aloneShare: 0,
    only: planned.map((words) => new RegExp(words)),
    say: (line) => said.push(`${((performance.now() - begun) / 1000).toFixed(1)} s: ${line}`),
  });
  expect(passed(report), `${reportText(report)}\n\n${said.join('\n')}`).toBe(true);
  for (const words of planned) expect(Object.keys(report.injected).some((kind) => kind.includes(words)), `"${words}" in ${Object.keys(report.injected).join(', ')}`).toBe(true);
  expect(report.settled).toBeGreaterThan(200);
  rmSync(folder, { recursive: true, force: true });
}, boundMs);
