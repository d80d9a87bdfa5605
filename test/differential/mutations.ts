/**
 * Breaks messages in the ways in which they are broken in life, and in those in which only an attacker would: elements
 * dropped, doubled, swapped, renamed; values, characters, tags, attributes and namespaces spoilt. Some mutations leave a
 * message valid; that is wanted, too.
 *
 * Works on latin1 strings, one character a byte, so that bytes that are no UTF-8 can be made.
 */
import type { SeededRandom } from './seeded-random.ts';

interface ElementRange {
  readonly name: string;
  /** Its `<`. */
  readonly start: number;
  readonly contentStart: number;
  readonly contentEnd: number;
  readonly end: number;
  readonly parent: number;
  readonly hasElements: boolean;
}

/** What was done, in words, and what came of it. */
export interface Mutation {
  readonly text: string;
  readonly steps: readonly string[];
}

export function mutate(source: string, random: SeededRandom): Mutation {
  let text = source;
  const steps: string[] = [];
  const count = 1 + (random.next(4) === 0 ? random.next(3) : 0);
  for (let i = 0; i < count; i++) {
    const [name, change] = random.pick(mutators);
    const changed = change(text, random);
    if (changed === null) continue;
    text = changed;
    steps.push(name);
  }
  return { text, steps };
}

function elementsOf(text: string): ElementRange[] {
  const elements: { -readonly [K in keyof ElementRange]: ElementRange[K] }[] = [];
  const open: number[] = [];
  const tag = /<!--[^]*?-->|<!\[CDATA\[[^]*?\]\]>|<\?[^]*?\?>|<(\/?)([^\s<>/]+)[^<>]*?(\/?)>/g;
  for (let match = tag.exec(text); match !== null; match = tag.exec(text)) {
    if (match[2] === undefined) continue;
    if (match[1] === '/') {
      const closed = elements[open.pop() ?? -1];
      if (closed === undefined) return [];
      closed.contentEnd = match.index;
      closed.end = tag.lastIndex;
      continue;
    }
    const parent = open.at(-1) ?? -1;
    if (parent >= 0) elements[parent]!.hasElements = true;
    elements.push({
      name: match[2],
      start: match.index,
      contentStart: tag.lastIndex,
      contentEnd: tag.lastIndex,
      end: tag.lastIndex,
      parent,
      hasElements: false,
    });
    if (match[3] !== '/') open.push(elements.length - 1);
  }
  return open.length === 0 ? elements : [];
}

function inner(text: string, random: SeededRandom): ElementRange | null {
  const elements = elementsOf(text).filter((element) => element.parent >= 0);
  return elements.length === 0 ? null : random.pick(elements);
}

function leaf(text: string, random: SeededRandom): ElementRange | null {
  const elements = elementsOf(text).filter((element) => !element.hasElements && element.contentEnd > element.contentStart);
  return elements.length === 0 ? null : random.pick(elements);
}

function splice(text: string, start: number, end: number, insert: string): string {
  return text.slice(0, start) + insert + text.slice(end);
}

/** UTF-8 bytes of characters, one character a byte. */
function bytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}

