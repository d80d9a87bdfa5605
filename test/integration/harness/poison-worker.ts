/** A decoder thread as the real one is, but for documents that say what is to become of the thread that reads them. */
import { bundleDecoder } from '../../../workers/bundle.ts';
import { readPaymentMessage } from '../../../src/codec/iso20022/payment-reader.ts';

const hoard: unknown[] = [];

export default bundleDecoder((document, writer) => {
  const text = Buffer.from(document.bytes.slice(document.documentStart, document.documentStart + document.documentLength)).toString('latin1');
  if (text.includes('POISON-EXIT')) process.exit(7);
  if (text.includes('POISON-HANG')) for (;;);
  if (text.includes('POISON-EXHAUST')) for (let i = 0; ; i++) hoard.push({ index: i, list: [i] });
  readPaymentMessage(document, writer);
});
