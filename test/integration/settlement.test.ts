/** What settles, what a payment is known by, and what a second one of the same identity becomes (contract sections 2, 3). */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { units } from './harness/avro.ts';
import { Bench } from './harness/bench.ts';
import type { ParticipantEntry, StoredResult } from './harness/bench.ts';
import { commerz, deutsche, message, participant, transaction, without } from './harness/directory.ts';
import { buildMessage } from './harness/message.ts';
import type { Agent } from './harness/message.ts';
import { owningPartition } from './harness/murmur2.ts';
import { compare } from './harness/truth.ts';

const participants: ParticipantEntry[] = [
  participant('COBADEFFXXX', { EUR: '1000000.00', JPY: '1000' }, ['DEBLZ:37040044']),
  participant('DEUTDEFFXXX', { EUR: '1000000.00', JPY: '1000' }),
  participant('CAPADEFFXXX', { EUR: '100.00' }),
  participant('CAPBDEFFXXX', { EUR: '100.00' }),
  participant('ZEROGB2LXXX', { EUR: '0.00' }),
];
const late = participant('LATEDEFFXXX');
const capA: Agent = { bic: 'CAPADEFFXXX' };
const capB: Agent = { bic: 'CAPBDEFFXXX' };

let bench: Bench;
beforeAll(async () => {
  bench = await Bench.create('settle', { participants });
  await (await bench.startWorker()).ready();
});
afterAll(() => bench?.close());

const verdict = ({ status, reasonCode }: StoredResult): string => reasonCode ?? status;

