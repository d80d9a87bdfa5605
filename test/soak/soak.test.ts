/** The short form of the soak; the long one is `node test/soak/main.ts`. */
import { expect, test } from 'vitest';
import { runSoak } from './run.ts';

test('three thousand events, with workers and the sink killed and Redis emptied: everything is told once, and ClickHouse holds it', async () => {
  const report = await runSoak({ events: 3_000, seed: 5, minutes: 0.35, participants: 40, say: () => undefined });
  expect(report.problems).toEqual([]);
  expect(report.rows).toBe(report.results + report.deadLetters);
  expect(report.settled).toBeGreaterThan(1_000);
  expect(Object.keys(report.faults).length).toBeGreaterThan(0);
}, 180_000);
