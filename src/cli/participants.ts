/**
 * `settlefleet participants apply FILE`: the file becomes the directory, in one Kafka transaction. Who is not in it is
 * removed, unless money of theirs would be forgotten.
 */
import { readFile } from 'node:fs/promises';
import type { Config } from '../config.ts';
import { formatAmount } from '../domain/amount.ts';
import type { Participant } from '../domain/participant.ts';
import { readParticipantsFile } from '../domain/participants-file.ts';
import { topicNames } from '../domain/topics.ts';
import { CommandError } from '../errors.ts';
import type { TopicReader } from '../ports.ts';
import { keyBytes, valueBytes } from '../codec/record-batch.ts';
import { currencyDecimals } from '../codec/data/currencies.ts';
import { decodeParticipant, encodeParticipant } from '../codec/participant-record.ts';
import { decodePosition } from '../codec/position-record.ts';
import { print, tell, within } from './console.ts';
import type { DefineCommand } from './program.ts';
import { counted } from './topics.ts';

const readBoundMs = 120_000;
const positionsShownMax = 20;

export const defineParticipantsCommand: DefineCommand = (program, settings) => {
  program
    .command('participants')
    .description('The directory: who takes part, with which currencies and debit caps.')
    .command('apply')
    .description('Makes a file the whole directory; workers follow within two seconds.')
    .argument('<file>', 'JSON: [{ "id", "name", "aliases", "currencies": { "EUR": { "debitCap": "1000000.00" } } }]')
    .option('--force', 'remove participants and currencies even where their position is not 0')
    .action((file: string, options: { force?: true }) => applyParticipants(settings(), file, options.force ?? false, print));
};

export async function applyParticipants(
  config: Config,
  path: string,
  force: boolean,
  say: (line: string) => void,
): Promise<void> {
  const wanted = await readFileOf(path);
  const kafka = await import('./kafka-session.ts');
  const { connectTransactionalPublisher } = await import('../adapters/kafka/publisher.ts');

  const names = topicNames(config.topicPrefix);
  const [directory, positions] = await kafka.requireTopics(config, 'participants', [names.participants, names.positions]);
  // Connected before anything is read: whoever applies another file at this moment can no longer publish it.
  const publisher = await connectTransactionalPublisher({
    ...kafka.publisherOptions(config, 'participants'),
    transactionalId: `${config.topicPrefix}participants-apply`,
  });
  const reader = kafka.topicReader(config, 'participants');
  try {
    const present = await readDirectory(reader, names.participants, directory!.partitions);
    const changes = compare(present, wanted);
    if (!force) refuseForgottenMoney(changes.gone, await readPositions(reader, names.positions, positions!.partitions, changes.gone));
    if (changes.records.length > 0) {
      await publisher.publishAll(
        changes.records.map(([key, value]) => ({ topic: names.participants, partition: null, key, value })),
      );
      requireHeld(await readDirectory(reader, names.participants, directory!.partitions), wanted, names.participants);
    }
    say(
      `${names.participants}: ${counted(wanted.length, 'participant')}, ${changes.added} added, ${changes.changed} changed, ${changes.removed} removed`,
    );
  } finally {
    await reader.close();
    await publisher.close();
  }
}

async function readFileOf(path: string): Promise<readonly Participant[]> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path));
  } catch (error) {
    throw new CommandError(`${path} cannot be read: ${(error as Error).message}`);
  }
  const file = readParticipantsFile(text, (currency) => currencyDecimals.get(currency));
  if (file.kind === 'read') return file.participants;
  for (const fault of file.faults) tell(`${fault.path}: ${fault.message}`);
  throw new CommandError(`${path} has ${counted(file.faults.length, 'fault')}; nothing was published.`);
}

