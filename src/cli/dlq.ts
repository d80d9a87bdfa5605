/**
 * `settlefleet dlq list|show|redrive`: what the fleet could not understand, why, and back again once the cause is gone.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import avro from 'avsc';
import type { Config } from '../config.ts';
import { schemaIdAt, wireHeaderBytes } from '../codec/wire-format.ts';
import { deadLetterCodes } from '../domain/codes.ts';
import { topicNames } from '../domain/topics.ts';
import { CommandError } from '../errors.ts';
import type { TopicReader } from '../ports.ts';
import { print, table, tell } from './console.ts';
import { deadLetterEnds, placeOf, readDeadLetter, readDeadLetters } from './dead-letters.ts';
import type { DeadLetter } from './dead-letters.ts';
import { ledgerKey, readLedger, redrive } from './redrive.ts';
import type { DefineCommand } from './program.ts';
import { since } from './time-option.ts';
import { redrivenTopic } from './topic-plan.ts';
import { counted, wholeNumber } from './topics.ts';

const schemaFile = new URL('../../schemas/payment-event.avsc', import.meta.url);
const limitDefault = 100;
const rateDefault = 100;
const keyShownMax = 40;
const reasonShownMax = 120;

export const defineDlqCommand: DefineCommand = (program, settings) => {
  const dlq = program.command('dlq').description('Dead letters: events that could not be understood, kept byte for byte.');

  filters(dlq.command('list').description('Lists dead letters, the newest last.'))
    .option('--limit <n>', 'the newest so many', wholeNumber(1, 1_000_000), limitDefault)
    .option('--json', 'one JSON object a line')
    .action((options: ListOptions) => listLetters(settings(), options));

  dlq
    .command('show')
    .description('Shows one dead letter: its headers, and what its value is.')
    .argument('<partition:offset>', 'as "dlq list" names it', place)
    .option('--value [file]', 'write the original bytes to a file, or to standard output')
    .option('--document [file]', 'write the XML document in it to a file, or to standard output')
    .action((at: Place, options: ShowOptions) => showLetter(settings(), at, options));

  filters(
    dlq.command('redrive').description('Sends dead letters to the inbound topic again; says what it would do, until --yes.'),
  )
    .argument('[partition:offset...]', 'single letters', places, [])
    .option('--all', 'all letters')
    .option('--yes', 'do it')
    .option('--rate <n>', 'letters a second', wholeNumber(1, 100_000), rateDefault)
    .option('--again', 'also letters that were redriven before')
    .action((at: Place[], options: RedriveCommandOptions, command: Command) => {
      const selections = [at.length > 0, options.all === true, options.code !== undefined].filter(Boolean).length;
      if (selections !== 1) command.error('error: name the letters as PARTITION:OFFSET, or by --code, or --all');
      return redriveLetters(settings(), at, options);
    });
};

interface Place {
  readonly partition: number;
  readonly offset: number;
}

interface FilterOptions {
  readonly code?: string;
  readonly since?: number;
}

interface ListOptions extends FilterOptions {
  readonly limit: number;
  readonly json?: true;
}

interface ShowOptions {
  readonly value?: string | true;
  readonly document?: string | true;
}

interface RedriveCommandOptions extends FilterOptions {
  readonly all?: true;
  readonly yes?: true;
  readonly again?: true;
  readonly rate: number;
}

function filters(command: Command): Command {
  return command
    .addOption(new Option('--code <code>', 'only letters with this code').choices(deadLetterCodes))
    .option('--since <time>', 'only letters from this time on, ISO 8601, or so long ago: 15m, 6h, 2d', since);
}

async function withLetters<T>(
  config: Config,
  work: (session: { readonly reader: TopicReader; readonly topic: string; readonly ends: readonly number[]; readonly ledgerTopic: string }) => Promise<T>,
): Promise<T> {
  const { requireTopics, topicReader } = await import('./kafka-session.ts');
  const topic = topicNames(config.topicPrefix).deadLetter;
  const ledgerTopic = redrivenTopic(config.topicPrefix);
  const [letters] = await requireTopics(config, 'dlq', [topic, ledgerTopic]);
  const reader = topicReader(config, 'dlq');
  try {
    return await work({ reader, topic, ledgerTopic, ends: await deadLetterEnds(reader, topic, letters!.partitions) });
  } finally {
    await reader.close();
  }
}

interface Line {
  readonly place: string;
  readonly code: string;
  readonly failedAt: string;
  readonly origin: string;
  readonly key: string | null;
  readonly valueBytes: number | null;
  readonly reason: string;
  readonly redriven: boolean;
}

async function listLetters(config: Config, options: ListOptions): Promise<void> {
  await withLetters(config, async ({ reader, topic, ends, ledgerTopic }) => {
    const redriven = await readLedger(reader, ledgerTopic);
    let lines: { at: number; line: Line }[] = [];
    let matching = 0;
    const newest = (): void => {
      lines = lines.sort((one, other) => one.at - other.at).slice(-options.limit);
    };
    await readDeadLetters(reader, { topic, ends, sinceMs: options.since ?? null }, (letter) => {
      if (options.code !== undefined && letter.code !== options.code) return;
      matching++;
      lines.push({ at: letter.timestamp, line: lineOf(letter, redriven.has(ledgerKey(letter))) });
      if (lines.length > options.limit * 2 + 1000) newest();
    });
    newest();
    for (const text of options.json ? lines.map(({ line }) => JSON.stringify(line)) : asTable(lines.map(({ line }) => line))) {
      print(text);
    }
    if (lines.length < matching) tell(`The newest ${lines.length} of ${matching}; --limit shows more.`);
  });
}

function lineOf(letter: DeadLetter, redriven: boolean): Line {
  return {
    place: placeOf(letter),
    code: letter.code,
    failedAt: letter.failedAt,
    origin: letter.origin,
    key: letter.key === null ? null : Buffer.from(letter.key).toString('utf8'),
    valueBytes: letter.value === null ? null : letter.value.length,
    reason: letter.reason,
    redriven,
  };
}

function asTable(lines: readonly Line[]): string[] {
  if (lines.length === 0) return ['No dead letters.'];
  return table(
    ['letter', 'code', 'failed at', 'from', 'key', 'bytes', 'redriven', 'reason'],
    lines.map((line) => [
      line.place,
      line.code,
      line.failedAt,
      line.origin,
      printable(line.key ?? 'null', keyShownMax),
      line.valueBytes ?? 'null',
      line.redriven ? 'yes' : '',
      printable(line.reason, reasonShownMax),
    ]),
  );
}

/** Bytes of strangers go to a terminal: no control characters, no lines without end. */
function printable(text: string, most: number): string {
  const plain = text.replace(/\p{C}/gu, '?');
  return plain.length > most ? `${plain.slice(0, most - 3)}...` : plain;
}

