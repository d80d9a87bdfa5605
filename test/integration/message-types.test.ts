/** Each message definition that settles, in each of its versions, through a real worker; and those that do not (contract sections 2, 3). */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { units } from './harness/avro.ts';
import { Bench, headerText } from './harness/bench.ts';
import type { Sending, Sent, StoredResult } from './harness/bench.ts';
import { participant, without } from './harness/directory.ts';
import type { Agent } from './harness/message.ts';
import { owningPartition } from './harness/murmur2.ts';
import {
  buildOther, creditTransfer, definitionOf, definitions, initiation, initiationVersions, institutionTransfer, institutionVersions, paymentReturn,
  returnVersions,
} from './harness/other-messages.ts';
import type { Block, Family, OtherMessage, OtherTransaction } from './harness/other-messages.ts';
import { compare } from './harness/truth.ts';

const caps = { EUR: '1000000.00', JPY: '1000000' };
const participants = [
  participant('COBADEFFXXX', caps, ['DEBLZ:37040044']),
  participant('DEUTDEFFXXX', caps, ['DEBLZ:50070010']),
  participant('INGBNL2AXXX', caps),
  participant('USABA:021040078', { EUR: '1000000.00' }),
  participant('RETADEFFXXX'),
  participant('RETBDEFFXXX'),
];
const commerz: Agent = { bic: 'COBADEFF' };
const deutsche: Agent = { bic: 'DEUTDEFFXXX' };
const ing: Agent = { bic: 'INGBNL2A' };
const member: Agent = { system: 'USABA', member: '021040078' };
const stranger: Agent = { bic: 'NOTHDEFF' };
const nobody: Agent = { nameOnly: 'A bank without a code' };

const iban = { good: 'DE89370400440532013000', wrong: 'DE88370400440532013000' };

let bench: Bench;
const deadLetterCodes = new Map<string, string>();

beforeAll(async () => {
  bench = await Bench.create('types', { participants });
  await (await bench.startWorker({ COMMIT_INTERVAL_MS: '20' })).ready();
});
afterAll(() => bench?.close());

let counter = 0;
const fresh = (): string => `${process.pid}-${++counter}`;

/** With every identifier that any family has, from Commerzbank to Deutsche Bank. */
function transaction(changes: Partial<OtherTransaction> = {}): OtherTransaction {
  const number = fresh();
  return {
    instructionId: `I-${number}`, endToEndId: `E-${number}`, transactionId: `T-${number}`, uetr: randomUUID(), returnId: `R-${number}`,
    currency: 'EUR', amount: '10.00', debtorAgent: commerz, creditorAgent: deutsche, ...changes,
  };
}

/** Without what is named, and with identifiers of its own where they are left. */
function bare(changes: Partial<OtherTransaction>, ...kept: (keyof OtherTransaction)[]): OtherTransaction {
  const { currency, amount, debtorAgent, creditorAgent, ...ids } = transaction();
  const left = Object.fromEntries(Object.entries(ids).filter(([name]) => kept.includes(name as keyof OtherTransaction)));
  return { currency, amount, debtorAgent, creditorAgent, ...left, ...changes } as OtherTransaction;
}

function message(...transactions: OtherTransaction[]): OtherMessage {
  return { messageId: `M-${fresh()}`, transactions };
}

async function send(definition: string, document: string, sending: Sending = {}): Promise<Sent> {
  return bench.sendDocument(document, { messageType: definition, key: 'COBADEFFXXX', ...sending });
}

/** All results of an event; a message that is rejected as a whole has one. */
async function resultsOf(definition: string, document: string, sending: Sending = {}): Promise<StoredResult[]> {
  const sent = await send(definition, document, sending);
  await bench.waitFor(`results of a ${definition}`, () => bench.resultsOf(sent.eventId).length > 0 || bench.deadLettersOf(sent).length > 0);
  const letter = bench.deadLettersOf(sent)[0];
  if (letter !== undefined) throw new Error(`a dead letter ${headerText(letter, 'dlq.code')}: ${headerText(letter, 'dlq.reason')}`);
  const first = bench.resultsOf(sent.eventId)[0]!;
  if (first.transactionIndex === -1) return [first];
  return bench.outcome(sent, document.split(/<(?:CdtTrfTxInf|TxInf)>/).length - 1);
}

async function settle(family: Family, version: string, spec: OtherMessage, sending: Sending = {}): Promise<StoredResult[]> {
  return resultsOf(definitionOf(family, version), buildOther(family, version, spec), sending);
}

async function settleOne(family: Family, version: string, changes: Partial<OtherTransaction>, ofMessage: Partial<OtherMessage> = {}): Promise<StoredResult> {
  const [result] = await settle(family, version, { ...message(transaction(changes)), ...ofMessage });
  return result!;
}

const verdict = ({ status, reasonCode }: StoredResult): string => reasonCode ?? status;
const shown = ({ transactionIndex, ...result }: StoredResult): string => `${transactionIndex} ${verdict({ transactionIndex, ...result })}`;

const all = definitions.map(({ family, version }) => [definitionOf(family, version), family, version] as const);
const newest: readonly (readonly [Family, string])[] = [['pacs.008', '12'], ['pacs.008', '02'], ['pacs.009', '10'], ['pacs.004', '11'], ['pain.001', '11'], ['pain.001', '03']];
const hasUetr = (definition: string): boolean => !['pacs.008.001.02', 'pacs.008.001.06', 'pain.001.001.03'].includes(definition);

