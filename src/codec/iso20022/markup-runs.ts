/**
 * Remembers the markup between two values. Senders write the same tags and the same white space again and again: once a run
 * such as
 *
 *     </BICFI></FinInstnId></InstgAgt>
 *       </GrpHdr>
 *       <CdtTrfTxInf>
 *         <PmtId><InstrId>
 *
 * has been walked by the tables, meeting the same bytes at the same place of the grammar must lead to the same place with
 * the same effects. So they are compared, eight bytes at a time, instead of being walked again. A place is the whole way
 * down from the root (which edge was taken at each level), so nothing else can matter; a run that is not known is walked as
 * ever, and remembered.
 */

/**
 * At least 8 bytes, eight to a number; the last number is of the last eight bytes and may overlap the one before. Two
 * doubles are equal exactly where their bytes are, but for zero and for what is not a number: bytes of plain ASCII are
 * neither, and no others are packed.
 */
export interface PackedBytes {
  readonly length: number;
  readonly doubles: Float64Array;
}

/** What one run does. Depths are relative to the root's, offsets to where the run begins (behind a value). */
export interface MarkupRun extends PackedBytes {
  /** How far it goes up, and how deep it ends. */
  readonly depthMin: number;
  readonly depth: number;
  /** For each level that it opens, and for the one above them: see `levelColumns`. */
  readonly levels: Int32Array;
  /** Places to note and rows to begin: see `eventColumns`. */
  readonly events: Int32Array;
  /** The value element that begins at its end; -1: the root ended. */
  readonly edge: number;
  /** What of it is wanted. */
  readonly node: number;
  readonly nameOffset: number;
  readonly nameLength: number;
  /** The place behind that value. */
  readonly place: number;
}

/** Columns of `levels`; the first row is of the level at `depthMin`, of which only the state changes. */
export const levelColumns = 7;
export const LEVEL_STATE = 0;
export const LEVEL_TYPE = 1;
export const LEVEL_NODE = 2;
export const LEVEL_PLACE = 3;
export const LEVEL_NAME = 4;
export const LEVEL_NAME_LENGTH = 5;
export const LEVEL_LOCAL = 6;

/** Columns of `events`. A slot of -1 begins a row of the node's scope. */
export const eventColumns = 4;
export const EVENT_NODE = 0;
export const EVENT_SLOT = 1;
export const EVENT_OFFSET = 2;
export const EVENT_LENGTH = 3;

/** Senders and their versions differ; more than this at one place are strangers. */
const runsAtPlaceMax = 8;
/** One definition's runs: some hundreds in life. When full, all are forgotten, so that strangers cannot stay for ever. */
const runsMax = 4096;
const placesMax = 8192;
const runBytesMax = 2048;

const noRuns: MarkupRun[] = [];

/** The runs of one definition, in one thread. */
export class MarkupRuns {
  readonly #edgeCount: number;
  #places = new Map<number, number>();
  #runs: MarkupRun[][] = [];
  #runCount = 0;
  #roots: { readonly prefix: Uint8Array; readonly place: number }[] = [];

  constructor(edgeCount: number) {
    this.#edgeCount = edgeCount;
  }

  /** The place inside of the root, for one spelling of its prefix: `bytes` from `start`. */
  root(bytes: Uint8Array, start: number, length: number): number {
    for (const { prefix, place } of this.#roots) {
      let i = 0;
      while (i < length && prefix.length === length && bytes[start + i] === prefix[i]) i++;
      if (i === length && prefix.length === length) return place;
    }
    if (this.#runs.length >= placesMax) this.#forget();
    const place = this.#runs.push(noRuns) - 1;
    this.#roots.push({ prefix: Uint8Array.from(bytes.subarray(start, start + length)), place });
    return place;
  }

  /** The place that an edge leads to from inside of another; -1 where nothing more is remembered for now. */
  place(from: number, edge: number): number {
    const key = from * this.#edgeCount + edge;
    let place = this.#places.get(key);
    if (place === undefined) {
      if (this.#runs.length >= placesMax) return -1;
      place = this.#runs.push(noRuns) - 1;
      this.#places.set(key, place);
    }
    return place;
  }

  /** The run that the bytes at `at` are, of those known at this place. Does not read beyond `end`. */
  find(place: number, view: DataView, at: number, end: number): MarkupRun | null {
    const runs = this.#runs[place]!;
    for (let i = 0; i < runs.length; i++) {
      const run = runs[i]!;
      if (!sameBytes(run, view, at, end)) continue;
      if (i > 0) {
        runs[i] = runs[i - 1]!;
        runs[i - 1] = run;
      }
      return run;
    }
    return null;
  }

  add(place: number, run: MarkupRun): void {
    if (run.length > runBytesMax) return;
    const runs = this.#runs[place]!;
    if (runs.length === 0) this.#runs[place] = [run];
    // The one that was met least of late makes room.
    else if (runs.length === runsAtPlaceMax) runs[runsAtPlaceMax - 1] = run;
    else runs.push(run);
    this.#runCount++;
  }

  /** Between messages only: places that are in use would mean something else. */
  tidy(): void {
    if (this.#runCount > runsMax || this.#runs.length >= placesMax) this.#forget();
  }

  #forget(): void {
    this.#places = new Map();
    this.#runs = [];
    this.#roots = [];
    this.#runCount = 0;
  }
}

/** Whether the bytes at `at` are these. Does not read beyond `end`. */
export function sameBytes(packed: PackedBytes, view: DataView, at: number, end: number): boolean {
  const { doubles, length } = packed;
  if (at + length > end) return false;
  const last = doubles.length - 1;
  let from = at;
  for (let i = 0; i < last; i++) {
    if (view.getFloat64(from, true) !== doubles[i]) return false;
    from += 8;
  }
  return view.getFloat64(at + length - 8, true) === doubles[last];
}

/** Null where they cannot be packed: fewer than 8, or not plain ASCII. */
export function packBytes(view: DataView, start: number, end: number): PackedBytes | null {
  const length = end - start;
  if (length < 8) return null;
  for (let at = start; at < end; at++) {
    const byte = view.getUint8(at);
    if (byte === 0 || byte >= 0x7f) return null;
  }
  const doubles = new Float64Array((length + 7) >> 3);
  for (let i = 0; i < doubles.length; i++) doubles[i] = view.getFloat64(Math.min(start + i * 8, end - 8), true);
  return { length, doubles };
}
