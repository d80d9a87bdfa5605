/** What this process itself is given: Node, cores, threads, files, memory; and the settings that it was started with. */
import { access, constants, mkdir } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { resolve } from 'node:path';
import type { Config } from '../config.ts';
import { Findings, reasonOf } from './finding.ts';
import type { Finding } from './finding.ts';

const nodeMajorMin = 24;
const threadPoolMin = 8;
/** Sockets to every broker by several clients, Redis, the registry, and the embedded ClickHouse's parts. */
const openFilesMin = 4096;
/** A worker takes 200 to 400 MiB, and up to 64 MiB each of records that wait and of answers that wait. */
const memoryBytesMin = 768 << 20;

export interface MachineFacts {
  readonly nodeVersion: string;
  readonly cores: number;
  readonly threadPoolSize: number;
  /** Null: without a limit. */
  readonly openFiles: number | null;
  readonly memoryBytes: number;
  /** The packed bridge to Kafka, and why it is in force or not. */
  readonly kafkaBridge: { readonly inForce: boolean; readonly reason: string };
}

export function machineFacts(threadPoolSize: number, kafkaBridge: MachineFacts['kafkaBridge']): MachineFacts {
  const report = process.report.getReport() as { readonly userLimits?: { readonly open_files?: { readonly soft: number | string } } };
  const openFiles = Number(report.userLimits?.open_files?.soft);
  // Without a control group, the limit is larger than what there is.
  const limit = process.constrainedMemory();
  return {
    nodeVersion: process.versions.node,
    cores: availableParallelism(),
    threadPoolSize,
    openFiles: Number.isFinite(openFiles) ? openFiles : null,
    memoryBytes: limit > 0 ? Math.min(limit, totalmem()) : totalmem(),
    kafkaBridge,
  };
}

export function judgeMachine(facts: MachineFacts, config: Pick<Config, 'parserThreads' | 'kafkaBridge'>): Finding[] {
  const findings = new Findings('machine');
  const { nodeVersion, cores, threadPoolSize, openFiles, memoryBytes, kafkaBridge } = facts;
  if (Number.parseInt(nodeVersion, 10) >= nodeMajorMin) findings.ok(`Node ${nodeVersion}`);
  else findings.wrong(`Node ${nodeVersion}, expected ${nodeMajorMin} or newer`, `install Node ${nodeMajorMin}`);

  if (config.parserThreads >= cores && config.parserThreads > 1) {
    findings.warn(`PARSER_THREADS ${config.parserThreads} on ${cores} cores: the main thread, which settles, must share its core`, `set it to ${Math.max(1, cores - 1)}`);
  } else findings.ok(`PARSER_THREADS ${config.parserThreads} on ${cores} cores`);

  if (threadPoolSize < threadPoolMin) {
    findings.warn(`UV_THREADPOOL_SIZE ${threadPoolSize}: Kafka waits in these threads, and commits then wait for them`, `leave it unset, or set it to ${threadPoolMin} or more`);
  } else findings.ok(`UV_THREADPOOL_SIZE ${threadPoolSize}`);

  if (openFiles !== null && openFiles < openFilesMin) {
    findings.warn(`at most ${openFiles} open files`, `raise the limit to ${openFilesMin} or more (ulimit -n, LimitNOFILE)`);
  } else findings.ok(`at most ${openFiles ?? 'any number of'} open files`);

  const mebibytes = Math.round(memoryBytes / (1 << 20));
  if (memoryBytes < memoryBytesMin) findings.warn(`${mebibytes} MiB of memory`, `give it ${memoryBytesMin >> 20} MiB or more`);
  else findings.ok(`${mebibytes} MiB of memory`);

  const without = `records go over the Kafka client's own API: ${kafkaBridge.reason}`;
  if (kafkaBridge.inForce) findings.ok(`records go over the packed bridge: ${kafkaBridge.reason}`);
  else if (config.kafkaBridge === 'off') findings.ok(without);
  else if (config.kafkaBridge === 'auto') findings.warn(`${without}; it takes about three times the CPU`, 'run ./dev install where there is a C compiler, or set KAFKA_BRIDGE=off');
  else findings.wrong(`KAFKA_BRIDGE is required, and ${without}`, 'run ./dev install where there is a C compiler, or set KAFKA_BRIDGE=auto');
  return findings.all;
}

export async function judgeSettings(
  config: Pick<Config, 'schemaCacheDir'>,
  misspelt: readonly { readonly name: string; readonly meant: string }[],
): Promise<Finding[]> {
  const findings = new Findings('settings');
  for (const { name, meant } of misspelt) findings.warn(`${name} is set, and is no setting`, `did you mean ${meant}? It has its default value now`);
  if (misspelt.length === 0) findings.ok('no variable looks like a setting misspelt');
  const directory = resolve(config.schemaCacheDir);
  try {
    await mkdir(directory, { recursive: true });
    await access(directory, constants.W_OK);
    findings.ok(`SCHEMA_CACHE_DIR ${directory} can be written`);
  } catch (error) {
    findings.warn(`SCHEMA_CACHE_DIR ${directory} cannot be written (${reasonOf(error)}): no schema outlives an outage of the registry together with a restart`, 'give it a folder that can be written');
  }
  return findings.all;
}