describe('a payment settles with every field of its result', () => {
  test.each(all)('%s', async (definition, family, version) => {
    const first = transaction({ amount: '12.34' });
    const second = transaction({ amount: '0.66', creditorAgent: ing });
    const spec = { ...message(first, second), controlSum: '13', ...(family === 'pain.001' ? {} : { total: { currency: 'EUR', amount: '13.00' } }) };
    const sent = await send(definition, buildOther(family, version, spec), { source: 'a channel', createdAt: Date.now() - 5000 });
    const results = await bench.outcome(sent, 2);
    for (const [index, payment] of [first, second].entries()) {
      const result = results[index]!;
      const uetr = hasUetr(definition) ? payment.uetr : null;
      const identity = { 'pacs.004': `RtrId|${payment.returnId}`, 'pain.001': `InstrId|${payment.instructionId}` }[family as string] ?? `TxId|${payment.transactionId}`;
      expect(result).toEqual({
        eventId: sent.eventId,
        messageType: definition,
        source: 'a channel',
        messageId: spec.messageId,
        transactionIndex: index,
        instructionId: payment.instructionId,
        endToEndId: payment.endToEndId,
        transactionId: { 'pacs.004': payment.returnId, 'pain.001': null }[family as string] ?? (family === 'pain.001' ? null : payment.transactionId),
        uetr,
        status: 'ACSC',
        reasonCode: null,
        reason: null,
        debitedParticipant: 'COBADEFFXXX',
        creditedParticipant: index === 0 ? 'DEUTDEFFXXX' : 'INGBNL2AXXX',
        currency: 'EUR',
        amount: units(payment.amount),
        positionAfter: result.positionAfter,
        sequence: result.sequence,
        createdAt: sent.createdAt,
        receivedAt: result.receivedAt,
        settledAt: result.settledAt,
        inboundPartition: sent.partition,
        inboundOffset: sent.offset,
        originalEventId: null,
        identity: `${family}|${uetr !== null && family !== 'pacs.004' ? `UETR|${uetr}` : identity}`,
        statusReport: null,
        key: Buffer.from('COBADEFFXXX'),
        partition: owningPartition('COBADEFFXXX', bench.partitions),
        offset: result.offset,
      });
    }
  });

  test.each(all)('%s in another partition than its owner\'s, in an envelope and prefixed', async (definition, family, version) => {
    const partition = (owningPartition('COBADEFFXXX', bench.partitions) + 1) % bench.partitions;
    const document = buildOther(family, version, message(transaction()))
      .replace(/<\?xml[^>]*>\n/, '').replace('<Document xmlns=', '<Document xmlns:p=').replaceAll(/<(\/?)([A-Za-z])/g, '<$1p:$2');
    const [result] = await resultsOf(definition, `<Envelope xmlns="urn:any"><Header/>${document}</Envelope>`, { partition });
    expect(result).toMatchObject({ status: 'ACSC', partition: owningPartition('COBADEFFXXX', bench.partitions), inboundPartition: partition });
  });
});

