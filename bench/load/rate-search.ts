/**
 * The highest rate that something sustains: steps upwards until one is not sustained, then halves of what lies between.
 * The answer is a rate that was tried and held.
 */
export interface RateSearch {
  /** Tried first. */
  readonly from: number;
  /** Each step upwards is so many times the last. */
  readonly factor: number;
  /** Ends when the lowest rate that failed is at most so much (as a share) above the highest that held. */
  readonly resolution: number;
  readonly triesMax: number;
  tryRate(rate: number): Promise<boolean>;
}

export interface RateSearched {
  /** Null: not even the lowest rate that was tried held. */
  readonly highest: number | null;
  /** The lowest that failed; null: none did. */
  readonly failed: number | null;
  readonly tries: readonly { readonly rate: number; readonly held: boolean }[];
}

export async function searchRate(search: RateSearch): Promise<RateSearched> {
  const { from, factor, resolution, triesMax } = search;
  let highest: number | null = null;
  let failed: number | null = null;
  const tries: { rate: number; held: boolean }[] = [];
  let rate = from;
  while (tries.length < triesMax) {
    const held = await search.tryRate(rate);
    tries.push({ rate, held });
    if (held) highest = rate;
    else failed = rate;
    if (failed === null) rate = Math.round(rate * factor);
    else if (highest === null) rate = Math.round(failed / factor);
    else if (failed / highest - 1 <= resolution) break;
    else rate = Math.round((highest + failed) / 2);
    if (rate < 1 || rate === highest || rate === failed) break;
  }
  return { highest, failed, tries };
}
