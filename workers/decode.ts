/** A decoder thread: what it can reach is pure. */
import { bundleDecoder } from './bundle.ts';
import { readPaymentMessage } from '../src/codec/iso20022/payment-reader.ts';

export default bundleDecoder(readPaymentMessage);