const oddValues = [
  '', ' ', '0', '-1', '+1', '00.10', '.5', '5.', '1e5', '0x1F', 'NaN', 'INF', '-0', '1.123456', '123456789012345678', '1234567890123456789',
  '0.1234567890', '12345678901234.12345', '0.000000', '1,5', ' 12.50 ', '1.50000000', '000000000000000000000012.5', '1.0000000000000000000000000',
  '9999999999999.99999', '100000000000000000.0', '12345678901234567890123456', '1 2', '٣', 'EUR', 'eur', 'EURO', 'E', 'true', 'false', '1', 'TRUE', ' true ',
  '2026-11-23', '2026-02-29', '2024-02-29', '2026-13-01', '2026-00-10', '2026-11-31', '0000-01-01', '-0044-03-15', '12026-01-01', '02026-01-01', '26-01-01',
  '2026-11-23Z', '2026-11-23+14:00', '2026-11-23+14:01', '2026-11-23-13:59', '2026-11-23+15:00', '2026-1-1', ' 2026-11-23 ', '2026-11-23 ', '2026-11-23T10:00:00Z ', '2026-11-23T10:00:00 ', '2026-11-23T10:00:00+01:00\n', '2026-11-23T10:00:00.5\n', ' 10:00:00', '10:00:00 ', ' 10:00:00Z ', '1900-02-29', '2000-02-29', '2100-02-29',
  '2026-11-23T10:00:00', '2026-11-23T10:00:00Z', '2026-11-23T10:00:00.123456789+01:00', '2026-11-23T24:00:00', '2026-11-23T24:00:01', '2026-11-23T24:00:00.0',
  '2026-11-23T10:00:60', '2026-11-23T10:60:00', '2026-11-23T25:00:00', '2026-11-23T10:00', '2026-11-23T10:00:00.', '2026-11-23t10:00:00', '2026-11-23T10:00:00z', '2026-11-23 10:00:00', '2026-11-23T10:00:00+1:00',
  '2026-11-23T10:00:00+24:00', '2026-11-23T10:00:00-00:00', '2026-11-23T10:00:00+14:59', '2026-11-23T1:00:00', '10:00:00', '23:59:59.999Z', '2026', '2026-11', '1999Z', '--11', '99999', '2026-11Z', '-2026',
  'COBADEFF', 'COBADEFFXXX', 'COBADEFFXX', 'cobadeff', 'COBADEFF ', ' COBADEFF', 'DE89370400440532013000', 'DE893704004405320130001234567890123456789', 'de89370400440532013000',
  '8a562c67-ca16-48ba-b074-65581be6f001', '8A562C67-CA16-48BA-B074-65581BE6F001', '8a562c67-ca16-58ba-b074-65581be6f001', '+49-301234567', '+49301234567', 'CLRG', 'clrg', 'SLEV', 'NOTPROVIDED', 'DE', 'de', 'DEU',
  '529900T8BM49AURSDO55', 'x'.repeat(35), 'x'.repeat(36), 'x'.repeat(140), 'x'.repeat(141), 'x'.repeat(70), 'x'.repeat(71), 'x'.repeat(16), 'x'.repeat(17), 'x'.repeat(34), 'ü'.repeat(35), 'ü'.repeat(70), '€'.repeat(35), '€'.repeat(36), '😀'.repeat(35), '😀'.repeat(36),
  'QUJD', 'QUJ', 'QUI=', 'QUJ=', 'QQ==', 'QR==', 'QU JD', '====', '"', "'", '>', ']]', 'a]]b', '\t', '\n', ' x ',
].map(bytes);

const spoilers = [
  '<', '>', '&', '"', "'", '/', '=', ' ', '\n', '\r', '\r\n', '\t', '\0', '\x01', '\x1f', '\x7f', ']]>', ']]', '<!', '<?', '--', ':', ';', '#', '&#', '&#x', '&amp', '&amp;', '&lt;', '&gt;', '&quot;', '&apos;', '&nbsp;', '&#32;', '&#10;', '&#13;', '&#9;', '&#x41;', '&#65;', '&#0;', '&#x0;', '&#xD800;', '&#xFFFE;', '&#x110000;', '&#xFFFFFFFFFF;', '&#x1F600;', '&#00065;', '&#;', '&;', '&# 65;', '&#X41;',
  '<![CDATA[]]>', '<![CDATA[x]]>', '<![CDATA[ ]]>', '<![CDATA[<&>]]>', '<![CDATA[]]', '<!---->', '<!-- x -->', '<!-- x -- y -->', '<!--->', '<!-- x --->', '<?pi?>', '<?pi x?>', '<?xml?>', '<?XML x?>', '<?xml-x y?>', '<?a:b c?>', '<? x?>', '<?pi', '<![cdata[x]]>', '<![INCLUDE[x]]>',
  '\x80', '\xc0\x80', '\xc1\xbf', '\xc2', '\xe0\x80\x80', '\xe0\x9f\xbf', '\xed\xa0\x80', '\xed\xbf\xbf', '\xef\xbf\xbe', '\xef\xbf\xbf', '\xef\xbb\xbf', '\xf0\x80\x80\x80', '\xf4\x90\x80\x80', '\xf8\x88\x80\x80\x80', '\xff', '\xfe', '\xe2\x82',
  ...['é', '€', '😀', '\u0085', '\u00a0', '\u2028', '\u200b', '\ud7ff', '\ue000', '\ufffd', '\u{10ffff}', '\u{1fffe}'].map(bytes),
];

