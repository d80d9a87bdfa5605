/**
 * The soak: `node test/soak/main.ts --events 300000 --seed 1 --minutes 10` on a running stack (its variables in the
 * environment, e.g. `node scripts/dev/stack/main.ts run soak -- node test/soak/main.ts`). Prints a report; exit code 1 when
 * anything is off.
 */
import { parseArgs } from 'node:util';
import { runSoak } from './run.ts';

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '300000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    minutes: { type: 'string', default: '10' },
    participants: { type: 'string', default: '120' },
  },
});

// Workers and the sink are killed when this process exits, which a signal alone would not make it do.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

const begun = performance.now();
const report = await runSoak({
  events: Number(values.events),
  seed: Number(values.seed),
  minutes: Number(values.minutes),
  participants: Number(values.participants),
  say: (line) => console.log(`${((performance.now() - begun) / 1000).toFixed(0).padStart(5)} s  ${line}`),
});
const { problems, ...figures } = report;
console.log(JSON.stringify({ seed: Number(values.seed), ...figures, problems: problems.length }, null, 2));
for (const problem of problems) console.log(`PROBLEM ${problem}`);
process.exit(problems.length === 0 ? 0 : 1);
