/** `./dev bench NAME...`: runs one measurement of this folder, or says which there are. */
// The Kafka client waits in libuv's thread pool; see src/main.ts.
process.env['UV_THREADPOOL_SIZE'] ||= '8';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { killChildren } from '../src/demo/children.ts';
import { UsageError } from './settings.ts';

interface Measurement {
  run(args: readonly string[]): void | Promise<void>;
}

// Nothing that was started outlives a measurement, however that ends.
process.once('exit', killChildren);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(128 + constants.signals[signal]));

const [name, ...args] = process.argv.slice(2);
const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts'))
  .filter((file) => /^export (async )?function run\(/m.test(readFileSync(join(import.meta.dirname, file), 'utf8')))
  .map((file) => file.slice(0, -'.ts'.length));

if (name === undefined || !names.includes(name) || !existsSync(join(import.meta.dirname, `${name}.ts`))) {
  console.error(`bench: name one of ${names.join(', ')}`);
  process.exitCode = 2;
} else {
  const measurement = (await import(`./${name}.ts`)) as Measurement;
  try {
    await measurement.run(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`bench ${name}: ${error.message}`);
    process.exitCode = 2;
  }
}
