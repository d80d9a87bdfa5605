/**
 * `./dev chaos [--minutes N] [--seed S] [--rate EVENTS] [--only WORDS]`, on a running stack. Exit code 0: every promise held
 * and every planned fault really happened. 1: not so; the history is kept. 2: wrong usage.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { devDirectory } from '../../scripts/dev/stack/state.ts';
import { passed, reportText } from './report.ts';
import { runChaos } from './run.ts';

const usage = `usage: ./dev chaos [--minutes N] [--seed S] [--rate EVENTS] [--only WORDS]...

  Three brokers, three workers, two sinks, Redis with a replica, ClickHouse and the registry, all behind proxies, under
  traffic with a known truth, while everything that can be struck is. Afterwards every promise is checked.

  --minutes N      of faults (default 10); starting, catching up and checking come on top
  --seed S         decides traffic and faults (default: by the clock; printed)
  --rate EVENTS    a second (default 30)
  --only WORDS     only faults and crash points whose name contains these words; may be repeated

  Exit code 0: every promise held, and every planned fault really happened. 1: not so. 2: wrong usage.`;

function refuse(why: string): never {
  console.error(`chaos: ${why}\n\n${usage}`);
  process.exit(2);
}

function readArguments(): { minutes: number; seed: number; rate: number; only: string[] | undefined; help: boolean } {
  try {
    const { values } = parseArgs({
      options: {
        minutes: { type: 'string', default: '10' },
        seed: { type: 'string', default: String(Date.now() % 1_000_000) },
        rate: { type: 'string', default: '30' },
        only: { type: 'string', multiple: true },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    return { minutes: Number(values.minutes), seed: Number(values.seed), rate: Number(values.rate), only: values.only, help: values.help };
  } catch (error) {
    return refuse((error as Error).message);
  }
}

const { minutes, seed, rate, only, help } = readArguments();
if (help) {
  console.log(usage);
  process.exit(0);
}
if (!(minutes > 0 && minutes <= 1440)) refuse('--minutes must be a number above 0, at most 1440');
if (!Number.isSafeInteger(seed) || seed < 0) refuse('--seed must be a whole number of at least 0');
if (!(rate > 0 && rate <= 1000)) refuse('--rate must be a number above 0, at most 1000');

/**
 * Full disks need small file systems. In a mount namespace of its own nobody else sees them, and they are gone with the
 * last process in it, whatever ends it.
 */
const namespaceVariable = 'CHAOS_MOUNT_NAMESPACE';
function enterMountNamespace(): void {
  if (process.env[namespaceVariable] !== undefined || process.platform !== 'linux') return;
  for (const how of [['--mount'], ['--mount', '--map-root-user']]) {
    if (spawnSync('unshare', [...how, 'sh', '-c', 'mount -t tmpfs -o size=1m tmpfs /mnt']).status !== 0) continue;
    // Signals reach the child by themselves, it stands in the same process group.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
    const child = spawnSync('unshare', [...how, process.execPath, ...process.argv.slice(1)], { stdio: 'inherit', env: { ...process.env, [namespaceVariable]: '1' } });
    process.exit(child.status ?? 128 + constants.signals[child.signal ?? 'SIGKILL']);
  }
}
enterMountNamespace();

// Processes of the fleet are killed when this process exits, which a signal alone would not make it do.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(128 + constants.signals[signal]));

// Beside the stack, which goes away with its data at the end.
const folder = join(devDirectory, 'chaos-runs', `seed-${seed}-${new Date().toISOString().replaceAll(':', '').slice(0, 17)}`);
mkdirSync(folder, { recursive: true });
const begun = performance.now();
console.log(`seed ${seed}, ${minutes} minutes of faults, ${rate} events a second`);
const report = await runChaos({
  seed, minutes, folder,
  eventsPerSecond: rate,
  canMount: process.env[namespaceVariable] !== undefined,
  ...(only === undefined ? {} : { only: only.map((words) => new RegExp(words.replaceAll(/[^\w ]/g, '\\$&'), 'i')) }),
  say: (line) => console.log(`${((performance.now() - begun) / 1000).toFixed(0).padStart(5)} s  ${line}`),
});
const text = reportText(report);
console.log(`\n${text}`);
if (passed(report)) rmSync(folder, { recursive: true, force: true });
const reports = join(devDirectory, 'chaos-runs', 'reports');
mkdirSync(reports, { recursive: true });
for (const [ending, content] of [['json', JSON.stringify(report, null, 2)], ['md', text]] as const) writeFileSync(join(reports, `seed-${seed}.${ending}`), `${content}\n`);
console.log(`\nThe report is in ${join(reports, `seed-${seed}.md`)}.`);
process.exit(passed(report) ? 0 : 1);
