/**
 * Turns the patterns and enumerations of a simple type into one deterministic automaton over UTF-8 bytes.
 *
 * Source: W3C XML Schema 1.0 part 2, appendix F, in the part that ISO 20022 uses: literals, escapes, classes, `.`, groups,
 * alternatives and quantifiers. What lies outside is refused by name.
 */
import { MoveGraph, determinise } from './automaton.ts';
import type { Automaton } from './automaton.ts';

/** Null where the type has neither patterns nor an enumeration. All of the type's patterns are alternatives of one. */
export function valueAutomaton(patterns: readonly string[], enumeration: readonly string[]): Automaton | null {
  if (patterns.length > 0 && enumeration.length > 0) throw new Error('a pattern and an enumeration in one type');
  if (patterns.length === 0 && enumeration.length === 0) return null;
  const graph = new MoveGraph();
  const start = graph.node();
  const end = graph.node();
  for (const value of enumeration) graph.empty(literal(graph, start, value), end);
  for (const pattern of patterns) graph.empty(new PatternReader(pattern, graph).read(start), end);
  return determinise(graph, start, end);
}

function literal(graph: MoveGraph, from: number, text: string): number {
  let at = from;
  for (const byte of new TextEncoder().encode(text)) {
    const next = graph.node();
    graph.move(at, byte, next);
    at = next;
  }
  return at;
}

/** A set of characters: which ASCII ones, and whether all the others. */
interface CharacterSet {
  readonly ascii: ReadonlySet<number>;
  readonly beyondAscii: boolean;
}

class PatternReader {
  readonly #pattern: string;
  readonly #graph: MoveGraph;
  #at = 0;

  constructor(pattern: string, graph: MoveGraph) {
    this.#pattern = pattern;
    this.#graph = graph;
  }

  read(from: number): number {
    const end = this.#alternatives(from);
    if (this.#at !== this.#pattern.length) throw this.#refusal('an end');
    return end;
  }

  #alternatives(from: number): number {
    const end = this.#graph.node();
    this.#graph.empty(this.#branch(from), end);
    while (this.#peek() === '|') {
      this.#at++;
      this.#graph.empty(this.#branch(from), end);
    }
    return end;
  }

  #branch(from: number): number {
    // Two branches or two repetitions must not share their first node, so each begins with one of its own.
    let at = this.#graph.node();
    this.#graph.empty(from, at);
    while (this.#at < this.#pattern.length && this.#peek() !== '|' && this.#peek() !== ')') at = this.#piece(at);
    return at;
  }

  #piece(from: number): number {
    const atomStart = this.#at;
    this.#atom(this.#graph.node());
    const atomEnd = this.#at;
    const [min, max] = this.#quantifier();
    const pieceEnd = this.#at;
    const end = this.#graph.repeat(from, min, max, (at) => {
      this.#at = atomStart;
      const next = this.#atom(at);
      if (this.#at !== atomEnd) throw this.#refusal('the same atom');
      return next;
    });
    this.#at = pieceEnd;
    return end;
  }

  #quantifier(): [number, number] {
    const mark = this.#peek();
    if (mark === '?' || mark === '*' || mark === '+') {
      this.#at++;
      return [mark === '+' ? 1 : 0, mark === '?' ? 1 : -1];
    }
    const counted = /^\{(\d+)(,?)(\d*)\}/.exec(this.#pattern.slice(this.#at));
    if (counted === null) {
      if (mark === '{') throw this.#refusal('a quantifier {n,m}');
      return [1, 1];
    }
    this.#at += counted[0].length;
    const min = Number(counted[1]);
    if (counted[2] === '') return [min, min];
    return [min, counted[3] === '' ? -1 : Number(counted[3])];
  }

  #atom(from: number): number {
    const mark = this.#peek();
    if (mark === '(') {
      this.#at++;
      const end = this.#alternatives(from);
      if (this.#peek() !== ')') throw this.#refusal(')');
      this.#at++;
      return end;
    }
    return this.#moveOn(from, mark === '[' ? this.#class() : this.#single());
  }

  #moveOn(from: number, set: CharacterSet): number {
    const graph = this.#graph;
    const end = graph.node();
    for (const byte of set.ascii) graph.move(from, byte, end);
    if (set.beyondAscii) {
      for (const [lead, last, more] of [
        [0xc2, 0xdf, 1],
        [0xe0, 0xef, 2],
        [0xf0, 0xf4, 3],
      ] as const) {
        let at = graph.node();
        for (let byte = lead; byte <= last; byte++) graph.move(from, byte, at);
        for (let i = more; i > 0; i--) {
          const next = i === 1 ? end : graph.node();
          for (let byte = 0x80; byte <= 0xbf; byte++) graph.move(at, byte, next);
          at = next;
        }
      }
    }
    return end;
  }

  #single(): CharacterSet {
    const mark = this.#peek();
    this.#at++;
    if (mark === '.') {
      const ascii = new Set(Array.from({ length: 128 }, (_, code) => code).filter((code) => code !== 10 && code !== 13));
      return { ascii, beyondAscii: true };
    }
    if (mark === '\\') return this.#escape();
    if (mark === undefined || '?*+{}()|[]'.includes(mark)) throw this.#refusal('a character', this.#at - 1);
    return { ascii: new Set([this.#ascii(mark)]), beyondAscii: false };
  }

  #escape(): CharacterSet {
    const mark = this.#peek();
    this.#at++;
    if (mark === 'd') return { ascii: new Set([48, 49, 50, 51, 52, 53, 54, 55, 56, 57]), beyondAscii: false };
    const plain = { n: '\n', r: '\r', t: '\t' }[mark ?? ''] ?? mark;
    if (plain === undefined || /[a-zA-Z0-9]/.test(plain)) throw this.#refusal('an escape', this.#at - 1);
    return { ascii: new Set([this.#ascii(plain)]), beyondAscii: false };
  }

  #class(): CharacterSet {
    this.#at++;
    const negated = this.#peek() === '^';
    if (negated) this.#at++;
    const ascii = new Set<number>();
    while (this.#peek() !== ']') {
      const first = this.#classMember();
      if (this.#peek() === '-' && this.#pattern[this.#at + 1] !== ']') {
        this.#at++;
        const last = this.#classMember();
        for (let code = first; code <= last; code++) ascii.add(code);
      } else ascii.add(first);
    }
    this.#at++;
    if (!negated) return { ascii, beyondAscii: false };
    return {
      ascii: new Set(Array.from({ length: 128 }, (_, code) => code).filter((code) => !ascii.has(code))),
      beyondAscii: true,
    };
  }

  #classMember(): number {
    const mark = this.#peek();
    if (mark === undefined || mark === '[') throw this.#refusal('a member of a class');
    this.#at++;
    if (mark !== '\\') return this.#ascii(mark);
    const set = this.#escape();
    if (set.ascii.size !== 1) throw this.#refusal('an escape of one character');
    return [...set.ascii][0]!;
  }

  #ascii(mark: string): number {
    const code = mark.charCodeAt(0);
    if (code > 127) throw this.#refusal('an ASCII character', this.#at - 1);
    return code;
  }

  #peek(): string | undefined {
    return this.#pattern[this.#at];
  }

  #refusal(expected: string, at = this.#at): Error {
    return new Error(`pattern "${this.#pattern}", character ${at + 1}: expected ${expected}`);
  }
}
