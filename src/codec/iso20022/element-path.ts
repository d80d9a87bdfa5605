/**
 * The XPath of the element that the first finding is about, from what the scanner has at hand: the open elements and the
 * table. A second look at the whole message (`locate.ts`) is needed only where siblings of one name would have to be counted.
 */
import type { CapturePlan } from './capture-plan.ts';
import { SCOPE_BLOCK } from './capture-plan.ts';
import { nameText } from './schema-table.ts';
import type { SchemaTable } from './schema-table.ts';

/** Counts of the rows that a scan has begun so far; transactions are those of their block where there are blocks. */
export interface RowCounts {
  readonly blockCount: number;
  readonly transactionCount: number;
  readonly blockTransactions: Int32Array;
}

const POSITION_NONE = 0;
const POSITION_BLOCK = 1;
const POSITION_TRANSACTION = 2;

/** One for each scanner; valid until the next `begin`. */
export class ElementPath {
  #table: SchemaTable | null = null;
  readonly #names: number[] = [];
  readonly #positions: number[] = [];
  #block = 0;
  #transaction = 0;
  #isKnown = false;

  clear(): void {
    this.#isKnown = false;
  }

  /** The root of the Document, or as many levels as are open there: give them to `add` one by one. */
  begin(table: SchemaTable, counts: RowCounts): void {
    this.#table = table;
    this.#names.length = this.#positions.length = 0;
    this.#names.push(table.rootName);
    this.#positions.push(POSITION_NONE);
    this.#block = counts.blockCount;
    this.#transaction = counts.blockCount > 0 ? counts.blockTransactions[counts.blockCount - 1]! : counts.transactionCount;
    this.#isKnown = true;
  }

  /** The next level down. `type`: of the one above; `node`: what is wanted of this one. */
  add(type: number, name: number, node: number, plan: CapturePlan | null): void {
    let position = POSITION_NONE;
    if (node !== 0 && plan?.begins[node] === 1) position = plan.scope[node] === SCOPE_BLOCK ? POSITION_BLOCK : POSITION_TRANSACTION;
    else if (name < 0 || mayRepeat(this.#table!, type, name)) this.#isKnown = false;
    this.#names.push(name);
    this.#positions.push(position);
  }

  /** After the scan, whose counts these are. Null: the siblings must be counted. */
  text(counts: RowCounts): string | null {
    const table = this.#table;
    if (!this.#isKnown || table === null) return null;
    const texts = namesOf(table);
    let path = '';
    for (let level = 0; level < this.#names.length; level++) {
      path += `/${texts[this.#names[level]!]!}`;
      const position = this.#positions[level];
      if (position === POSITION_BLOCK && counts.blockCount > 1) path += `[${this.#block}]`;
      if (position !== POSITION_TRANSACTION) continue;
      const among = this.#block > 0 ? counts.blockTransactions[this.#block - 1]! : counts.transactionCount;
      if (among > 1) path += `[${this.#transaction}]`;
    }
    return path;
  }
}

const textsByTable = new WeakMap<SchemaTable, readonly string[]>();

/** All element and attribute names of a definition. */
export function namesOf(table: SchemaTable): readonly string[] {
  let texts = textsByTable.get(table);
  if (texts === undefined) {
    texts = Array.from({ length: table.nameCount }, (_, name) => nameText(table, name));
    textsByTable.set(table, texts);
  }
  return texts;
}

/** At type * nameCount + name: 0 not worked out yet, 1 no, 2 yes. */
const repeatsByTable = new WeakMap<SchemaTable, Uint8Array>();

/** Whether a type lets two elements of this name stand in one parent. */
export function mayRepeat(table: SchemaTable, type: number, name: number): boolean {
  let repeats = repeatsByTable.get(table);
  if (repeats === undefined) {
    repeats = new Uint8Array(table.typeState.length * table.nameCount);
    repeatsByTable.set(table, repeats);
  }
  const at = type * table.nameCount + name;
  if (repeats[at] === 0) repeats[at] = workOutRepeat(table, type, name) ? 2 : 1;
  return repeats[at] === 2;
}

function workOutRepeat(table: SchemaTable, type: number, name: number): boolean {
  const { stateBase, edgeState, edgeNext, nameCount } = table;
  const reached = new Set<number>();
  for (let state = table.typeState[type]!; state < table.typeStateEnd[type]!; state++) {
    const edge = stateBase[state]! + name;
    if (edgeState[edge] === state) reached.add(edgeNext[edge]!);
  }
  for (const state of reached) {
    if (edgeState[stateBase[state]! + name] === state) return true;
    if (table.stateWildcardNext[state]! >= 0) reached.add(table.stateWildcardNext[state]!);
    for (let other = 0; other < nameCount; other++) {
      const edge = stateBase[state]! + other;
      if (edgeState[edge] === state) reached.add(edgeNext[edge]!);
    }
  }
  return false;
}
