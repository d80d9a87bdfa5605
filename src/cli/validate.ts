/**
 * `settlefleet validate`: holds files, or whole folders of them, against the XSD of their message definition, and lists all
 * that is wrong with each. Needs no part of the fleet.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Option } from 'commander';
import { readSchemaTable } from '../../schemas/iso20022/tables.ts';
import { createMessageReporter } from '../codec/iso20022/message-report.ts';
import type { MessageReport } from '../codec/iso20022/message-report.ts';
import { CommandError } from '../errors.ts';
import { print, tell } from './console.ts';
import type { DefineCommand } from './program.ts';

interface ValidateOptions {
  readonly format: 'text' | 'json';
  readonly rules: boolean;
}

/** Below this nobody wonders whether it still runs. */
const progressEveryMs = 2_000;

export const defineValidateCommand: DefineCommand = (program) => {
  program
    .command('validate')
    .description('Checks ISO 20022 files against their XSDs; exit code 1 when one is not valid.')
    .argument('<file...>', 'files, or folders whose .xml files are checked')
    .addOption(new Option('--format <format>', 'how findings are written').choices(['text', 'json']).default('text'))
    .option('--rules', 'also what the fleet asks beyond the XSD: sums, currencies, decimals, IBANs', false)
    .action((paths: string[], options: ValidateOptions) => {
      validateFiles(paths, options, { print, tell, clock: () => performance.now() });
    });
};

export interface ValidateOutput {
  readonly print: (line: string) => void;
  readonly tell: (line: string) => void;
  /** Milliseconds, monotonic. */
  readonly clock: () => number;
}

/** Throws `CommandError` where a file is not valid, or cannot be read. */
export function validateFiles(paths: readonly string[], options: ValidateOptions, output: ValidateOutput): void {
  const files = paths.flatMap((path) => filesOf(path));
  if (files.length === 0) throw new CommandError(`No .xml file in ${paths.join(', ')}.`);
  const report = createMessageReporter(readSchemaTable);
  let invalidCount = 0;
  let toldAt = output.clock();
  files.forEach((file, index) => {
    const result = report(readBytes(file), { rules: options.rules });
    if (!result.valid) invalidCount++;
    if (options.format === 'json') output.print(JSON.stringify({ file, ...result }));
    else for (const line of textLines(file, result)) output.print(line);
    if (output.clock() - toldAt >= progressEveryMs) {
      toldAt = output.clock();
      output.tell(`${index + 1} of ${files.length} files checked, ${invalidCount} not valid.`);
    }
  });
  if (invalidCount > 0) throw new CommandError(`${invalidCount} of ${files.length} ${files.length === 1 ? 'file is' : 'files are'} not valid.`);
}

function textLines(file: string, { type, valid, findings }: MessageReport): string[] {
  if (valid) return [`${file}: valid ${type ?? ''}`];
  return findings.map(({ xpath, line, column, rule, message }) => {
    return `${file}:${line}:${column}: ${xpath === '' ? '' : `${xpath}: `}${message} [${rule}]`;
  });
}

function filesOf(path: string): string[] {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw new CommandError(`${path}: no such file or folder.`);
  if (!stats.isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .flatMap((entry) => {
      const child = join(path, entry.name);
      if (entry.isDirectory()) return filesOf(child);
      return entry.isFile() && /\.xml$/i.test(entry.name) ? [child] : [];
    });
}

function readBytes(file: string): Uint8Array {
  try {
    return Uint8Array.from(readFileSync(file));
  } catch (error) {
    throw new CommandError(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'}).`, { cause: error });
  }
}