describe('the debited and the credited participant', () => {
  const places: [string, Partial<OtherTransaction>, Partial<OtherMessage>, string | null, string | null, string][] = [
    ['the transaction\'s own agents come first', { instructingAgent: ing, instructedAgent: commerz, debtorAgent: stranger, creditorAgent: stranger }, { instructingAgent: stranger, instructedAgent: stranger }, 'INGBNL2AXXX', 'COBADEFFXXX', 'ACSC'],
    ['then the group header\'s', { debtorAgent: stranger, creditorAgent: stranger }, { instructingAgent: ing, instructedAgent: commerz }, 'INGBNL2AXXX', 'COBADEFFXXX', 'ACSC'],
    ['each side for itself', { instructingAgent: ing, debtorAgent: stranger }, {}, 'INGBNL2AXXX', 'DEUTDEFFXXX', 'ACSC'],
    ['then the debtor\'s and the creditor\'s agent', { debtor: stranger, creditor: stranger }, {}, 'COBADEFFXXX', 'DEUTDEFFXXX', 'ACSC'],
    ['no fall-back behind a transaction\'s agent without a code', { instructingAgent: nobody }, { instructingAgent: ing }, null, 'DEUTDEFFXXX', 'DNOR'],
    ['no fall-back behind a group header\'s agent without a code', {}, { instructedAgent: nobody }, 'COBADEFFXXX', null, 'CNOR'],
    ['no fall-back behind a debtor\'s agent without a code', { debtorAgent: nobody, debtor: ing }, {}, null, 'DEUTDEFFXXX', 'DNOR'],
    ['no fall-back behind a creditor\'s agent without a code', { creditorAgent: nobody, creditor: ing }, {}, 'COBADEFFXXX', null, 'CNOR'],
  ];
  const interbank = newest.filter(([family]) => family !== 'pain.001');
  describe.each(interbank)('in %s.001.%s', (family, version) => {
    test('are found where the contract looks for them', async () => {
      const results = await Promise.all(places.map(([, changes, ofMessage]) => settleOne(family, version, changes, ofMessage)));
      expect(results.map((result, row) => [places[row]![0], verdict(result), result.debitedParticipant, result.creditedParticipant])).toEqual(
        places.map(([name, , , debited, credited, expected]) => [name, expected, debited, credited]),
      );
    });
  });

  describe.each(newest)('in %s.001.%s', (family, version) => {
    test('are named by BIC, else by clearing member', async () => {
      const debited: [string, Agent, string | null, string][] = [
        ['a BIC in eight', { bic: 'COBADEFF' }, 'COBADEFFXXX', 'ACSC'],
        ['a BIC of a branch', { bic: 'COBADEFF370' }, 'COBADEFF370', 'DNOR'],
        ['a BIC beside a clearing member', { bic: 'COBADEFF', system: 'USABA', member: '021040078' }, 'COBADEFFXXX', 'ACSC'],
        ['a clearing member', member, 'USABA:021040078', 'ACSC'],
        ['a clearing member that is an alias', { system: 'DEBLZ', member: '37040044' }, 'COBADEFFXXX', 'ACSC'],
        ['a clearing member that nobody knows', { system: 'USABA', member: '1' }, 'USABA:1', 'DNOR'],
        ['a member of a proprietary system', { proprietarySystem: 'DEBLZ', member: '37040044' }, null, 'DNOR'],
        ['a member of no system', { memberOnly: '37040044' }, null, 'DNOR'],
        ['only a name', nobody, null, 'DNOR'],
      ];
      const credited: typeof debited = [
        ['a clearing member that is an alias', { system: 'DEBLZ', member: '50070010' }, 'DEUTDEFFXXX', 'ACSC'],
        ['a member of a proprietary system', { proprietarySystem: 'DEBLZ', member: '50070010' }, null, 'CNOR'],
        ['a stranger', stranger, 'NOTHDEFFXXX', 'CNOR'],
      ];
      const asDebtor = await Promise.all(debited.map(([, debtorAgent]) => settleOne(family, version, { debtorAgent })));
      const asCreditor = await Promise.all(credited.map(([, creditorAgent]) => settleOne(family, version, { creditorAgent })));
      expect(asDebtor.map((result, row) => [debited[row]![0], result.debitedParticipant, verdict(result), result.creditedParticipant])).toEqual(
        debited.map(([name, , identifier, expected]) => [name, identifier, expected, 'DEUTDEFFXXX']),
      );
      expect(asCreditor.map((result, row) => [credited[row]![0], result.creditedParticipant, verdict(result)])).toEqual(
        credited.map(([name, , identifier, expected]) => [name, identifier, expected]),
      );
    });
  });

  test.each(institutionVersions)('in pacs.009.001.%s the debtor and the creditor stand in where no agent is named', async (version) => {
    const institutions = async (changes: Partial<OtherTransaction>, ofMessage: Partial<OtherMessage> = {}): Promise<string> => {
      const unnamed = without(transaction(), 'debtorAgent', 'creditorAgent');
      const [result] = await settle('pacs.009', version, { ...message({ ...unnamed, ...changes }), ...ofMessage });
      return `${verdict(result!)} ${result!.debitedParticipant} ${result!.creditedParticipant}`;
    };
    expect(await institutions({ debtor: member, creditor: { system: 'DEBLZ', member: '50070010' } })).toBe('ACSC USABA:021040078 DEUTDEFFXXX');
    expect(await institutions({ debtor: member, creditor: deutsche }, { instructedAgent: ing })).toBe('ACSC USABA:021040078 INGBNL2AXXX');
    expect(await institutions({ debtor: member, creditorAgent: ing })).toBe('ACSC USABA:021040078 INGBNL2AXXX');
    expect(await institutions({ creditor: deutsche })).toBe('DNOR null DEUTDEFFXXX');
    expect(await institutions({ debtor: commerz })).toBe('CNOR COBADEFFXXX null');
  });

  test.each(institutionVersions)('a cover pacs.009.001.%s is not settled by the parties of the payment that it covers', async (version) => {
    const covered = '<UndrlygCstmrCdtTrf><Dbtr><Nm>Erika Muster</Nm></Dbtr><DbtrAcct><Id><IBAN>XX00A</IBAN></Id></DbtrAcct>'
      + '<DbtrAgt><FinInstnId><BICFI>NOTHDEFFXXX</BICFI></FinInstnId></DbtrAgt><CdtrAgt><FinInstnId><BICFI>NOTHDEFFXXX</BICFI></FinInstnId></CdtrAgt>'
      + '<Cdtr><Nm>Jane Roe</Nm></Cdtr><InstdAmt Ccy="USD">99.99</InstdAmt></UndrlygCstmrCdtTrf>';
    const cover = without(transaction({ debtor: commerz, creditor: deutsche, extra: covered }), 'debtorAgent', 'creditorAgent');
    const [result] = await settle('pacs.009', version, message(cover));
    expect(result).toMatchObject({ status: 'ACSC', debitedParticipant: 'COBADEFFXXX', creditedParticipant: 'DEUTDEFFXXX', currency: 'EUR', amount: units('10') });
  });

  test.each(returnVersions)('in pacs.004.001.%s without agents and a chain nobody is debited', async (version) => {
    const original = `<OrgnlTxRef>${version === '09' ? '' : '<IntrBkSttlmAmt Ccy="EUR">5</IntrBkSttlmAmt>'}<DbtrAgt><FinInstnId><BICFI>COBADEFFXXX</BICFI></FinInstnId></DbtrAgt>`
      + '<CdtrAgt><FinInstnId><BICFI>DEUTDEFFXXX</BICFI></FinInstnId></CdtrAgt></OrgnlTxRef>';
    const [result] = await settle('pacs.004', version, message(transaction({ withoutChain: true, extra: original })));
    expect(result).toMatchObject({ reasonCode: 'DNOR', debitedParticipant: null, creditedParticipant: null, identity: null, key: Buffer.from('COBADEFFXXX') });
  });

  test('in pain.001 an absent creditor\'s agent is nobody', async () => {
    const [result] = await settle('pain.001', '09', message(without(transaction(), 'creditorAgent')));
    expect(result).toMatchObject({ reasonCode: 'CNOR', creditedParticipant: null });
  });
});

