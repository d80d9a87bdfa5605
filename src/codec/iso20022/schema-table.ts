/**
 * One message definition's XSD, compiled: flat typed arrays that a single pass over the bytes walks. The file's columns are
 * viewed in place, so that opening one costs next to nothing.
 *
 *     type ─▶ first state ─┬─ element name ─▶ next state, and the type of that element
 *                          └─ any ─────────▶ next state
 *     type ─▶ simple value: builtin, lengths, digits, automaton over bytes
 */

/** What a simple value is, after W3C XML Schema part 2. The number is the one in `simpleFacets`. */
export const valueKinds = [
  'string',
  'decimal',
  'dateTime',
  'date',
  'time',
  'boolean',
  'gYear',
  'gYearMonth',
  'base64Binary',
] as const;

/** Columns of `simpleFacets`; -1 stands for "no such rule". */
export const facetColumns = 7;
export const FACET_KIND = 0;
export const FACET_LENGTH_MIN = 1;
export const FACET_LENGTH_MAX = 2;
export const FACET_AUTOMATON = 3;
export const FACET_TOTAL_DIGITS = 4;
export const FACET_FRACTION_DIGITS = 5;
/** 1: the type has an inclusive bound, to be found in `texts`. */
export const FACET_BOUNDED = 6;

/** Columns of `automata`. */
export const automatonColumns = 3;
export const AUTOMATON_CLASSES = 0;
export const AUTOMATON_MOVES = 1;
export const AUTOMATON_WIDTH = 2;

/** What only a finding needs; read when the first one is written. */
export interface SchemaTexts {
  readonly typeNames: readonly string[];
  /** For each simple value. */
  readonly patterns: readonly (readonly string[])[];
  readonly enumerations: readonly (readonly string[])[];
  readonly minInclusive: readonly (string | null)[];
  readonly maxInclusive: readonly (string | null)[];
  /** For each wildcard: `##any`, or the one namespace that it admits. */
  readonly wildcardNamespaces: readonly string[];
}

const columns = [
  ['scalars', Int32Array],
  ['nameStart', Int32Array],
  ['nameBytes', Uint8Array],
  ['nameSlots', Int16Array],
  ['stateAccepts', Uint8Array],
  ['stateBase', Int32Array],
  ['stateWildcard', Int16Array],
  ['stateWildcardNext', Int16Array],
  ['edgeState', Int16Array],
  ['edgeNext', Int16Array],
  ['edgeType', Int16Array],
  ['typeState', Int16Array],
  ['typeStateEnd', Int16Array],
  ['typeSimple', Int16Array],
  ['typeAttribute', Int16Array],
  ['attributeName', Int16Array],
  ['attributeSimple', Int16Array],
  ['attributeRequired', Uint8Array],
  ['simpleFacets', Int32Array],
  ['automata', Int32Array],
  ['automatonClasses', Uint8Array],
  ['automatonMoves', Uint16Array],
  ['texts', Uint8Array],
] as const;

/**
 * nameStart: `nameBytes` of name i are [nameStart[i], nameStart[i + 1]).
 * nameSlots: perfect hash, see `nameHash`; -1 is an empty slot.
 * stateBase: the edge of state s for name n is slot stateBase[s] + n, if edgeState of that slot is s.
 * stateWildcard: -1, or the wildcard's number; stateWildcardNext is where it leads.
 * typeState: first state of an element-only type, -1 for a value; its states end before typeStateEnd.
 * typeSimple: the value's facets, -1 for an element-only type. typeAttribute: those of type t are [t] .. [t + 1].
 * automatonMoves: rows of one automaton are `width` wide, states are multiplied by the width, 0 is "no way on", the start
 * is `width`, and column 0 of a row is 1 where the value may end.
 */
export type SchemaColumns = { readonly [Entry in (typeof columns)[number] as Entry[0]]: InstanceType<Entry[1]> };

const SCALAR_ROOT_NAME = 0;
const SCALAR_ROOT_TYPE = 1;
const SCALAR_HASH_MULTIPLIER = 2;

export interface SchemaTable extends SchemaColumns {
  readonly definitionId: string;
  readonly nameCount: number;
  readonly rootName: number;
  readonly rootType: number;
  readonly hashMultiplier: number;
  readTexts(): SchemaTexts;
}

/** Multiplicative hash of a name; the slot is `hash >>> shift` with 32 - log2(slots) as the shift. */
export function nameHash(bytes: Uint8Array, start: number, end: number, multiplier: number): number {
  let hash = end - start;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, multiplier);
  return hash;
}

const magic = 0x31544653;
const headWords = 2 + columns.length;

export function packSchemaTable(table: {
  readonly definitionId: string;
  readonly columns: Omit<SchemaColumns, 'scalars' | 'texts'>;
  readonly rootName: number;
  readonly rootType: number;
  readonly hashMultiplier: number;
  readonly texts: SchemaTexts;
}): Uint8Array {
  const encoder = new TextEncoder();
  const all: SchemaColumns = {
    ...table.columns,
    scalars: Int32Array.of(table.rootName, table.rootType, table.hashMultiplier),
    texts: encoder.encode(JSON.stringify(table.texts)),
  };
  const id = encoder.encode(table.definitionId);
  let at = align(headWords * 4 + id.length);
  const starts = columns.map(([name]) => {
    const start = at;
    at = align(at + all[name].byteLength);
    return start;
  });
  const bytes = new Uint8Array(at);
  const head = new Int32Array(bytes.buffer, 0, headWords);
  head[0] = magic;
  head[1] = id.length;
  bytes.set(id, headWords * 4);
  columns.forEach(([name], index) => {
    const column = all[name];
    head[2 + index] = column.length;
    bytes.set(new Uint8Array(column.buffer, column.byteOffset, column.byteLength), starts[index]);
  });
  return bytes;
}

/** Throws where the bytes are not a table of this form. Columns are views: the bytes must not change afterwards. */
export function openSchemaTable(file: Uint8Array): SchemaTable {
  const bytes = file.byteOffset % 8 === 0 ? file : Uint8Array.from(file);
  const head = new Int32Array(bytes.buffer, bytes.byteOffset, Math.min(headWords, bytes.byteLength >> 2));
  if (head[0] !== magic || head.length < headWords) throw new Error('not a compiled schema table');
  const idEnd = headWords * 4 + head[1]!;
  const decoder = new TextDecoder();
  let at = align(idEnd);
  const opened: Record<string, unknown> = {};
  columns.forEach(([name, Column], index) => {
    const length = head[2 + index]!;
    opened[name] = new Column(bytes.buffer as ArrayBuffer, bytes.byteOffset + at, length);
    at = align(at + length * Column.BYTES_PER_ELEMENT);
  });
  const all = opened as unknown as SchemaColumns;
  let texts: SchemaTexts | null = null;
  return {
    ...all,
    definitionId: decoder.decode(bytes.subarray(headWords * 4, idEnd)),
    nameCount: all.nameStart.length - 1,
    rootName: all.scalars[SCALAR_ROOT_NAME]!,
    rootType: all.scalars[SCALAR_ROOT_TYPE]!,
    hashMultiplier: all.scalars[SCALAR_HASH_MULTIPLIER]!,
    readTexts: () => (texts ??= JSON.parse(decoder.decode(all.texts)) as SchemaTexts),
  };
}

export function nameText(table: SchemaTable, name: number): string {
  return new TextDecoder().decode(table.nameBytes.subarray(table.nameStart[name], table.nameStart[name + 1]));
}

function align(at: number): number {
  return (at + 7) & ~7;
}
