/**
 * Compiles one XSD model to the table that the scanner walks. The same model always gives the same bytes: everything is
 * numbered in the order in which a walk from the root meets it.
 */
import {
  facetColumns,
  nameHash,
  packSchemaTable,
  valueKinds,
} from '../../src/codec/iso20022/schema-table.ts';
import { MoveGraph, determinise } from './automaton.ts';
import type { Automaton } from './automaton.ts';
import { valueAutomaton } from './value-pattern.ts';
import type { Attribute, Particle, SchemaModel, SimpleType } from './xsd-model.ts';

/** Symbols of wildcards lie above those of names. */
const WILDCARD_SYMBOL = 1 << 20;

export function compileSchema(model: SchemaModel): Uint8Array {
  const names = new Numbering();
  const types = new Numbering();
  const simples = new Numbering();
  const wildcardNamespaces = new Numbering();
  const rootName = names.of(model.rootName);
  const rootType = types.of(model.rootType);

  const contents: { readonly automaton: Automaton | null; readonly simple: number; readonly attributes: readonly Attribute[] }[] = [];
  const elementTypes: Map<number, number>[] = [];
  for (let id = 0; id < types.all.length; id++) {
    const type = model.types.get(types.all[id]!);
    if (type === undefined) throw new Error(`type ${types.all[id]!} is not declared`);
    const typeOf = new Map<number, number>();
    if (type.kind === 'complex') {
      const automaton = contentAutomaton(type.content, (particle) => {
        if (particle.kind === 'any') return WILDCARD_SYMBOL + wildcardNamespaces.of(particle.namespace);
        const name = names.of(particle.name);
        const elementType = types.of(particle.type);
        const known = typeOf.get(name);
        if (known !== undefined && known !== elementType) throw new Error(`${type.name}: ${particle.name} has two types`);
        typeOf.set(name, elementType);
        return name;
      });
      contents.push({ automaton, simple: -1, attributes: [] });
    } else if (type.kind === 'extended') {
      contents.push({ automaton: null, simple: simples.of(type.base), attributes: type.attributes });
      for (const attribute of type.attributes) {
        names.of(attribute.name);
        simples.of(attribute.type);
      }
    } else contents.push({ automaton: null, simple: simples.of(type.name), attributes: [] });
    elementTypes.push(typeOf);
  }

  const simpleTypes = simples.all.map((name) => {
    const type = model.types.get(name);
    if (type?.kind !== 'simple') throw new Error(`${name} is not a simple type`);
    return type;
  });
  const edges = layEdges(contents.map((content) => content.automaton), elementTypes, names.all.length);
  const attributes = contents.map((content) => content.attributes);
  return packSchemaTable({
    definitionId: model.definitionId,
    rootName,
    rootType,
    ...hashNames(names.all, {
      ...edges,
      typeSimple: Int16Array.from(contents, (content) => content.simple),
      typeAttribute: Int16Array.from([0, ...attributes.map((_, id) => attributes.slice(0, id + 1).flat().length)]),
      attributeName: Int16Array.from(attributes.flat(), (attribute) => names.of(attribute.name)),
      attributeSimple: Int16Array.from(attributes.flat(), (attribute) => simples.of(attribute.type)),
      attributeRequired: Uint8Array.from(attributes.flat(), (attribute) => (attribute.required ? 1 : 0)),
      ...layValues(simpleTypes),
    }),
    texts: {
      typeNames: types.all,
      patterns: simpleTypes.map((type) => type.patterns),
      enumerations: simpleTypes.map((type) => type.enumeration),
      minInclusive: simpleTypes.map((type) => type.minInclusive),
      maxInclusive: simpleTypes.map((type) => type.maxInclusive),
      wildcardNamespaces: wildcardNamespaces.all,
    },
  });
}

/** Numbers texts in the order in which they come. */
class Numbering {
  readonly all: string[] = [];
  readonly #numbers = new Map<string, number>();

  of(text: string): number {
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.all.length;
      this.#numbers.set(text, number);
      this.all.push(text);
    }
    return number;
  }
}

function contentAutomaton(
  content: Particle,
  symbolOf: (particle: Extract<Particle, { kind: 'element' | 'any' }>) => number,
): Automaton {
  const graph = new MoveGraph();
  const build = (particle: Particle, from: number): number =>
    graph.repeat(from, particle.min, particle.max, (at) => {
      if (particle.kind === 'element' || particle.kind === 'any') {
        const next = graph.node();
        graph.move(at, symbolOf(particle), next);
        return next;
      }
      if (particle.kind === 'sequence') return particle.parts.reduce((end, part) => build(part, end), at);
      const end = graph.node();
      for (const part of particle.parts) graph.empty(build(part, at), end);
      return end;
    });
  const start = graph.node();
  return determinise(graph, start, build(content, start));
}

