/** What a decoder thread does with what it is handed: the same for the real one and for those that tests start. */
import { move, transferableSymbol, valueSymbol } from 'piscina';
import { EventDecoder } from '../src/codec/decode-task.ts';
import type { DecodeTask, MessageReader } from '../src/codec/decode-task.ts';
import type { PackedDecodedBatch } from '../src/codec/decoded-batch.ts';

/** Decodes the slices of a bundle in order. Their answers are moved to the main thread, not copied. */
export function bundleDecoder(readMessage: MessageReader): (bundle: readonly DecodeTask[]) => ReturnType<typeof move> {
  const decoder = new EventDecoder(readMessage);
  return function decodeBundle(bundle) {
    const packed: readonly PackedDecodedBatch[] = bundle.map((task) => decoder.decode(task));
    return move({ [transferableSymbol]: packed, [valueSymbol]: packed });
  };
}
