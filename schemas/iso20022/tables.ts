/**
 * The door to the compiled tables beside this file. They are read when a message of their definition first comes, so a
 * worker that starts pays for none of them.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Null where the definition has not been compiled. The id may come from outside: it must look like one. */
export function readSchemaTable(definitionId: string): Uint8Array | null {
  if (!/^[a-z]{4}\.\d{3}\.\d{3}\.\d{2}$/.test(definitionId)) return null;
  const file = join(import.meta.dirname, `${definitionId}.table`);
  return existsSync(file) ? readFileSync(file) : null;
}

export function compiledDefinitions(): string[] {
  return readdirSync(import.meta.dirname)
    .filter((name) => name.endsWith('.table'))
    .map((name) => name.slice(0, -'.table'.length))
    .sort();
}
