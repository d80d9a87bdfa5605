/**
 * The active currencies and how many decimals each has. Codes without decimals of their own (metals, units of account of
 * banks and funds, testing, "no currency": XAU, XDR, XTS, XXX and the like) are on the list but are not money here.
 *
 * Source: ISO 4217 list one, published 2026-01-01.
 */
const codesByDecimals: Readonly<Record<number, string>> = {
  0: 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF',
  2:
    'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE ' +
    'CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD ' +
    'HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK ' +
    'MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD ' +
    'RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH ' +
    'USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG',
  3: 'BHD IQD JOD KWD LYD OMR TND',
  4: 'CLF UYW',
};

export const currencyListDate = '2026-01-01';

/** Currency code to its number of decimals. */
export const currencyDecimals: ReadonlyMap<string, number> = new Map(
  Object.entries(codesByDecimals).flatMap(([decimals, codes]) =>
    codes.split(' ').map((code): [string, number] => [code, Number(decimals)]),
  ),
);

const codes26 = 26 * 26 * 26;
const decimalsByCode = new Int8Array(codes26).fill(-1);
for (const [code, decimals] of currencyDecimals) {
  decimalsByCode[codeNumber(code.charCodeAt(0), code.charCodeAt(1), code.charCodeAt(2))] = decimals;
}

/** Decimals of the currency whose three letters are these bytes; -1 where there is none. */
export function decimalsOf(first: number, second: number, third: number): number {
  return decimalsByCode[codeNumber(first, second, third)] ?? -1;
}

function codeNumber(first: number, second: number, third: number): number {
  return ((first - 0x41) * 26 + (second - 0x41)) * 26 + (third - 0x41);
}
