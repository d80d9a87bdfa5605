/**
 * A batch of the results topic becomes rows. Values that were written with our own schema are copied straight; those of
 * another version of it are read by its writer's schema, and written in ours first.
 */
import type { WriterSchema } from '../codec/avro/writer-schema.ts';
import { decodePaymentResult, encodePaymentResult, paymentResultSchema } from '../codec/payment-result.ts';
import type { RecordBatch } from '../codec/record-batch.ts';
import { schemaIdAt, wireHeaderBytes } from '../codec/wire-format.ts';
import type { ResultSchemas } from './ports.ts';
import { NotAResultError } from './result-rows.ts';
import type { ResultRowWriter } from './result-rows.ts';

/** How values with a schema id are read. `null`: they are in our own schema. */
type Reading = { readonly texts: readonly string[] } | null;

export interface ResultReader {
  /** Learns the schemas of a batch; at once where all are known, else as long as the registry takes. */
  prepare(batch: RecordBatch): Promise<void> | undefined;
  /** Appends the row of one record. False where the value is no PaymentResult: then there is no row. */
  append(writer: ResultRowWriter, batch: RecordBatch, row: number): boolean;
}

export function createResultReader(schemas: ResultSchemas): ResultReader {
  const readings = new Map<number, Reading>();

  return {
    prepare(batch) {
      let missing: Set<number> | undefined;
      for (let row = 0; row < batch.count; row++) {
        const id = schemaIdAt(batch.bytes, batch.valueStart[row]!, batch.valueLength[row]!);
        if (id >= 0 && !readings.has(id)) (missing ??= new Set()).add(id);
      }
      if (missing === undefined) return undefined;
      return schemas.resolve([...missing]).then((found) => {
        for (const schema of found) readings.set(schema.id, readingOf(schema));
      });
    },

    append(writer, batch, row) {
      const start = batch.valueStart[row]!;
      const end = start + batch.valueLength[row]!;
      const id = schemaIdAt(batch.bytes, start, batch.valueLength[row]!);
      if (id < 0) return false;
      const reading = readings.get(id) ?? null;
      try {
        if (reading === null) {
          writer.append(batch.bytes, start + wireHeaderBytes, end, batch.partition, batch.offsets[row]!);
        } else {
          const value = inOurSchema(batch.bytes.subarray(start, end), reading.texts);
          writer.append(value, wireHeaderBytes, value.length, batch.partition, batch.offsets[row]!);
        }
        return true;
      } catch (error) {
        if (reading === null && !(error instanceof NotAResultError)) throw error;
        return false;
      }
    },
  };
}

/**
 * A registry that lost its memory does not know the id of what the fleet wrote: it is read as ours, which the check of the
 * value's length confirms or refuses.
 */
function readingOf(schema: WriterSchema): Reading {
  if (schema.kind !== 'avro') return null;
  return isOurs(schema.texts.at(-1)!) ? null : { texts: schema.texts };
}

function inOurSchema(value: Uint8Array, texts: readonly string[]): Buffer {
  const result = decodePaymentResult(value, texts);
  for (let size = value.length * 2 + 1024; ; size *= 2) {
    const bytes = Buffer.allocUnsafe(size);
    const end = encodePaymentResult(result, 0, bytes, 0);
    if (end >= 0) return bytes.subarray(0, end);
  }
}

/** Same fields, same types, same order: then the binary is the same, whatever else the schema says. */
function isOurs(text: string): boolean {
  return shapeOf(JSON.parse(text)) === shapeOf(paymentResultSchema);
}

function shapeOf(schema: unknown): string {
  return JSON.stringify(schema, (key, value: unknown) => (ignoredKeys.has(key) ? undefined : sorted(value)));
}

const ignoredKeys = new Set(['doc', 'default', 'namespace', 'aliases', 'order']);

function sorted(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
