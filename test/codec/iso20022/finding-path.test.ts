import { expect, it } from 'vitest';
import { readSchemaTable } from '../../../schemas/iso20022/tables.ts';
import { createMessageReporter } from '../../../src/codec/iso20022/message-report.ts';
import { mutate } from '../../differential/mutations.ts';
import { SeededRandom } from '../../differential/seeded-random.ts';
import { creditTransfer, initiationBlock, initiationTransfer, pacs004, pacs008, pain001 } from './messages.ts';
import { readMessage } from './reading.ts';

const count = Number(process.env['FINDING_PATH_COUNT'] ?? 3000);

it(`the first finding is one of all findings, XPath and all, in ${count} mutated messages`, () => {
  const report = createMessageReporter(readSchemaTable);
  const random = new SeededRandom(7);
  const block = initiationBlock([initiationTransfer('A'), initiationTransfer('B')]);
  const sources = [
    pacs008(),
    pacs008({ count: '3', transactions: [creditTransfer(), creditTransfer({ end: '<RmtInf><Ustrd>a</Ustrd><Ustrd>b</Ustrd></RmtInf>' }), creditTransfer()] }),
    pacs008().replaceAll(/<(\/?)(?=[A-Z])/g, '<$1p:').replace('xmlns=', 'xmlns:p='),
    `<Box><Document xmlns="urn:other"/>${pacs008().replace(/^<\?xml.*?\?>/, '')}</Box>`,
    pacs004('pacs.004.001.11'),
    pain001('pain.001.001.09', { count: '4', blocks: [block, block] }),
  ].map((text) => Buffer.from(text).toString('latin1'));
  let broken = 0;
  for (let index = 0; index < count; index++) {
    let text = mutate(random.pick(sources), random).text;
    if (random.next(3) === 0) text = mutate(text, random).text;
    const bytes = Uint8Array.from(Buffer.from(text, 'latin1'));
    const { type, valid, findings } = report(bytes, { rules: false });
    const { rejection, reason } = readMessage(bytes, type ?? 'none');
    if (rejection !== 'FF01') continue;
    broken++;
    expect(valid).toBe(false);
    expect(findings.map(({ xpath, message, rule }) => `${xpath}: ${message} [${rule}]`), text).toContain(reason);
  }
  expect(broken).toBeGreaterThan(count / 10);
});

it('the id of a message that is broken in front of it is told all the same', () => {
  const id = /<MsgId>.*<\/MsgId>/.exec(pacs008())![0];
  const date = /<CreDtTm>.*<\/CreDtTm>/.exec(pacs008())![0];
  for (const text of [
    pacs008().replace(id, `<Odd/>${id}`),
    pacs008().replace(id, `<Odd>1</Odd><Odd>2</Odd>${id}`),
    pacs008().replace(date, '').replace(id, date + id),
    pacs008().replace(id, `${id}<MsgId>MSG-2</MsgId>`),
    pacs008().replace('<GrpHdr>', '<GrpHdr x="1" y="2">'),
  ]) {
    const { rejection, messageId } = readMessage(text);
    expect([rejection, messageId], text.slice(0, 300)).toEqual(['FF01', 'MSG-1']);
  }
});
