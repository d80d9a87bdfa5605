/**
 * Reads an ISO 20022 XSD into plain values. ISO's XSDs use a small part of W3C XML Schema 1.0; whatever lies outside of it
 * is refused by name here, so that no rule is dropped in silence.
 */
import { XMLParser } from 'fast-xml-parser';
import { valueKinds } from '../../src/codec/iso20022/schema-table.ts';

export type Particle =
  | { readonly kind: 'element'; readonly name: string; readonly type: string; readonly min: number; readonly max: number }
  | { readonly kind: 'any'; readonly namespace: string; readonly min: number; readonly max: number }
  | {
      readonly kind: 'sequence' | 'choice';
      readonly parts: readonly Particle[];
      readonly min: number;
      readonly max: number;
    };

export interface Attribute {
  readonly name: string;
  readonly type: string;
  readonly required: boolean;
}

export interface ComplexType {
  readonly kind: 'complex';
  readonly name: string;
  readonly content: Particle;
}

/** A simple value with attributes, e.g. an amount with its currency. */
export interface ExtendedType {
  readonly kind: 'extended';
  readonly name: string;
  readonly base: string;
  readonly attributes: readonly Attribute[];
}

export type Builtin = (typeof valueKinds)[number];

/** Bounds are decimal texts as the XSD has them; lengths count characters (bytes for base64Binary). */
export interface SimpleType {
  readonly kind: 'simple';
  readonly name: string;
  readonly base: Builtin;
  readonly patterns: readonly string[];
  readonly enumeration: readonly string[];
  readonly minLength: number | null;
  readonly maxLength: number | null;
  readonly totalDigits: number | null;
  readonly fractionDigits: number | null;
  readonly minInclusive: string | null;
  readonly maxInclusive: string | null;
}

export type SchemaType = ComplexType | ExtendedType | SimpleType;

export interface SchemaModel {
  /** Message definition identifier, e.g. `pacs.008.001.08`. */
  readonly definitionId: string;
  readonly rootName: string;
  readonly rootType: string;
  readonly types: ReadonlyMap<string, SchemaType>;
}

/** Occurrence `unbounded`. */
export const UNBOUNDED = -1;
const namespacePrefix = 'urn:iso:std:iso:20022:tech:xsd:';

interface Node {
  readonly tag: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly Node[];
}

/** Throws an error that names the construct where the XSD uses one that ISO 20022's XSDs do not. */
export function parseXsd(text: string): SchemaModel {
  const schema = toNodes(parser.parse(text)).find((node) => node.tag === 'schema');
  if (schema === undefined) throw new Error('no xs:schema in the file');
  const namespace = schema.attributes['targetNamespace'] ?? '';
  if (!namespace.startsWith(namespacePrefix)) {
    throw new Error(`target namespace "${namespace}" is not an ISO 20022 one (${namespacePrefix}...)`);
  }
  if (schema.attributes['elementFormDefault'] !== 'qualified') throw new Error('elementFormDefault is not "qualified"');

  const types = new Map<string, SchemaType>();
  let root: Node | null = null;
  for (const node of schema.children) {
    const name = required(node, 'name');
    if (node.tag === 'element') {
      if (root !== null) throw new Error(`a second global element: ${name}`);
      root = node;
    } else if (node.tag === 'complexType') types.set(name, complexType(node, name));
    else if (node.tag === 'simpleType') types.set(name, simpleType(node, name));
    else throw new Error(`xs:${node.tag} is not known at the top of an ISO 20022 XSD`);
  }
  if (root === null) throw new Error('no global element');
  return {
    definitionId: namespace.slice(namespacePrefix.length),
    rootName: required(root, 'name'),
    rootType: required(root, 'type'),
    types,
  };
}

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: '',
  parseTagValue: false,
  parseAttributeValue: false,
  ignoreDeclaration: true,
  ignorePiTags: true,
});

function toNodes(parsed: unknown): Node[] {
  const nodes: Node[] = [];
  for (const item of parsed as Record<string, unknown>[]) {
    const key = Object.keys(item).find((name) => name !== ':@');
    if (key === undefined || key.startsWith('#')) continue;
    const tag = key.slice(key.indexOf(':') + 1);
    if (tag === 'annotation') continue;
    nodes.push({
      tag,
      attributes: (item[':@'] ?? {}) as Record<string, string>,
      children: toNodes(item[key]),
    });
  }
  return nodes;
}

