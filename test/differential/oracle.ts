/**
 * The yardstick: libxml2, through `xmllint --schema`. One process judges thousands of files, so that many mutations can be
 * tried in little time.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function hasXmllint(): boolean {
  return spawnSync('xmllint', ['--version']).status === 0;
}

export interface OracleVerdict {
  readonly valid: boolean;
  /** What it said first. */
  readonly reason: string;
}

const filesPerProcess = 2000;

/** Judges each message against one XSD. `folder`: an empty working folder; it is removed again. */
export function judge(xsd: string, messages: readonly Buffer[], folder: string): OracleVerdict[] {
  const verdicts: OracleVerdict[] = [];
  for (let from = 0; from < messages.length; from += filesPerProcess) {
    mkdirSync(folder, { recursive: true });
    const slice = messages.slice(from, from + filesPerProcess);
    slice.forEach((message, index) => {
      writeFileSync(join(folder, String(index)), message);
    });
    const names = slice.map((_, index) => String(index));
    const { stderr, error } = spawnSync('xmllint', ['--noout', '--nonet', '--schema', xsd, ...names], {
      cwd: folder,
      encoding: 'latin1',
      maxBuffer: 1 << 30,
    });
    if (error !== undefined) throw error;
    const valid = new Set<string>();
    const illNamed = new Set<string>();
    const reasons = new Map<string, string>();
    for (const line of stderr.split('\n')) {
      const accepted = /^(\d+) validates$/.exec(line);
      if (accepted !== null) valid.add(accepted[1]!);
      const complaint = /^(\d+):\d+: (.*)$/.exec(line);
      if (complaint !== null && !reasons.has(complaint[1]!)) reasons.set(complaint[1]!, complaint[2]!);
      // xmllint goes on after a broken namespace rule; a message with one is not namespace-well-formed all the same. What a
      // namespace's name looks like is no such rule.
      if (complaint !== null && /^namespace error/.test(complaint[2]!) && !/ : xmlns(:\S+)?: '/.test(complaint[2]!)) {
        illNamed.add(complaint[1]!);
      }
    }
    for (const name of names) {
      const reason = reasons.get(name) ?? '';
      verdicts.push({ valid: valid.has(name) && !illNamed.has(name), reason });
    }
    rmSync(folder, { recursive: true });
  }
  return verdicts;
}
