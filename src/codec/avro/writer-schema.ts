/**
 * What the registry knows of a schema id, as plain data that crosses to a thread, and how an Avro one is parsed.
 */
import avro from 'avsc';
import type { Type } from 'avsc';

export type WriterSchema =
  /** JSON texts: the schemas it refers to, each after those that it needs itself, then the schema. */
  | { readonly id: number; readonly kind: 'avro'; readonly texts: readonly string[] }
  /** The id belongs to a schema of another language: JSON Schema, Protocol Buffers. */
  | { readonly id: number; readonly kind: 'notAvro'; readonly language: string }
  /** The registry answered that it has no such id. */
  | { readonly id: number; readonly kind: 'unknown' };

/** Parses an Avro schema with what it refers to; throws where it is none. Micro- and nanoseconds stay visible. */
export function parseWriterSchema(texts: readonly string[]): Type {
  const registry: Record<string, Type> = {};
  const logicalTypes = { 'timestamp-micros': Transparent, 'timestamp-nanos': Transparent };
  let type: Type | undefined;
  for (const text of texts) type = avro.Type.forSchema(withoutDefaults(text), { registry, logicalTypes, wrapUnions: true });
  if (type === undefined) throw new Error('no schema text');
  return type;
}

/** Keeps a logical type's name and converts nothing. */
class Transparent extends avro.types.LogicalType {}

/**
 * A writer's defaults play no part in reading what it wrote, and avsc refuses some that other languages let pass: a
 * schema must not become unreadable for one.
 */
function withoutDefaults(text: string): avro.schema.AvroSchema {
  return JSON.parse(text, (key: string, value: unknown) => (key === 'default' ? undefined : value)) as avro.schema.AvroSchema;
}
