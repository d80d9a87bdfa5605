/**
 * Every measurement, one after another on one stack, in a form that is short but says something; then the report.
 *
 * `./dev bench all [--full]`: with `--full` each as long as it is by default, memory for 30 minutes.
 */
import { parseArgs } from 'node:util';
import { saidDuration } from './record.ts';
import { UsageError } from './settings.ts';

interface Step {
  readonly name: string;
  readonly short: readonly string[];
  readonly full: readonly string[];
}

const steps: readonly Step[] = [
  { name: 'parse', short: ['--rounds', '3', '--milliseconds', '100'], full: [] },
  { name: 'drain', short: ['--events', '40000', '--warm', '20000', '--subjects', 'fleet,streams,plain,ceiling,at-least-once'], full: ['--subjects', 'fleet,streams,plain,ceiling,at-least-once'] },
  { name: 'latency', short: ['--rates', '1000,5000,10000', '--seconds', '8', '--warm-seconds', '3', '--warm', '20000', '--rounds', '1'], full: [] },
  { name: 'sustained', short: ['--seconds', '6', '--warm-seconds', '2', '--warm', '20000', '--rounds', '1', '--tries', '6'], full: [] },
  { name: 'parts', short: ['--events', '30000', '--positions', '300000', '--rounds', '1'], full: [] },
  { name: 'scale', short: ['--events', '20000,40000,80000', '--participants', '1000,20000', '--partitions', '1,8,32', '--base', '20000', '--warm', '10000', '--rounds', '1'], full: [] },
  { name: 'http', short: ['--events', '40000', '--warm', '20000', '--rounds', '2'], full: [] },
  { name: 'memory', short: ['--minutes', '2'], full: ['--minutes', '30'] },
  { name: 'report', short: [], full: [] },
];
const shortSeconds = 20 * 60;
const fullSeconds = 4 * 3_600;

export async function run(args: readonly string[]): Promise<void> {
  let full: boolean;
  try {
    full = parseArgs({ args: [...args], options: { full: { type: 'boolean', default: false } } }).values.full;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  console.log(`all: ${steps.map(({ name }) => name).join(', ')}; takes ${saidDuration(full ? fullSeconds : shortSeconds)}\n`);
  const failed: string[] = [];
  for (const step of steps) {
    console.log(`── ${step.name} ${'─'.repeat(60 - step.name.length)}`);
    try {
      const measurement = (await import(`./${step.name}.ts`)) as { run(args: readonly string[]): void | Promise<void> };
      await measurement.run(full ? step.full : step.short);
    } catch (error) {
      // The others still say something; the exit code tells.
      console.error(error);
      failed.push(step.name);
    }
    console.log('');
  }
  if (failed.length > 0) {
    console.error(`all: ${failed.join(', ')} failed`);
    process.exitCode = 1;
  }
}
