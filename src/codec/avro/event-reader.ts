/**
 * Reads one PaymentEvent in place: what is kept comes out as spans of the value's own bytes, everything else is passed
 * over, and nothing is copied or built. Each step takes at least one byte, so the work is bounded by the value's length
 * whatever counts and lengths it claims.
 *
 * Source: Apache Avro 1.12, "Binary Encoding".
 */
import { isUtf8 } from 'node:buffer';
import type { Step } from './event-plan.ts';

/** Records inside records inside records: deeper is refused, so that a value cannot exhaust the stack. */
const depthMax = 128;
const two28 = 2 ** 28;
/** In the year 144683. From there on avsc, with which we and others read the results, loses the sign of a long. */
const createdAtMax = 2 ** 52 - 1;

export type EventVerdict = 'read' | 'invalid' | 'incompatible';

/** One a thread, used again for each event. After `read`, the fields below say what was found. */
export class EventReader {
  /** Start and length of each text, by `TextTarget`. */
  readonly textStart: [number, number, number] = [0, 0, 0];
  readonly textLength: [number, number, number] = [0, 0, 0];
  documentStart = 0;
  documentLength = 0;
  /** Milliseconds since the epoch, exact. */
  createdAt = 0;
  /** After `invalid` and `incompatible`: what was wrong, for a person. */
  reason = '';

  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;
  /** The last length or count, exact up to 2^53; beyond that only its size is right. */
  #number = 0;
  #refused = false;
  #field = '';