describe('a settled transaction', () => {
  test('has every field of its result', async () => {
    const before = Date.now();
    const payment = transaction({ amount: '12.34', creditorIban: 'DE89370400440532013000' });
    const sent = await bench.send(message(payment), { source: 'a channel', createdAt: before - 5000 });
    const result = await bench.only(sent);
    expect(result).toEqual({
      eventId: sent.eventId,
      messageType: 'pacs.008.001.08',
      source: 'a channel',
      messageId: sent.message!.messageId,
      transactionIndex: 0,
      instructionId: payment.instructionId,
      endToEndId: payment.endToEndId,
      transactionId: payment.transactionId,
      uetr: payment.uetr,
      status: 'ACSC',
      reasonCode: null,
      reason: null,
      debitedParticipant: 'COBADEFFXXX',
      creditedParticipant: 'DEUTDEFFXXX',
      currency: 'EUR',
      amount: units('12.34'),
      positionAfter: result.positionAfter,
      sequence: result.sequence,
      createdAt: before - 5000,
      receivedAt: result.receivedAt,
      settledAt: result.settledAt,
      inboundPartition: sent.partition,
      inboundOffset: sent.offset,
      originalEventId: null,
      identity: `pacs.008|UETR|${payment.uetr}`,
      statusReport: null,
      key: Buffer.from('COBADEFFXXX'),
      partition: owningPartition('COBADEFFXXX', bench.partitions),
      offset: result.offset,
    });
    expect(result.receivedAt).toBeGreaterThanOrEqual(before);
    expect(result.settledAt).toBeGreaterThanOrEqual(result.receivedAt - 50);
    expect(result.settledAt).toBeLessThanOrEqual(Date.now());
  });

  test('moves its amount, and the changelog says so', async () => {
    await bench.atRest();
    const before = bench.positions();
    await bench.settle(message(transaction({ amount: '7.00' })));
    const moved = (name: string): bigint => (bench.positions().get(name) ?? 0n) - (before.get(name) ?? 0n);
    await bench.waitFor('both positions', () => moved('COBADEFFXXX|EUR') === units('-7') && moved('DEUTDEFFXXX|EUR') === units('7'));
  });

  test('carries the position behind it in order, and sequences without a gap', async () => {
    const results = await bench.settle(message(...Array.from({ length: 20 }, () => transaction({ amount: '1.00' }))));
    const first = results[0]!;
    results.forEach((result, index) => {
      expect(result.sequence).toBe(first.sequence! + index);
    });
  });

  test('with the same participant on both sides shows the position before the credit, and the cap applies', async () => {
    const own = transaction({ debtorAgent: capA, creditorAgent: capA, amount: '100.00' });
    const [result] = await bench.settle(message(own));
    expect(result).toMatchObject({ status: 'ACSC', positionAfter: units('-100') });
    const [again] = await bench.settle(message(transaction({ debtorAgent: capA, creditorAgent: capA, amount: '100.00' })));
    expect(again).toMatchObject({ status: 'ACSC', positionAfter: units('-100') });
    const [beyond] = await bench.settle(message(transaction({ debtorAgent: capA, creditorAgent: capA, amount: '100.01' })));
    expect(verdict(beyond!)).toBe('AM04');
  });

  test('may reach the debit cap exactly, not pass it by a cent', async () => {
    const results = await bench.settle(message(
      transaction({ debtorAgent: capB, amount: '60.00' }),
      transaction({ debtorAgent: capB, amount: '40.01' }),
      transaction({ debtorAgent: capB, amount: '40.00' }),
      transaction({ debtorAgent: capB, amount: '0.01' }),
    ));
    expect(results.map(verdict)).toEqual(['ACSC', 'AM04', 'ACSC', 'AM04']);
    expect(results[2]!.positionAfter).toBe(units('-100'));
  });

  test('of a participant with a cap of 0 spends only what came in', async () => {
    const zero: Agent = { bic: 'ZEROGB2LXXX' };
    expect(verdict((await bench.settle(message(transaction({ debtorAgent: zero, amount: '0.01' }))))[0]!)).toBe('AM04');
    await bench.settle(message(transaction({ creditorAgent: zero, amount: '5.00' })));
    await bench.waitFor('the credit', () => bench.positions().get('ZEROGB2LXXX|EUR') === units('5'));
    const [spent] = await bench.settle(message(transaction({ debtorAgent: zero, amount: '5.00' })));
    expect(spent).toMatchObject({ status: 'ACSC', positionAfter: 0n });
  });

  test('in yen has no decimals and is exact', async () => {
    const [result] = await bench.settle(message(transaction({ currency: 'JPY', amount: '999' })));
    expect(result).toMatchObject({ status: 'ACSC', amount: units('999'), positionAfter: units('-999') });
  });

  test('may stand in an envelope beside an AppHdr, behind a prefix, and without a declaration', async () => {
    for (const wrapping of [{ envelope: true }, { prefix: 'pacs' }, { declaration: false }, { envelope: true, prefix: 'n0', declaration: false }]) {
      expect(verdict((await bench.settle(message(transaction()), { wrapping }))[0]!)).toBe('ACSC');
    }
  });

  test('may come with a byte order mark, Windows line ends, comments, CDATA and character references', async () => {
    const spec = message(transaction());
    const document = `\ufeff${buildMessage(spec)}`
      .replace('<CdtTrfTxInf>', '<!-- here it comes -->\r\n<CdtTrfTxInf>\r\n')
      .replace('<Nm>Jane Roe</Nm>', '<Nm><![CDATA[Jane]]> &#82;o&#x65;</Nm>')
      .replace('<ChrgBr>SLEV</ChrgBr>', '<ChrgBr>SL<!-- -->EV</ChrgBr>');
    expect(verdict((await bench.only(await bench.sendDocument(document, { message: spec }))))).toBe('ACSC');
  });

  test('may hold another Document in its supplementary data', async () => {
    const extra = '<SplmtryData><Envlp><Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.002.001.10"><Oops/></Document></Envlp></SplmtryData>';
    expect(verdict((await bench.settle(message(transaction({ extra }))))[0]!)).toBe('ACSC');
  });
});

