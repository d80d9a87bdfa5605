/**
 * Runs seeds of the simulation: `node test/simulation/main.ts [--seeds N] [--from S] [--seed S [--trace]] [--mutant NAME]`.
 * Exit code 1 and the seed when a promise is broken; the same seed replays it exactly.
 */
import { parseArgs } from 'node:util';
import { plant } from './mutants.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    seconds: { type: 'string' },
    keep: { type: 'boolean', default: false },
    mutant: { type: 'string' },
    faults: { type: 'string' },
  },
});

const planted = values.mutant === undefined ? undefined : plant(values.mutant).faults;
const only = values.faults?.split(',') ?? planted;
const { runSeed } = await import('./run.ts');

const from = Number(values.seed ?? values.from);
const seeds = values.seed === undefined ? Number(values.seeds) : 1;
const totals = new Map<string, number>();
let events = 0;
let steps = 0;
let virtualSeconds = 0;
let failed = 0;
let done = 0;
const begun = performance.now();

for (let seed = from; seed < from + seeds; seed++) {
  if (values.seconds !== undefined && performance.now() - begun > Number(values.seconds) * 1000) break;
  // A turn of its own: microtasks cannot be run from within one.
  const report = await new Promise<ReturnType<typeof runSeed>>((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(runSeed(seed, { keepTrace: values.trace, ...(only === undefined ? {} : { only }) }));
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });
  done++;
  events += report.events;
  steps += report.steps;
  virtualSeconds += report.virtualSeconds;
  for (const [name, count] of report.faults) totals.set(name, (totals.get(name) ?? 0) + count);
  if (values.trace) console.log(report.trace.join('\n'));
  if (report.violations.length > 0) {
    failed++;
    console.log(`seed ${seed}:`);
    for (const violation of report.violations.slice(0, 6)) console.log(`  ${violation}`);
    if (!values.keep) break;
  }
  if (values.seed !== undefined) console.log(`trace hash ${report.traceHash}, ${report.steps} steps, ${report.virtualSeconds.toFixed(0)} s of virtual time`);
}

const seconds = (performance.now() - begun) / 1000;
console.log(
  `${done} seeds, ${failed} failed, ${events} events, ${steps} steps, ${(virtualSeconds / 3600).toFixed(1)} h of virtual time in ${seconds.toFixed(1)} s`,
);
console.log(
  [...totals]
    .sort()
    .map(([name, count]) => `${name} ${count}`)
    .join(', '),
);
process.exit(failed > 0 ? 1 : 0);
