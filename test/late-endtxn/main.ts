/**
 * `node test/late-endtxn/main.ts [--holds 100] [--undefended]`: late requests over the real fleet log, in turn in every
 * variant, at the broker that KAFKA_BROKERS names. Exit code 1 when a state is torn with the defence, or (`--undefended`)
 * when none is without it.
 */
import { parseArgs } from 'node:util';
import { stackEnvironment } from '../stack.ts';
import { everyTrial, TrialBench } from './trial.ts';
import type { Observation } from './trial.ts';

const { values } = parseArgs({ options: { holds: { type: 'string', default: '100' }, undefended: { type: 'boolean', default: false } } });
const holds = Number(values.holds);
if (!Number.isSafeInteger(holds) || holds < 1) throw new Error(`--holds is ${values.holds}, expected a whole number of at least 1`);

const bench = await TrialBench.create(stackEnvironment().kafkaBrokers, !values.undefended);
const observations: Observation[] = [];
try {
  for (let i = 0; i < holds; i++) {
    const observation = await bench.run(everyTrial[i % everyTrial.length]!);
    observations.push(observation);
    const { late, mode, second, outcomes, arrived, torn, milliseconds } = observation;
    process.stdout.write(
      `${String(i + 1).padStart(4)} late ${late.padEnd(7)} ${mode.padEnd(7)} second ${second.padEnd(7)} -> ${outcomes.join(', ').padEnd(20)} ` +
        `${arrived ? 'arrived' : 'never came'} ${Math.round(milliseconds)} ms${torn.map((why) => `\n     TORN: ${why}`).join('')}\n`,
    );
  }
} finally {
  await bench.close();
}
const torn = observations.filter((one) => one.torn.length > 0).length;
const arrived = observations.filter((one) => one.arrived).length;
process.stdout.write(`${values.undefended ? 'Without' : 'With'} the defence: ${holds} holds, ${arrived} arrived in a later Kafka transaction, ${torn} torn.\n`);
process.exitCode = (values.undefended ? torn === 0 : torn > 0 || arrived < holds) ? 1 : 0;