describe('identity', () => {
  test('is the first of UETR, TxId, InstrId that the transaction has', async () => {
    const all = transaction();
    const results = await bench.settle(message(
      all,
      without(transaction(), 'uetr'),
      without(transaction(), 'uetr', 'transactionId'),
      without(transaction(), 'uetr', 'transactionId', 'instructionId'),
    ));
    const [, second, third] = results;
    expect(results.map(verdict)).toEqual(['ACSC', 'ACSC', 'ACSC', 'ACSC']);
    expect(results[0]!.identity).toBe(`pacs.008|UETR|${all.uetr}`);
    expect(second!.identity).toBe(`pacs.008|TxId|${second!.transactionId}`);
    expect(third!.identity).toBe(`pacs.008|InstrId|${third!.instructionId}`);
    expect(results[3]!.identity).toContain(results[3]!.endToEndId);
    expect(results[3]!.identity).toContain(results[3]!.messageId);
  });

  test('is not what stands behind the first: other fields of a resend may differ', async () => {
    const first = transaction();
    const [original] = await bench.settle(message(first));
    const [resend] = await bench.settle(message({ ...transaction(), uetr: first.uetr!, amount: '999.00', creditorAgent: capA }));
    expect(resend).toMatchObject({ reasonCode: 'AM05', originalEventId: original!.eventId, identity: null });
  });

  test('is another where a UETR was added: the same TxId with and without one are two payments', async () => {
    const first = without(transaction(), 'uetr');
    const results = await bench.settle(message(first, { ...first, uetr: randomUUID() }, first));
    expect(results.map(verdict)).toEqual(['ACSC', 'ACSC', 'AM05']);
  });

  test('is tagged: one value as TxId and as InstrId are two payments', async () => {
    const id = `SAME-${process.pid}`;
    const results = await bench.settle(message(
      { ...without(transaction(), 'uetr', 'instructionId'), transactionId: id },
      { ...without(transaction(), 'uetr', 'transactionId'), instructionId: id },
    ));
    expect(results.map(verdict)).toEqual(['ACSC', 'ACSC']);
  });

  test('is the debited participant\'s: one TxId of two debited participants are two payments', async () => {
    const id = `OURS-${process.pid}`;
    const results = await bench.settle(message(
      { ...without(transaction(), 'uetr'), transactionId: id },
      { ...without(transaction({ debtorAgent: deutsche, creditorAgent: commerz }), 'uetr'), transactionId: id },
    ));
    expect(results.map(verdict)).toEqual(['ACSC', 'ACSC']);
  });

  test('by message and end-to-end identifier counts the transaction\'s index', async () => {
    const bare = without(transaction({ endToEndId: 'NOTPROVIDED' }), 'uetr', 'transactionId', 'instructionId');
    const twice = message(bare, bare);
    expect((await bench.settle(twice)).map(verdict)).toEqual(['ACSC', 'ACSC']);
    expect((await bench.settle(twice)).map(verdict)).toEqual(['AM05', 'AM05']);
    expect((await bench.settle(message(bare))).map(verdict)).toEqual(['ACSC']);
  });

  test('keeps apart what is written together', async () => {
    const parts = (messageId: string, endToEndId: string) => ({
      messageId, transactions: [{ ...without(transaction(), 'uetr', 'transactionId', 'instructionId'), endToEndId }],
    });
    const tag = String(process.pid);
    expect((await bench.settle(parts(`${tag}A|B`, 'C'))).map(verdict)).toEqual(['ACSC']);
    expect((await bench.settle(parts(`${tag}A`, 'B|C'))).map(verdict)).toEqual(['ACSC']);
    expect((await bench.settle(parts(`${tag}A%7CB`, 'C'))).map(verdict)).toEqual(['ACSC']);
  });

  test('is taken over an alias as over the BIC', async () => {
    const first = transaction({ debtorAgent: { system: 'DEBLZ', member: '37040044' } });
    await bench.settle(message(first));
    const [resend] = await bench.settle(message({ ...first, debtorAgent: commerz }));
    expect(verdict(resend!)).toBe('AM05');
  });
});