describe('a return', () => {
  const side = (name: 'RETA' | 'RETB'): Agent => ({ bic: `${name}DEFF` });

  test.each(returnVersions)('by pacs.004.001.%s takes the money back from who returns it', async (version) => {
    const uetr = randomUUID();
    const sent = transaction({ uetr, amount: '40.00', debtorAgent: side('RETA'), creditorAgent: side('RETB') });
    const [paid] = await settle('pacs.008', '08', message(sent));
    expect(paid).toMatchObject({ status: 'ACSC', debitedParticipant: 'RETADEFFXXX' });
    const [returned] = await settle('pacs.004', version, message({ ...sent, returnId: `R-${fresh()}`, debtorAgent: side('RETB'), creditorAgent: side('RETA') }));
    expect(returned).toMatchObject({ status: 'ACSC', debitedParticipant: 'RETBDEFFXXX', creditedParticipant: 'RETADEFFXXX', amount: units('40'), uetr });
    await bench.waitFor('both positions are 0 again', () => ['RETADEFFXXX|EUR', 'RETBDEFFXXX|EUR'].every((name) => bench.positions().get(name) === 0n));
  });

  test('is known by the first identifier that it has, RtrId before all', async () => {
    const spec = message(
      bare({}, 'returnId', 'uetr', 'transactionId', 'instructionId', 'endToEndId'),
      bare({}, 'uetr', 'transactionId', 'instructionId', 'endToEndId'),
      bare({}, 'transactionId', 'instructionId', 'endToEndId'),
      bare({}, 'instructionId', 'endToEndId'),
      bare({}, 'endToEndId'),
      bare({}),
    );
    const results = await settle('pacs.004', '11', spec);
    expect(results.map(shown)).toEqual([0, 1, 2, 3, 4, 5].map((index) => `${index} ACSC`));
    const [a, b, c, d, e, f] = spec.transactions;
    expect(results.slice(0, 4).map(({ identity }) => identity)).toEqual([
      `pacs.004|RtrId|${a!.returnId}`, `pacs.004|UETR|${b!.uetr}`, `pacs.004|TxId|${c!.transactionId}`, `pacs.004|InstrId|${d!.instructionId}`,
    ]);
    for (const part of ['pacs.004|', spec.messageId, e!.endToEndId!, '4']) expect(results[4]!.identity).toContain(part);
    expect(results[5]).toMatchObject({ endToEndId: null, transactionId: null, uetr: null, instructionId: null });
    // The transactionId of a result is RtrId and nothing else.
    expect(results.map(({ transactionId }) => transactionId)).toEqual([a!.returnId, null, null, null, null, null]);
    expect(f!.endToEndId).toBeUndefined();

    const again = await settle('pacs.004', '09', spec);
    expect(again.map(shown)).toEqual([0, 1, 2, 3, 4, 5].map((index) => `${index} AM05`));
    expect(again.map(({ originalEventId }) => originalEventId)).toEqual(results.map(({ eventId }) => eventId));
  });

  test.each(returnVersions)('by pacs.004.001.%s of a group that names no transaction is answered, not lost', async (version) => {
    expect((await settle('pacs.004', version, { ...message(), numberOfTransactions: '1' })).map(shown)).toEqual(['-1 AM19']);
    for (const ofMessage of [{}, { controlSum: '0', total: { currency: 'EUR', amount: '0' } }]) {
      expect((await settle('pacs.004', version, { ...message(), ...ofMessage })).map(shown)).toEqual(['-1 FF01']);
    }
  });

  test('of the same payment under another RtrId is another return, the same RtrId of another participant too', async () => {
    const first = transaction();
    await settle('pacs.004', '11', message(first));
    expect((await settle('pacs.004', '11', message({ ...first, returnId: `R-${fresh()}` }))).map(verdict)).toEqual(['ACSC']);
    expect((await settle('pacs.004', '11', message({ ...first, debtorAgent: ing }))).map(verdict)).toEqual(['ACSC']);
    expect((await settle('pacs.004', '11', message({ ...first, uetr: randomUUID() }))).map(verdict)).toEqual(['AM05']);
  });
});

describe('duplicates', () => {
  test.each(institutionVersions)('a cover pacs.009.001.%s with its pacs.008\'s UETR is none, its resend is', async (version) => {
    const payment = transaction();
    const [paid] = await settle('pacs.008', '08', message(payment));
    const [cover] = await settle('pacs.009', version, message(payment));
    expect([paid, cover].map((result) => verdict(result!))).toEqual(['ACSC', 'ACSC']);
    const [resent] = await settle('pacs.009', version, message({ ...payment, transactionId: 'another', amount: '11.00' }));
    expect(resent).toMatchObject({ reasonCode: 'AM05', originalEventId: cover!.eventId, identity: null, uetr: payment.uetr });
  });

  test('the same identifier in each family is four payments', async () => {
    const payment = without(transaction(), 'returnId');
    for (const [family, version] of [['pain.001', '09'], ['pacs.008', '10'], ['pacs.009', '10'], ['pacs.004', '11']] as const) {
      expect((await settle(family, version, message(payment))).map(verdict)).toEqual(['ACSC']);
    }
  });

  test('a resend in another version of the family is one', async () => {
    const payment = transaction();
    const original = await settleOne('pacs.008', '09', payment);
    for (const version of ['08', '10', '12']) expect(await settleOne('pacs.008', version, payment)).toMatchObject({ reasonCode: 'AM05', originalEventId: original.eventId });
    // Without a UETR it is known by its transaction id: another identifier, another payment.
    expect(verdict(await settleOne('pacs.008', '02', payment))).toBe('ACSC');
    expect(verdict(await settleOne('pacs.008', '06', payment))).toBe('AM05');
  });

  test('a pain.001.001.03 without an instruction id is known by its message, its end-to-end id and its place', async () => {
    const one = bare({ endToEndId: 'NOTPROVIDED' });
    const spec = message(one, one);
    expect((await settle('pain.001', '03', spec)).map(shown)).toEqual(['0 ACSC', '1 ACSC']);
    expect((await settle('pain.001', '03', spec)).map(shown)).toEqual(['0 AM05', '1 AM05']);
    expect((await settle('pain.001', '03', message(one, one))).map(shown)).toEqual(['0 ACSC', '1 ACSC']);
  });
});

