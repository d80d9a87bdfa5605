/**
 * `settlefleet explain`: what became of a payment, from Kafka and ClickHouse. Exit code 0: it is known, also while it is under
 * way. 1: nothing is known of the identifier, and where that was looked for.
 */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { readSchemaTable } from '../../schemas/iso20022/tables.ts';
import { createMessageReporter } from '../codec/iso20022/message-report.ts';
import type { Config } from '../config.ts';
import { coPartitioned, topicNames } from '../domain/topics.ts';
import { CommandError } from '../errors.ts';
import type { Explanation } from '../explain/life.ts';
import type { AskClickhouse } from '../explain/result-search.ts';
import { explanationLines } from '../explain/text.ts';
import { print } from './console.ts';
import { createProgress } from './progress.ts';
import type { DefineCommand } from './program.ts';
import { since } from './time-option.ts';
import { redrivenTopic } from './topic-plan.ts';
import { wholeNumber } from './topics.ts';

const schemaFile = new URL('../../schemas/payment-event.avsc', import.meta.url);
/** Searches side by side: each reader is a client of its own, and partitions are read one after another by each. */
const readersMax = 4;
const registryWaitMs = 3000;
const inboundSearchMs = 24 * 3_600_000;
const identifierCharactersMax = 1000;

interface Options {
  readonly since?: number;
  readonly limit: number;
  readonly json?: true;
  readonly accounts?: true;
  readonly clickhouse: boolean;
}

export const defineExplainCommand: DefineCommand = (program, settings) => {
  program
    .command('explain')
    .description('Tells the whole life of a payment: where it came in, what was decided and why, where the money went, who sent it again.')
    .argument('<id>', 'its UETR, event id, end-to-end id, transaction id or instruction id')
    .option('--since <time>', 'search the inbound topic too, from this time on, ISO 8601, or so long ago: 15m, 6h, 2d (default: only where nothing else knows the id, 24h)', since)
    .option('--limit <n>', 'so many events, and transactions of each, are told', wholeNumber(1, 1000), 20)
    .option('--accounts', 'account numbers in clear (default: masked)')
    .option('--no-clickhouse', 'read all of Kafka instead of asking ClickHouse')
    .option('--json', 'one JSON object instead of text')
    .action(async (id: string, options: Options, command: Command) => {
      if (id.trim() === '' || id.length > identifierCharactersMax) command.error('error: the id must not be empty, and no longer than 1000 characters');
      const explanation = await explainPayment(settings(), id.trim(), options);
      if (options.json === true) print(JSON.stringify(explanation));
      else for (const line of explanationLines(explanation)) print(line);
      if (explanation.found) return;
      // Rows may have expired in ClickHouse whose results are in Kafka still.
      const further = options.clickhouse ? ', --no-clickhouse through all results that Kafka has' : '';
      throw new CommandError(`Nothing is known of ${JSON.stringify(id.trim())}: --since 7d looks further back in the inbound topic${further}.`);
    });
};

/** ClickHouse does not answer: Kafka alone has to do. */
class ClickhouseAwayError extends Error {}

async function explainPayment(config: Config, id: string, options: Options): Promise<Explanation> {
  const { requireTopics, topicReader } = await import('./kafka-session.ts');
  const { explain } = await import('../explain/explain.ts');
  const topics = topicNames(config.topicPrefix);
  const ledger = redrivenTopic(config.topicPrefix);
  const [deadLetter, , inbound] = await requireTopics(config, 'explain', [topics.deadLetter, ledger, ...coPartitioned(topics)]);
  const { partitions } = inbound!;
  const readers = Array.from({ length: Math.min(readersMax, partitions) }, () => topicReader(config, 'explain'));
  const progress = createProgress();
  const ask = async (ofClickhouse: AskClickhouse | null): Promise<Explanation> =>
    explain({
      id,
      topics,
      redrivenTopic: ledger,
      partitions,
      deadLetterPartitions: deadLetter!.partitions,
      readers,
      ask: ofClickhouse,
      windowSeconds: config.dedupeWindowSeconds,
      sinceMs: options.since ?? null,
      inboundSinceMs: Date.now() - inboundSearchMs,
      shownMax: options.limit,
      showAccounts: options.accounts === true,
      schemaOf: await schemaSource(config),
      reportMessage: reporter(),
      clock: Date.now,
      onProgress: (text) => progress.show(text),
    });
  try {
    if (!options.clickhouse) return await ask(null);
    try {
      return await ask(clickhouseOf(config));
    } catch (error) {
      if (!(error instanceof ClickhouseAwayError)) throw error;
      const explanation = await ask(null);
      return { ...explanation, notes: [`ClickHouse was not asked: ${error.message} Everything was read from Kafka, as far as it goes back.`, ...explanation.notes] };
    }
  } finally {
    progress.clear();
    await Promise.all(readers.map((reader) => reader.close()));
  }
}

function clickhouseOf(config: Config): AskClickhouse {
  return async (query, format) => {
    const { askClickhouse } = await import('./sql.ts');
    try {
      return (await askClickhouse(config, query, format)).toString();
    } catch (error) {
      throw new ClickhouseAwayError(error instanceof Error ? error.message : String(error), { cause: error });
    }
  };
}

/** The registry is a help and no need: while it does not answer, events are read by our own schema, which most are written with. */
async function schemaSource(config: Config): Promise<(id: number) => Promise<readonly string[] | null>> {
  const { RegistryClient } = await import('../adapters/registry/client.ts');
  const client = new RegistryClient(config.schemaRegistryUrl);
  const own = [await readFile(schemaFile, 'utf8')];
  const known = new Map<number, readonly string[] | null>();
  let away = false;
  return async (id) => {
    if (known.has(id)) return known.get(id)!;
    let texts: readonly string[] | null = own;
    if (!away) {
      try {
        const schema = await client.schemaById(id, AbortSignal.timeout(registryWaitMs));
        texts = schema.kind === 'avro' ? schema.texts : null;
      } catch {
        away = true;
      }
    }
    known.set(id, texts);
    return texts;
  };
}

function reporter(): (document: Uint8Array) => ReturnType<ReturnType<typeof createMessageReporter>> {
  const report = createMessageReporter(readSchemaTable);
  return (document) => report(document, { rules: true });
}
