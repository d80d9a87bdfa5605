/**
 * What a measurement leaves behind: a JSON file in .dev/bench with the machine, the versions, the settings, the commit and
 * each round's figures, from which `./dev bench report` draws; and what it says on the terminal while it runs.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { dirname, join, relative } from 'node:path';
import packageJson from '../package.json' with { type: 'json' };
import { createProgress } from '../src/cli/progress.ts';

export const recordFormat = 'settlefleet-bench/1';
export const benchFolder = join(import.meta.dirname, '../.dev/bench');

export interface BenchRound {
  /** 1, 2, 3, ...; rounds of one number were measured one right after the other. */
  readonly round: number;
  readonly subject: string;
  /** What this round was told beyond the settings of the whole, e.g. the rate. */
  readonly parameters: Readonly<Record<string, number | string | boolean>>;
  /** Named with their unit at the end. */
  readonly figures: Readonly<Record<string, number | null>>;
  /** HdrHistograms, compressed, base64: microseconds. */
  readonly histograms: Readonly<Record<string, string>>;
  /** Points over time or another axis. */
  readonly series: Readonly<Record<string, readonly (readonly [number, number])[]>>;
  /** Why it does not count; empty: it counts. */
  readonly discarded: readonly string[];
}

export interface BenchRecord {
  readonly format: typeof recordFormat;
  readonly name: string;
  readonly command: string;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly system: string;
    readonly loadBefore: readonly number[];
    readonly loadAfter: readonly number[];
  };
  readonly versions: Readonly<Record<string, string>>;
  readonly git: { readonly commit: string; readonly hasChanges: boolean };
  readonly settings: Readonly<Record<string, unknown>>;
  readonly subjects: Readonly<Record<string, string>>;
  /** Subjects that could not be measured here, and why. */
  readonly skipped: Readonly<Record<string, string>>;
  readonly rounds: readonly BenchRound[];
  /** Lines of the table at the end, as printed. */
  readonly summary: readonly string[];
}

export class Recording {
  readonly #name: string;
  readonly #args: readonly string[];
  readonly #settings: Readonly<Record<string, unknown>>;
  readonly #startedAt = new Date();
  readonly #loadBefore = loadavg();
  readonly #versions = versions();
  readonly #git = gitState();
  readonly #subjects: Record<string, string> = {};
  readonly #skipped: Record<string, string> = {};
  readonly #rounds: BenchRound[] = [];
  readonly #folder: string;

  constructor(name: string, args: readonly string[], settings: Readonly<Record<string, unknown>>, folder = benchFolder) {
    this.#folder = folder;
    this.#name = name;
    this.#args = args;
    this.#settings = settings;
  }

  subject(name: string, what: string): void {
    this.#subjects[name] = what;
  }

  skip(name: string, reason: string): void {
    this.#skipped[name] = reason;
  }

  add(round: Partial<BenchRound> & Pick<BenchRound, 'round' | 'subject'>): BenchRound {
    const whole = { parameters: {}, figures: {}, histograms: {}, series: {}, discarded: [], ...round };
    this.#rounds.push(whole);
    // Whatever ends the run, what was measured until then is kept.
    this.#write(['This run has not come to its end.']);
    return whole;
  }

