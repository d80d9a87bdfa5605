/** Log lines as another process sees them. */
import { spawnSync } from 'node:child_process';

import { expect, it } from 'vitest';

const module = new URL('../../src/adapters/log/log.ts', import.meta.url).href;

it('writes JSON lines to standard error, from its level on, and leaves standard output clean', () => {
  const program = `
    const { createLog } = await import(${JSON.stringify(module)});
    const log = createLog({ level: 'warn', fields: { worker: 'w-1' } });
    log.info({}, 'hidden');
    log.warn({ partition: 3 }, 'The lane waits');
    process.exit(0);
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  expect(stdout).toBe('');
  const lines = stderr.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines).toEqual([
    { level: 'warn', time: expect.any(String) as unknown, worker: 'w-1', partition: 3, msg: 'The lane waits' },
  ]);
});
