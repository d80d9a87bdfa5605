/**
 * The whole line under faults, in virtual time: see run.ts. The command runs more seeds, and one seed again:
 * `node test/simulation/main.ts --seeds 10000`, `--seed S --trace`.
 */
import { describe, expect, it } from 'vitest';
import { runCommand } from './command.ts';

const seeds = 1000;

describe('the fleet in the simulation', () => {
  it(`keeps every promise over ${seeds} seeds of faults, and always comes to rest`, async () => {
    const { code, output } = await runCommand(['--seeds', String(seeds)], 600_000);
    expect(output).toContain(`${seeds} seeds, 0 failed`);
    expect(code).toBe(0);
  }, 610_000);

  it('replays a seed exactly', async () => {
    const hashes = await Promise.all([1, 2].map(async () => (await runCommand(['--seed', '17'], 60_000)).output.match(/trace hash (\d+)/)?.[1]));
    expect(hashes[0]).toMatch(/^\d+$/);
    expect(hashes[1]).toBe(hashes[0]);
    const other = (await runCommand(['--seed', '18'], 60_000)).output.match(/trace hash (\d+)/)?.[1];
    expect(other).not.toBe(hashes[0]);
  });
});
