/** docs/guarantees.md names the tests that try to break each promise. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const page = readFileSync(join(root, 'docs/guarantees.md'), 'utf8');

it('every promise names its tests, and each of them is there', () => {
  const rows = page.split('\n').filter((line) => /^\| [^-]/.test(line)).slice(1);
  expect(rows).toHaveLength(8);
  for (const row of rows) expect(row).toMatch(/`test\/[\w/-]+\.test\.ts`/);
  const named = [...page.matchAll(/`(test\/[^`]+)`/g)].map((match) => match[1]!);
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});