  /** One subject's turn. When it fails, that is a discarded round, and the others go on. */
  async turn(round: number, subject: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      progress.clear();
      const reason = error instanceof Error ? error.message : String(error);
      this.add({ round, subject, discarded: [`it failed: ${reason}`] });
      console.log(`round ${round}  ${subject}  FAILED: ${reason}`);
    }
  }

  /** Rounds that count. */
  get counted(): readonly BenchRound[] {
    return this.#rounds.filter(({ discarded }) => discarded.length === 0);
  }

  /** Writes the file, prints the table and where the file is. Nothing that counts: exit code 1. */
  finish(summary: readonly string[]): void {
    const file = this.#write(summary);
    console.log('');
    for (const line of summary) console.log(line);
    const discarded = this.#rounds.length - this.counted.length;
    if (discarded > 0) console.log(`\n${discarded} round(s) discarded; the file says why.`);
    if (this.counted.length === 0) process.exitCode = 1;
    console.log(`\n${relative(process.cwd(), file)}; ./dev bench report draws it`);
  }

  /** Gives the path of the file. */
  #write(summary: readonly string[]): string {
    const record: BenchRecord = {
      format: recordFormat,
      name: this.#name,
      command: ['./dev bench', this.#name, ...this.#args].join(' '),
      startedAt: this.#startedAt.toISOString(),
      endedAt: new Date().toISOString(),
      machine: { ...machine(), loadBefore: this.#loadBefore, loadAfter: loadavg() },
      versions: this.#versions,
      git: this.#git,
      settings: this.#settings,
      subjects: this.#subjects,
      skipped: this.#skipped,
      rounds: this.#rounds,
      summary,
    };
    mkdirSync(this.#folder, { recursive: true });
    const file = join(this.#folder, `${this.#name}-${record.startedAt.replaceAll(/[:.]/g, '-')}.json`);
    writeFileSync(file, `${JSON.stringify(record, null, 1)}\n`);
    return file;
  }
}

/** Reads a file that a measurement left behind. Throws with what is wrong with it. */
export function readRecord(file: string): BenchRecord {
  const record = JSON.parse(readFileSync(file, 'utf8')) as unknown;
  const has = (name: string): unknown => (record as Record<string, unknown> | null)?.[name];
  if (has('format') !== recordFormat) throw new Error(`${file} is no ${recordFormat}`);
  for (const name of ['machine', 'versions', 'git', 'settings', 'subjects', 'skipped', 'rounds', 'summary']) {
    if (typeof has(name) !== 'object' || has(name) === null) throw new Error(`${file} has no ${name}`);
  }
  return record as BenchRecord;
}

export function sayHead(name: string, lines: readonly string[]): void {
  const { cpu, cores } = machine();
  console.log(`${name}: Node ${process.version}, ${cores} x ${cpu}, ${new Date().toISOString().slice(0, 10)}, commit ${gitState().commit.slice(0, 7)}${gitState().hasChanges ? ' with changes' : ''}; load ${loadavg().map((load) => load.toFixed(1)).join(' ')}`);
  for (const line of lines) console.log(line);
  console.log('');
}

/** `about 12 minutes`, printed before anything is measured. */
export function saidDuration(seconds: number): string {
  return seconds < 90 ? `about ${Math.ceil(seconds / 5) * 5} s` : `about ${Math.ceil(seconds / 60)} minutes`;
}

export const progress = createProgress({ everyMs: 0 });

function machine(): { cpu: string; cores: number; memoryBytes: number; system: string } {
  return { cpu: cpus()[0]?.model ?? 'unknown CPU', cores: cpus().length, memoryBytes: totalmem(), system: `${platform()} ${release()} ${arch()}` };
}

function versions(): Record<string, string> {
  const require = createRequire(import.meta.url);
  const client = require('@confluentinc/kafka-javascript') as { librdkafkaVersion: string };
  return {
    settlefleet: packageJson.version,
    node: process.version,
    librdkafka: client.librdkafkaVersion,
    ...packageVersions(['@confluentinc/kafka-javascript', 'ioredis', 'piscina', 'avsc', 'fast-xml-parser', 'hdr-histogram-js']),
    java: output(process.env['STACK_JAVA'], ['-version']).match(/"([^"]+)"/)?.[1] ?? 'unknown',
    redis: output(process.env['STACK_REDIS_SERVER'], ['--version']).match(/v=([\d.]+)/)?.[1] ?? 'unknown',
    kafka: /<kafka\.version>([^<]+)/.exec(readFileSync(join(import.meta.dirname, '../scripts/dev/components/pom.xml'), 'utf8'))?.[1] ?? 'unknown',
  };
}

function packageVersions(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => {
    const text = readFileSync(join(import.meta.dirname, '../node_modules', name, 'package.json'), 'utf8');
    return [name, (JSON.parse(text) as { version: string }).version];
  }));
}

function gitState(): { commit: string; hasChanges: boolean } {
  const git = (...args: string[]): string => output('git', ['-C', dirname(import.meta.dirname), ...args]).trim();
  return { commit: git('rev-parse', 'HEAD') || 'unknown', hasChanges: git('status', '--porcelain', '--untracked-files=no') !== '' };
}

/** What a program says of itself, on either output; nothing where there is no such program. */
function output(program: string | undefined, args: readonly string[]): string {
  if (program === undefined || program === '') return '';
  const { stdout, stderr } = spawnSync(program, [...args], { encoding: 'utf8' }) as { stdout: string | null; stderr: string | null };
  return stdout || stderr || '';
}
