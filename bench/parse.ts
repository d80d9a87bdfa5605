// Needs no stack.
/**
 * What it costs to read a payment message: ours (well-formedness, the whole XSD, rows for settlement) beside parsers that
 * do less. CPU time of one thread, all subjects in turn in each round, so that a busy machine hits all of them alike.
 *
 * `./dev bench parse [--rounds 7] [--milliseconds 300]`. libxml2 comes through Python's lxml where that is installed
 * (PYTHON names the interpreter), else through `xmllint --repeat`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { XMLParser } from 'fast-xml-parser';
import { SaxesParser } from 'saxes';
import { DecodedBatch, DecodedBatchWriter } from '../src/codec/decoded-batch.ts';
import { createMessageReader } from '../src/codec/iso20022/payment-reader.ts';
import { readSchemaTable } from '../schemas/iso20022/tables.ts';
import { table } from '../src/cli/console.ts';
import { creditTransfers, initiation } from './parse-messages.ts';
import { progress, Recording, saidDuration, sayHead } from './record.ts';
import type { BenchRound } from './record.ts';
import { readSettings } from './settings.ts';
import { median } from './statistics.ts';

interface Message {
  readonly name: string;
  readonly type: string;
  readonly text: string;
}

interface Subject {
  readonly name: string;
  /** CPU microseconds for one message, over about so many milliseconds. */
  measure(message: Message, milliseconds: number): number;
}

const forms = {
  rounds: { default: 7, what: 'rounds; in each all subjects take their turn' },
  milliseconds: { default: 300, what: 'how long each subject is called in a round' },
} as const;

const xsdFolder = join(import.meta.dirname, '../../shared/iso20022/xsd');

