/**
 * Everything that is wrong with one message, for a person: each finding with its XPath, line, column and rule. The hot path
 * stops at the first; this goes on to the end.
 */
import { DecodedBatch, DecodedBatchWriter } from '../decoded-batch.ts';
import { fieldMapOf } from './field-maps.ts';
import { lineColumn, locateElements, startTags } from './locate.ts';
import { createMessageReader } from './payment-reader.ts';
import type { TableSource } from './payment-reader.ts';
import { MessageScanner } from './scanner.ts';
import type { Finding } from './scanner.ts';
import { openSchemaTable } from './schema-table.ts';
import type { SchemaTable } from './schema-table.ts';

export interface ReportedFinding {
  /** From the Document or the header; empty where the message could not be read at all. */
  readonly xpath: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
  /** A facet or rule of XML Schema, or a code of the contract's section 3. */
  readonly rule: string;
  readonly message: string;
}

export interface MessageReport {
  /** Message definition; null where none was found. */
  readonly type: string | null;
  readonly valid: boolean;
  readonly findings: readonly ReportedFinding[];
}

export interface ReportOptions {
  /** True: of a message that settles, also what the contract asks beyond the XSD (sums, currencies, IBANs). */
  readonly rules: boolean;
}

export type MessageReporter = (bytes: Uint8Array, options: ReportOptions) => MessageReport;

/** Beyond this many the rest adds nothing. */
const findingsMax = 1000;

export function createMessageReporter(tables: TableSource): MessageReporter {
  const known = new Map<string, { readonly table: SchemaTable; readonly plan: null } | null>();
  const scanner = new MessageScanner(
    {
      open(definitionId) {
        let opened = known.get(definitionId);
        if (opened === undefined) {
          const file = tables(definitionId);
          opened = file === null ? null : { table: openSchemaTable(file), plan: null };
          known.set(definitionId, opened);
        }
        return opened;
      },
    },
    { allFindings: true, headers: true, findingsMax },
  );
  const readMessage = createMessageReader(tables);

  return (bytes, { rules }) => {
    const verdict = scanner.scan(bytes, 0, bytes.length);
    const type = scanner.definitionId !== '' ? scanner.definitionId : (scanner.headerIds[0] ?? null);
    if (verdict !== 'readable') {
      const place = lineColumn(bytes, 0, scanner.reasonAt);
      return invalid(type, [{ xpath: '', ...place, rule: verdict, message: scanner.reason }]);
    }
    const findings = reported(bytes, scanner.findings);
    if (scanner.definitionId !== '' && !scanner.validated) {
      const message = `no table for ${scanner.definitionId}: compile its XSD first (npm run compile:schemas)`;
      findings.unshift({ xpath: '/Document', line: 1, column: 1, rule: 'unknown-definition', message });
    }
    if (findings.length > 0) return invalid(type, findings);
    if (rules && fieldMapOf(scanner.definitionId) !== null) {
      const beyond = beyondXsd(bytes, scanner.definitionId, readMessage);
      if (beyond.length > 0) return invalid(type, beyond);
    }
    return { type, valid: true, findings: [] };
  };
}

function invalid(type: string | null, findings: readonly ReportedFinding[]): MessageReport {
  return { type, valid: false, findings };
}

function reported(bytes: Uint8Array, findings: readonly Finding[]): ReportedFinding[] {
  const byElement = [...findings].sort((left, right) => left.elementAt - right.elementAt);
  const paths = locateElements(bytes, 0, bytes.length, byElement.map((finding) => finding.elementAt));
  return byElement
    .map((finding, index) => ({ finding, xpath: paths[index] ?? '' }))
    .sort((left, right) => left.finding.at - right.finding.at)
    .map(({ finding, xpath }) => {
      const child = finding.child === null ? '' : `/${finding.child}`;
      const attribute = finding.attribute === null ? '' : `/@${finding.attribute}`;
      return {
        xpath: xpath + child + attribute,
        ...lineColumn(bytes, 0, finding.at),
        rule: finding.rule,
        message: finding.message,
      };
    });
}

/** What the fleet would reject it for by what the message itself says. */
function beyondXsd(bytes: Uint8Array, definitionId: string, readMessage: ReturnType<typeof createMessageReader>): ReportedFinding[] {
  const type = new TextEncoder().encode(definitionId);
  const source = new Uint8Array(bytes.length + type.length);
  source.set(bytes);
  source.set(type, bytes.length);
  const writer = new DecodedBatchWriter();
  writer.reset();
  writer.beginEvent();
  readMessage(
    {
      bytes: source,
      documentStart: 0,
      documentLength: bytes.length,
      messageTypeStart: bytes.length,
      messageTypeLength: type.length,
    },
    writer,
  );
  const batch = new DecodedBatch(writer.pack(), source);
  const found: { readonly code: string; readonly reason: string }[] = [];
  const code = batch.messageReasonCode(0);
  if (code !== null) found.push({ code, reason: batch.eventText(0, 'reason') ?? '' });
  for (let row = batch.firstTransaction(0); row < batch.endTransaction(0); row++) {
    const formal = batch.formalReasonCode(row);
    if (formal !== null) found.push({ code: formal, reason: batch.transactionText(row, 'reason') ?? '' });
  }
  if (found.length === 0) return [];

  const tags = startTags(bytes, 0, bytes.length);
  const offsetOf = new Map<string, number>();
  locateElements(bytes, 0, bytes.length, tags).forEach((path, index) => offsetOf.set(path, tags[index]!));
  return found.slice(0, findingsMax).map(({ code: rule, reason }) => {
    const end = reason.indexOf(': ');
    const xpath = reason.slice(0, end);
    const at = offsetOf.get(xpath.replace(/\/@[^/]*$/, '')) ?? 0;
    return { xpath, ...lineColumn(bytes, 0, at), rule, message: reason.slice(end + 2) };
  });
}