describe.each(initiationVersions)('pain.001.001.%s', (version) => {
  const definition = definitionOf('pain.001', version);
  const block = (changes: Partial<Block>, ...transactions: OtherTransaction[]): Block => ({ debtorAgent: commerz, transactions, ...changes });
  const three = (first: Partial<Block> = {}, second: Partial<Block> = {}): Block[] => [
    block(first, transaction({ amount: '1.00' }), transaction({ amount: '2.50' })),
    block({ debtorAgent: ing, ...second }, transaction({ amount: '4.00' }), transaction({ amount: '8.00' })),
    block({}, transaction({ amount: '16.00' })),
  ];
  const start = async (blocks: Block[], header: { numberOfTransactions?: string; controlSum?: string } = {}): Promise<StoredResult[]> =>
    resultsOf(definition, initiation(version, { messageId: `M-${fresh()}`, blocks, ...header }));

  test('counts its transactions on across the blocks, and debits each block\'s agent', async () => {
    const blocks = three({ numberOfTransactions: '02', controlSum: '3.5' }, { controlSum: '+12.000', executionTime: true });
    const results = await start(blocks, { numberOfTransactions: '00005', controlSum: '031.50' });
    expect(results.map(shown)).toEqual(['0 ACSC', '1 ACSC', '2 ACSC', '3 ACSC', '4 ACSC']);
    expect(results.map(({ debitedParticipant }) => debitedParticipant)).toEqual(['COBADEFFXXX', 'COBADEFFXXX', 'INGBNL2AXXX', 'INGBNL2AXXX', 'COBADEFFXXX']);
    expect(results.map(({ amount }) => amount)).toEqual(['1', '2.5', '4', '8', '16'].map(units));
    expect(results.map(({ endToEndId }) => endToEndId)).toEqual(blocks.flatMap(({ transactions }) => transactions.map(({ endToEndId }) => endToEndId)));
  });

  const headerWrong = { count: { numberOfTransactions: '4' }, sum: { controlSum: '31.51' } };
  const blockWrong = { count: { numberOfTransactions: '1' }, sum: { controlSum: '12.01' } };
  test.each<[string, Partial<Block>, Partial<Block>, { numberOfTransactions?: string; controlSum?: string }, string, string]>([
    ['a wrong number in the group header', {}, {}, headerWrong.count, 'AM19', 'GrpHdr/NbOfTxs'],
    ['a wrong number in a block', {}, blockWrong.count, {}, 'AM20', 'PmtInf[2]/NbOfTxs'],
    ['a block that counts none', { numberOfTransactions: '0' }, {}, {}, 'AM20', 'PmtInf[1]/NbOfTxs'],
    ['a wrong sum in the group header', {}, {}, headerWrong.sum, 'AM10', 'GrpHdr/CtrlSum'],
    ['a sum below nothing', {}, {}, { controlSum: '-31.50' }, 'AM10', 'GrpHdr/CtrlSum'],
    ['a wrong sum in a block', {}, blockWrong.sum, {}, 'AM17', 'PmtInf[2]/CtrlSum'],
    ['the whole message\'s sum in a block', {}, { controlSum: '31.5' }, { controlSum: '31.5' }, 'AM17', 'PmtInf[2]/CtrlSum'],
    ['wrong numbers in both', {}, blockWrong.count, headerWrong.count, 'AM19', 'GrpHdr/NbOfTxs'],
    ['a wrong number in a block and a wrong sum in the group header', {}, blockWrong.count, headerWrong.sum, 'AM20', 'PmtInf[2]/NbOfTxs'],
    ['a wrong sum in the first block and a wrong number in the second', { controlSum: '1' }, blockWrong.count, {}, 'AM20', 'PmtInf[2]/NbOfTxs'],
    ['wrong sums in both', {}, blockWrong.sum, headerWrong.sum, 'AM10', 'GrpHdr/CtrlSum'],
  ])('with %s', async (_name, first, second, header, code, path) => {
    const results = await start(three(first, second), header);
    expect(results.map(shown)).toEqual([`-1 ${code}`]);
    expect(results[0]!.reason).toContain(`/Document/CstmrCdtTrfInitn/${path}`);
    expect(results[0]).toMatchObject({ debitedParticipant: null, amount: null, identity: null });
  });

  test('an amount to be converted is AM12, alone, and counts in the sums', async () => {
    const blocks = [block({ controlSum: '15.00' }, transaction(), transaction({ amount: '5.00', equivalentIn: 'USD' })), block({}, transaction())];
    const results = await start(blocks, { controlSum: '25' });
    expect(results.map(shown)).toEqual(['0 ACSC', '1 AM12', '2 ACSC']);
    expect(results[1]!.reason).toContain('/Document/CstmrCdtTrfInitn/PmtInf[1]/CdtTrfTxInf[2]/Amt/EqvtAmt');
    expect(results[1]).toMatchObject({ endToEndId: blocks[0]!.transactions[1]!.endToEndId, debitedParticipant: 'COBADEFFXXX', identity: null });
  });

  test('a block\'s IBAN is its transactions\' debtor\'s', async () => {
    const results = await start([
      block({ debtorIban: iban.good }, transaction({ creditorIban: iban.good }), transaction({ creditorIban: iban.wrong })),
      block({ debtorIban: iban.wrong }, transaction(), transaction({ creditorIban: iban.wrong, currency: 'XAU' }), transaction({ creditorIban: iban.wrong })),
      block({}, transaction()),
    ]);
    expect(results.map(shown)).toEqual(['0 ACSC', '1 AC03', '2 AC02', '3 AM11', '4 AC02', '5 ACSC']);
    expect(results[2]!.reason).toContain('PmtInf[2]/DbtrAcct/Id/IBAN');
    for (const { reason } of results) expect(reason ?? '').not.toContain(iban.wrong);
  });

  test('a block of a bank without a code debits nobody, the next its own', async () => {
    const results = await start([block({ debtorAgent: nobody }, transaction()), block({ debtorAgent: stranger }, transaction()), block({ debtorAgent: deutsche }, transaction({ creditorAgent: ing }))]);
    expect(results.map(shown)).toEqual(['0 DNOR', '1 DNOR', '2 ACSC']);
    expect(results.map(({ debitedParticipant }) => debitedParticipant)).toEqual([null, 'NOTHDEFFXXX', 'DEUTDEFFXXX']);
  });

  test('an FF01 in its second block says where', async () => {
    const document = initiation(version, { messageId: `M-${fresh()}`, blocks: three() }).replace('>8.00<', '>8,00<');
    const [result] = await resultsOf(definition, document);
    expect(result).toMatchObject({ transactionIndex: -1, reasonCode: 'FF01' });
    expect(result!.reason).toContain('/Document/CstmrCdtTrfInitn/PmtInf[2]/CdtTrfTxInf[2]/Amt/InstdAmt');
  });
});

