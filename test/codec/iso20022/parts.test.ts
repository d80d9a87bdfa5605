import { describe, expect, it } from 'vitest';
import { currencyDecimals, currencyListDate, decimalsOf } from '../../../src/codec/data/currencies.ts';
import { ibanLengths } from '../../../src/codec/data/iban-lengths.ts';
import { AmountText } from '../../../src/codec/iso20022/amount-text.ts';
import { ibanFault } from '../../../src/codec/iso20022/iban.ts';
import { lineColumn, locateElement, locateElements, startTags } from '../../../src/codec/iso20022/locate.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('an amount as written', () => {
  it.each([
    ['0', 0n, 0],
    ['12.5', 1_250_000n, 1],
    ['+12.50', 1_250_000n, 2],
    [' 7 ', 700_000n, 0],
    ['.00001', 1n, 5],
    ['5.', 500_000n, 0],
    ['9999999999999.99999', 999_999_999_999_999_999n, 5],
    ['34359738367.99999', 3_435_973_836_799_999n, 5],
    ['34359738368.00001', 3_435_973_836_800_001n, 5],
    ['123456789012345678', 12_345_678_901_234_567_800_000n, 0],
    ['-3.10', -310_000n, 2],
  ])('%s is %s units with %s decimals', (text, units, decimals) => {
    const amount = new AmountText();
    amount.read(bytes(text), 0, text.length);
    expect([amount.units(bytes(text), 0, text.length), amount.decimals]).toEqual([units, decimals]);
  });
});

describe('an IBAN', () => {
  it.each([
    ['DE89370400440532013000', null],
    ['GB29NWBK60161331926819', null],
    ['NO9386011117947', null],
    ['MT84MALT011000012345MTLCAST001S', null],
    ['LC55HEMM000100010012001200023015', null],
    ['GB29NWBK60161331926818', 'check-digits'],
    ['GB29NWBK6016133192681', 'length'],
    ['US64SVBKUS6S3300958879', 'country'],
    ['ZZ00', 'country'],
  ])('%s: %s', (text, expected) => {
    expect(ibanFault(bytes(text), 0, text.length)).toBe(expected);
  });

  it('is known for the countries of the registry', () => {
    expect(ibanLengths.size).toBe(89);
  });
});

describe('the currencies', () => {
  it.each([
    ['EUR', 2],
    ['JPY', 0],
    ['KWD', 3],
    ['CLF', 4],
    ['XAF', 0],
    ['XAU', -1],
    ['XXX', -1],
    ['XTS', -1],
    ['XDR', -1],
    ['DEM', -1],
    ['ZZZ', -1],
  ])('%s has %s decimals', (code, decimals) => {
    expect(decimalsOf(code.charCodeAt(0), code.charCodeAt(1), code.charCodeAt(2))).toBe(decimals);
    expect(currencyDecimals.get(code) ?? -1).toBe(decimals);
  });

  it('are dated', () => {
    expect(currencyListDate).toMatch(/^\d{4}-\d{2}-\d{2}$/);
  });
});

describe('the place of an element', () => {
  const text = '<w:Box xmlns:w="u>"><Document><!-- <a> --><a><b/><c>1</c><c>2</c></a>\n<a><c><![CDATA[<c>]]></c></a></Document></w:Box>';
  it('is its XPath from the Document, with positions among siblings of its name', () => {
    const tags = startTags(bytes(text), 0, text.length);
    const paths = ['/Box', '/Document', '/Document/a[1]', '/Document/a[1]/b', '/Document/a[1]/c[1]', '/Document/a[1]/c[2]', '/Document/a[2]', '/Document/a[2]/c'];
    expect(locateElements(bytes(text), 0, text.length, tags)).toEqual(paths);
    expect(tags.map((tag) => locateElement(bytes(text), 0, text.length, tag))).toEqual(paths);
  });

  it('is a line and a column in characters', () => {
    const lines = '\ufeffab\r\nü€x\rz';
    const at = (offset: number) => Object.values(lineColumn(bytes(lines), 0, offset));
    expect([at(3), at(7), at(9), at(12), at(14)]).toEqual([[1, 1], [2, 1], [2, 2], [2, 3], [3, 1]]);
  });
});
