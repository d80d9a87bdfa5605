import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compiledDefinitions, readSchemaTable } from '../../../schemas/iso20022/tables.ts';
import { compileSchema } from '../../../scripts/schema-compiler/compile.ts';
import { parseXsd } from '../../../scripts/schema-compiler/xsd-model.ts';
import { fieldMaps } from '../../../src/codec/iso20022/field-maps.ts';
import { placeFields } from '../../../src/codec/iso20022/field-places.ts';
import { MessageScanner } from '../../../src/codec/iso20022/scanner.ts';
import { openSchemaTable } from '../../../src/codec/iso20022/schema-table.ts';

const xsdFolder = join(import.meta.dirname, '../../../../shared/iso20022/xsd');
const hasXsds = existsSync(xsdFolder);
if (!hasXsds) console.log('Whether the compiled tables are those of the XSDs is not tested: no XSDs in ../shared/iso20022/xsd.');

const namespace = 'urn:iso:std:iso:20022:tech:xsd:test.001.001.01';
const schema = (body: string): string =>
  `<xs:schema xmlns="${namespace}" xmlns:xs="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified" targetNamespace="${namespace}"><xs:element name="Document" type="Root"/>${body}</xs:schema>`;

/** Which of these contents the schema accepts. */
function accepted(body: string, contents: readonly string[]): string[] {
  const table = openSchemaTable(compileSchema(parseXsd(schema(body))));
  const scanner = new MessageScanner({ open: () => ({ table, plan: null }) }, { allFindings: false, headers: false });
  return contents.filter((content) => {
    const bytes = new TextEncoder().encode(`<Document xmlns="${namespace}">${content}</Document>`);
    return scanner.scan(bytes, 0, bytes.length) === 'readable' && scanner.findings.length === 0;
  });
}

describe('compiled tables', () => {
  it.skipIf(!hasXsds).each(compiledDefinitions())('%s is what its XSD compiles to, byte for byte', (id) => {
    const compiled = compileSchema(parseXsd(readFileSync(join(xsdFolder, `${id}.xsd`), 'utf8')));
    expect(Buffer.compare(compiled, readSchemaTable(id)!)).toBe(0);
  });

  it('are there for every definition that settles, and its field map fits', () => {
    for (const map of fieldMaps) {
      for (const id of map.definitionIds) expect(() => placeFields(map, openSchemaTable(readSchemaTable(id)!))).not.toThrow();
    }
  });

  it('are not looked for under names that are no definitions', () => {
    expect([readSchemaTable('../../package'), readSchemaTable('pacs.008.001.99'), readSchemaTable('')]).toEqual([null, null, null]);
  });
});

const text = '<xs:simpleType name="T"><xs:restriction base="xs:string"/></xs:simpleType>';
const root = (content: string, ...types: string[]): string => `<xs:complexType name="Root">${content}</xs:complexType>${text}${types.join('')}`;
const element = (name: string, occurs = ''): string => `<xs:element name="${name}" type="T" ${occurs}/>`;

describe('a content model', () => {
  const [a, b, c] = ['<a>1</a>', '<b>2</b>', '<c>3</c>'];
  it.each([
    ['sequence', `<xs:sequence>${element('a')}${element('b', 'minOccurs="0"')}${element('c')}</xs:sequence>`, [`${a}${c}`, `${a}${b}${c}`], ['', a, `${c}${a}`, `${a}${b}${b}${c}`]],
    ['choice', `<xs:choice>${element('a')}${element('b')}</xs:choice>`, [a, b], ['', `${a}${b}`, c]],
    ['bounds', `<xs:sequence>${element('a', 'minOccurs="2" maxOccurs="3"')}</xs:sequence>`, [a.repeat(2), a.repeat(3)], [a, a.repeat(4)]],
    ['unbounded', `<xs:sequence>${element('a', 'maxOccurs="unbounded"')}</xs:sequence>`, [a, a.repeat(50)], ['']],
    ['a repeated choice', `<xs:choice minOccurs="0" maxOccurs="2">${element('a')}${element('b')}</xs:choice>`, ['', `${b}${a}`], [a.repeat(3)]],
    ['a choice in a sequence', `<xs:sequence>${element('a')}<xs:choice>${element('b')}${element('c')}</xs:choice></xs:sequence>`, [`${a}${b}`, `${a}${c}`], [a, `${a}${b}${c}`]],
    ['any', '<xs:sequence><xs:any namespace="##any" processContents="lax"/></xs:sequence>', [a, '<x:y xmlns:x="u"/>'], ['', `${a}${b}`, 'text']],
    ['any of one namespace', '<xs:sequence><xs:any namespace="urn:x" processContents="lax"/></xs:sequence>', ['<x:y xmlns:x="urn:x"/>'], [a]],
  ])('%s', (_, content, good, bad) => {
    expect(accepted(root(content), [...good, ...bad])).toEqual(good);
  });
});