async function showLetter(config: Config, at: Place, options: ShowOptions): Promise<void> {
  await withLetters(config, async ({ reader, topic, ends, ledgerTopic }) => {
    const letter = at.partition < ends.length ? await readDeadLetter(reader, topic, at.partition, at.offset) : undefined;
    if (letter === undefined) throw new CommandError(`There is no dead letter at ${placeOf(at)} of ${topic}.`);
    if (options.value !== undefined) return await writeBytes(letter.value ?? new Uint8Array(), options.value);

    const event = await decodeEvent(letter.value);
    if (options.document !== undefined) {
      if (event === null) throw new CommandError(`The value of ${placeOf(at)} is not a PaymentEvent; --value gives its bytes.`);
      return await writeBytes(event.document, options.document);
    }
    const redriven = (await readLedger(reader, ledgerTopic)).has(ledgerKey(letter));
    const rows: [string, string][] = [
      ['letter', `${topic}/${letter.partition}/${letter.offset}`],
      ['written at', new Date(letter.timestamp).toISOString()],
      ['redriven', redriven ? 'yes' : 'no'],
      ['key', letter.key === null ? 'null' : printable(Buffer.from(letter.key).toString('utf8'), 200)],
      ...letter.headers.map(({ key, value }): [string, string] => [
        `header ${printable(key, 60)}`,
        value === null ? 'null' : printable(Buffer.from(value).toString('utf8'), 400),
      ]),
      ['value', describeValue(letter.value)],
    ];
    if (event !== null) {
      rows.push(
        ['event id', printable(event.eventId, 100)],
        ['message type', printable(event.messageType, 100)],
        ['source', printable(event.source, 100)],
        ['created at', safeIso(event.createdAt)],
        ['document', `${event.document.length} bytes; --document writes it`],
      );
    }
    const width = Math.max(...rows.map(([name]) => name.length));
    for (const [name, text] of rows) print(`${name.padEnd(width)}  ${text}`);
  });
}

function describeValue(value: Uint8Array | null): string {
  if (value === null) return 'null';
  const schemaId = schemaIdAt(value, 0, value.length);
  return `${counted(value.length, 'byte')}, ${schemaId < 0 ? 'not in the wire format' : `schema id ${schemaId}`}; --value writes them`;
}

