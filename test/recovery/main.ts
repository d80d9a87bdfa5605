/**
 * `node test/recovery/main.ts [--kills 100] [--workers 3] [--restart]`: kills workers under load at the broker that
 * KAFKA_BROKERS names, and prints how long their partitions stood still. Exit code 1 when p99 is above 10 s.
 */
import { parseArgs } from 'node:util';
import { runKills } from './kills.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '100' },
    workers: { type: 'string', default: '3' },
    partitions: { type: 'string', default: '8' },
    rate: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    restart: { type: 'boolean', default: false },
  },
});

// Workers are killed when this process exits, which a signal alone would not make it do.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

const kills = await runKills({
  kills: Number(values.kills),
  workers: Number(values.workers),
  partitions: Number(values.partitions),
  eventsPerSecond: Number(values.rate),
  seed: Number(values.seed),
  restart: values.restart,
  say: (line) => console.log(line),
});
const quantile = (of: readonly number[], share: number): number => of.toSorted((a, b) => a - b)[Math.min(of.length - 1, Math.ceil(of.length * share) - 1)]!;
const describe = (name: string, of: readonly number[]): string =>
  `${name}: p50 ${quantile(of, 0.5)} ms, p99 ${quantile(of, 0.99)} ms, longest ${Math.max(...of)} ms`;
const recoveries = kills.map(({ recoveryMs }) => recoveryMs);
console.log(`${kills.length} kills${values.restart ? ', each restarted at once under the same name' : ''}`);
console.log(describe('until the partitions were committed by another process', recoveries));
console.log(describe('the longest standstill of a partition of the others', kills.map(({ standstillMs }) => standstillMs)));
process.exit(quantile(recoveries, 0.99) > 10_000 ? 1 : 0);
