/**
 * Finite automata over small integers: built as a graph with empty moves, then made deterministic and minimal, so that
 * matching never steps back. Content models (over element names) and value patterns (over bytes) both end here.
 */

/** A graph with empty moves. A fragment is entered at `start` and left at `end`. */
export class MoveGraph {
  readonly moves: { readonly symbol: number; readonly to: number }[][] = [];
  readonly emptyMoves: number[][] = [];

  node(): number {
    this.moves.push([]);
    this.emptyMoves.push([]);
    return this.moves.length - 1;
  }

  move(from: number, symbol: number, to: number): void {
    this.moves[from]!.push({ symbol, to });
  }

  empty(from: number, to: number): void {
    this.emptyMoves[from]!.push(to);
  }

  /** Repeats what `build` makes, from `min` to `max` times (-1: any number). */
  repeat(from: number, min: number, max: number, build: (from: number) => number): number {
    let at = from;
    for (let i = 0; i < min; i++) at = build(at);
    const end = this.node();
    if (max < 0) {
      const loop = this.node();
      this.empty(at, loop);
      this.empty(build(loop), loop);
      this.empty(loop, end);
      return end;
    }
    for (let i = min; i < max; i++) {
      this.empty(at, end);
      at = build(at);
    }
    this.empty(at, end);
    return end;
  }
}

export interface Automaton {
  /** For each state, where each symbol leads. State 0 is the start. */
  readonly edges: readonly ReadonlyMap<number, number>[];
  readonly accepts: readonly boolean[];
}

/** The deterministic and minimal automaton; states are numbered in the order in which a walk from the start meets them. */
export function determinise(graph: MoveGraph, start: number, end: number): Automaton {
  const closure = (nodes: Iterable<number>): number[] => {
    const seen = new Set(nodes);
    for (const node of seen) for (const next of graph.emptyMoves[node]!) seen.add(next);
    return [...seen].sort((a, b) => a - b);
  };
  const sets: number[][] = [closure([start])];
  const known = new Map([[sets[0]!.join(), 0]]);
  const edges: Map<number, number>[] = [];
  for (let state = 0; state < sets.length; state++) {
    const targets = new Map<number, Set<number>>();
    for (const node of sets[state]!) {
      for (const { symbol, to } of graph.moves[node]!) {
        const target = targets.get(symbol) ?? new Set();
        targets.set(symbol, target.add(to));
      }
    }
    const row = new Map<number, number>();
    for (const symbol of [...targets.keys()].sort((a, b) => a - b)) {
      const set = closure(targets.get(symbol)!);
      const key = set.join();
      let next = known.get(key);
      if (next === undefined) {
        next = sets.length;
        known.set(key, next);
        sets.push(set);
      }
      row.set(symbol, next);
    }
    edges.push(row);
  }
  return minimise({ edges, accepts: sets.map((set) => set.includes(end)) });
}

/** Moore's partition refinement: enough for automata of a few hundred states. */
function minimise({ edges, accepts }: Automaton): Automaton {
  let block: number[] = accepts.map((accept) => (accept ? 1 : 0));
  for (let count = new Set(block).size; ; ) {
    const ids = new Map<string, number>();
    const next = block.map((own, state) => {
      const key = `${own}:${[...edges[state]!].map(([symbol, to]) => `${symbol}>${block[to]}`).join()}`;
      const id = ids.get(key) ?? ids.size;
      ids.set(key, id);
      return id;
    });
    block = next;
    if (ids.size === count) break;
    count = ids.size;
  }

  const order: number[] = [];
  const numberOf = new Map<number, number>();
  const visit = (state: number): number => {
    let id = numberOf.get(block[state]!);
    if (id === undefined) {
      id = order.length;
      numberOf.set(block[state]!, id);
      order.push(state);
    }
    return id;
  };
  visit(0);
  const minimal: Map<number, number>[] = [];
  for (let id = 0; id < order.length; id++) {
    minimal.push(new Map([...edges[order[id]!]!].map(([symbol, to]) => [symbol, visit(to)])));
  }
  return { edges: minimal, accepts: order.map((state) => accepts[state]!) };
}