export function run(args: readonly string[]): void {
  const settings = readSettings('parse', forms, args);
  if (settings === null) return;
  const recording = new Recording('parse', args, settings);
  const single = creditTransfers(1);
  const messages: readonly Message[] = [
    { name: 'pacs.008, 1 transaction', type: 'pacs.008.001.08', text: single },
    { name: 'pacs.008, 1 transaction, no white space', type: 'pacs.008.001.08', text: single.replaceAll(/>\s+</g, '><') },
    { name: 'pacs.008, 1,000 transactions', type: 'pacs.008.001.08', text: creditTransfers(1000) },
    { name: 'pain.001, 100 transactions', type: 'pain.001.001.09', text: initiation(100) },
    { name: 'pacs.008, breaks the XSD', type: 'pacs.008.001.08', text: single.replace(/<EndToEndId>.*<\/EndToEndId>/, '') },
    { name: 'pacs.008, not well-formed', type: 'pacs.008.001.08', text: single.replace('</Cdtr>', '</Dbtr>') },
  ];
  const folder = mkdtempSync(join(tmpdir(), 'settlefleet-bench-'));
  try {
    const subjects = [ours(), fastXmlParser(), saxes(), ...libxml2(folder)];
    for (const { name } of subjects) recording.subject(name, name);
    const seconds = (messages.length * subjects.length * settings.rounds * settings.milliseconds * 1.3) / 1000;
    sayHead('parse', [`best and median of ${settings.rounds} rounds`, `takes ${saidDuration(seconds)}`]);
    for (const message of messages) report(message, subjects, settings, recording);
    recording.finish(parseSummary(recording.counted));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function report(message: Message, subjects: readonly Subject[], { rounds, milliseconds }: { readonly rounds: number; readonly milliseconds: number }, recording: Recording): void {
  const size = Buffer.byteLength(message.text);
  const times = new Map<Subject, number[]>(subjects.map((subject) => [subject, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const [subject, taken] of times) {
      progress.show(`${message.name}: round ${round}/${rounds}, ${subject.name}`);
      const microseconds = subject.measure(message, milliseconds);
      taken.push(microseconds);
      recording.add({ round, subject: subject.name, parameters: { message: message.name, bytes: size }, figures: { microsecondsAMessage: microseconds } });
    }
  }
  progress.clear();
  const sorted = subjects.map((subject) => ({ name: subject.name, taken: times.get(subject)!.sort((a, b) => a - b) }));
  const ownTaken = sorted[0]!.taken;
  const ownBest = ownTaken[0]!;
  const ownMedian = ownTaken[ownTaken.length >> 1]!;
  console.log(`${message.name}, ${size} bytes`);
  console.log('| subject | best µs | median µs | MB/s | ours is faster by, best | median |');
  console.log('| --- | ---: | ---: | ---: | ---: | ---: |');
  for (const { name, taken } of sorted) {
    const best = taken[0]!;
    const median = taken[taken.length >> 1]!;
    console.log(`| ${name} | ${best.toFixed(2)} | ${median.toFixed(2)} | ${(size / best).toFixed(0)} | ${(best / ownBest).toFixed(1)} | ${(median / ownMedian).toFixed(1)} |`);
  }
  console.log('');
}

/** How many times as long the others take, in medians. */
export function parseSummary(rounds: readonly BenchRound[]): string[] {
  const subjects = [...new Set(rounds.map(({ subject }) => subject))];
  const messages = [...new Set(rounds.map(({ parameters }) => String(parameters['message'])))];
  const of = (message: string, subject: string): number => median(rounds.filter((one) => one.subject === subject && one.parameters['message'] === message).map(({ figures }) => figures['microsecondsAMessage']!));
  return table(['message', `${subjects[0]}, µs`, ...subjects.slice(1).map((name) => `${name}, times as long`)], messages.map((message) => {
    const [own, ...others] = subjects.map((subject) => of(message, subject));
    return [message, own!.toFixed(2), ...others.map((other) => (other / own!).toFixed(1))];
  }));
}

/** Calls again and again for about so long; microseconds of CPU for each call. */
function timed(milliseconds: number, call: () => void): number {
  const until = performance.now() + milliseconds;
  let count = 0;
  const before = process.cpuUsage();
  for (let step = 1; performance.now() < until; step = Math.min(step * 2, 256)) {
    for (let i = 0; i < step; i++) call();
    count += step;
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

function ours(): Subject {
  const read = createMessageReader(readSchemaTable);
  const writer = new DecodedBatchWriter();
  return {
    name: 'settlefleet: parse, XSD, rows',
    measure({ text, type }, milliseconds) {
      const source = Buffer.from(type + text);
      const bytes = new Uint8Array(new SharedArrayBuffer(source.length));
      bytes.set(source);
      const document = {
        bytes,
        documentStart: type.length,
        documentLength: source.length - type.length,
        messageTypeStart: 0,
        messageTypeLength: type.length,
      };
      const call = (): void => {
        writer.reset();
        writer.beginEvent();
        read(document, writer);
      };
      call();
      const batch = new DecodedBatch(writer.pack(), bytes);
      if (batch.transactionCount === 0 && batch.eventText(0, 'reason') === null) throw new Error('the message was not read');
      return timed(milliseconds, call);
    },
  };
}

function fastXmlParser(): Subject {
  const parser = new XMLParser({ ignoreAttributes: false, parseTagValue: false, parseAttributeValue: false });
  return {
    name: 'fast-xml-parser: parse',
    measure({ text }, milliseconds) {
      const bytes = Buffer.from(text);
      return timed(milliseconds, () => attempt(() => parser.parse(bytes) as unknown));
    },
  };
}

function saxes(): Subject {
  return {
    name: 'saxes: events, namespaces',
    measure({ text }, milliseconds) {
      const bytes = Buffer.from(text);
      return timed(milliseconds, () =>
        attempt(() => {
          const parser = new SaxesParser({ xmlns: true });
          parser.on('error', (error) => {
            throw error;
          });
          parser.write(bytes.toString('utf8')).close();
        }),
      );
    },
  };
}

/** A peer that refuses a message has done its work, too. */
function attempt(call: () => unknown): void {
  try {
    call();
  } catch {
    // Its cost is what is measured.
  }
}

const python = process.env['PYTHON'] ?? 'python3';
const pythonLoop = `
import sys, time
import lxml.etree as etree
source, seconds, xsd = open(sys.argv[1], 'rb').read(), float(sys.argv[2]), sys.argv[3]
schema = etree.XMLSchema(etree.parse(xsd)) if xsd else None
def call():
    try:
        tree = etree.fromstring(source)
        if schema is not None: schema.validate(tree)
    except etree.XMLSyntaxError:
        pass
until, count, before = time.perf_counter() + seconds, 0, time.process_time()
while time.perf_counter() < until:
    for _ in range(8): call()
    count += 8
print((time.process_time() - before) / count * 1e6)
`;

function libxml2(folder: string): Subject[] {
  const hasLxml = spawnSync(python, ['-c', 'import lxml.etree']).status === 0;
  const hasXmllint = spawnSync('xmllint', ['--version']).status === 0;
  if (!hasLxml && !hasXmllint) console.log('libxml2 is not measured: neither lxml nor xmllint is there.');
  if (!existsSync(xsdFolder)) console.log('libxml2 with XSD is not measured: no XSDs in ../shared/iso20022/xsd.');
  if (!hasLxml && !hasXmllint) return [];
  const file = join(folder, 'message.xml');
  const subject = (name: string, withXsd: boolean): Subject => ({
    name: `${name}${hasLxml ? ' (lxml)' : ' (xmllint)'}`,
    measure({ text, type }, milliseconds) {
      writeFileSync(file, text);
      const xsd = withXsd ? join(xsdFolder, `${type}.xsd`) : '';
      if (hasLxml) return Number(spawnSync(python, ['-c', pythonLoop, file, String(milliseconds / 1000), xsd], { encoding: 'utf8' }).stdout);
      const schema = withXsd ? ['--schema', xsd] : [];
      const { stderr } = spawnSync('xmllint', ['--noout', '--memory', '--timing', '--repeat', ...schema, file], { encoding: 'utf8' });
      const timing = /^(\d+) iterations took (\d+) ms/m.exec(stderr);
      return timing === null ? NaN : (Number(timing[2]) * 1000) / Number(timing[1]);
    },
  });
  const parse = subject('libxml2: parse', false);
  return existsSync(xsdFolder) ? [parse, subject('libxml2: parse, XSD', true)] : [parse];
}
