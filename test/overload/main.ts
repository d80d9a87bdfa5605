/**
 * `./dev overload [--seconds 120] [--seed S]`: three times what the fleet can do here, and what becomes of it. Exit code 0:
 * everything held. 1: not so. 2: wrong usage.
 */
import { parseArgs } from 'node:util';
import { runOverload } from './run.ts';
import { reportText } from './report.ts';

const usage = `usage: ./dev overload [--seconds N] [--seed S] [--json]

  Finds what a worker can do here, then sends a third of it, three times of it for N seconds (default 120), and a third again.
  Watches throughput, memory, lag, readiness, the group and the alerts all the while, and looks at every answer afterwards.
  Takes about five times N.

  Exit code 0: everything held. 1: not so. 2: wrong usage.`;

function refuse(why: string): never {
  console.error(`overload: ${why}\n\n${usage}`);
  process.exit(2);
}

function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        seconds: { type: 'string', default: '120' }, seed: { type: 'string', default: String(Date.now() % 1_000_000) },
        json: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false },
      },
    });
    return values;
  } catch (error) {
    return refuse((error as Error).message);
  }
}

const values = readArguments();
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const seconds = Number(values.seconds);
const seed = Number(values.seed);
if (!(seconds >= 6 && seconds <= 3600)) refuse('--seconds must be a number from 6 to 3600');
if (!Number.isSafeInteger(seed) || seed < 0) refuse('--seed must be a whole number of at least 0');

// Its processes are killed when this one exits, which a signal alone would not make it do.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

const begun = performance.now();
const report = await runOverload({
  seed, seconds, calmSeconds: Math.max(5, Math.min(30, seconds / 4)), warmEvents: 40_000, drainEvents: 40_000,
  bounds: { throughputShareMin: 0.8, thirdShareMin: 0.7, cpuFactorMax: 1.5, lagSteadinessMin: 0.6, workerMegabytesMax: 600, memoryFactorMax: 1.4, latencyFactorMax: 2, latencyMsMore: 100 },
  say: (line) => console.error(`${((performance.now() - begun) / 1000).toFixed(0).padStart(5)} s  ${line}`),
});
console.log(values.json ? JSON.stringify(report, null, 2) : reportText(report));
process.exit(report.problems.length === 0 ? 0 : 1);