/** Every participant's record, as text, by identifier. */
async function readDirectory(reader: TopicReader, topic: string, partitions: number): Promise<Map<string, string>> {
  const records = new Map<string, string>();
  for (let partition = 0; partition < partitions; partition++) {
    await within(
      readBoundMs,
      `Kafka does not let ${topic} be read to its end`,
      reader.readToEnd({ topic, partition, from: null }, (batch) => {
        for (let row = 0; row < batch.count; row++) {
          const key = keyBytes(batch, row);
          const value = valueBytes(batch, row);
          if (key === null) continue;
          const id = Buffer.from(key).toString('utf8');
          if (value === null) records.delete(id);
          else records.set(id, Buffer.from(value).toString('utf8'));
        }
      }),
    );
  }
  return records;
}

interface Changes {
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
  /** Key and value of what is to be published; null removes. */
  readonly records: readonly (readonly [string, string | null])[];
  /** Positions, as `<participant>|<currency>`, that the new directory no longer knows. */
  readonly gone: ReadonlySet<string>;
}

function compare(present: ReadonlyMap<string, string>, wanted: readonly Participant[]): Changes {
  const gone = new Set<string>();
  const records: (readonly [string, string | null])[] = [];
  let added = 0;
  let changed = 0;
  let removed = 0;
  for (const [id, text] of present) for (const currency of currenciesOf(id, text)) gone.add(`${id}|${currency}`);
  for (const participant of wanted) {
    for (const currency of participant.debitCaps.keys()) gone.delete(`${participant.id}|${currency}`);
    const record = encodeParticipant(participant);
    const before = present.get(participant.id);
    if (before === record) continue;
    if (before === undefined) added++;
    else changed++;
    records.push([participant.id, record]);
  }
  const kept = new Set(wanted.map((participant) => participant.id));
  for (const id of present.keys()) {
    if (kept.has(id)) continue;
    removed++;
    records.push([id, null]);
  }
  return { added, changed, removed, records, gone };
}

function currenciesOf(id: string, record: string): Iterable<string> {
  try {
    return decodeParticipant(id, record).debitCaps.keys();
  } catch {
    // Somebody else wrote it, and no worker took it: it holds no positions.
    return [];
  }
}

/** Those of `asked` that are not 0. */
async function readPositions(
  reader: TopicReader,
  topic: string,
  partitions: number,
  asked: ReadonlySet<string>,
): Promise<Map<string, bigint>> {
  const open = new Map<string, bigint>();
  if (asked.size === 0) return open;
  for (let partition = 0; partition < partitions; partition++) {
    await within(
      readBoundMs,
      `Kafka does not let ${topic} be read to its end`,
      reader.readToEnd({ topic, partition, from: null }, (batch) => {
        for (let row = 0; row < batch.count; row++) {
          const key = keyBytes(batch, row);
          if (key === null) continue;
          const name = Buffer.from(key).toString('utf8');
          if (!asked.has(name)) continue;
          const value = valueBytes(batch, row);
          const units = value === null ? 0n : decodePosition(key, value).units;
          if (units === 0n) open.delete(name);
          else open.set(name, units);
        }
      }),
    );
  }
  return open;
}

function refuseForgottenMoney(gone: ReadonlySet<string>, open: ReadonlyMap<string, bigint>): void {
  if (open.size === 0) return;
  const shown = [...open].slice(0, positionsShownMax).map(([name, units]) => {
    const cut = name.lastIndexOf('|');
    return `${name.slice(0, cut)} stands at ${formatAmount(units)} ${name.slice(cut + 1)}`;
  });
  const more = open.size > positionsShownMax ? ` and ${open.size - positionsShownMax} more` : '';
  throw new CommandError(
    `${counted(open.size, 'position')} of the ${gone.size} that would be removed ${open.size === 1 ? 'is' : 'are'} not 0: ${shown.join(', ')}${more}; --force removes them nevertheless.`,
  );
}

function requireHeld(held: ReadonlyMap<string, string>, wanted: readonly Participant[], topic: string): void {
  const missing = wanted.find((participant) => held.get(participant.id) !== encodeParticipant(participant));
  if (missing !== undefined || held.size !== wanted.length) {
    throw new CommandError(`Somebody else changed ${topic} at the same moment: apply the file again.`);
  }
}
