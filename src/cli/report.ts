/**
 * `settlefleet report day`: a statement for each participant and currency. Exit code 0: it is whole, or, for a day that is not
 * over, as of now. 1: something is missing, which the report says, or it could not be made.
 */
import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import type { Config } from '../config.ts';
import { dayMs } from '../domain/day.ts';
import { normalizeIdentifier } from '../domain/participant.ts';
import { coPartitioned, topicNames } from '../domain/topics.ts';
import { CommandError } from '../errors.ts';
import type { PartitionStanding } from '../report/completeness.ts';
import type { DayReport } from '../report/render.ts';
import { print, tell } from './console.ts';
import type { DefineCommand } from './program.ts';
import { wholeNumber } from './topics.ts';

/** What a report holds in memory at a time. */
const entriesMax = 200_000;
const waitSecondsDefault = 30;

interface Options {
  readonly participant?: string;
  readonly currency?: string;
  readonly entries?: true;
  readonly format: 'text' | 'csv' | 'json';
  readonly wait: number;
  readonly kafka: boolean;
}

export const defineReportCommand: DefineCommand = (program, settings) => {
  const report = program.command('report').description('Reports from ClickHouse, held against Kafka.');
  report
    .command('day')
    .description("A statement for each participant and currency: opening, debits, credits, closing (camt.053's OPBD and CLBD).")
    .argument('<day>', 'a day of UTC: YYYY-MM-DD, today or yesterday', dayOf)
    .option('--participant <id>', 'only this one: BIC, or clearing code and member', participantOf)
    .option('--currency <code>', 'only this one', currencyOf)
    .option('--entries', 'also every debit and credit')
    .addOption(new Option('--format <format>', 'how it is written').choices(['text', 'csv', 'json']).default('text'))
    .option('--wait <seconds>', 'how long the sink and the fleet are waited for', wholeNumber(0, 3600), waitSecondsDefault)
    .option('--no-kafka', 'do not find out from Kafka whether everything is counted; the report says so')
    .action(async (day: string, options: Options, command: Command) => {
      if (Date.parse(`${day}T00:00:00Z`) > Date.now()) command.error(`error: ${day} has not begun`);
      await reportDay(settings(), day, options);
    });
};

async function reportDay(config: Config, day: string, options: Options): Promise<void> {
  const { reportCsv, reportJson, reportLines } = await import('../report/render.ts');
  const made = await makeReport(config, day, options);
  if (options.format === 'json') print(JSON.stringify(reportJson(made)));
  else for (const line of options.format === 'csv' ? reportCsv(made) : reportLines(made)) print(line);
  if (made.state === 'incomplete') {
    throw new CommandError(`The statements of ${day} are incomplete: ${made.reasons[0]}${made.reasons.length > 1 ? `, and ${made.reasons.length - 1} more` : ''}.`);
  }
  if (options.participant !== undefined && made.statements.length === 0) {
    throw new CommandError(`${options.participant} has no statement of ${day}: nothing has moved its position by then.`);
  }
}

async function makeReport(config: Config, day: string, options: Options): Promise<DayReport> {
  const { systemTiming } = await import('../adapters/system/timing.ts');
  const { makeDayReport, TooManyEntriesError } = await import('../report/day-report.ts');
  const { askClickhouse } = await import('./sql.ts');
  const kafka = options.kafka ? await openStandings(config) : null;
  try {
    return await makeDayReport({
      day,
      filter: { participant: options.participant ?? null, currency: options.currency ?? null },
      withEntries: options.entries === true,
      entriesMax,
      ask: async (query) => (await askClickhouse(config, query, 'JSONEachRow')).toString(),
      standings: kafka === null ? null : kafka.read,
      waitMs: options.wait * 1000,
      timing: systemTiming,
      onWait: (reasons) => tell(`Waiting up to ${options.wait} s: ${reasons.join('; ')}.`),
    });
  } catch (error) {
    if (!(error instanceof TooManyEntriesError)) throw error;
    throw new CommandError(`${error.count} entries are more than a report takes (${entriesMax}): name a --participant or a --currency, or ask the view movements with settlefleet sql.`);
  } finally {
    await kafka?.close();
  }
}

async function openStandings(config: Config): Promise<{ readonly read: (dayEndMs: number) => Promise<PartitionStanding[]>; readonly close: () => Promise<void> }> {
  const { requireTopics, topicReader } = await import('./kafka-session.ts');
  const { readStandings } = await import('../report/completeness.ts');
  const topics = topicNames(config.topicPrefix);
  const [inbound] = await requireTopics(config, 'report', coPartitioned(topics));
  const reader = topicReader(config, 'report');
  return {
    read: (dayEndMs) => readStandings({ reader, topics, partitions: inbound!.partitions, dayEndMs }),
    close: () => reader.close(),
  };
}

function dayOf(text: string): string {
  const relative = { today: 0, yesterday: 1 }[text];
  if (relative !== undefined) return new Date(Date.now() - relative * dayMs).toISOString().slice(0, 10);
  // Such as 2026-02-30 is no day, and would be read as another one.
  const time = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : NaN;
  if (Number.isNaN(time) || new Date(time).toISOString().slice(0, 10) !== text) throw new InvalidArgumentError('It must be a day such as 2026-11-22, today or yesterday.');
  return text;
}

function participantOf(text: string): string {
  const identifier = normalizeIdentifier(text);
  if (identifier === null) throw new InvalidArgumentError('It must be a BIC, or a clearing system code and member such as USABA:021040078.');
  return identifier;
}

function currencyOf(text: string): string {
  if (!/^[A-Z]{3}$/.test(text)) throw new InvalidArgumentError('It must be a code such as EUR.');
  return text;
}