describe.each(newest)('an amount of a %s.001.%s', (family, version) => {
  const told = async (amount: string, currency = 'EUR'): Promise<StoredResult> => settleOne(family, version, { amount, currency });

  test('is read as it is written', async () => {
    const table: [string, string, bigint | null, string?][] = [
      ['+1.00', 'ACSC', units('1')],
      ['.5', 'ACSC', units('0.5')],
      ['5.', 'ACSC', units('5')],
      ['000000000000000000000007.10', 'ACSC', units('7.1')],
      [' 3.00\n', 'ACSC', units('3')],
      ['5.', 'ACSC', units('5'), 'JPY'],
      ['5.0', 'AM12', units('5'), 'JPY'],
      ['1.000', 'AM12', units('1')],
      ['1.00000', 'AM12', units('1')],
      ['0.000', 'AM12', 0n],
      ['0', 'AM01', 0n],
      ['-0.00', 'AM01', 0n],
      ['9999999999999.99', 'AM04', units('9999999999999.99')],
      ['10000000000000', 'AM02', null],
      ['123456789012345678', 'AM02', null],
      ['1', 'AM11', units('1'), 'DEM'],
      ['1', 'AM11', units('1'), 'XDR'],
    ];
    const results = await Promise.all(table.map(([amount, , , currency]) => told(amount, currency)));
    expect(results.map((result, row) => [table[row]![0], result.currency, shown(result), result.amount])).toEqual(
      table.map(([amount, expected, value, currency = 'EUR']) => [amount, currency, `0 ${expected}`, value]),
    );
  });

  test('is FF01 where it is no decimal of the XSD', async () => {
    const table = ['-1', '1e2', '.', '', '1.000001', '1234567890123456789', '1,00', '0x1', 'NaN', '1 0', '+-1', '++1'];
    const results = await Promise.all(table.map((amount) => told(amount)));
    expect(results.map((result, row) => [table[row], shown(result)])).toEqual(table.map((amount) => [amount, '-1 FF01']));
    for (const { reason } of results) expect(reason).toMatch(/\/(IntrBkSttlmAmt|RtrdIntrBkSttlmAmt|InstdAmt)/);
  });
});

describe.each(newest.filter(([family]) => family !== 'pain.001'))('numbers and sums of a %s.001.%s', (family, version) => {
  const two = (): OtherTransaction[] => [transaction({ amount: '10.00' }), transaction({ amount: '20.5' })];
  test.each<[string, Partial<OtherMessage>, string]>([
    ['agree as numbers', { numberOfTransactions: '000000000000002', controlSum: '+030.50000000', total: { currency: 'EUR', amount: '30.5' } }, 'ACSC'],
    ['count one more', { numberOfTransactions: '3' }, 'AM19'],
    ['have another control sum', { controlSum: '30.500001' }, 'AM10'],
    ['have a control sum below nothing', { controlSum: '-30.5' }, 'AM10'],
    ['have another total', { total: { currency: 'EUR', amount: '30.51' } }, 'AM10'],
    ['have a total in another currency', { total: { currency: 'USD', amount: '30.5' } }, 'AM10'],
    ['count wrongly and have another sum', { numberOfTransactions: '1', controlSum: '7' }, 'AM19'],
  ])('%s', async (_name, ofMessage, expected) => {
    const spec = { ...message(...two()), ...ofMessage };
    const results = await settle(family, version, spec);
    expect(results.map(shown)).toEqual(expected === 'ACSC' ? ['0 ACSC', '1 ACSC'] : [`-1 ${expected}`]);
    expect(results[0]!.messageId).toBe(spec.messageId);
  });

  test('a total is of one currency', async () => {
    const spec = { ...message(transaction({ amount: '10.00' }), transaction({ amount: '20', currency: 'JPY' })), controlSum: '30' };
    expect((await settle(family, version, { ...spec, total: { currency: 'EUR', amount: '30' } })).map(shown)).toEqual(['-1 AM10']);
    expect((await settle(family, version, spec)).map(shown)).toEqual(['0 ACSC', '1 ACSC']);
  });
});

describe('accounts', () => {
  test.each([['pacs.008', '02'], ['pacs.008', '12'], ['pacs.009', '08'], ['pacs.009', '10'], ['pacs.004', '11']] as const)('of a %s.001.%s have good IBANs', async (family, version) => {
    expect(verdict(await settleOne(family, version, { debtorIban: iban.good, creditorIban: iban.good }))).toBe('ACSC');
    const debtor = await settleOne(family, version, { debtorIban: iban.wrong, creditorIban: iban.wrong, debtorAgent: stranger });
    const creditor = await settleOne(family, version, { debtorIban: iban.good, creditorIban: iban.wrong, creditorAgent: stranger });
    expect([debtor, creditor].map(verdict)).toEqual(['AC02', 'AC03']);
    for (const { reason } of [debtor, creditor]) expect(reason).not.toContain(iban.wrong);
  });
});