const attributes = [
  ' x="1"', ' Ccy="EUR"', " Ccy='EUR'", ' Ccy="eur"', ' Ccy=" EUR"', ' Ccy="EUR "', ' Ccy="E&#85;R"', ' Ccy = "EUR"', '\nCcy="EUR"\n', ' Ccy="EUR" Ccy="EUR"', ' Ccy=EUR', ' Ccy', ' Ccy=""', ' xml:lang="en"', ' xml:space="preserve"', ' y:z="1"',
  ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance"', ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"', ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="false"',
  ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:schemaLocation="a b"', ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="Max35Text"', ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="i:x"', ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:noNamespaceSchemaLocation="a"', ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:foo="a"',
  ' xmlns="urn:other"', ' xmlns=""', ' xmlns:a="urn:a"', ' xmlns:a=""', ' xmlns:a="urn:a" xmlns:b="urn:a" a:x="1" b:x="2"', ' xmlns:xml="urn:a"', ' xmlns:xmlns="urn:a"', ' xmlns:a="http://www.w3.org/XML/1998/namespace"', ' xmlns:xml="http://www.w3.org/XML/1998/namespace"', ' xmlns:a="http://www.w3.org/2000/xmlns/"',
  ' a="<"', ' a="&lt;"', ' a="&"', ' a="&foo;"', ' a="x', " a='x\"'", ' a="1"b="2"', ' :a="1"', ' a:="1"', ' a:b:c="1"', ' 1a="1"', ' -a="1"', ' ä="1"', ' xmlns:ä="urn:a"', ' __proto__="1"', ' constructor="1"',
].map(bytes);

const names = ['X', '__proto__', 'constructor', 'toString', 'Document', 'GrpHdr', 'MsgId', 'SplmtryData', 'Nm', 'Id', 'a:b', ':a', 'a:', '1a', '-a', 'a.b', 'Ã¤', 'Id ', 'Idd', 'I', 'Envlp', 'xml:Id', 'xmlns:Id'];

type Mutator = (text: string, random: SeededRandom) => string | null;

