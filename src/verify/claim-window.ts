/**
 * The identities that one settlement partition has claimed, and when, as hashes in one flat table: 16 bytes a claim. Two
 * claims on one identity within the window are wrong. A hash may lie, so a hit is a suspicion only, which the caller holds
 * against the texts themselves.
 */
const slotsInitial = 1 << 12;
const fullest = 0.6;

export class ClaimWindow {
  readonly #windowMs: number;
  #mask = slotsInitial - 1;
  #used = 0;
  #high = new Uint32Array(slotsInitial);
  #low = new Uint32Array(slotsInitial);
  /** The earliest that the claim can have been made; 0 is an empty slot. */
  #times = new Float64Array(slotsInitial);
  #newest = 0;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /**
   * Notes a claim that was made between `receivedAt` and `settledAt`; false when an earlier one must still have held.
   * Lenient where clocks or a long outage leave it open: what it suspects is wrong under every reading.
   */
  claim(key: string, receivedAt: number, settledAt: number): boolean {
    const { high, low } = hashed(key);
    let slot = this.#find(high, low);
    const held = this.#times[slot]!;
    const earliest = Math.max(1, Math.min(receivedAt, settledAt));
    if (held === 0) {
      if (++this.#used > fullest * this.#times.length) {
        this.#grow();
        slot = this.#find(high, low);
      }
      this.#high[slot] = high;
      this.#low[slot] = low;
    }
    this.#times[slot] = earliest;
    this.#newest = Math.max(this.#newest, settledAt);
    return held === 0 || settledAt >= held + this.#windowMs;
  }

  #find(high: number, low: number): number {
    let slot = low & this.#mask;
    while (this.#times[slot] !== 0 && (this.#high[slot] !== high || this.#low[slot] !== low)) slot = (slot + 1) & this.#mask;
    return slot;
  }

  /** Makes room, first by leaving out what the window has passed. */
  #grow(): void {
    const [high, low, times] = [this.#high, this.#low, this.#times];
    const holds = (time: number): boolean => time !== 0 && time + this.#windowMs >= this.#newest;
    let kept = 0;
    for (const time of times) if (holds(time)) kept++;
    const slots = kept > (fullest / 2) * times.length ? times.length * 2 : times.length;
    this.#mask = slots - 1;
    this.#high = new Uint32Array(slots);
    this.#low = new Uint32Array(slots);
    this.#times = new Float64Array(slots);
    for (let i = 0; i < times.length; i++) {
      if (!holds(times[i]!)) continue;
      const slot = this.#find(high[i]!, low[i]!);
      this.#high[slot] = high[i]!;
      this.#low[slot] = low[i]!;
      this.#times[slot] = times[i]!;
    }
    this.#used = kept + 1;
  }
}

/** Two FNV-1a sums from different beginnings. */
function hashed(key: string): { readonly high: number; readonly low: number } {
  let high = 0x811c9dc5;
  let low = 0x9e3779b9;
  for (let i = 0; i < key.length; i++) {
    const unit = key.charCodeAt(i);
    high = Math.imul(high ^ unit, 0x01000193);
    low = Math.imul(low ^ unit, 0x01000193) ^ (low >>> 15);
  }
  return { high: high >>> 0, low: low >>> 0 };
}
