/**
 * Which transactions have an outcome, by their place in the inbound topic. Nearly every event has one transaction, so an
 * event is one bit: 100 million events take 12 MB.
 */
const pageBits = 1 << 16;

export class PlaceSet {
  readonly #partitions = new Map<number, Map<number, Uint32Array>>();
  /** Transactions behind the first of their message, a set for each page. */
  readonly #later = new Map<string, Set<number>>();

  /** Notes an outcome of one transaction (0-based; -1: the message as a whole). False when it has one already. */
  add(partition: number, offset: number, transactionIndex: number): boolean {
    if (transactionIndex <= 0) return this.addEvent(partition, offset);
    const name = `${partition} ${Math.floor(offset / pageBits)}`;
    let later = this.#later.get(name);
    if (later === undefined) this.#later.set(name, (later = new Set()));
    const size = later.size;
    later.add(transactionIndex * pageBits + (offset % pageBits));
    return later.size > size;
  }

  /** Notes the outcome of an event as a whole. False when it has one already. */
  addEvent(partition: number, offset: number): boolean {
    const page = this.#page(partition, offset, true)!;
    const bit = offset % pageBits;
    const mask = 1 << (bit & 31);
    const before = page[bit >>> 5]!;
    page[bit >>> 5] = before | mask;
    return (before & mask) === 0;
  }

  has(partition: number, offset: number, transactionIndex = 0): boolean {
    if (transactionIndex > 0) {
      const later = this.#later.get(`${partition} ${Math.floor(offset / pageBits)}`);
      return later?.has(transactionIndex * pageBits + (offset % pageBits)) ?? false;
    }
    const page = this.#page(partition, offset, false);
    const bit = offset % pageBits;
    return page !== undefined && (page[bit >>> 5]! & (1 << (bit & 31))) !== 0;
  }

  /** The first offset in `from` to `end` (exclusive) without an outcome; `end` when each has one. */
  firstMissing(partition: number, from: number, end: number): number {
    for (let offset = from; offset < end; ) {
      const page = this.#page(partition, offset, false);
      if (page === undefined) return offset;
      const bit = offset % pageBits;
      if ((bit & 31) === 0 && page[bit >>> 5] === 0xffffffff) offset += 32;
      else if ((page[bit >>> 5]! & (1 << (bit & 31))) === 0) return offset;
      else offset++;
    }
    return end;
  }

  #page(partition: number, offset: number, make: boolean): Uint32Array | undefined {
    let pages = this.#partitions.get(partition);
    if (pages === undefined) this.#partitions.set(partition, (pages = new Map()));
    const number = Math.floor(offset / pageBits);
    let page = pages.get(number);
    if (page === undefined && make) pages.set(number, (page = new Uint32Array(pageBits / 32)));
    return page;
  }
}
