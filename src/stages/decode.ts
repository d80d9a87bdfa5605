/**
 * Turns records into what they say: inbound ones in the worker threads, routed ones here (they are few, and our own).
 */
import { valueBytes } from '../codec/record-batch.ts';
import type { RecordBatch } from '../codec/record-batch.ts';
import { DecodedBatch } from '../codec/decoded-batch.ts';
import { decodeRouted } from '../codec/routed.ts';
import type { Routed } from '../codec/routed.ts';
import { FatalError } from '../errors.ts';
import type { Decoder } from '../ports.ts';

export type Decoded =
  | { readonly kind: 'inbound'; readonly records: RecordBatch; readonly decoded: DecodedBatch }
  | { readonly kind: 'routed'; readonly records: RecordBatch; readonly routed: readonly Routed[] };

export type DecodeStage = (records: RecordBatch) => Promise<Decoded>;

export function createDecodeStage(ports: { readonly decoder: Decoder; readonly inboundTopic: string }): DecodeStage {
  return async function decodeStage(records) {
    if (records.topic === ports.inboundTopic) {
      const packed = await ports.decoder.decode(records);
      return { kind: 'inbound', records, decoded: new DecodedBatch(packed, records.bytes) };
    }
    const routed: Routed[] = [];
    for (let row = 0; row < records.count; row++) routed.push(readRouted(records, row));
    return { kind: 'routed', records, routed };
  };
}

function readRouted(records: RecordBatch, row: number): Routed {
  const value = valueBytes(records, row);
  try {
    if (value === null) throw new Error('it has no value');
    return decodeRouted(value);
  } catch (error) {
    // There may be money in it: skipping it would lose a credit.
    throw new FatalError(`${records.topic}-${records.partition}@${records.offsets[row]} cannot be read.`, { cause: error });
  }
}