function complexType(node: Node, name: string): ComplexType | ExtendedType {
  onlyAttributes(node, ['name']);
  const [content, ...rest] = node.children;
  if (content === undefined || rest.length > 0) throw new Error(`complex type ${name} does not hold exactly one content`);
  if (content.tag === 'simpleContent') {
    const [extension] = content.children;
    if (extension?.tag !== 'extension') throw new Error(`${name}: simpleContent without an extension`);
    return {
      kind: 'extended',
      name,
      base: required(extension, 'base'),
      attributes: extension.children.map((child) => {
        if (child.tag !== 'attribute') throw new Error(`${name}: xs:${child.tag} in an extension`);
        onlyAttributes(child, ['name', 'type', 'use']);
        const use = child.attributes['use'] ?? 'optional';
        if (use === 'prohibited') throw new Error(`${name}: a prohibited attribute`);
        return { name: required(child, 'name'), type: required(child, 'type'), required: use === 'required' };
      }),
    };
  }
  return { kind: 'complex', name, content: particle(content, name) };
}

function particle(node: Node, owner: string): Particle {
  const min = Number(node.attributes['minOccurs'] ?? '1');
  const maxText = node.attributes['maxOccurs'] ?? '1';
  const max = maxText === 'unbounded' ? UNBOUNDED : Number(maxText);
  switch (node.tag) {
    case 'element':
      onlyAttributes(node, ['name', 'type', 'minOccurs', 'maxOccurs']);
      return { kind: 'element', name: required(node, 'name'), type: required(node, 'type'), min, max };
    case 'any':
      onlyAttributes(node, ['namespace', 'processContents', 'minOccurs', 'maxOccurs']);
      return { kind: 'any', namespace: node.attributes['namespace'] ?? '##any', min, max };
    case 'sequence':
    case 'choice':
      onlyAttributes(node, ['minOccurs', 'maxOccurs']);
      return { kind: node.tag, parts: node.children.map((child) => particle(child, owner)), min, max };
    default:
      throw new Error(`${owner}: xs:${node.tag} is not known in a content model`);
  }
}

function simpleType(node: Node, name: string): SimpleType {
  const [restriction, ...rest] = node.children;
  if (restriction?.tag !== 'restriction' || rest.length > 0) throw new Error(`simple type ${name} is not one restriction`);
  const base = required(restriction, 'base').replace(/^[^:]*:/, '') as Builtin;
  if (!valueKinds.includes(base)) throw new Error(`${name}: base ${base} is not known`);
  const facets = new Map<string, string[]>();
  for (const facet of restriction.children) {
    if (!knownFacets.has(facet.tag)) throw new Error(`${name}: facet xs:${facet.tag} is not known`);
    const values = facets.get(facet.tag) ?? [];
    values.push(required(facet, 'value'));
    facets.set(facet.tag, values);
  }
  const count = (facet: string): number | null => {
    const value = facets.get(facet)?.[0];
    return value === undefined ? null : Number(value);
  };
  const length = count('length');
  return {
    kind: 'simple',
    name,
    base,
    patterns: facets.get('pattern') ?? [],
    enumeration: facets.get('enumeration') ?? [],
    minLength: length ?? count('minLength'),
    maxLength: length ?? count('maxLength'),
    totalDigits: count('totalDigits'),
    fractionDigits: count('fractionDigits'),
    minInclusive: facets.get('minInclusive')?.[0] ?? null,
    maxInclusive: facets.get('maxInclusive')?.[0] ?? null,
  };
}

const knownFacets = new Set([
  'pattern',
  'enumeration',
  'length',
  'minLength',
  'maxLength',
  'totalDigits',
  'fractionDigits',
  'minInclusive',
  'maxInclusive',
]);

function required(node: Node, attribute: string): string {
  const value = node.attributes[attribute];
  if (value === undefined) throw new Error(`xs:${node.tag} has no ${attribute}`);
  return value;
}

function onlyAttributes(node: Node, known: readonly string[]): void {
  const odd = Object.keys(node.attributes).find((name) => !known.includes(name));
  if (odd !== undefined) throw new Error(`xs:${node.tag} has an attribute that is not known: ${odd}`);
}
