/**
 * A message reader for tests: `exit`, `hang`, `exhaust` and `throw` do to its thread what they say, `tx N` gives N
 * transactions with a text in the scratch area, and anything else one, whose end-to-end id is the document itself; `slow N` after
 * N ms.
 */
import type { MessageReader } from '../../src/codec/decode-task.ts';

const hoard: unknown[] = [];

export const obedientReader: MessageReader = (document, writer) => {
  const text = Buffer.from(document.bytes.slice(document.documentStart, document.documentStart + document.documentLength)).toString();
  if (text === 'exit') process.exit(7);
  if (text === 'hang') for (;;);
  if (text === 'exhaust') for (let i = 0; ; i++) hoard.push({ index: i, list: [i] });
  if (text === 'throw') throw new Error('a mistake\nof ours');
  const begun = performance.now();
  if (text.startsWith('slow ')) while (performance.now() - begun < Number(text.slice(5)));
  const count = text.startsWith('tx ') ? Number(text.slice(3)) : 1;
  writer.setEventSpan('messageId', document.documentStart, document.documentLength);
  for (let i = 0; i < count; i++) {
    writer.beginTransaction();
    writer.setAmount(BigInt(i));
    if (count === 1) writer.setTransactionSpan('endToEndId', document.documentStart, document.documentLength);
    else writer.setTransactionText('endToEndId', `${text} no ${i}`);
  }
};