describe('a duplicate', () => {
  test('within a message is AM05 of the message\'s own event', async () => {
    const payment = transaction();
    const sent = await bench.send(message(payment, payment, payment));
    const results = await bench.outcome(sent);
    expect(results.map(verdict)).toEqual(['ACSC', 'AM05', 'AM05']);
    expect(results[1]).toMatchObject({ originalEventId: sent.eventId, sequence: null, positionAfter: null, identity: null });
  });

  test('that came by every other partition is AM05, and names the first', async () => {
    const payment = message(transaction());
    const first = await bench.send(payment);
    await bench.outcome(first);
    for (let partition = 0; partition < bench.partitions; partition++) {
      const resend = await bench.only(await bench.send(payment, { partition, key: null }));
      expect(resend).toMatchObject({ reasonCode: 'AM05', originalEventId: first.eventId, partition: owningPartition('COBADEFFXXX', bench.partitions) });
    }
  });

  test('of the same event id is a duplicate all the same: the offset is another', async () => {
    const payment = message(transaction());
    const first = await bench.send(payment);
    await bench.outcome(first);
    await bench.send(payment, { eventId: first.eventId });
    const results = await bench.outcome(first, 2);
    expect(results.map(verdict).toSorted()).toEqual(['ACSC', 'AM05']);
    expect(results.find(({ status }) => status === 'RJCT')!.originalEventId).toBe(first.eventId);
  });

  test('many at once: one settles', async () => {
    const payment = message(transaction());
    const sent = await Promise.all(Array.from({ length: 40 }, (_, index) => bench.send(payment, { partition: index % bench.partitions, key: null })));
    const results = await Promise.all(sent.map((one) => bench.only(one)));
    expect(results.filter(({ status }) => status === 'ACSC')).toHaveLength(1);
    const winner = results.find(({ status }) => status === 'ACSC')!;
    for (const result of results) if (result !== winner) expect(result).toMatchObject({ reasonCode: 'AM05', originalEventId: winner.eventId });
  });

  test('of a payment that met its cap is AM05: AM04 keeps its claim', async () => {
    const tooMuch = message(transaction({ debtorAgent: capB, amount: '5000.00' }));
    const [refused] = await bench.settle(tooMuch);
    expect(refused).toMatchObject({ reasonCode: 'AM04', identity: `pacs.008|UETR|${tooMuch.transactions[0]!.uetr}` });
    const [resend] = await bench.settle(tooMuch);
    expect(resend).toMatchObject({ reasonCode: 'AM05', originalEventId: refused!.eventId });
  });

  test('is not made by what was rejected before the duplicate check', async () => {
    const payment = transaction();
    const results = await bench.settle(message({ ...payment, currency: 'XAU' }, { ...payment, amount: '0' }, { ...payment, creditorAgent: { bic: 'NOTHDEFF' } }, payment));
    expect(results.map(verdict)).toEqual(['AM11', 'AM01', 'CNOR', 'ACSC']);
  });
});

describe('the directory, followed live', () => {
  test('a participant that was added settles within two seconds, also what was DNOR before', async () => {
    const payment = message(transaction({ debtorAgent: { bic: 'LATEDEFFXXX' } }));
    const [refused] = await bench.settle(payment);
    expect(refused).toMatchObject({ reasonCode: 'DNOR', identity: null });
    forget(refused!);
    await bench.applyParticipants([...participants, late]);
    const applied = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 1_900));
    const [settled] = await bench.settle(payment);
    expect(verdict(settled!)).toBe('ACSC');
    expect(performance.now() - applied).toBeLessThan(20_000);
  });

  test('an alias that was added resolves, and its resend over the BIC is a duplicate', async () => {
    participants[1] = participant('DEUTDEFFXXX', { EUR: '1000000.00', JPY: '1000' }, ['DEBLZ:50070010']);
    await bench.applyParticipants([...participants, late]);
    await new Promise((resolve) => setTimeout(resolve, 1_900));
    const payment = transaction({ debtorAgent: { system: 'DEBLZ', member: '50070010' }, creditorAgent: commerz });
    expect((await bench.settle(message(payment, { ...payment, debtorAgent: deutsche }))).map(verdict)).toEqual(['ACSC', 'AM05']);
  });

  test('a lower cap is in force at once', async () => {
    participants.push(participant('CAPCDEFFXXX', { EUR: '50.00' }));
    await bench.applyParticipants([...participants, late]);
    await new Promise((resolve) => setTimeout(resolve, 1_900));
    const results = await bench.settle(message(transaction({ debtorAgent: { bic: 'CAPCDEFF' }, amount: '50.01' })));
    expect(results.map(verdict)).toEqual(['AM04']);
  });

  test('a participant whose position is not 0 is not removed, unless it is forced', async () => {
    await bench.atRest();
    await expect(bench.applyParticipants(participants)).rejects.toThrow(/LATEDEFFXXX/);
    expect((await bench.settle(message(transaction({ debtorAgent: { bic: 'LATEDEFF' } })))).map(verdict)).toEqual(['ACSC']);
  });
});

/** Taken out of what is compared at the end: it was judged by another directory. */
function forget(result: StoredResult): void {
  const { inboundPartition, inboundOffset } = result;
  bench.sent.splice(bench.sent.findIndex(({ partition, offset }) => partition === inboundPartition && offset === inboundOffset), 1);
  bench.results.splice(bench.results.indexOf(result), 1);
}

test('everything that was told is what the contract says', async () => {
  await bench.atRest();
  expect(compare({ ...bench, participants: [...participants, late], positions: bench.positions() })).toEqual([]);
});
