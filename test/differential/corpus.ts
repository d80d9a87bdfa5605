/**
 * Messages from many schemes and banks, and the XSDs that they are held against. Both lie beside the checkout where they
 * lie at all: they are not ours to commit.
 */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { compileSchema } from '../../scripts/schema-compiler/compile.ts';
import { parseXsd } from '../../scripts/schema-compiler/xsd-model.ts';
import { fieldMapOf } from '../../src/codec/iso20022/field-maps.ts';
import { placeFields } from '../../src/codec/iso20022/field-places.ts';
import type { DefinitionSource } from '../../src/codec/iso20022/scanner.ts';
import { openSchemaTable } from '../../src/codec/iso20022/schema-table.ts';

const shared = join(import.meta.dirname, '../../../shared/iso20022');
export const xsdFolder = join(shared, 'xsd');
export const samplesFolder = join(shared, 'samples');

export const corpusIsThere = existsSync(xsdFolder) && existsSync(samplesFolder);

export function xsdOf(definitionId: string): string | null {
  const file = join(xsdFolder, `${definitionId}.xsd`);
  return existsSync(file) ? file : null;
}

/** Compiles each definition from its XSD when it is first asked for. */
export function xsdDefinitions(): DefinitionSource {
  const known = new Map<string, ReturnType<DefinitionSource['open']>>();
  return {
    open(definitionId) {
      let opened = known.get(definitionId);
      if (opened === undefined) {
        const xsd = /^[a-z]{4}[\d.]+$/.test(definitionId) ? xsdOf(definitionId) : null;
        opened = null;
        if (xsd !== null) {
          const table = openSchemaTable(compileSchema(parseXsd(readFileSync(xsd, 'utf8'))));
          const map = fieldMapOf(definitionId);
          opened = { table, plan: map === null ? null : placeFields(map, table).plan };
        }
        known.set(definitionId, opened);
      }
      return opened;
    },
  };
}

export interface Sample {
  readonly file: string;
  readonly definitionId: string;
  readonly isDocument: boolean;
  /** The Document alone, one character a byte. */
  readonly text: string;
}

/** Every Document of the corpus that stands by itself: with its namespace on it, and an XSD that is there. */
export function readSamples(): Sample[] {
  const samples: Sample[] = [];
  for (const file of filesUnder(samplesFolder)) {
    const text = readFileSync(file).toString('latin1');
    const root = /<((?:[\w.-]+:)?)(Document)\b[^>]*>/.exec(text);
    if (root === null) continue;
    const prefix = root[1]!.slice(0, -1);
    const declaration = new RegExp(`\\sxmlns${prefix === '' ? '' : `:${prefix}`}\\s*=\\s*["']urn:iso:std:iso:20022:tech:xsd:([^"']+)["']`);
    const definitionId = declaration.exec(root[0])?.[1];
    if (definitionId === undefined || xsdOf(definitionId) === null) continue;
    const head = text.slice(0, root.index).replace(/^\xef\xbb\xbf/, '');
    const isBare = /^\s*(<\?xml[^]*?\?>)?(\s|<!--[^]*?-->)*$/.test(head);
    const end = text.indexOf(`</${root[1]!}Document`);
    const close = end < 0 ? -1 : text.indexOf('>', end) + 1;
    const document = isBare ? text : close <= 0 ? '' : text.slice(root.index, close);
    if (document !== '') samples.push({ file, definitionId, isDocument: isBare, text: document });
  }
  return samples;
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder)
    .sort()
    .flatMap((name) => {
      const path = join(folder, name);
      return statSync(path).isDirectory() ? filesUnder(path) : [path];
    });
}
