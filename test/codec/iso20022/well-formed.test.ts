import { describe, expect, it } from 'vitest';
import { creditTransfer, pacs008 } from './messages.ts';
import { readMessage } from './reading.ts';

const message = pacs008({ transactions: [creditTransfer({ end: '<SplmtryData><Envlp><x/></Envlp></SplmtryData>' })] });
const body = message.slice(message.indexOf('<Document'));
const inName = (text: string): string => message.replace('Erika Muster', text);
const inOpaque = (text: string): string => message.replace('<x/>', text);
const onOpaque = (attributes: string): string => inOpaque(`<x ${attributes}/>`);
const nested = (depth: number): string => '<a>'.repeat(depth) + '</a>'.repeat(depth);
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
const rawName = (text: string): Uint8Array => bytes(Buffer.from(inName('@@')).toString('latin1').replace('@@', text));

describe('XML that is accepted', () => {
  it.each([
    ['as it is', message],
    ['a byte order mark', `\ufeff${message}`],
    ['no declaration', body],
    ['a declaration in lower case', `<?xml version='1.0' encoding='utf-8' standalone='yes' ?>${body}`],
    ['US-ASCII, which is UTF-8', `<?xml version="1.0" encoding="US-ASCII"?>${body}`],
    ['comments and instructions around the root', `<!-- a --><?b c?>${body}<!-- d --><?e?>\n`],
    ['line ends of two bytes', message.replaceAll('\n', '\r\n')],
    ['no white space', message.replaceAll(/>\s+</g, '><')],
    ['references', inName('&lt;&#x41;&#66;&amp;&#x1F600;')],
    ['CDATA', inName('<![CDATA[a < b && c ]] >]]>')],
    ['a comment in a value', inName('Er<!-- < & -->ika')],
    ['brackets', inName('a]] >b]>')],
    ['all of Unicode', inName('é€😀\u0085\ud7ff\ue000\ufffd')],
    ['white space in tags', message.replace('<Nm>', '<Nm\n >').replace('</Nm>', '</Nm\t>')],
    ['schemaLocation', message.replace('<Document ', '<Document xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:schemaLocation="a b" ')],
    ['anything well-formed in the supplementary data', inOpaque('<q:y xmlns:q="urn:q" q:a="1" a="2">t<z xmlns=""/><![CDATA[<]]>&amp;</q:y>')],
    ['another Document in the supplementary data', inOpaque('<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.009.001.08"><x/></Document>')],
    ['names that JavaScript knows', inOpaque('<__proto__ constructor="1"><toString/></__proto__>')],
    ['the prefix xml', onOpaque('xml:lang="en"')],
    ['a prefix taken back to the same namespace', message.replace('<GrpHdr>', '<GrpHdr xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08">')],
    ['nesting of 64', inOpaque(nested(64 - 5))],
  ])('%s', (_, text) => {
    expect(readMessage(text, 'pacs.008.001.08')).toMatchObject({ deadLetter: null, rejection: null });
  });
});

