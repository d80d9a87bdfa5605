/** Whether ClickHouse answers, and has the tables of this version. */
import { readdir } from 'node:fs/promises';
import { CommandError } from '../errors.ts';
import { Findings, reasonOf } from './finding.ts';
import type { Finding } from './finding.ts';
import type { ClockFacts } from './clock.ts';

/** One query that reads, wherever the data is held; its answer is tab-separated. */
export type AskClickhouse = (query: string) => Promise<string>;

const migrations = new URL('../../schemas/clickhouse/', import.meta.url);

export async function examineClickhouse(ask: AskClickhouse, isEmbedded: boolean): Promise<{ readonly findings: Finding[]; readonly clock: ClockFacts | null }> {
  const findings = new Findings('clickhouse');
  let clock: ClockFacts | null = null;
  try {
    const asked = Date.now();
    const [version = '', now = ''] = (await ask('SELECT version(), toUnixTimestamp64Milli(now64(3))')).trim().split('\t');
    // The embedded one runs on this machine.
    if (!isEmbedded) clock = { of: 'ClickHouse', offsetMs: Number(now) - (asked + Date.now()) / 2, precisionMs: (Date.now() - asked) / 2 };
    findings.ok(`ClickHouse ${version} answers${isEmbedded ? ' (embedded)' : ''}`);
  } catch (error) {
    // Nothing there yet, or the package is missing; settlement does not depend on it either way.
    if (error instanceof CommandError && /no ClickHouse data/.test(error.message)) findings.ok(`${reasonOf(error)}`);
    else if (/does not exist|UNKNOWN_DATABASE/.test(reasonOf(error))) findings.warn('the database is not there yet: the first sink makes it', 'start a sink');
    else findings.wrong(`ClickHouse does not answer: ${reasonOf(error)}`, 'look at CLICKHOUSE_URL and at the server; settlement goes on without it, the sink waits');
    return { findings: findings.all, clock };
  }
  try {
    const applied = new Set((await ask('SELECT DISTINCT name FROM schema_migrations')).split('\n').filter((name) => name !== ''));
    const ours = (await readdir(migrations)).filter((name) => /^\d{3}-.*\.sql$/.test(name)).sort();
    const missing = ours.filter((name) => !applied.has(name));
    const foreign = [...applied].filter((name) => !ours.includes(name));
    if (foreign.length > 0) findings.warn(`its tables are of a newer version (${foreign.join(', ')})`, 'run the sink of that version');
    else if (missing.length > 0) findings.warn(`its tables are of an older version: ${missing.join(', ')} is missing`, 'start a sink of this version, which brings them up to date');
    else findings.ok(`its tables are of this version (${ours.length} migrations)`);
  } catch (error) {
    findings.warn(`its tables are not there yet (${reasonOf(error).slice(0, 120)})`, 'start a sink, which makes them');
  }
  return { findings: findings.all, clock };
}
