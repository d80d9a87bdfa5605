/**
 * Avro schema resolution, done once for each writer's schema: a plan says for every field, in the writer's order, what to
 * keep for the PaymentEvent and what to pass over. `EventReader` walks it over the bytes.
 *
 * Source: Apache Avro 1.12, "Schema Resolution": names are compared unqualified, `bytes` and `string` promote to each
 * other, `int` to `long`; where the writer has a union, the branch that was written decides, so a schema is refused here
 * only when no branch can be read. A timestamp in micro- or nanoseconds is read as what it says it is.
 */
import type { Type, types } from 'avsc';

export type Step =
  /** Zero bytes, or a number of them that never changes. */
  | { readonly kind: 'fixed'; readonly size: number }
  | { readonly kind: 'boolean' }
  /** An int, or (a long) what fits no number of JavaScript, passed over. */
  | { readonly kind: 'int' | 'long' }
  | { readonly kind: 'bytes' }
  | { readonly kind: 'string' }
  | { readonly kind: 'enum'; readonly symbolCount: number }
  | { readonly kind: 'array'; readonly items: Step }
  | { readonly kind: 'map'; readonly values: Step }
  | { readonly kind: 'union'; readonly branches: readonly Step[] }
  | { readonly kind: 'record'; readonly steps: readonly FieldStep[] }
  /** A branch of a union that the PaymentEvent has no place for. */
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'text'; readonly target: TextTarget }
  | { readonly kind: 'document'; readonly utf8: boolean }
  | { readonly kind: 'createdAt'; readonly wire: 'int' | 'long'; readonly unitsPerMillisecond: 1 | 1000 | 1_000_000 };

export interface FieldStep {
  readonly name: string;
  readonly step: Step;
}

/** Texts of the event that are kept; the index of each is its place in the reader's spans. */
export const textTargets = ['eventId', 'messageType', 'source'] as const;
export type TextTarget = 0 | 1 | 2;

export type EventPlan =
  | { readonly kind: 'plan'; readonly root: Step }
  /** One line for a person. */
  | { readonly kind: 'incompatible'; readonly reason: string };

const recordName = 'PaymentEvent';

/** How a value of the writer's type becomes what the reader wants, or null where it cannot. */
type Reading = (type: Type) => Step | null;

const readers: ReadonlyMap<string, { readonly expected: string; readonly reading: Reading; readonly optional?: true }> = new Map([
  ['eventId', { expected: 'string', reading: text(0) }],
  ['messageType', { expected: 'string', reading: text(1) }],
  ['source', { expected: 'string', reading: text(2) }],
  ['createdAt', { expected: 'long', reading: createdAt }],
  ['document', { expected: 'bytes', reading: document }],
  ['attributes', { expected: 'map of string', reading: attributes, optional: true }],
]);

export function planEvent(writer: Type): EventPlan {
  try {
    const compiler = new Compiler();
    const root = readAs(writer, `record ${recordName}`, (type) => (isRecord(type) ? compiler.event(type) : null));
    if (root !== null) return { kind: 'plan', root };
    return incompatible(`the writer's schema is ${describe(writer)}; expected record ${recordName}`);
  } catch (error) {
    if (error instanceof Incompatible) return incompatible(error.message);
    throw error;
  }
}

function incompatible(reason: string): EventPlan {
  return { kind: 'incompatible', reason };
}

class Incompatible extends Error {}

class Compiler {
  /** Recursive schemas: a record that is met again is the same step. */
  readonly #records = new Map<Type, Step>();
  /** Records whose fields are not all known yet. */
  readonly #open = new Set<Step>();

  event(type: types.RecordType): Step {
    const name = unqualified(type.name ?? '');
    if (name !== recordName) {
      throw new Incompatible(`the writer's record is ${type.name ?? 'nameless'}; expected the name ${recordName}, in any namespace`);
    }
    const steps: FieldStep[] = [];
    const met = new Set<string>();
    for (const field of type.fields) {
      const reader = readers.get(field.name);
      met.add(field.name);
      if (reader === undefined) {
        this.#add(steps, field.name, this.pass(field.type));
        continue;
      }
      const step = readAs(field.type, reader.expected, reader.reading);
      if (step === null) {
        throw new Incompatible(`field ${field.name} of the writer's schema is ${describe(field.type)}; expected ${reader.expected}`);
      }
      this.#add(steps, field.name, step);
    }
    for (const [field, reader] of readers) {
      if (!met.has(field) && reader.optional === undefined) {
        throw new Incompatible(`the writer's schema has no field ${field}`);
      }
    }
    return { kind: 'record', steps };
  }

