/**
 * The check of the checker: a simulation that finds nothing is worth what it would have found. Each of these mistakes is
 * planted in the code as it is loaded, and must be found.
 */
import { describe, expect, it } from 'vitest';
import { runCommand } from './command.ts';
import { lossMutants, mutants } from './mutants.ts';

const seedsMax = 1500;

describe('the simulation finds a planted bug:', () => {
  it.for(mutants)('$name', { timeout: 200_000 }, async ({ name, from = 1 }) => {
    const { code, output } = await runCommand(['--mutant', name, '--from', String(from), '--seeds', String(seedsMax)], 190_000);
    expect(output).toMatch(/^seed \d+:$/m);
    expect(code).toBe(1);
  });

  it.for(lossMutants)('$name, by the account of its partition', { timeout: 200_000 }, async ({ name }) => {
    const { code, output } = await runCommand(['--mutant', name, '--seeds', String(seedsMax)], 190_000);
    expect(output).toMatch(/unaccounted for/i);
    expect(code).toBe(1);
  });

  it('and there are enough of them', () => {
    expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
    expect(mutants.length).toBeGreaterThanOrEqual(20);
  });
});
