/**
 * Puts a broken rule of the XSD into words for a person. Runs once for a broken message, never for a good one, so it may
 * search the table at leisure. A value is shown only where its type can hold nothing personal.
 */
import { FACET_FRACTION_DIGITS, FACET_KIND, FACET_LENGTH_MAX, FACET_LENGTH_MIN, FACET_TOTAL_DIGITS, facetColumns, nameText, valueKinds } from './schema-table.ts';
import type { SchemaTable } from './schema-table.ts';
import { valueRules } from './values.ts';
import type { ValueRule } from './values.ts';

export type Rule =
  | Exclude<ValueRule, 'none'>
  | 'missing-element'
  | 'unexpected-element'
  | 'unexpected-text'
  | 'missing-attribute'
  | 'unexpected-attribute';

export interface RuleMessage {
  readonly rule: Rule;
  readonly message: string;
  /** A child of the element that the finding is about, which is missing. */
  readonly child: string | null;
  readonly attribute: string | null;
}

export function strayText(): RuleMessage {
  return plain('unexpected-text', 'text where only elements may be');
}

export function nilled(): RuleMessage {
  return { ...plain('unexpected-attribute', 'the element cannot be nil'), attribute: 'xsi:nil' };
}

export function otherType(): RuleMessage {
  return { ...plain('unexpected-attribute', 'xsi:type names another type than the element has'), attribute: 'xsi:type' };
}

export function unexpectedAttribute(name: string): RuleMessage {
  return { ...plain('unexpected-attribute', 'the attribute is not known here'), attribute: shortened(name) };
}

export function missingAttribute(table: SchemaTable, name: number): RuleMessage {
  return { ...plain('missing-attribute', 'the attribute is missing'), attribute: nameText(table, name) };
}

/** The element ends in a state in which it may not. */
export function missingAtEnd(table: SchemaTable, state: number): RuleMessage {
  return missing(table, state, 'before the end');
}

/** What to do with an element that does not fit: the edge whose type it has all the same, and whether that edge is taken. */
export interface UnexpectedElement {
  readonly message: RuleMessage;
  readonly resumeEdge: number;
  readonly advances: boolean;
}

/** `type`: of the parent; `name`: -1 where the definition has no such element. */
export function unexpectedElement(
  table: SchemaTable,
  type: number,
  state: number,
  name: number,
  spelled: string,
  isOwnNamespace: boolean,
): UnexpectedElement {
  const later = name < 0 ? -1 : laterState(table, state, name);
  if (later >= 0) {
    return {
      message: missing(table, state, `before ${shortened(spelled)}`),
      resumeEdge: table.stateBase[later]! + name,
      advances: true,
    };
  }
  let resumeEdge = -1;
  for (let other = table.typeState[type]!; name >= 0 && other < table.typeStateEnd[type]!; other++) {
    const edge = table.stateBase[other]! + name;
    if (table.edgeState[edge] === other) resumeEdge = edge;
  }
  const found = shortened(spelled);
  const what = !isOwnNamespace
    ? `element ${found} is in another namespace than the Document`
    : resumeEdge < 0
      ? `element ${found} is not known here`
      : `element ${found} may not stand here: repeated, out of order, or excluded by another choice`;
  const expected = namesAt(table, state);
  const hint = expected.length === 0 ? 'expected the end of the parent' : `expected ${listed(expected.map((other) => nameText(table, other)))}`;
  return { message: plain('unexpected-element', `${what}; ${hint}`), resumeEdge, advances: false };
}

/** `type`: of the element, -1 for an attribute's value. `text`: the value, or its beginning. */
export function valueMessage(
  table: SchemaTable,
  simple: number,
  type: number,
  broken: number,
  text: string,
  characters: number,
  attribute: string | null,
): RuleMessage {
  const facet = (column: number): number => table.simpleFacets[simple * facetColumns + column]!;
  const rule = valueRules[broken] as Exclude<ValueRule, 'none'>;
  const texts = table.readTexts();
  const kind = valueKinds[facet(FACET_KIND)]!;
  const shown = isHarmless(kind, texts.patterns[simple]!, texts.enumerations[simple]!, text) ? `"${shortened(text)}"` : masked(characters);
  const why: Record<Exclude<ValueRule, 'none'>, () => string> = {
    type: () => `is not a ${kind}`,
    minLength: () => `is shorter than ${facet(FACET_LENGTH_MIN)}`,
    maxLength: () => `is longer than ${facet(FACET_LENGTH_MAX)}`,
    pattern: () => `does not match ${texts.patterns[simple]!.join(' or ')}`,
    enumeration: () => `is not one of ${listed(texts.enumerations[simple]!)}`,
    totalDigits: () => `has more than ${facet(FACET_TOTAL_DIGITS)} digits`,
    fractionDigits: () => `has more than ${facet(FACET_FRACTION_DIGITS)} fraction digits`,
    minInclusive: () => `is less than ${texts.minInclusive[simple] ?? ''}`,
    maxInclusive: () => `is more than ${texts.maxInclusive[simple] ?? ''}`,
  };
  const typeName = type < 0 ? '' : ` (${texts.typeNames[type]!})`;
  return { rule, message: `value ${shown} ${why[rule]()}${typeName}`, child: null, attribute };
}

