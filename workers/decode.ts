/** A decoder thread: what it can reach is pure. The answer's buffer is moved to the main thread, not copied. */
import { move } from 'piscina';
import { EventDecoder } from '../src/codec/decode-task.ts';
import type { DecodeTask } from '../src/codec/decode-task.ts';
import { readPaymentMessage } from '../src/codec/iso20022/payment-reader.ts';

const decoder = new EventDecoder(readPaymentMessage);

export default function decodeSlice(task: DecodeTask): ReturnType<typeof move> {
  return move(decoder.decode(task));
}
