// Needs no stack.
/**
 * Draws what measurements left behind in .dev/bench: one HTML page with plots, light and dark, that needs nothing else.
 *
 * `./dev bench report [files...]`; without files, the newest of each kind.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { benchFolder, readRecord } from './record.ts';
import { UsageError } from './settings.ts';
import { reportPage } from './report-page/page.ts';

/** The order in which a reader wants them. */
const order = ['drain', 'latency', 'sustained', 'parts', 'parse', 'scale', 'memory', 'http'];

export function run(args: readonly string[]): void {
  const { values, positionals } = parseArgs({ args: [...args], options: { out: { type: 'string', default: join(benchFolder, 'report.html') } }, allowPositionals: true });
  const missing = positionals.find((file) => !existsSync(file));
  if (missing !== undefined) throw new UsageError(`there is no file ${missing}`);
  const files = positionals.length > 0 ? positionals : newestFiles();
  if (files.length === 0) throw new UsageError(`nothing has been measured yet: there is no file in ${relative(process.cwd(), benchFolder)}`);
  const place = (name: string): number => (order.includes(name) ? order.indexOf(name) : order.length);
  const records = files.map(readRecord).sort((a, b) => place(a.name) - place(b.name));
  mkdirSync(dirname(values.out), { recursive: true });
  writeFileSync(values.out, reportPage(records));
  console.log(`${relative(process.cwd(), values.out)}: ${records.map(({ name }) => name).join(', ')}`);
}

/** The newest file of each kind. */
function newestFiles(): string[] {
  const newest = new Map<string, string>();
  const files = existsSync(benchFolder) ? readdirSync(benchFolder).filter((file) => /^[a-z]+-\d{4}-.*\.json$/.test(file)) : [];
  // Names end with the time, so the last in the order of names is the newest.
  for (const file of files.sort()) newest.set(file.slice(0, file.indexOf('-')), join(benchFolder, file));
  return [...newest.values()];
}