  /** `start` and `end`: the Avro binary in `bytes`, without the wire format's header. */
  read(root: Step, bytes: Uint8Array, start: number, end: number): EventVerdict {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#refused = false;
    this.#field = '';
    this.reason = '';
    if (this.#step(root, 0)) {
      if (this.#at === end) return 'read';
      this.reason = `${end - this.#at} bytes are left over after the event`;
      return 'invalid';
    }
    if (this.#field !== '') this.reason = `field ${this.#field}: ${this.reason}`;
    return this.#refused ? 'incompatible' : 'invalid';
  }

  /** False: `reason` says why. */
  #step(step: Step, depth: number): boolean {
    switch (step.kind) {
      case 'text': {
        if (!this.#length() || !this.#utf8()) return false;
        this.textStart[step.target] = this.#at;
        this.textLength[step.target] = this.#number;
        this.#at += this.#number;
        return true;
      }
      case 'document': {
        if (!this.#length() || (step.utf8 && !this.#utf8())) return false;
        this.documentStart = this.#at;
        this.documentLength = this.#number;
        this.#at += this.#number;
        return true;
      }
      case 'createdAt':
        return this.#createdAt(step);
      case 'record':
        return this.#record(step, depth);
      case 'string': {
        if (!this.#length() || !this.#utf8()) return false;
        this.#at += this.#number;
        return true;
      }
      case 'bytes': {
        if (!this.#length()) return false;
        this.#at += this.#number;
        return true;
      }
      case 'int':
        return this.#int();
      case 'long':
        return this.#long();
      case 'fixed': {
        if (step.size > this.#end - this.#at) return this.#truncated();
        this.#at += step.size;
        return true;
      }
      case 'boolean': {
        if (this.#at >= this.#end) return this.#truncated();
        return this.#bytes[this.#at++]! <= 1 || this.#fail('a boolean that is neither 0 nor 1');
      }
      case 'enum': {
        if (!this.#int()) return false;
        const known = this.#number >= 0 && this.#number < step.symbolCount;
        return known || this.#fail(`symbol ${this.#number} of an enum that has ${step.symbolCount}`);
      }
      case 'union': {
        if (!this.#int()) return false;
        const branch = step.branches[this.#number];
        if (branch === undefined) return this.#fail(`branch ${this.#number} of a union that has ${step.branches.length}`);
        return this.#step(branch, depth);
      }
      case 'array':
        return this.#blocks(null, step.items, depth);
      case 'map':
        return this.#blocks(mapKey, step.values, depth);
      case 'refused': {
        this.#refused = true;
        return this.#fail(step.reason);
      }
    }
  }

  #record(step: Step & { readonly kind: 'record' }, depth: number): boolean {
    if (depth > depthMax) return this.#fail(`records are nested deeper than ${depthMax}`);
    for (const field of step.steps) {
      // Only the event's own fields are named in reasons: a path into a value that nobody asked for tells a person little.
      if (depth === 0) this.#field = field.name;
      if (!this.#step(field.step, depth + 1)) return false;
    }
    if (depth === 0) this.#field = '';
    return true;
  }

  /** Arrays and maps: blocks of items, each with its count, until a count of 0. A negative count brings the block's size. */
  #blocks(key: Step | null, item: Step, depth: number): boolean {
    if (depth > depthMax) return this.#fail(`arrays and maps are nested deeper than ${depthMax}`);
    for (;;) {
      if (!this.#long()) return false;
      let count = this.#number;
      if (count === 0) return true;
      let blockEnd = -1;
      if (count < 0) {
        count = -count;
        if (!this.#length()) return false;
        blockEnd = this.#at + this.#number;
      }
      if (count > this.#end - this.#at) return this.#fail(`a block of ${count} items in ${this.#end - this.#at} bytes`);
      for (; count > 0; count--) {
        if (key !== null && !this.#step(key, depth)) return false;
        if (!this.#step(item, depth + 1)) return false;
      }
      // Readers that skip a block by its size and readers that read it must see the same event.
      if (blockEnd >= 0 && this.#at !== blockEnd) return this.#fail('a block that is not as long as it says');
    }
  }

  #createdAt(step: Step & { readonly kind: 'createdAt' }): boolean {
    const start = this.#at;
    if (!(step.wire === 'int' ? this.#int() : this.#long())) return false;
    const milliseconds =
      step.unitsPerMillisecond === 1
        ? this.#number
        : Number(floorDivide(exactLong(this.#bytes, start, this.#at), BigInt(step.unitsPerMillisecond)));
    if (Math.abs(milliseconds) > createdAtMax) return this.#fail('more than 2^52 milliseconds from the epoch');
    this.createdAt = milliseconds;
    return true;
  }

  /** A length that the rest of the value holds. */
  #length(): boolean {
    if (!this.#long()) return false;
    const length = this.#number;
    if (length < 0) return this.#fail(`the length ${length}`);
    return length <= this.#end - this.#at || this.#fail(`the length ${length}, but ${this.#end - this.#at} bytes are left`);
  }

  /** A variable-length zig-zag number of at most 5 bytes and 32 bits. */
  #int(): boolean {
    const start = this.#at;
    if (!this.#long()) return false;
    if (this.#at - start > 5 || this.#number !== (this.#number | 0)) return this.#fail('an int of more than 32 bits');
    return true;
  }

  /** A variable-length zig-zag number of at most 10 bytes and 64 bits. */
  #long(): boolean {
    const bytes = this.#bytes;
    let at = this.#at;
    if (at >= this.#end) return this.#truncated();
    let byte = bytes[at++]!;
    // 28 bits at a time, because a double's integer operations have 32.
    let low = byte & 0x7f;
    if (byte < 0x80) {
      this.#at = at;
      this.#number = (low >>> 1) ^ -(low & 1);
      return true;
    }
    let middle = 0;
    let high = 0;
    for (let shift = 7; ; shift += 7) {
      if (at >= this.#end) return this.#truncated();
      byte = bytes[at++]!;
      const group = byte & 0x7f;
      if (shift < 28) low |= group << shift;
      else if (shift < 56) middle |= group << (shift - 28);
      else high |= group << (shift - 56);
      if (byte < 0x80) break;
      if (shift === 63) return this.#fail('a number of more than 10 bytes');
    }
    if (high > 0xff) return this.#fail('a number of more than 64 bits');
    this.#at = at;
    const half = (low >>> 1) + middle * (two28 / 2) + high * (two28 * two28 / 2);
    this.#number = (low & 1) === 0 ? half : -half - 1;
    return true;
  }

  /** The next `#number` bytes. */
  #utf8(): boolean {
    const bytes = this.#bytes;
    const end = this.#at + this.#number;
    // Identifiers are short and ASCII: asking the runtime costs more than looking.
    if (this.#number <= 64) {
      let at = this.#at;
      while (at < end && bytes[at]! < 0x80) at++;
      if (at === end) return true;
    }
    return isUtf8(bytes.subarray(this.#at, end)) || this.#fail('a string that is not UTF-8');
  }

  #truncated(): false {
    return this.#fail('the value ends too early');
  }

  #fail(reason: string): false {
    this.reason = reason;
    return false;
  }
}

const mapKey: Step = { kind: 'string' };

/** The number that `#long` found well-formed between `start` and `end`. */
function exactLong(bytes: Uint8Array, start: number, end: number): bigint {
  let value = 0n;
  for (let at = end - 1; at >= start; at--) value = (value << 7n) | BigInt(bytes[at]! & 0x7f);
  return (value >> 1n) ^ -(value & 1n);
}

function floorDivide(value: bigint, divisor: bigint): bigint {
  const quotient = value / divisor;
  return value < 0n && quotient * divisor !== value ? quotient - 1n : quotient;
}