describe('XML that is refused', () => {
  it.each([
    ['nothing', ''],
    ['white space', ' \n'],
    ['a cut end', message.slice(0, -12)],
    ['a cut tag', message.slice(0, 200)],
    ['text before the root', `x${body}`],
    ['text behind the root', `${message}x`],
    ['a NUL behind the root', `${message}\0`],
    ['a second root', `${message}<a/>`],
    ['a second Document', `<a>${body}${body}</a>`],
    ['a Document inside of the Document', message.replace('<ChrgBr>', '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08"/><ChrgBr>')],
    ['no Document', '<a/>'],
    ['a Document of another namespace', body.replace('urn:iso:std:iso:20022:tech:xsd:', 'urn:other:')],
    ['a Document of no namespace', '<Document/>'],
    ['a Document only in a header', `<a><AppHdr>${body}</AppHdr></a>`],
    ['a header that is not well-formed', `<a><AppHdr><b></AppHdr>${body}</a>`],
    ['mismatched tags', message.replace('</Dbtr>', '</Cdtr>')],
    ['an end tag too many', message.replace('</Dbtr>', '</Dbtr></Dbtr>')],
    ['a declaration not at the start', ` ${message}`],
    ['two declarations', `<?xml version="1.0"?>${message}`],
    ['a declaration out of order', `<?xml version="1.0" standalone="yes" encoding="UTF-8"?>${body}`],
    ['a version that is none', `<?xml version="2.0"?>${body}`],
    ['another encoding', `<?xml version="1.0" encoding="ISO-8859-1"?>${body}`],
    ['UTF-16 by declaration', `<?xml version="1.0" encoding="UTF-16"?>${body}`],
    ['US-ASCII with more', `<?xml version="1.0" encoding="US-ASCII"?>${body.replace('Muster', 'Müster')}`],
    ['an entity that is not declared', inName('&nbsp;')],
    ['an ampersand', inName('a & b')],
    ['"<" in a value', inName('a < b')],
    ['"]]>" in a value', inName('a]]>b')],
    ['a reference to NUL', inName('&#0;')],
    ['a reference to a surrogate', inName('&#xD800;')],
    ['a reference beyond Unicode', inName('&#x110000;')],
    ['a reference with leading zeros and nothing else', inName('&#0000000000;')],
    ['a reference without its end', inName('&#65')],
    ['a control character', inName('\u0001')],
    ['U+FFFE', inName('\ufffe')],
    ['two dashes in a comment', inName('<!-- a -- b -->')],
    ['a comment that does not end', inName('<!-- a')],
    ['CDATA outside of the root', `${message}<![CDATA[]]>`],
    ['an unknown declaration', inName('<!ELEMENT a ANY>')],
    ['an instruction named xml', inName('<?XML a?>')],
    ['an attribute twice', onOpaque('a="1" a="2"')],
    ['an attribute twice by its namespace', onOpaque('xmlns:p="urn:p" xmlns:q="urn:p" p:a="1" q:a="2"')],
    ['an attribute without quotes', onOpaque('a=1')],
    ['attributes without a space', onOpaque('a="1"b="2"')],
    ['"<" in an attribute', onOpaque('a="<"')],
    ['an undeclared prefix', inOpaque('<p:x/>')],
    ['an undeclared prefix of an attribute', onOpaque('p:a="1"')],
    ['an empty namespace for a prefix', onOpaque('xmlns:p=""')],
    ['the prefix xmlns declared', onOpaque('xmlns:xmlns="urn:a"')],
    ['the prefix xml given away', onOpaque('xmlns:xml="urn:a"')],
    ['a name that begins with a digit', inOpaque('<1a/>')],
    ['two colons', inOpaque('<a:b:c xmlns:a="urn:a"/>')],
    ['a name of a colon', inOpaque('<:/>')],
  ])('%s', (_, text) => {
    expect(readMessage(text, 'pacs.008.001.08')).toMatchObject({ deadLetter: 'XML_INVALID' });
  });

  it.each([
    ['overlong', '\xc0\xaf'],
    ['overlong of three bytes', '\xe0\x80\xaf'],
    ['a surrogate', '\xed\xa0\x80'],
    ['beyond Unicode', '\xf4\x90\x80\x80'],
    ['latin1', 'M\xfcller'],
    ['cut', '\xe2\x82'],
    ['a stray continuation', '\x80'],
    ['no first byte', '\xff'],
  ])('bytes that are not UTF-8: %s', (_, text) => {
    expect(readMessage(rawName(text), 'pacs.008.001.08')).toMatchObject({ deadLetter: 'XML_INVALID' });
  });

  it('UTF-16', () => {
    expect(readMessage(Uint8Array.from(Buffer.from(`\ufeff${message}`, 'utf16le')), 'pacs.008.001.08').deadLetter).toBe('XML_INVALID');
  });
});

describe('XML that is forbidden', () => {
  it.each([
    ['a document type', `<!DOCTYPE Document>${body}`],
    ['a document type, and nothing that follows matters', '<!DOCTYPE \xff'],
    ['an entity declaration', inOpaque('<!ENTITY a "b">')],
    ['a document type within', inOpaque('<!DOCTYPE a>')],
    ['nesting of 65', inOpaque(nested(65 - 5))],
    ['nesting of 65, not closed', '<a>'.repeat(65)],
    ['nesting of 65 in a broken message', inOpaque(nested(65)).replace('<ChrgBr>', '<x/><ChrgBr>')],
  ])('%s', (_, text) => {
    expect(readMessage(text, 'pacs.008.001.08')).toMatchObject({ deadLetter: 'XML_FORBIDDEN' });
  });

  it('a document type is text in a comment and in CDATA', () => {
    expect(readMessage(inOpaque('<a><!-- <!DOCTYPE a> --><![CDATA[<!DOCTYPE a>]]></a>'), 'pacs.008.001.08').deadLetter).toBeNull();
  });
});
