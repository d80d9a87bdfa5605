/** Messages made to be slow: each about as large as the fleet reads, in the shapes that have hurt other parsers. */
import { creditTransfer, pacs008 } from './messages.ts';

export const hostileBytes = 1 << 20;

export function hostileMessages(): readonly (readonly [string, string])[] {
  const message = pacs008({ transactions: [creditTransfer({ end: '<SplmtryData><Envlp><x/></Envlp></SplmtryData>' })] });
  const body = message.slice(message.indexOf('<Document'));
  const fill = (unit: string, length = hostileBytes): string => unit.repeat(Math.ceil(length / unit.length)).slice(0, length - (length % unit.length));
  const many = (make: (index: number) => string, length = hostileBytes): string => {
    const parts: string[] = [];
    for (let size = 0, index = 0; size < length; index++) {
      const part = make(index);
      parts.push(part);
      size += part.length;
    }
    return parts.join('');
  };
  const opaque = (text: string): string => message.replace('<x/>', `<x>${text}</x>`);
  const name = (text: string): string => message.replace('Erika Muster', text);
  const transfer = creditTransfer();
  const count = Math.floor(hostileBytes / transfer.length);
  return [
    ['as many transactions as fit', pacs008({ transactions: Array.from({ length: count }, () => transfer) })],
    ['as many broken transactions as fit', pacs008({ transactions: Array.from({ length: count }, () => creditTransfer({ debtorAccount: 'DE00370400440532013000' })) })],
    ['elements that are not known', message.replace('<ChrgBr>', `${fill('<a/>')}<ChrgBr>`)],
    ['siblings of one name before a finding', message.replace('<ChrgBr>', `${fill('<Dbtr></Dbtr>')}<ChrgBr>`)],
    ['small elements in the supplementary data', opaque(fill('<a/>'))],
    ['attributes', opaque(many((i) => `<a${' '}${Array.from({ length: 60 }, (_, a) => `b${i}c${a}="1"`).join(' ')}/>`))],
    ['attributes of one tag', opaque(`<a ${many((i) => `b${i}="1" `)}/>`)],
    ['attributes twice by their namespaces', opaque(many(() => `<a ${Array.from({ length: 30 }, (_, a) => `xmlns:p${a}="urn:${a}" p${a}:b="1"`).join(' ')}/>`))],
    ['namespaces', opaque(`<a ${Array.from({ length: 60 }, (_, a) => `xmlns:prefix${a}="urn:namespace:${a}"`).join(' ')}>${fill('<prefix0:b/>')}</a>`)],
    ['namespaces of one tag', opaque(`<a ${many((i) => `xmlns:b${i}="urn:b" `)}/>`)],
    ['a long name', opaque(`<${fill('a')}/>`)],
    ['a long value', name(fill('a'))],
    ['a long value beyond ASCII', name(fill('ü', hostileBytes / 2))],
    ['references', name(fill('&#65;'))],
    ['a reference of many zeros', name(`&#${fill('0')}65;`)],
    ['CDATA sections', name(fill('<![CDATA[]]>'))],
    ['comments', name(fill('<!---->'))],
    ['a comment', `<!--${fill('- ')}-->${body}`],
    ['instructions', `${fill('<?a?>')}${body}`],
    ['brackets', name(fill(']'))],
    ['returns', name(fill('\r'))],
    ['white space', message.replace('<ChrgBr>', `${fill(' ')}<ChrgBr>`)],
    ['references to white space between elements', message.replace('<ChrgBr>', `${fill('&#32;')}<ChrgBr>`)],
    ['comments between elements', message.replace('<ChrgBr>', `${fill('<!---->')}<ChrgBr>`)],
    ['prefixes declared again and again', message.replace('<ChrgBr>', `${fill('<!---->', 1000)}<ChrgBr>`).replaceAll('<Nm>', '<Nm xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08">')],
    ['digits', message.replace('100.00', fill('9'))],
    ['a long IBAN', message.replace('DE89370400440532013000', `DE89${fill('1')}`)],
    ['a long attribute', message.replace('"EUR"', `"${fill('E')}"`)],
    ['a declaration that does not end', `<?xml version="1.0" ${fill(' ')}`],
    ['nesting', fill('<a>')],
    ['tags that do not end', fill('<')],
    ['an end that is far', name(`${fill('a')}<`)],
  ];
}
