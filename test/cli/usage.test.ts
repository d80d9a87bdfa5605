import { describe, expect, it } from 'vitest';
import { run, runHere } from './command.ts';

/** Nothing listens there: a command that got as far as to connect would wait. */
const nowhere = { KAFKA_BROKERS: '127.0.0.1:1', SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1' };

describe('settlefleet', () => {
  it.each([
    [['--help'], 'worker'],
    [['worker', '--help'], 'worker'],
    [['sink', '--help'], 'sink'],
    [['topics', 'apply', '--help'], '--partitions'],
    [['schemas', 'register', '--help'], 'schemas'],
    [['participants', 'apply', '--help'], '--force'],
    [['submit', '--help'], '--source'],
    [['dlq', 'list', '--help'], '--code'],
    [['dlq', 'show', '--help'], '--value'],
    [['dlq', 'redrive', '--help'], '--yes'],
    [['sql', '--help'], '--format'],
    [['explain', '--help'], '--since'],
    [['report', 'day', '--help'], '--entries'],
    [['doctor', '--help'], '--quiet'],
    [['config', '--help'], '--json'],
    [['pause', '--help'], '--url'],
    [['loglevel', '--help'], 'silent'],
  ])('explains %s and ends with exit code 0, whatever the settings are', async (args, word) => {
    const { code, stdout } = await runHere(args, { ...nowhere, METRICS_PORT: 'wrong' });
    expect(code).toBe(0);
    expect(stdout).toContain(word);
  });

  it.each([
    [[]],
    [['settle']],
    [['topics']],
    [['dlq']],
    [['topics', 'apply', '--partition', '8']],
    [['topics', 'apply', '--partitions', 'eight']],
    [['topics', 'apply', '--partitions', '0']],
    [['participants', 'apply']],
    [['submit']],
    [['dlq', 'show']],
    [['dlq', 'show', '3-42']],
    [['dlq', 'list', '--code', 'BROKEN']],
    [['dlq', 'list', '--since', 'yesterday']],
    [['dlq', 'redrive']],
    [['dlq', 'redrive', '--all', '0:1']],
    [['explain']],
    [['explain', 'x', '--since', 'yesterday']],
    [['report']],
    [['report', 'day']],
    [['report', 'day', '2026-02-30']],
    [['report', 'day', '2999-01-01']],
    [['report', 'day', '2026-01-01', '--participant', '?']],
    [['report', 'day', '2026-01-01', '--format', 'xml']],
    [['loglevel']],
    [['pause', 'now']],
  ])('ends %j with exit code 2 and one line', async (args) => {
    const { code, stdout, stderr } = await runHere(args, nowhere);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error: .+\n$/);
  });

  it.each([
    ['worker', 'METRICS_PORT', '99999'],
    ['sink', 'CLICKHOUSE_URL', 'postgres://x'],
    ['submit x.xml', 'KAFKA_BROKERS', 'broker:port'],
    ['topics apply', 'MAX_EVENT_BYTES', '1MB'],
    ['participants apply x.json', 'TOPIC_PREFIX', 'a b'],
    ['dlq list', 'REDIS_URL', 'localhost'],
    ['schemas register', 'DEDUPE_WINDOW_SECONDS', '0'],
    ['sql SELECT', 'GATEWAY_PORT', '-1'],
  ])('%s checks all settings first: a wrong %s is exit code 2 and one line that names it', async (command, name, value) => {
    const { code, stdout, stderr } = await runHere(command.split(' '), { ...nowhere, [name]: value });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(new RegExp(`^${name} is ".*", but it must be .+\\.\\n$`));
  });

  it('prints every setting and where it came from', async () => {
    const { code, stdout } = await runHere(['config'], { REDIS_URL: 'redis://:open-sesame@cache:6379' });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^REDIS_URL +redis:\/\/\*\*\*@cache:6379 +environment$/m);
    expect(stdout).toMatch(/^COMMIT_INTERVAL_MS +100 +default$/m);
  });

  it('says in one line that no process answers', async () => {
    const { code, stderr } = await runHere(['pause', '--url', 'http://127.0.0.1:2'], nowhere);
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'No process answers at http://127.0.0.1:2: ECONNREFUSED.\n' });
  });

  it('ends its process with these codes', async () => {
    expect((await run(['--version'])).code).toBe(0);
    expect((await run(['participants', 'apply', '/does/not/exist'], nowhere)).code).toBe(1);
    expect((await run(['topics', 'apply'], { ...nowhere, METRICS_PORT: 'wrong' })).code).toBe(2);
    expect((await run(['topics', 'destroy'], nowhere)).code).toBe(2);
  });
});
