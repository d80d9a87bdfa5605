import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { workplace } from './command.ts';

const entry = fileURLToPath(new URL('../../src/demo/main.ts', import.meta.url));

async function demo(args: readonly string[], variables: Readonly<Record<string, string>>) {
  const child = spawn(process.execPath, [entry, ...args], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...variables } });
  let stdout = '';
  child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout };
}

it('the demo kills a worker half-way, and everything that it claims at the end holds', { timeout: 180_000 }, async () => {
  const { prefix } = workplace('demo');
  const { code, stdout } = await demo(['--events', '800'], {
    TOPIC_PREFIX: prefix,
    CONSUMER_GROUP: prefix,
    // Of its own: targets of the other tests stay as they are.
    PROMETHEUS_TARGETS_FILE: join(tmpdir(), `settlefleet-targets-${process.pid}.json`),
    // With a server, the rows of other tests would be among the demo's; the embedded engine has a folder of its own.
    CLICKHOUSE_URL: 'chdb:./demo',
  });
  expect(stdout).toContain('worker-1 was killed (SIGKILL)');
  expect(stdout.match(/^ok {6}/gm)).toHaveLength(7);
  expect(stdout).not.toContain('FAILED');
  expect(code).toBe(0);
});