interface DecodedEvent {
  readonly eventId: string;
  readonly messageType: string;
  readonly source: string;
  readonly createdAt: number;
  readonly document: Uint8Array;
}

/** As our own schema says; null when the value is anything else. */
async function decodeEvent(value: Uint8Array | null): Promise<DecodedEvent | null> {
  if (value === null || schemaIdAt(value, 0, value.length) < 0) return null;
  const type = avro.Type.forSchema(JSON.parse(await readFile(schemaFile, 'utf8')) as avro.Schema);
  try {
    return type.fromBuffer(Buffer.from(value).subarray(wireHeaderBytes)) as DecodedEvent;
  } catch {
    // Written with another schema, or no Avro at all: the headers say which.
    return null;
  }
}

function safeIso(milliseconds: number): string {
  const date = new Date(milliseconds);
  return Number.isNaN(date.getTime()) ? `${milliseconds} ms` : date.toISOString();
}

async function writeBytes(bytes: Uint8Array, target: string | true): Promise<void> {
  if (target === true) {
    await new Promise<void>((resolve, reject) =>
      process.stdout.write(bytes, (error) => (error == null ? resolve() : reject(error))),
    );
    return;
  }
  await writeFile(target, bytes).catch((error: unknown) => {
    throw new CommandError(`${target} cannot be written: ${(error as Error).message}`);
  });
}

async function redriveLetters(config: Config, at: readonly Place[], options: RedriveCommandOptions): Promise<void> {
  const single = new Set(at.map(placeOf));
  const met = new Set<string>();
  const wanted = (letter: DeadLetter): boolean => {
    if (single.size > 0) {
      if (!single.has(placeOf(letter))) return false;
      met.add(placeOf(letter));
    }
    return options.code === undefined || letter.code === options.code;
  };
  const sinceMs = options.since ?? null;

  await withLetters(config, async ({ reader, topic, ends, ledgerTopic }) => {
    if (options.yes !== true) {
      const ledger = options.again ? new Set<string>() : await readLedger(reader, ledgerTopic);
      let due = 0;
      let skipped = 0;
      await readDeadLetters(reader, { topic, ends, sinceMs }, (letter) => {
        if (!wanted(letter)) return;
        if (ledger.has(ledgerKey(letter))) {
          skipped++;
          return;
        }
        due++;
        print(`would redrive ${placeOf(letter)}  ${letter.code}  ${letter.origin}  ${printable(letter.reason, reasonShownMax)}`);
      });
      requireMet(single, met, topic);
      print(`${counted(due, 'letter')} would be redriven${skippedText(skipped)}. Nothing was done; --yes does it.`);
      return;
    }
    const { connectTransactionalPublisher } = await import('../adapters/kafka/publisher.ts');
    const { publisherOptions } = await import('./kafka-session.ts');
    const publisher = await connectTransactionalPublisher({
      ...publisherOptions(config, 'dlq'),
      transactionalId: `${config.topicPrefix}dlq-redrive`,
    });
    try {
      const outcome = await redrive({
        reader,
        publisher,
        deadLetterTopic: topic,
        ends,
        sinceMs,
        inboundTopic: topicNames(config.topicPrefix).inbound,
        ledgerTopic,
        wanted,
        again: options.again === true,
        ratePerSecond: options.rate,
        onRedriven: (letters) => {
          for (const letter of letters) print(`redriven ${letter}`);
        },
      });
      requireMet(single, met, topic);
      print(`${counted(outcome.redriven, 'letter')} redriven${skippedText(outcome.skipped)}.`);
    } finally {
      await publisher.close();
    }
  });
}

function skippedText(skipped: number): string {
  return skipped === 0 ? '' : `, ${skipped} left because redriven before (--again takes them too)`;
}

function requireMet(single: ReadonlySet<string>, met: ReadonlySet<string>, topic: string): void {
  const missing = [...single].filter((letter) => !met.has(letter));
  if (missing.length > 0) throw new CommandError(`There is no dead letter at ${missing.join(', ')} of ${topic}.`);
}

function place(text: string): Place {
  const match = /^(\d{1,6}):(\d{1,15})$/.exec(text);
  if (match === null) throw new InvalidArgumentError('It must be PARTITION:OFFSET, e.g. 3:42.');
  return { partition: Number(match[1]), offset: Number(match[2]) };
}

function places(text: string, earlier: readonly Place[]): Place[] {
  return [...earlier, place(text)];
}