describe('a message that breaks its XSD is FF01, with the place and nothing personal', () => {
  const dropped = (name: string) => (xml: string) => xml.replace(new RegExp(`<${name}>.*?</${name}>`), '');
  const name = 'Erika Mustermann '.repeat(10);
  test.each<[string, Family, string, (xml: string) => string, string]>([
    ['a UETR before pacs.008.001.08', 'pacs.008', '06', (xml) => xml.replace('</PmtId>', `<UETR>${randomUUID()}</UETR></PmtId>`), '/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/PmtId/UETR'],
    ['a UETR before pain.001.001.09', 'pain.001', '03', (xml) => xml.replace('</PmtId>', `<UETR>${randomUUID()}</UETR></PmtId>`), '/Document/CstmrCdtTrfInitn/PmtInf/CdtTrfTxInf/PmtId/UETR'],
    ['a BICFI in pacs.008.001.02', 'pacs.008', '02', (xml) => xml.replaceAll('BIC>', 'BICFI>'), '/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/DbtrAgt/FinInstnId/BICFI'],
    ['a BIC in pacs.008.001.06', 'pacs.008', '06', (xml) => xml.replaceAll('BICFI>', 'BIC>'), '/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/DbtrAgt/FinInstnId/BIC'],
    ['no transaction id in pacs.008.001.02', 'pacs.008', '02', dropped('TxId'), '/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/PmtId'],
    ['supplementary data in pacs.008.001.02', 'pacs.008', '02', (xml) => xml.replace('</CdtTrfTxInf>', '<SplmtryData><Envlp><x/></Envlp></SplmtryData></CdtTrfTxInf>'), '/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/SplmtryData'],
    ['a long name of a debtor', 'pacs.008', '12', (xml) => xml.replace('Erika Muster', name), '/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/Dbtr/Nm'],
    ['no debtor in pacs.009.001.08', 'pacs.009', '08', dropped('Dbtr'), '/Document/FICdtTrf/CdtTrfTxInf'],
    ['a charge bearer in pacs.009.001.10', 'pacs.009', '10', (xml) => xml.replace('<DbtrAgt>', '<ChrgBr>SLEV</ChrgBr><DbtrAgt>'), '/Document/FICdtTrf/CdtTrfTxInf/ChrgBr'],
    ['the body of another definition', 'pacs.009', '08', (xml) => xml.replaceAll('FICdtTrf>', 'FIToFICstmrCdtTrf>'), '/Document'],
    ['no returned amount', 'pacs.004', '09', (xml) => xml.replace(/<RtrdIntrBkSttlmAmt.*?<\/RtrdIntrBkSttlmAmt>/, ''), '/Document/PmtRtr/TxInf'],
    ['a chain without a creditor', 'pacs.004', '11', dropped('Cdtr'), '/Document/PmtRtr/TxInf/RtrChain'],
    ['an account in the chain of pacs.004.001.09', 'pacs.004', '09', (xml) => xml.replace('<DbtrAgt>', `<DbtrAcct><Id><IBAN>${iban.good}</IBAN></Id></DbtrAcct><DbtrAgt>`), '/Document/PmtRtr/TxInf/RtrChain/DbtrAcct'],
    ['a reason of five letters', 'pacs.004', '11', (xml) => xml.replace('>AC04<', '>AC045<'), '/Document/PmtRtr/TxInf/RtrRsnInf/Rsn/Cd'],
    ['a bare date in pain.001.001.09', 'pain.001', '09', (xml) => xml.replace('<Dt>2026-11-23</Dt>', '2026-11-23'), '/Document/CstmrCdtTrfInitn/PmtInf/ReqdExctnDt'],
    ['a choice of dates in pain.001.001.03', 'pain.001', '03', (xml) => xml.replace('>2026-11-23<', '><Dt>2026-11-23</Dt><'), '/Document/CstmrCdtTrfInitn/PmtInf/ReqdExctnDt'],
    ['both dates', 'pain.001', '11', (xml) => xml.replace('</ReqdExctnDt>', '<DtTm>2026-11-23T08:00:00Z</DtTm></ReqdExctnDt>'), '/Document/CstmrCdtTrfInitn/PmtInf/ReqdExctnDt'],
    ['both amounts', 'pain.001', '09', (xml) => xml.replace('</Amt>', '<EqvtAmt><Amt Ccy="EUR">1</Amt><CcyOfTrf>USD</CcyOfTrf></EqvtAmt></Amt>'), '/Document/CstmrCdtTrfInitn/PmtInf/CdtTrfTxInf/Amt'],
    ['a payment method that is none', 'pain.001', '11', (xml) => xml.replace('>TRF<', '>DD<'), '/Document/CstmrCdtTrfInitn/PmtInf/PmtMtd'],
    ['no account of the debtor', 'pain.001', '03', dropped('DbtrAcct'), '/Document/CstmrCdtTrfInitn/PmtInf'],
    ['an IBAN in small letters', 'pain.001', '11', (xml) => xml.replace(/<Othr><Id>123<\/Id><\/Othr>/, `<IBAN>${iban.good.toLowerCase()}</IBAN>`), '/Document/CstmrCdtTrfInitn/PmtInf/DbtrAcct/Id/IBAN'],
    ['a long end-to-end id in pain.001.001.09', 'pain.001', '09', (xml) => xml.replace(/<EndToEndId>.*?</, `<EndToEndId>${iban.good.repeat(2)}<`), '/Document/CstmrCdtTrfInitn/PmtInf/CdtTrfTxInf/PmtId/EndToEndId'],
  ])('%s', async (_name, family, version, change, path) => {
    const document = buildOther(family, version, message(transaction()));
    const changed = change(document);
    expect(changed).not.toBe(document);
    const results = await resultsOf(definitionOf(family, version), changed);
    expect(results.map(shown)).toEqual(['-1 FF01']);
    const { reason, debitedParticipant, amount } = results[0]!;
    expect(reason).toContain(path);
    expect({ debitedParticipant, amount }).toEqual({ debitedParticipant: null, amount: null });
    for (const personal of ['Mustermann', iban.good, iban.good.toLowerCase()]) expect(reason).not.toContain(personal);
  });
});