  /** What to do with a value that nobody asked for: pass over it, and see that it is well-formed. */
  pass(type: Type): Step {
    const plain = underlying(type);
    switch (plain.typeName) {
      case 'null':
        return { kind: 'fixed', size: 0 };
      case 'boolean':
        return { kind: 'boolean' };
      case 'int':
      case 'long':
        return { kind: plain.typeName };
      case 'float':
        return { kind: 'fixed', size: 4 };
      case 'double':
        return { kind: 'fixed', size: 8 };
      case 'bytes':
      case 'string':
        return { kind: plain.typeName };
      case 'fixed':
        return { kind: 'fixed', size: (plain as types.FixedType).size };
      case 'enum':
        return { kind: 'enum', symbolCount: (plain as types.EnumType).symbols.length };
      case 'array': {
        const items = this.pass((plain as types.ArrayType).itemsType);
        // Five bytes may claim two thousand million items that take no byte each: nothing in the value bounds them.
        if (!this.#takesBytes(items)) throw new Incompatible(`the writer's schema has an array whose items take no bytes`);
        return { kind: 'array', items };
      }
      case 'map':
        return { kind: 'map', values: this.pass((plain as types.MapType).valuesType) };
      case 'union:wrapped':
      case 'union:unwrapped':
        return { kind: 'union', branches: branchesOf(plain).map((branch) => this.pass(branch)) };
      case 'record':
      case 'error': {
        const known = this.#records.get(plain);
        if (known !== undefined) return known;
        const steps: FieldStep[] = [];
        const step: Step = { kind: 'record', steps };
        this.#records.set(plain, step);
        this.#open.add(step);
        for (const field of (plain as types.RecordType).fields) this.#add(steps, field.name, this.pass(field.type));
        this.#open.delete(step);
        return step;
      }
      default:
        throw new Incompatible(`the writer's schema has a type that is not Avro's: ${plain.typeName}`);
    }
  }

  /** Fields that take no bytes are left out, so that the work for a value is bounded by its bytes. */
  #add(steps: FieldStep[], name: string, step: Step): void {
    if (this.#takesBytes(step)) steps.push({ name, step });
  }

  /**
   * False for null, empty fixed, and records of nothing else. A record that is still open holds itself; only an endless
   * one does so without a byte in between, so it counts as taking bytes, and the reader's depth stops it.
   */
  #takesBytes(step: Step): boolean {
    if (step.kind === 'fixed') return step.size > 0;
    return step.kind !== 'record' || step.steps.length > 0 || this.#open.has(step);
  }
}

/** Reads the writer's type as the reader's, through logical types and unions. Null: no value of it can be read. */
function readAs(type: Type, expected: string, reading: Reading): Step | null {
  const plain = isLogical(type) && !isTimestamp(type) ? underlying(type) : type;
  if (!isUnion(plain)) return reading(plain);
  const steps = branchesOf(plain).map((branch) => reading(isTimestamp(branch) ? branch : underlying(branch)));
  if (steps.every((step) => step === null)) return null;
  return {
    kind: 'union',
    branches: steps.map((step, index) => {
      return step ?? { kind: 'refused', reason: `${describe(branchesOf(plain)[index]!)} was written; expected ${expected}` };
    }),
  };
}

function text(target: TextTarget): Reading {
  return (type) => (isText(underlying(type)) ? { kind: 'text', target } : null);
}

function document(type: Type): Step | null {
  const plain = underlying(type);
  return isText(plain) ? { kind: 'document', utf8: plain.typeName === 'string' } : null;
}

function createdAt(type: Type): Step | null {
  const wire = underlying(type).typeName;
  if (wire !== 'int' && wire !== 'long') return null;
  const unitsPerMillisecond =
    type.typeName === 'logical:timestamp-micros' ? 1000 : type.typeName === 'logical:timestamp-nanos' ? 1_000_000 : 1;
  return { kind: 'createdAt', wire, unitsPerMillisecond };
}

function attributes(type: Type): Step | null {
  const plain = underlying(type);
  if (plain.typeName !== 'map') return null;
  const values = readAs((plain as types.MapType).valuesType, 'string', (value) => {
    return isText(underlying(value)) ? { kind: 'string' } : null;
  });
  return values === null ? null : { kind: 'map', values };
}

function isText(type: Type): boolean {
  return type.typeName === 'string' || type.typeName === 'bytes';
}

function isRecord(type: Type): type is types.RecordType {
  return type.typeName === 'record' || type.typeName === 'error';
}

function isUnion(type: Type): boolean {
  return type.typeName.startsWith('union');
}

function isLogical(type: Type): boolean {
  return type.typeName.startsWith('logical:');
}

function isTimestamp(type: Type): boolean {
  return type.typeName.startsWith('logical:timestamp-');
}

function underlying(type: Type): Type {
  return isLogical(type) ? (type as types.LogicalType).underlyingType : type;
}

function branchesOf(type: Type): readonly Type[] {
  return (type as types.WrappedUnionType).types;
}

function unqualified(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

function describe(type: Type): string {
  const plain = underlying(type);
  if (isUnion(plain)) return `a union of ${branchesOf(plain).map(describe).join(', ')}`;
  return plain.name === undefined ? plain.typeName : `${plain.typeName} ${plain.name}`;
}