/**
 * Numbers, dates, currencies, countries and closed lists say nothing about a person; all else may. A value that does not
 * even look like its type may have come here by mistake, and be anything.
 */
function isHarmless(kind: string, patterns: readonly string[], enumeration: readonly string[], text: string): boolean {
  if (kind !== 'string') return /^[-+0-9.,:TZ ]{0,32}$/.test(text);
  const isCode = enumeration.length > 0 || patterns.some((pattern) => pattern === '[A-Z]{3,3}' || pattern === '[A-Z]{2,2}');
  return isCode && text.length <= 4;
}

function masked(characters: number): string {
  return `**** (${characters} characters)`;
}

const shownMax = 24;

function shortened(text: string): string {
  const oneLine = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, ' ');
  return oneLine.length > shownMax ? `${oneLine.slice(0, shownMax)}...` : oneLine;
}

/** What is missing in a state, and where: worked out once for each state, since one sender's fault comes in thousands. */
const needs = new WeakMap<SchemaTable, Map<number, { readonly child: string | null; readonly what: string }>>();

function missing(table: SchemaTable, state: number, where: string): RuleMessage {
  const known = needs.get(table) ?? new Map<number, { readonly child: string | null; readonly what: string }>();
  needs.set(table, known);
  let need = known.get(state);
  if (need === undefined) {
    const expected = namesAt(table, state);
    const needed = expected.filter((name) => !reachesEnd(table, state, name));
    const names = listed(expected.map((name) => nameText(table, name)));
    need =
      needed.length === 1
        ? { child: nameText(table, needed[0]!), what: 'the element' }
        : { child: null, what: expected.length === 0 ? 'an element of any name' : `one of ${names}` };
    known.set(state, need);
  }
  return { ...plain('missing-element', `${need.what} is missing ${where}`), child: need.child };
}

const namesByState = new WeakMap<SchemaTable, (readonly number[] | undefined)[]>();

function namesAt(table: SchemaTable, state: number): readonly number[] {
  const known = namesByState.get(table) ?? [];
  namesByState.set(table, known);
  let names = known[state];
  if (names === undefined) {
    const found: number[] = [];
    for (let name = 0; name < table.nameCount; name++) {
      if (table.edgeState[table.stateBase[state]! + name] === state) found.push(name);
    }
    known[state] = names = found;
  }
  return names;
}

/** Whether the content can be brought to an end without this element. */
function reachesEnd(table: SchemaTable, from: number, without: number): boolean {
  const states = new Set([from]);
  for (const state of states) {
    if (table.stateAccepts[state] === 1) return true;
    if (table.stateWildcardNext[state]! >= 0) states.add(table.stateWildcardNext[state]!);
    for (const name of namesAt(table, state)) if (name !== without) states.add(table.edgeNext[table.stateBase[state]! + name]!);
  }
  return false;
}

const laterStates = new WeakMap<SchemaTable, Map<number, number>>();

/** The nearest state after this one in which the element may stand; -1 where there is none. */
function laterState(table: SchemaTable, from: number, name: number): number {
  const known = laterStates.get(table) ?? new Map<number, number>();
  laterStates.set(table, known);
  const key = from * table.nameCount + name;
  let later = known.get(key);
  if (later === undefined) known.set(key, (later = searchedState(table, from, name)));
  return later;
}

function searchedState(table: SchemaTable, from: number, name: number): number {
  const states = new Set([from]);
  for (const state of states) {
    if (state !== from && table.edgeState[table.stateBase[state]! + name] === state) return state;
    for (const other of namesAt(table, state)) states.add(table.edgeNext[table.stateBase[state]! + other]!);
  }
  return -1;
}

const listedMax = 8;

function listed(items: readonly (string | number)[]): string {
  const shown = items.slice(0, listedMax).join(', ');
  return items.length > listedMax ? `${shown}, ...` : shown;
}

function plain(rule: Rule, message: string): RuleMessage {
  return { rule, message, child: null, attribute: null };
}
