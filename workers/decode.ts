/** A decoder thread: what it can reach is pure. */
import { bundleDecoder } from '../src/adapters/piscina/thread.ts';
import { readPaymentMessage } from '../src/codec/iso20022/payment-reader.ts';

export default bundleDecoder(readPaymentMessage);