describe('what does not settle', () => {
  const documentOf = (definition: string, body: string): string => `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:${definition}">${body}</Document>`;
  const deadCode = async (definition: string, document: string, messageType = definition): Promise<string> => {
    const sent = await send(messageType, document);
    const letter = await bench.deadLetter(sent);
    const code = headerText(letter, 'dlq.code')!;
    deadLetterCodes.set(`${sent.partition}/${sent.offset}`, code);
    expect(bench.resultsOf(sent.eventId)).toEqual([]);
    return code;
  };

  test.each([
    ['pacs.002.001.10', 'FIToFIPmtStsRpt'], ['pacs.002.001.12', 'FIToFIPmtStsRpt'], ['pacs.028.001.03', 'FIToFIPmtStsReq'], ['pacs.003.001.08', 'FIToFICstmrDrctDbt'],
    ['camt.056.001.08', 'FIToFIPmtCxlReq'], ['camt.029.001.09', 'RsltnOfInvstgtn'], ['camt.050.001.05', 'LqdtyCdtTrf'], ['pain.002.001.10', 'CstmrPmtStsRpt'],
    ['pacs.008.001.99', 'FIToFICstmrCdtTrf'], ['pacs.008.001.07', 'FIToFICstmrCdtTrf'], ['pacs.009.001.09', 'FICdtTrf'], ['pacs.004.001.10', 'PmtRtr'], ['pain.001.001.10', 'CstmrCdtTrfInitn'],
    ['pacs.008.002.08', 'FIToFICstmrCdtTrf'], ['zzzz.999.001.01', 'Whatever'],
  ])('%s is TYPE_UNSUPPORTED, whatever its body, and TYPE_MISMATCH before that', async (definition, body) => {
    const header = `<${body}><GrpHdr><MsgId>M</MsgId></GrpHdr></${body}>`;
    const document = documentOf(definition, header);
    expect(await Promise.all([
      deadCode(definition, document),
      deadCode(definition, document, 'pacs.008.001.08'),
      deadCode(definition, `<!DOCTYPE x>${document}`, 'pacs.008.001.08'),
      deadCode(definition, document.replace(/<\/Document>$/, ''), 'pacs.008.001.08'),
    ])).toEqual(['TYPE_UNSUPPORTED', 'TYPE_MISMATCH', 'XML_FORBIDDEN', 'XML_INVALID']);
  });

  test.each(all)('a good %s under another type is TYPE_MISMATCH, a broken one too', async (definition, family, version) => {
    const document = buildOther(family, version, message(transaction()));
    const other = definition === 'pacs.008.001.08' ? 'pacs.008.001.09' : 'pacs.008.001.08';
    const others = [other, 'pacs.002.001.10', '', definition.toUpperCase(), ` ${definition}`, definition.slice(0, -1), `${definition}0`];
    const codes = await Promise.all([
      ...others.map((messageType) => deadCode(definition, document, messageType)),
      deadCode(definition, document.replace('<MsgId>', '<Colour/><MsgId>'), other),
    ]);
    expect(codes).toEqual(codes.map(() => 'TYPE_MISMATCH'));
  });
});

test('definitions of all families in one run of the inbound topic keep their order', async () => {
  const sent = await Promise.all(all.map(async ([definition, family, version]) => ({
    definition, sent: await send(definition, buildOther(family, version, message(transaction({ amount: '0.01' })))),
  })));
  const results = await Promise.all(sent.map(async ({ definition, sent: event }) => ({ definition, ...(await bench.only(event)) })));
  for (const { definition, messageType, status } of results) expect({ messageType, status }).toEqual({ messageType: definition, status: 'ACSC' });
  const inOrder = results.toSorted((a, b) => a.inboundOffset - b.inboundOffset).map(({ sequence }) => sequence!);
  expect(inOrder).toEqual(inOrder.map((_, index) => inOrder[0]! + index));
});

test('a message of each family through its direct builder is what the general one makes', async () => {
  const spec = message(transaction());
  expect(buildOther('pacs.008', '08', spec)).toBe(creditTransfer('08', spec));
  expect(buildOther('pacs.009', '08', spec)).toBe(institutionTransfer('08', spec));
  expect(buildOther('pacs.004', '09', spec)).toBe(paymentReturn('09', spec));
});

test('each transaction ended in one place, in order, and the positions add up', async () => {
  await bench.atRest();
  expect(compare({ ...bench, participants, positions: bench.positions(), deadLetterCodes })).toEqual([]);
  const seen = new Map<string, number[]>();
  for (const { eventId, transactionIndex } of bench.results) seen.set(eventId, [...(seen.get(eventId) ?? []), transactionIndex]);
  for (const { eventId, partition, offset } of bench.sent) {
    const indexes = (seen.get(eventId) ?? []).toSorted((a, b) => a - b);
    if (deadLetterCodes.has(`${partition}/${offset}`)) expect(indexes).toEqual([]);
    else expect(indexes).toEqual(indexes[0] === -1 ? [-1] : indexes.map((_, index) => index));
  }
  for (let partition = 0; partition < bench.partitions; partition++) {
    const debits = bench.results.filter((result) => result.partition === partition && result.status === 'ACSC').toSorted((a, b) => a.offset - b.offset);
    expect(debits.map(({ sequence }) => sequence)).toEqual(debits.map((_, index) => index + 1));
  }
});
