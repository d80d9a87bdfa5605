/**
 * A PaymentResult's Avro binary becomes a row of the table `results` without a stop in between: both are the same fields
 * in the same order, so strings are copied as bytes, and nothing is decoded that nobody looks at.
 *
 * It holds for values that were written with this very schema; `foreign-results.ts` turns others into it first.
 */
import type { RowText } from './row-text.ts';

type Column = 'string' | 'optionalString' | 'int' | 'optionalLong' | 'long' | 'time' | 'optionalAmount' | 'optionalPosition';

/** The fields of PaymentResult in their order, as columns; `result_partition` and `result_offset` follow them. */
const fields: readonly (readonly [name: string, column: Column])[] = [
  ['event_id', 'string'],
  ['message_type', 'string'],
  ['source', 'string'],
  ['message_id', 'optionalString'],
  ['transaction_index', 'int'],
  ['instruction_id', 'optionalString'],
  ['end_to_end_id', 'optionalString'],
  ['transaction_id', 'optionalString'],
  ['uetr', 'optionalString'],
  ['status', 'string'],
  ['reason_code', 'optionalString'],
  ['reason', 'optionalString'],
  ['debited_participant', 'optionalString'],
  ['credited_participant', 'optionalString'],
  ['currency', 'optionalString'],
  ['amount', 'optionalAmount'],
  ['position_after', 'optionalPosition'],
  ['sequence', 'optionalLong'],
  ['created_at', 'time'],
  ['received_at', 'time'],
  ['settled_at', 'time'],
  ['inbound_partition', 'int'],
  ['inbound_offset', 'long'],
  ['original_event_id', 'optionalString'],
  ['identity', 'optionalString'],
  ['status_report', 'optionalString'],
];

export const resultColumns: readonly string[] = [...fields.map(([name]) => name), 'result_partition', 'result_offset'];

const columns = fields.map(([, column]) => column);
const scale = 5;
/** The largest units that Decimal(18, 5) and Decimal(38, 5) hold. */
const amountUnitsMax = 10n ** 18n - 1n;
const positionUnitsMax = 10n ** 38n - 1n;

/** Why a value is not the Avro binary of a PaymentResult. */
export class NotAResultError extends Error {
  override readonly name = 'NotAResultError';
}

/** Appends rows to a text. One for each text, used for one value after the other. */
export class ResultRowWriter {
  readonly #text: RowText;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;
  #timeMs = 0;

  constructor(text: RowText) {
    this.#text = text;
  }

  /** The last row's time of decision: the last of its times. */
  get settledAtMs(): number {
    return this.#timeMs;
  }

  /** Appends the row of the Avro binary in `bytes` from `start` to `end`. Throws `NotAResultError`, and then no row is appended. */
  append(bytes: Uint8Array, start: number, end: number, partition: number, offset: number): void {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    try {
      for (const column of columns) this.#column(column);
      if (this.#at !== end) throw new NotAResultError(`${end - this.#at} bytes are left over behind the last field`);
    } catch (error) {
      this.#text.dropRow();
      throw error;
    }
    this.#text.putInteger(partition);
    this.#text.putInteger(offset);
    this.#text.endRow();
  }

  #column(column: Column): void {
    const text = this.#text;
    switch (column) {
      case 'string':
        return this.#copyBytes();
      case 'optionalString':
        return this.#isNull() ? text.putNull() : this.#copyBytes();
      case 'int':
        return text.putInteger(clamp(this.#long(), 2 ** 31 - 1));
      case 'long':
        return text.putInteger(clamp(this.#long(), Number.MAX_SAFE_INTEGER));
      case 'optionalLong':
        return this.#isNull() ? text.putNull() : text.putInteger(clamp(this.#long(), Number.MAX_SAFE_INTEGER));
      case 'time':
        return text.putTime((this.#timeMs = this.#long()));
      case 'optionalAmount':
        return this.#isNull() ? text.putNull() : this.#decimal(amountUnitsMax);
      case 'optionalPosition':
        return this.#isNull() ? text.putNull() : this.#decimal(positionUnitsMax);
    }
  }

  /** The branch of a union of null and something else, in this order. */
  #isNull(): boolean {
    const branch = this.#long();
    if (branch !== 0 && branch !== 1) throw new NotAResultError(`a union has branch ${branch}; expected 0 or 1`);
    return branch === 0;
  }

  #copyBytes(): void {
    const start = this.#span();
    this.#text.putBytes(this.#bytes, start, this.#at);
  }

  /** Two's complement, big-endian, as long as it takes. */
  #decimal(unitsMax: bigint): void {
    const start = this.#span();
    const length = this.#at - start;
    if (length <= 6) {
      let units = 0;
      for (let i = 0; i < length; i++) units = units * 256 + this.#bytes[start + i]!;
      if (length > 0 && this.#bytes[start]! >= 128) units -= 256 ** length;
      return this.#text.putDecimal(units, scale);
    }
    let units = BigInt(`0x${Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + start, length).toString('hex')}`);
    if (this.#bytes[start]! >= 128) units -= 1n << BigInt(length * 8);
    if (units > unitsMax) units = unitsMax;
    if (units < -unitsMax) units = -unitsMax;
    this.#text.putDecimal(units, scale);
  }

  /** Passes over a length and as many bytes; gives where they begin. */
  #span(): number {
    const length = this.#long();
    const start = this.#at;
    if (length < 0 || length > this.#end - start) {
      throw new NotAResultError(`a field has ${length} bytes where ${this.#end - start} are left`);
    }
    this.#at = start + length;
    return start;
  }

  /**
   * Zigzag in groups of 7 bits, the sign in the lowest bit. It is taken off first, so that the rest is exact up to 2^53,
   * which no offset, time, index or length of ours passes.
   */
  #long(): number {
    let byte = this.#byte();
    const negative = (byte & 1) === 1;
    let magnitude = (byte & 0x7f) >> 1;
    let weight = 64;
    while (byte >= 128) {
      byte = this.#byte();
      magnitude += (byte & 0x7f) * weight;
      weight *= 128;
      if (weight > 2 ** 69) throw new NotAResultError('a number takes more than 10 bytes');
    }
    return negative ? -magnitude - 1 : magnitude;
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new NotAResultError('the value ends within a field');
    return this.#bytes[this.#at++]!;
  }
}

/** What a column cannot hold becomes the nearest that it can: the sink must not stand still over one odd value. */
function clamp(value: number, most: number): number {
  return Math.max(-most, Math.min(most, value));
}