describe('a simple type', () => {
  const value = (facets: string, base = 'string'): string =>
    `<xs:complexType name="Root"><xs:sequence><xs:element name="v" type="V"/></xs:sequence></xs:complexType><xs:simpleType name="V"><xs:restriction base="xs:${base}">${facets}</xs:restriction></xs:simpleType>`;
  const pattern = (text: string): string => `<xs:pattern value="${text}"/>`;
  it.each([
    ['pattern with bounds', value(pattern('[A-Z]{2,3}[0-9]?')), ['AB', 'ABC1'], ['A', 'ABCD', 'AB12', '']],
    ['pattern with groups and alternatives', value(pattern('(a|bc)+x*')), ['a', 'abcxx', 'bcbc'], ['b', 'x', 'ax1']],
    ['pattern with escapes', value(pattern('\\+[0-9]{1,3}-[0-9()+\\-]{1,30}')), ['+49-(0)30-1'], ['49-1', '+49']],
    ['pattern with "."', value(pattern('.*Z')), ['Z', 'éZ', '€😀Z', 'Z'.repeat(9)], ['Z1', 'a\nZ']],
    ['pattern with a negated class', value(pattern('[^a]{2}')), ['bc', 'é€'], ['ab', 'é']],
    ['patterns, one of which fits', value(pattern('a') + pattern('b')), ['a', 'b'], ['ab']],
    ['enumeration', value('<xs:enumeration value="AB"/><xs:enumeration value="AC"/>'), ['AB', 'AC'], ['A', 'ABC', 'ab', ' AB']],
    ['length', value('<xs:length value="2"/>'), ['ab', 'ü€'], ['a', 'abc']],
    ['bounds of a number', value('<xs:minInclusive value="-1.5"/><xs:maxInclusive value="10"/>', 'decimal'), ['-1.5', '10.0', '+3'], ['-1.51', '10.01']],
    ['boolean', value('', 'boolean'), ['true', '0', ' 1 '], ['yes', 'TRUE', '']],
    ['base64 in bytes', value('<xs:maxLength value="3"/>', 'base64Binary'), ['QUJD', 'QQ==', 'QU JD', ''], ['QUJDRA==', 'QUJ', 'Q?==']],
    ['time', value('', 'time'), ['10:00:00', '24:00:00Z'], ['24:00:01', '1:00:00', '10:00']],
    ['year', value('', 'gYear'), ['2026', '-0001', '12026', '2026Z'], ['0000', '026', '02026']],
    ['year and month', value('', 'gYearMonth'), ['2026-11', '2026-11+01:00'], ['2026-13', '2026']],
  ])('%s', (_, body, good, bad) => {
    const wrap = (text: string): string => `<v>${text}</v>`;
    expect(accepted(body, [...good, ...bad].map(wrap))).toEqual(good.map(wrap));
  });
});

describe('an XSD that uses more than ISO 20022 does', () => {
  it.each([
    ['a mixed type', schema('<xs:complexType name="Root" mixed="true"><xs:sequence/></xs:complexType>'), /mixed/],
    ['a group', schema('<xs:group name="g"/>'), /group/],
    ['an unknown facet', schema('<xs:simpleType name="Root"><xs:restriction base="xs:string"><xs:whiteSpace value="collapse"/></xs:restriction></xs:simpleType>'), /whiteSpace/],
    ['an unknown base', schema('<xs:simpleType name="Root"><xs:restriction base="xs:float"/></xs:simpleType>'), /float/],
    ['a default', schema(`<xs:complexType name="Root"><xs:sequence><xs:element name="a" type="T" default="1"/></xs:sequence></xs:complexType>${text}`), /default/],
    ['another namespace', schema('').replaceAll('urn:iso', 'urn:other'), /namespace/],
    ['a type that is not there', schema(''), /Root/],
    ['a pattern beyond us', schema(`<xs:simpleType name="Root"><xs:restriction base="xs:string"><xs:pattern value="\\p{Lu}"/></xs:restriction></xs:simpleType>`), /pattern/],
  ])('%s is refused by name', (_, xsd, reason) => {
    expect(() => compileSchema(parseXsd(xsd))).toThrow(reason);
  });
});
