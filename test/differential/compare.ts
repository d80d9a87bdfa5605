/** Holds our verdicts against libxml2's, message by message, and names each difference that is not documented. */
import { judge } from './oracle.ts';
import type { OracleVerdict } from './oracle.ts';
import { xsdDefinitions, xsdOf } from './corpus.ts';
import { MessageScanner } from '../../src/codec/iso20022/scanner.ts';

export interface Trial {
  readonly definitionId: string;
  /** One character a byte. */
  readonly text: string;
  /** For a person: where it comes from. */
  readonly origin: string;
}

export interface Difference {
  readonly trial: Trial;
  readonly ours: string;
  readonly libxml2: OracleVerdict;
}

export interface Comparison {
  readonly count: number;
  readonly accepted: number;
  readonly differences: readonly Difference[];
  /** Differences that docs/iso20022.md lists, by name. */
  readonly documented: ReadonlyMap<string, number>;
}

const definitions = xsdDefinitions();
const first = new MessageScanner(definitions, { allFindings: false, headers: false });
const all = new MessageScanner(definitions, { allFindings: true, headers: false });

/** '' for a valid message of this definition, else why not. */
export function ourVerdict(definitionId: string, bytes: Uint8Array): string {
  const quick = verdictOf(first, definitionId, bytes);
  const whole = verdictOf(all, definitionId, bytes);
  if ((quick === '') !== (whole === '')) throw new Error(`the first finding and all findings disagree: "${quick}", "${whole}"`);
  return quick;
}

function verdictOf(scanner: MessageScanner, definitionId: string, bytes: Uint8Array): string {
  const verdict = scanner.scan(bytes, 0, bytes.length);
  if (verdict !== 'readable') return `${verdict}: ${scanner.reason}`;
  if (scanner.definitionId !== definitionId) return `another definition: ${scanner.definitionId}`;
  const finding = scanner.findings[0];
  return finding === undefined ? '' : `FF01: ${finding.rule}: ${finding.message}`;
}

export function compare(trials: readonly Trial[], folder: string): Comparison {
  const byDefinition = Map.groupBy(trials, (trial) => trial.definitionId);
  const differences: Difference[] = [];
  const documented = new Map<string, number>();
  let accepted = 0;
  for (const [definitionId, group] of byDefinition) {
    const messages = group.map((trial) => Buffer.from(trial.text, 'latin1'));
    const verdicts = judge(xsdOf(definitionId)!, messages, folder);
    const open: Difference[] = [];
    group.forEach((trial, index) => {
      const ours = ourVerdict(definitionId, Uint8Array.from(messages[index]!));
      const theirs = verdicts[index]!;
      if (ours === '') accepted++;
      if ((ours === '') === theirs.valid) return;
      const known = stricterByDesign(trial.text, ours, theirs);
      if (known === null) open.push({ trial, ours, libxml2: theirs });
      else documented.set(known, (documented.get(known) ?? 0) + 1);
    });
    // What lies inside SplmtryData is opaque to us, while libxml2 looks for declarations that it knows there. So: does it
    // agree once something harmless is in there?
    const [accepting, others] = [open.filter(({ ours }) => ours === ''), open.filter(({ ours }) => ours !== '')];
    differences.push(...others);
    const emptied = accepting.map(({ trial }) => Buffer.from(withoutSupplementaryData(trial.text), 'latin1'));
    judge(xsdOf(definitionId)!, emptied, folder).forEach((verdict, index) => {
      if (!verdict.valid) differences.push(accepting[index]!);
      else documented.set(insideOpaque, (documented.get(insideOpaque) ?? 0) + 1);
    });
  }
  return { count: trials.length, accepted, differences, documented };
}

const insideOpaque = 'what lies inside SplmtryData (we look at it less closely)';

function withoutSupplementaryData(text: string): string {
  return text.replace(/(<((?:[\w.-]+:)?)Envlp\s*>)[^]*?(<\/\2Envlp\s*>)/g, '$1<x xmlns=""/>$3');
}

/**
 * The short list of docs/iso20022.md ("Where we differ from libxml2") of what we refuse, each with what shows that it is
 * meant. Null: not on it.
 */
function stricterByDesign(text: string, ours: string, libxml2: OracleVerdict): string | null {
  if (!libxml2.valid) return null;
  for (const [name, isMeant] of stricter) if (isMeant(text, ours)) return name;
  return null;
}

const stricter: readonly (readonly [string, (text: string, ours: string) => boolean])[] = [
  ['a NUL byte behind the root element', (text, ours) => text.includes('\0') && ours.includes('outside of the root')],
  ['other bytes behind the root element of what is declared as US-ASCII', (text, ours) => /US-ASCII/.test(text) && ours.includes('outside of the root')],
  ['version "1."', (text, ours) => /version\s*=\s*["']1\.["']/.test(text) && ours.includes('XML declaration')],
  ['an encoding other than UTF-8', (_, ours) => ours.includes('encoding other than UTF-8')],
  ['a document type declaration', (_, ours) => ours.startsWith('XML_FORBIDDEN: a document type')],
  ['other characters in base64', (_, ours) => ours.includes('is not a base64Binary')],
  ['nesting deeper than 64', (_, ours) => ours.startsWith('XML_FORBIDDEN: elements nested')],
];
