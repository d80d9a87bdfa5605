/** Interim. */
const known = new Set(Intl.supportedValuesOf('currency'));
export function currencyDecimals(currency: string): number | undefined {
  if (!known.has(currency)) return undefined;
  return new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits;
}
