/**
 * What commands say to a person: results on standard output, what they wait for on standard error, and bounded waits
 * instead of hanging for ever.
 */
import { CommandError } from '../errors.ts';
import type { Log } from '../ports.ts';

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** The log of a command that runs for a moment: only what makes it wait, one line each. */
export const commandLog: Log = {
  debug() {},
  info() {},
  warn: (fields, message) => tell(fields['error'] === undefined ? message : `${message} (${String(fields['error'])})`),
  error: (fields, message) => tell(fields['error'] === undefined ? message : `${message} (${String(fields['error'])})`),
};

/** Gives up on something that waits for the outside world. `what` ends the sentence "Gave up after 60 s: ...". */
export async function within<T>(timeoutMs: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new CommandError(`Gave up after ${timeoutMs / 1000} s: ${what}.`)), timeoutMs);
  });
  try {
    return await Promise.race([work, bound]);
  } finally {
    clearTimeout(timer);
  }
}

/** Columns padded to the widest cell; numbers given as `number` or `bigint` stand at the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number | bigint)[])[]): string[] {
  const widths = head.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => String(row[column] ?? '').length)),
  );
  const line = (cells: readonly (string | number | bigint)[]): string =>
    cells
      .map((cell, column) => (typeof cell === 'string' ? cell.padEnd(widths[column]!) : String(cell).padStart(widths[column]!)))
      .join('  ')
      .trimEnd();
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)];
}
