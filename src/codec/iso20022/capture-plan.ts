/**
 * Which elements of a message definition the scanner notes the place of: a tree of names over the definition's table. Rows
 * of noted places come in three scopes: one for the message, one for each payment information block, one for each
 * transaction.
 */
import { nameText } from './schema-table.ts';
import type { SchemaTable } from './schema-table.ts';

export const SCOPE_MESSAGE = 0;
export const SCOPE_BLOCK = 1;
export const SCOPE_TRANSACTION = 2;

/** Node 0 is "nothing here is wanted", node 1 the Document. */
export interface CapturePlan {
  /** At node * nameCount + name: the child's node. */
  readonly next: Int16Array;
  /** The place of the element's text in its row, or where the element was seen if it holds others; -1: not wanted. */
  readonly slot: Int16Array;
  /** The place of its attribute's text; -1: not wanted. */
  readonly attributeSlot: Int16Array;
  readonly scope: Uint8Array;
  /** The element begins a row of its scope. */
  readonly begins: Uint8Array;
  /** Places in a row of each scope. */
  readonly widths: readonly [number, number, number];
}

/** What is wanted, as paths below the Document, e.g. `GrpHdr/MsgId` under the message's body element. */
export interface WantedElement {
  readonly path: readonly string[];
  readonly scope: number;
  readonly slot: number;
  readonly attributeSlot?: number;
}

/** Throws where a path names an element that the definition does not have: a field map must fit its XSD. */
export function planCaptures(
  table: SchemaTable,
  wanted: readonly WantedElement[],
  rows: readonly { readonly path: readonly string[]; readonly scope: number }[],
  widths: readonly [number, number, number],
): CapturePlan {
  const nameOf = new Map(Array.from({ length: table.nameCount }, (_, name) => [nameText(table, name), name]));
  const children: Map<number, number>[] = [new Map(), new Map()];
  const slot = [-1, -1];
  const attributeSlot = [-1, -1];
  const scope = [0, 0];
  const begins = [0, 0];
  const nodeAt = (path: readonly string[]): number =>
    path.reduce((node, text) => {
      const name = nameOf.get(text);
      if (name === undefined) throw new Error(`${table.definitionId} has no element ${text} (${path.join('/')})`);
      let child = children[node]!.get(name);
      if (child === undefined) {
        child = children.length;
        children[node]!.set(name, child);
        children.push(new Map());
        slot.push(-1);
        attributeSlot.push(-1);
        scope.push(0);
        begins.push(0);
      }
      return child;
    }, 1);
  for (const row of rows) {
    const node = nodeAt(row.path);
    begins[node] = 1;
    scope[node] = row.scope;
  }
  for (const element of wanted) {
    const node = nodeAt(element.path);
    scope[node] = element.scope;
    slot[node] = element.slot;
    attributeSlot[node] = element.attributeSlot ?? -1;
  }
  const next = new Int16Array(children.length * table.nameCount);
  children.forEach((names, node) => {
    for (const [name, child] of names) next[node * table.nameCount + name] = child;
  });
  return {
    next,
    slot: Int16Array.from(slot),
    attributeSlot: Int16Array.from(attributeSlot),
    scope: Uint8Array.from(scope),
    begins: Uint8Array.from(begins),
    widths,
  };
}