const mutators: readonly (readonly [string, Mutator])[] = [
  ['drop an element', (text, random) => {
    const element = inner(text, random);
    return element && splice(text, element.start, element.end, '');
  }],
  ['double an element', (text, random) => {
    const element = inner(text, random);
    return element && splice(text, element.end, element.end, text.slice(element.start, element.end));
  }],
  ['repeat an element', (text, random) => {
    const element = inner(text, random);
    if (element === null || element.end - element.start > 4000) return null;
    return splice(text, element.end, element.end, text.slice(element.start, element.end).repeat(random.next(15)));
  }],
  ['swap two siblings', (text, random) => {
    const elements = elementsOf(text);
    const first = inner(text, random);
    if (first === null) return null;
    const second = elements.find((element) => element.parent === first.parent && element.start >= first.end);
    if (second === undefined) return null;
    const between = text.slice(first.end, second.start);
    return splice(text, first.start, second.end, text.slice(second.start, second.end) + between + text.slice(first.start, first.end));
  }],
  ['move an element', (text, random) => {
    const element = inner(text, random);
    const target = inner(text, random);
    if (element === null || target === null) return null;
    return splice(text, target.end, target.end, text.slice(element.start, element.end));
  }],
  ['rename an element', (text, random) => {
    const element = inner(text, random);
    if (element === null || element.contentEnd === element.end) return null;
    const others = elementsOf(text);
    const name = random.next(2) === 0 ? random.pick(others).name : random.pick(names);
    const opened = splice(text, element.contentEnd + 2, element.contentEnd + 2 + element.name.length, name);
    return splice(opened, element.start + 1, element.start + 1 + element.name.length, name);
  }],
  ['rename one tag', (text, random) => {
    const element = inner(text, random);
    if (element === null) return null;
    const at = random.next(2) === 0 || element.contentEnd === element.end ? element.start + 1 : element.contentEnd + 2;
    return splice(text, at, at + element.name.length, random.pick(names));
  }],
  ['replace a value', (text, random) => {
    const element = leaf(text, random);
    return element && splice(text, element.contentStart, element.contentEnd, random.pick(oddValues));
  }],
  ['replace a value by another of the message', (text, random) => {
    const element = leaf(text, random);
    const other = leaf(text, random);
    return element && other && splice(text, element.contentStart, element.contentEnd, text.slice(other.contentStart, other.contentEnd));
  }],
  ['spoil a value', (text, random) => {
    const element = leaf(text, random);
    if (element === null) return null;
    const at = element.contentStart + random.next(element.contentEnd - element.contentStart + 1);
    return splice(text, at, at, random.pick(spoilers));
  }],
  ['respell a value', (text, random) => {
    const element = leaf(text, random);
    if (element === null) return null;
    const value = text.slice(element.contentStart, element.contentEnd);
    const respelled = random.pick([
      (): string => `<![CDATA[${value}]]>`,
      (): string => `${value.slice(0, 2)}<!-- c -->${value.slice(2)}`,
      (): string => `${value.slice(0, 1)}<?p i?>${value.slice(1)}`,
      (): string => [...value].map((character) => (character.charCodeAt(0) < 128 && random.next(3) === 0 ? `&#${character.charCodeAt(0)};` : character)).join(''),
      (): string => ` ${value}`,
      (): string => `${value}\n`,
      (): string => `${value.slice(0, 1)}<![CDATA[${value.slice(1)}]]>`,
      (): string => value.replace(/./g, (character) => character.toUpperCase()),
      (): string => value.slice(1),
      (): string => value + value,
    ])();
    return splice(text, element.contentStart, element.contentEnd, respelled);
  }],
  ['spoil what stands between elements', (text, random) => {
    const element = inner(text, random);
    if (element === null) return null;
    const at = random.pick([element.start, element.end]);
    return splice(text, at, at, random.pick([...spoilers, 'x', ' ', '\n\t ', '<X/>', '<X></X>', '0']));
  }],
  ['spoil any place', (text, random) => {
    const at = random.next(text.length + 1);
    return splice(text, at, at, random.pick(spoilers));
  }],
  ['change one byte', (text, random) => {
    const at = random.next(text.length);
    return splice(text, at, at + 1, String.fromCharCode(random.next(256)));
  }],
  ['drop bytes', (text, random) => {
    const at = random.next(text.length);
    return splice(text, at, at + 1 + random.next(3), '');
  }],
  ['cut the end off', (text, random) => text.slice(0, random.next(text.length))],
  ['append', (text, random) => text + random.pick(['\n', ' ', 'x', '<x/>', '<!-- c -->', '<?p i?>', '\0', '&#32;', '<![CDATA[]]>', '<a>', '</a>', '\xef\xbb\xbf'])],
  ['prepend', (text, random) => random.pick(['\n', ' ', 'x', '\xef\xbb\xbf', '\xef\xbb\xbf\xef\xbb\xbf', '<!-- c -->', '<?p i?>', '\xff\xfe']) + text],
  ['change the declaration', (text, random) => {
    const body = text.replace(/^(\xef\xbb\xbf)?<\?xml[^]*?\?>/, '');
    return random.pick([
      '', '<?xml version="1.0"?>', "<?xml version='1.0' encoding='utf-8'?>", '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>', '<?xml version="1.0" standalone="no" ?>',
      '<?xml version="1.1"?>', '<?xml version="2.0"?>', '<?xml encoding="UTF-8"?>', '<?xml version="1.0" standalone="maybe"?>', '<?xml version="1.0" standalone="yes" encoding="UTF-8"?>', '<?xml version="1.0"encoding="UTF-8"?>',
      '<?xml version=1.0?>', '<?xml?>', '<?XML version="1.0"?>', '<?xml version="1.0" encoding=""?>', '<?xml version="1.0" encoding="1"?>', '<?xml version="1.0" encoding="US-ASCII"?>', '<?xml version = "1.0" encoding = "UTF-8" ?>', '<?xml version="1.0" >', '<?xml version="1.0" x="1"?>', '<?xml version="1.0" encoding="utf8"?>',
      '<?xml\nversion="1.0"\nencoding="UTF-8"\n?>', '<?xml version="1.0" encoding="UTF-8"', '\n<?xml version="1.0"?>', '<?xml version="1.0"?><?xml version="1.0"?>', '<?xml version="1.10"?>', '<?xml version="1."?>', '<?xml version="1.a"?>',
    ]) + body;
  }],
  ['add an attribute', (text, random) => {
    const element = inner(text, random);
    if (element === null) return null;
    const at = element.start + 1 + element.name.length;
    return splice(text, at, at, random.pick(attributes));
  }],
  ['spoil an attribute', (text, random) => {
    const found = [...text.matchAll(/ (Ccy|xmlns(:\w+)?)="[^"]*"/g)];
    if (found.length === 0) return null;
    const match = random.pick(found);
    return splice(text, match.index, match.index + match[0].length, random.pick(attributes));
  }],
  ['space a tag', (text, random) => {
    const element = inner(text, random);
    if (element === null) return null;
    const at = random.pick([element.start, element.start + 1, element.start + 1 + element.name.length, element.contentStart - 1, element.contentEnd, element.contentEnd + 1, element.contentEnd + 2, element.end - 1]);
    return splice(text, at, at, random.pick([' ', '\n', '\t', '\r\n', '/', '>']));
  }],
  ['empty an element', (text, random) => {
    const element = inner(text, random);
    if (element === null) return null;
    const tag = text.slice(element.start, element.contentStart).replace(/\/?>$/, '');
    return splice(text, element.start, element.end, random.pick([`${tag}/>`, `${tag} />`, `${tag}></${element.name}>`, `${tag}> </${element.name}>`, `<${element.name}/>`]));
  }],
  ['prefix an element', (text, random) => {
    const element = inner(text, random);
    const uri = /urn:iso:std:iso:20022:tech:xsd:[\w.]+/.exec(text)?.[0];
    if (element === null || uri === undefined || element.contentEnd === element.end) return null;
    const bound = random.pick([` xmlns:q="${uri}"`, ' xmlns:q="urn:other"', '', ` xmlns:q="${uri}" xmlns="urn:other"`, ` xmlns:q="${uri.replace('u', '&#117;')}"`]);
    const closed = splice(text, element.contentEnd + 2, element.contentEnd + 2, 'q:');
    const at = element.start + 1 + element.name.length;
    return splice(splice(closed, at, at, bound), element.start + 1, element.start + 1, 'q:');
  }],
  ['add supplementary data', (text, random) => {
    const elements = elementsOf(text);
    const root = elements[0];
    const body = elements[1];
    if (root === undefined || body === undefined) return null;
    const prefix = root.name.includes(':') ? root.name.slice(0, root.name.indexOf(':') + 1) : '';
    const inside = random.pick(['<x xmlns="urn:x"/>', '<x xmlns="urn:x"><y a="1">z</y></x>', '<x/>', '', 'text', '<x xmlns=""/><y xmlns=""/>', '<x xmlns="urn:x">', '<q:x/>', '<x xmlns="urn:x"><![CDATA[<a>]]></x>', '<x xmlns="urn:x">&amp;</x>', ' <x xmlns="urn:x"/> ', '<!-- c -->', 't<x xmlns="urn:x"/>']);
    return splice(text, body.contentEnd, body.contentEnd, `<${prefix}SplmtryData><${prefix}Envlp>${inside}</${prefix}Envlp></${prefix}SplmtryData>`);
  }],
];
