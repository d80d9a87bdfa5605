/**
 * `settlefleet verify`: is everything as the fleet promises? Exit code 0: yes. 1: no, and where.
 */
import type { Config } from '../config.ts';
import { coPartitioned, topicNames } from '../domain/topics.ts';
import { CommandError } from '../errors.ts';
import type { StoredRows } from '../verify/clickhouse.ts';
import type { VerifyReport } from '../verify/verify.ts';
import { formatAmount } from '../domain/amount.ts';
import { print, table } from './console.ts';
import { createProgress } from './progress.ts';
import type { DefineCommand } from './program.ts';

interface Options {
  readonly json?: boolean;
  /** Undefined: where it answers. */
  readonly clickhouse?: boolean;
}

export const defineVerifyCommand: DefineCommand = (program, settings) => {
  program
    .command('verify')
    .description('Computes everything anew from Kafka and says where it is not as it must be; also while the fleet runs.')
    .option('--clickhouse', 'fail where ClickHouse cannot be compared (default: compare it where it answers)')
    .option('--no-clickhouse', 'leave ClickHouse out')
    .option('--json', 'one JSON object instead of a report for a person')
    .action(async (options: Options) => {
      const config = settings();
      const { report, notes } = await verify(config, options);
      if (options.json === true) print(JSON.stringify(jsonOf(config, report, notes)));
      else for (const line of linesOf(config, report, notes)) print(line);
      if (report.findingsTotal > 0) {
        throw new CommandError(`${report.findingsTotal} ${report.findingsTotal === 1 ? 'thing is' : 'things are'} wrong with ${config.topicPrefix}*.`);
      }
    });
};

async function verify(config: Config, options: Options): Promise<{ report: VerifyReport; notes: readonly string[] }> {
  const { requireTopics, topicReader } = await import('./kafka-session.ts');
  const { openGroupOffsets } = await import('../adapters/kafka/group-offsets.ts');
  const { verifyFleet } = await import('../verify/verify.ts');
  const topics = topicNames(config.topicPrefix);
  const names = coPartitioned(topics);
  const [deadLetter, inbound, ...others] = await requireTopics(config, 'verify', [topics.deadLetter, ...names]);
  const { partitions } = inbound!;
  others.forEach((topic, i) => {
    if (topic.partitions !== partitions) throw new CommandError(`${names[i + 1]} has ${topic.partitions} partitions, ${topics.inbound} has ${partitions}: they must be equal.`);
  });
  const clickhouse = await reachClickhouse(config, options.clickhouse);
  const readers = {
    results: topicReader(config, 'verify'),
    checkpoints: topicReader(config, 'verify'),
    routed: topicReader(config, 'verify'),
    any: topicReader(config, 'verify'),
  };
  const offsets = await openGroupOffsets({ brokers: config.kafkaBrokers, clientId: 'settlefleet-verify', groupId: config.consumerGroup });
  const progress = createProgress();
  try {
    const report = await verifyFleet({
      topics,
      partitions,
      deadLetterPartitions: deadLetter!.partitions,
      windowSeconds: config.dedupeWindowSeconds,
      readers,
      committed: (places) => offsets.committed(places),
      ask: clickhouse.ask,
      clock: Date.now,
      onProgress: (text) => progress.show(text),
    });
    return { report, notes: [...report.notes, ...clickhouse.notes] };
  } finally {
    progress.clear();
    await Promise.all([offsets.close(), ...Object.values(readers).map((reader) => reader.close())]);
  }
}

async function reachClickhouse(
  config: Config,
  wanted: boolean | undefined,
): Promise<{ readonly ask: ((query: string) => Promise<string>) | null; readonly notes: readonly string[] }> {
  if (wanted === false) return { ask: null, notes: [] };
  const { askClickhouse } = await import('./sql.ts');
  const ask = async (query: string): Promise<string> => (await askClickhouse(config, query, 'TabSeparated')).toString();
  try {
    await ask('SELECT count() FROM results');
    return { ask, notes: [] };
  } catch (error) {
    if (wanted === true) throw error;
    return { ask: null, notes: [`ClickHouse was not compared: ${error instanceof Error ? error.message : String(error)}`] };
  }
}

function linesOf(config: Config, report: VerifyReport, notes: readonly string[]): string[] {
  const compared = report.partitions.some(({ clickhouse }) => clickhouse !== null);
  const rows = report.partitions.map((one) => {
    const wrong = report.findings.filter(({ partition }) => partition === one.partition).length;
    const stored = one.clickhouse === null ? [] : [storedText(one.clickhouse)];
    return [one.partition, one.commit, one.results, one.sequence, one.positions, ...stored, wrong === 0 ? 'ok' : `${wrong} wrong`];
  });
  const lines = table(['partition', 'commit', 'results', 'sequence', 'positions', ...(compared ? ['clickhouse'] : []), 'state'], rows);
  lines.push('');
  for (const { kind, topic, partition, offset, message } of report.findings) {
    const place = partition < 0 ? topic : `${topic}-${partition}${offset === null ? '' : ` offset ${offset}`}`;
    lines.push(`WRONG (${kind}) ${place}: ${message}.`);
  }
  if (report.findingsTotal > report.findings.length) lines.push(`... and ${report.findingsTotal - report.findings.length} more of the same kinds.`);
  for (const note of notes) lines.push(`Note: ${note}`);
  const currencies = Array.from(report.sums, ([currency, sum]) => `${currency} ${formatAmount(sum)}`).sort();
  lines.push(
    `Positions and credits under way add up to: ${currencies.join(', ') || 'nothing yet'} (${report.recordsUnderWay} records of credits under way).`,
    `${report.results} results and ${report.deadLetters} dead letters of group ${config.consumerGroup} in ${report.seconds.toFixed(1)} s: ` +
      (report.findingsTotal === 0 ? 'everything is as it must be.' : `${report.findingsTotal} wrong.`),
  );
  return lines;
}

function storedText({ rows, behind, expired }: StoredRows): string {
  return `${rows}${behind === 0 ? '' : `, ${behind} behind`}${expired === 0 ? '' : `, ${expired} past retention`}`;
}

function jsonOf(config: Config, report: VerifyReport, notes: readonly string[]): Record<string, unknown> {
  return {
    ok: report.findingsTotal === 0,
    prefix: config.topicPrefix,
    group: config.consumerGroup,
    ...report,
    notes,
    sums: Object.fromEntries(Array.from(report.sums, ([currency, sum]) => [currency, formatAmount(sum)])),
  };
}