function layEdges(automata: readonly (Automaton | null)[], elementTypes: readonly ReadonlyMap<number, number>[], nameCount: number) {
  const stateAccepts: number[] = [];
  const stateBase: number[] = [];
  const stateWildcard: number[] = [];
  const stateWildcardNext: number[] = [];
  const typeState: number[] = [];
  const typeStateEnd: number[] = [];
  const edges: { state: number; next: number; type: number }[] = [];
  automata.forEach((automaton, typeId) => {
    if (automaton === null) {
      typeState.push(-1);
      typeStateEnd.push(-1);
      return;
    }
    const first = stateAccepts.length;
    typeState.push(first);
    automaton.edges.forEach((row, local) => {
      const state = first + local;
      const wildcards = [...row].filter(([symbol]) => symbol >= WILDCARD_SYMBOL);
      const elements = [...row].filter(([symbol]) => symbol < WILDCARD_SYMBOL);
      if (wildcards.length > 1) throw new Error('two wildcards in one place');
      stateAccepts.push(automaton.accepts[local] ? 1 : 0);
      stateWildcard.push(wildcards[0] === undefined ? -1 : wildcards[0][0] - WILDCARD_SYMBOL);
      stateWildcardNext.push(wildcards[0] === undefined ? -1 : first + wildcards[0][1]);
      let base = 0;
      while (elements.some(([name]) => edges[base + name] !== undefined)) base++;
      stateBase.push(base);
      for (const [name, to] of elements) {
        edges[base + name] = { state, next: first + to, type: elementTypes[typeId]!.get(name)! };
      }
    });
    typeStateEnd.push(stateAccepts.length);
  });
  const slotCount = Math.max(0, ...stateBase) + nameCount;
  const column = (read: (edge: { state: number; next: number; type: number }) => number): Int16Array<ArrayBuffer> =>
    Int16Array.from({ length: slotCount }, (_, slot) => (edges[slot] === undefined ? -1 : read(edges[slot])));
  if (stateAccepts.length > 32767 || slotCount > 1 << 24) throw new Error('too many states for the table');
  return {
    stateAccepts: Uint8Array.from(stateAccepts),
    stateBase: Int32Array.from(stateBase),
    stateWildcard: Int16Array.from(stateWildcard),
    stateWildcardNext: Int16Array.from(stateWildcardNext),
    typeState: Int16Array.from(typeState),
    typeStateEnd: Int16Array.from(typeStateEnd),
    edgeState: column((edge) => edge.state),
    edgeNext: column((edge) => edge.next),
    edgeType: column((edge) => edge.type),
  };
}

/** Looks for a multiplier that gives each name a slot of its own: the lookup then needs one probe. */
function hashNames<Rest>(names: readonly string[], rest: Rest) {
  const encoded = names.map((name) => new TextEncoder().encode(name));
  const nameBytes = Uint8Array.from(encoded.flatMap((bytes) => [...bytes]));
  let at = 0;
  const nameStart = Int32Array.from([0, ...encoded.map((bytes) => (at += bytes.length))]);
  for (let bits = Math.ceil(Math.log2(names.length)) + 2; ; bits++) {
    for (let attempt = 0; attempt < 20000; attempt++) {
      const hashMultiplier = Math.imul(0x9e3779b1 + attempt * 2, 0x85ebca6b) | 1;
      const nameSlots = new Int16Array(1 << bits).fill(-1);
      const clash = encoded.some((bytes, name) => {
        const slot = nameHash(bytes, 0, bytes.length, hashMultiplier) >>> (32 - bits);
        if (nameSlots[slot] !== -1) return true;
        nameSlots[slot] = name;
        return false;
      });
      if (!clash) return { hashMultiplier, columns: { nameStart, nameBytes, nameSlots, ...rest } };
    }
  }
}

function layValues(simpleTypes: readonly SimpleType[]) {
  const facets: number[] = [];
  const automata: number[] = [];
  const classes: number[] = [];
  const moves: number[] = [];
  const known = new Map<string, number>();
  for (const type of simpleTypes) {
    const automaton = valueAutomaton(type.patterns, type.enumeration);
    let id = -1;
    if (automaton !== null) {
      const key = JSON.stringify([type.patterns, type.enumeration]);
      id = known.get(key) ?? -1;
      if (id < 0) {
        id = automata.length / 3;
        known.set(key, id);
        automata.push(classes.length, moves.length, layAutomaton(automaton, classes, moves));
      }
    }
    facets.push(
      valueKinds.indexOf(type.base),
      type.minLength ?? -1,
      type.maxLength ?? -1,
      id,
      type.totalDigits ?? -1,
      type.fractionDigits ?? -1,
      type.minInclusive === null && type.maxInclusive === null ? -1 : 1,
    );
  }
  if (facets.length !== simpleTypes.length * facetColumns) throw new Error('facet columns do not add up');
  return {
    simpleFacets: Int32Array.from(facets),
    automata: Int32Array.from(automata),
    automatonClasses: Uint8Array.from(classes),
    automatonMoves: Uint16Array.from(moves),
  };
}

/** Bytes that lead alike from every state share one column. Gives the width of a row. */
function layAutomaton(automaton: Automaton, classes: number[], moves: number[]): number {
  const columnOf = new Map<string, number>();
  const byteColumns: (string | null)[] = [];
  const own: number[] = [];
  for (let byte = 0; byte < 256; byte++) {
    const targets = automaton.edges.map((row) => row.get(byte) ?? -1);
    const key = targets.every((target) => target < 0) ? null : targets.join();
    byteColumns.push(key);
    if (key !== null && !columnOf.has(key)) columnOf.set(key, columnOf.size + 2);
  }
  // Column 0 says whether the value may end, column 1 is for bytes that lead nowhere.
  for (const key of byteColumns) own.push(key === null ? 1 : columnOf.get(key)!);
  const width = columnOf.size + 2;
  const rows = new Array<number>(width).fill(0);
  automaton.edges.forEach((row, state) => {
    const line = new Array<number>(width).fill(0);
    line[0] = automaton.accepts[state] ? 1 : 0;
    for (const [byte, to] of row) line[own[byte]!] = (to + 1) * width;
    rows.push(...line);
  });
  if (rows.length > 65535) throw new Error('an automaton is too large for the table');
  classes.push(...own);
  moves.push(...rows);
  return width;
}
