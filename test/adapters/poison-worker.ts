/** A decoder thread as the real one is, but for a message reader that obeys what stands in the document. */
import { move } from 'piscina';
import { EventDecoder } from '../../src/codec/decode-task.ts';
import type { DecodeTask } from '../../src/codec/decode-task.ts';
import { obedientReader } from './obedient-reader.ts';

const decoder = new EventDecoder(obedientReader);

export default function decodeSlice(task: DecodeTask): ReturnType<typeof move> {
  return move(decoder.decode(task));
}
