import { describe, expect, it } from 'vitest';
import {
  agent,
  clearingMember,
  creditTransfer,
  initiationBlock,
  initiationTransfer,
  olderPacs008,
  pacs004,
  pacs008,
  pacs009,
  pain001,
  uetr,
} from './messages.ts';
import type { CreditTransfer, Payment } from './messages.ts';
import { readMessage } from './reading.ts';

const bic = (text: string): string => agent(text);
const one = (options: CreditTransfer, message: Payment = {}) => readMessage(pacs008({ ...message, transactions: [creditTransfer(options)] })).transactions[0]!;

describe('a pacs.008', () => {
  it('gives the fields that settlement needs', () => {
    expect(readMessage(pacs008())).toEqual({
      deadLetter: null,
      rejection: null,
      reason: null,
      messageId: 'MSG-1',
      transactions: [
        {
          instructionId: 'INSTR-1',
          endToEndId: 'E2E-1',
          transactionId: 'TX-1',
          uetr,
          debitedAgent: 'COBADEFFXXX',
          creditedAgent: 'BNPAFRPPXXX',
          currency: 'EUR',
          identityValue: uetr,
          reason: null,
          amount: 10_000_000n,
          code: null,
          tag: 'UETR',
        },
      ],
    });
  });

  it('keeps the order of its transactions', () => {
    const transactions = ['A', 'B', 'C'].map((id) => creditTransfer({ identification: `<EndToEndId>${id}</EndToEndId>` }));
    expect(readMessage(pacs008({ transactions })).transactions.map((row) => row.endToEndId)).toEqual(['A', 'B', 'C']);
  });

  it('gives texts as XML means them, however they are written', () => {
    const row = one({
      identification: '<InstrId>A&amp;B</InstrId><EndToEndId><![CDATA[<x>]]></EndToEndId><TxId>T<!-- no part -->X&#x2d;1</TxId>',
      amount: '&#49;2<![CDATA[.5]]>',
    });
    expect([row.instructionId, row.endToEndId, row.transactionId, row.amount]).toEqual(['A&B', '<x>', 'TX-1', 1_250_000n]);
  });

  it('is read in any wrapper, under any prefix', () => {
    const bare = pacs008().replace(/^<\?xml.*\n/, '');
    const prefixed = bare.replaceAll(/<(\/?)(\w)/g, '<$1p:$2').replace('xmlns=', 'xmlns:p=');
    const header = '<h:AppHdr xmlns:h="urn:iso:std:iso:20022:tech:xsd:head.001.001.02"><h:Fr/></h:AppHdr>';
    for (const message of [prefixed, `<a:Box xmlns:a="urn:a">${header}<a:In>${prefixed}</a:In></a:Box>`, `<Box>${header}${bare}</Box>`]) {
      expect(readMessage(message, 'pacs.008.001.08').transactions).toEqual(readMessage(pacs008()).transactions);
    }
  });
});

describe('the debited and the credited agent', () => {
  const [group, own] = [`<InstgAgt>${bic('GROUPDEF')}</InstgAgt>`, `<InstgAgt>${bic('OWNDEFFF')}</InstgAgt>`];
  it.each([
    ['the transaction\'s InstgAgt comes first', { agents: own }, { header: group }, 'OWNDEFFFXXX'],
    ['then the group header\'s', {}, { header: group }, 'GROUPDEFXXX'],
    ['then DbtrAgt', {}, {}, 'COBADEFFXXX'],
    ['a BIC of 8 means the head office', { debtorAgent: bic('COBADEFF') }, {}, 'COBADEFFXXX'],
    ['a BIC of 11 is kept', { debtorAgent: bic('COBADEFF123') }, {}, 'COBADEFF123'],
    ['a clearing system member', { debtorAgent: clearingMember('USABA', '021040078') }, {}, 'USABA:021040078'],
    [
      'the BIC comes before the clearing system member',
      { debtorAgent: clearingMember('USABA', '021040078').replace('<FinInstnId>', '<FinInstnId><BICFI>COBADEFF</BICFI>') },
      {},
      'COBADEFFXXX',
    ],
    ['an agent by its name only is unknown', { debtorAgent: '<FinInstnId><Nm>A bank</Nm></FinInstnId>' }, {}, null],
    ['and there is no fall-back from it', { agents: '<InstgAgt><FinInstnId><Nm>A bank</Nm></FinInstnId></InstgAgt>' }, { header: group }, null],
    [
      'a proprietary clearing system is no code',
      { debtorAgent: clearingMember('X', '1').replace('<Cd>X</Cd>', '<Prtry>X</Prtry>') },
      {},
      null,
    ],
    [
      'a member without its clearing system is unknown',
      { debtorAgent: '<FinInstnId><ClrSysMmbId><MmbId>021040078</MmbId></ClrSysMmbId></FinInstnId>' },
      {},
      null,
    ],
  ])('%s', (_, transfer, message, expected) => {
    expect(one(transfer, message).debitedAgent).toBe(expected);
  });

  it('credits InstdAgt of the transaction, else of the group header, else CdtrAgt', () => {
    const instructed = `<InstdAgt>${bic('OWNFRPPP')}</InstdAgt>`;
    const header = `<InstdAgt>${bic('GRPFRPPP')}</InstdAgt>`;
    const credited = [one({ agents: instructed }, { header }), one({}, { header }), one({})].map((row) => row.creditedAgent);
    expect(credited).toEqual(['OWNFRPPPXXX', 'GRPFRPPPXXX', 'BNPAFRPPXXX']);
  });
});

describe('the identity', () => {
  it.each([
    [`<InstrId>I</InstrId><EndToEndId>E</EndToEndId><TxId>T</TxId><UETR>${uetr}</UETR>`, 'UETR', uetr],
    ['<InstrId>I</InstrId><EndToEndId>E</EndToEndId><TxId>T</TxId>', 'TxId', 'T'],
    ['<InstrId>I</InstrId><EndToEndId>E</EndToEndId>', 'InstrId', 'I'],
    ['<EndToEndId>E</EndToEndId>', 'MsgId+EndToEndId', 'MSG-1|E|0'],
    ['<EndToEndId>E|F%</EndToEndId>', 'MsgId+EndToEndId', 'MSG-1|E%7CF%25|0'],
  ])('of %s is its %s', (identification, tag, value) => {
    const row = one({ identification });
    expect([row.tag, row.identityValue]).toEqual([tag, value]);
  });
});

describe('checks of one transaction, the first that fails', () => {
  it.each([
    ['XYZ', '1.00', 'AM11'],
    ['DEM', '1.00', 'AM11'],
    ['XAU', '1.00', 'AM11'],
    ['XTS', '1.00', 'AM11'],
    ['XXX', '0.000', 'AM11'],
    ['XAF', '1', null],
    ['JPY', '500000.00', 'AM12'],
    ['JPY', '500000', null],
    ['EUR', '1.000', 'AM12'],
    ['EUR', '0.000', 'AM12'],
    ['KWD', '1.234', null],
    ['KWD', '1.2345', 'AM12'],
    ['EUR', '0', 'AM01'],
    ['EUR', '0.00', 'AM01'],
    ['EUR', '-0.00', 'AM01'],
    ['EUR', '9999999999999.99', null],
    ['EUR', '10000000000000', 'AM02'],
    ['EUR', '100000000000000000.0', 'AM02'],
    ['EUR', '0000000000000000001.00', null],
    ['EUR', '+5.00', null],
    ['EUR', '.5', null],
  ])('%s %s: %s', (currency, amount, expected) => {
    expect(one({ currency, amount }).code).toBe(expected);
  });

  it('has no amount where it is more than can be held, and the exact one elsewhere', () => {
    expect(one({ amount: '10000000000000' }).amount).toBeNull();
    expect(one({ amount: '9999999999999.99' }).amount).toBe(999_999_999_999_999_000n);
    expect(one({ currency: 'XYZ', amount: '0.00001' }).amount).toBe(1n);
  });

  it.each([
    ['DE89370400440532013000', 'FR1420041010050500013M02606', null],
    ['DE89370400440532013001', 'FR1420041010050500013M02606', 'AC02'],
    ['DE8937040044053201300', 'FR1420041010050500013M02606', 'AC02'],
    ['US89370400440532013000', 'FR1420041010050500013M02606', 'AC02'],
    ['DE89370400440532013000', 'FR1420041010050500013M02607', 'AC03'],
    ['DE89370400440532013001', 'FR1420041010050500013M02607', 'AC02'],
    ['NO9386011117947', 'MT84MALT011000012345MTLCAST001S', null],
    ['DE89370400440532013000', 'MT84malt011000012345mtlcast001s', null],
  ])('debtor %s, creditor %s: %s', (debtorAccount, creditorAccount, expected) => {
    const row = one({ debtorAccount, creditorAccount });
    expect(row.code).toBe(expected);
    if (row.reason !== null) expect(row.reason).not.toMatch(/\d{6}/);
  });

  it('names the place of the transaction among several', () => {
    const transactions = [creditTransfer(), creditTransfer({ currency: 'JPY', amount: '1.5' })];
    const [first, second] = readMessage(pacs008({ transactions })).transactions;
    expect([first!.code, second!.code]).toEqual([null, 'AM12']);
    expect(second!.reason).toContain('/Document/FIToFICstmrCdtTrf/CdtTrfTxInf[2]/IntrBkSttlmAmt');
  });
});

describe('checks of the message as a whole', () => {
  const two = [creditTransfer({ amount: '0.1' }), creditTransfer({ amount: '0.2' })];
  it.each([
    ['NbOfTxs is not the number', { count: '2' }, 'AM19'],
    ['NbOfTxs as a number', { count: '01' }, null],
    ['NbOfTxs comes before CtrlSum', { count: '2', totals: '<CtrlSum>1</CtrlSum>' }, 'AM19'],
    ['CtrlSum is not the sum', { totals: '<CtrlSum>100.01</CtrlSum>' }, 'AM10'],
    ['CtrlSum as a number', { totals: '<CtrlSum>0100.000000000</CtrlSum>' }, null],
    ['CtrlSum finer than any amount', { totals: '<CtrlSum>100.000001</CtrlSum>' }, 'AM10'],
    ['the sum of decimals is exact', { transactions: two, totals: '<CtrlSum>0.3</CtrlSum>' }, null],
    ['the total', { totals: '<TtlIntrBkSttlmAmt Ccy="EUR">100</TtlIntrBkSttlmAmt>' }, null],
    ['the total is not the sum', { totals: '<TtlIntrBkSttlmAmt Ccy="EUR">99</TtlIntrBkSttlmAmt>' }, 'AM10'],
    ['the total in another currency', { totals: '<TtlIntrBkSttlmAmt Ccy="USD">100</TtlIntrBkSttlmAmt>' }, 'AM10'],
  ] as const)('%s: %s', (_, options, expected) => {
    const read = readMessage(pacs008(options));
    expect(read.rejection).toBe(expected);
    if (expected !== null) expect([read.transactions, read.messageId]).toEqual([[], 'MSG-1']);
  });

  it('adds amounts of 18 digits without an error', () => {
    const huge = creditTransfer({ amount: '999999999999999999' });
    const message = (sum: string): string => pacs008({ transactions: [huge, huge, creditTransfer({ amount: '0.01' })], totals: `<CtrlSum>${sum}</CtrlSum>` });
    // 2 x 999999999999999999 + 0.01 has more digits than a CtrlSum may have, so nothing can match it.
    expect(readMessage(message('199999999999999999')).rejection).toBe('AM10');
    const most = creditTransfer({ amount: '9999999999999.99' });
    const fits = pacs008({ transactions: Array.from({ length: 12 }, () => most), totals: '<CtrlSum>119999999999999.88</CtrlSum>' });
    expect(readMessage(fits).rejection).toBeNull();
  });

  it('is not there for a bad message id: what could be read of it is told', () => {
    const late = pacs008().replace('<NbOfTxs>1</NbOfTxs>', '');
    const early = pacs008().replace('<MsgId>', '<Early/><MsgId>');
    const tooLong = pacs008({ messageId: 'x'.repeat(36) });
    expect([late, early, tooLong].map((message) => readMessage(message)).map((read) => [read.rejection, read.messageId])).toEqual([
      ['FF01', 'MSG-1'],
      ['FF01', 'MSG-1'],
      ['FF01', null],
    ]);
  });
});

describe('what cannot be understood, in the contract\'s order', () => {
  const broken = pacs008({ count: 'two' });
  it.each([
    ['not well-formed', pacs008().replace('</Cdtr>', '</Dbtr>'), 'pacs.008.001.08', 'XML_INVALID'],
    ['not well-formed behind a broken rule', broken.replace('</Cdtr>', '</Dbtr>'), 'pacs.008.001.08', 'XML_INVALID'],
    ['a document type', pacs008().replace('<Document', '<!DOCTYPE Document><Document'), 'pacs.008.001.08', 'XML_FORBIDDEN'],
    ['a document type, whatever follows', '<!DOCTYPE x [<!ENTITY', 'pacs.008.001.08', 'XML_FORBIDDEN'],
    ['another type', pacs008(), 'pacs.008.001.09', 'TYPE_MISMATCH'],
    ['another type and a broken rule', broken, 'pacs.008.001.09', 'TYPE_MISMATCH'],
    ['another type that does not settle', pacs008({ definition: 'camt.056.001.08' }), 'pacs.008.001.08', 'TYPE_MISMATCH'],
    ['a type that does not settle', pacs008({ definition: 'camt.056.001.08' }), 'camt.056.001.08', 'TYPE_UNSUPPORTED'],
    ['a type that nobody knows', pacs008({ definition: 'xxxx.999' }), 'xxxx.999', 'TYPE_UNSUPPORTED'],
    ['no Document', '<a/>', 'pacs.008.001.08', 'XML_INVALID'],
  ])('%s', (_, message, type, expected) => {
    const read = readMessage(message, type);
    expect([read.deadLetter, read.transactions]).toEqual([expected, []]);
    expect(read.reason).toMatch(/^[^\n]{5,200}$/);
  });
});

describe('the definitions that settle', () => {
  it.each([
    ['pacs.008.001.02', olderPacs008('pacs.008.001.02', 'BIC'), 'TxId'],
    ['pacs.008.001.06', olderPacs008('pacs.008.001.06', 'BICFI'), 'TxId'],
    ...['08', '09', '10', '12'].map((version) => [`pacs.008.001.${version}`, pacs008({ definition: `pacs.008.001.${version}` }), 'UETR']),
  ])('%s', (_, message = '', tag = '') => {
    const [row] = readMessage(message).transactions;
    expect([row?.tag, row?.debitedAgent, row?.creditedAgent, row?.amount, row?.currency]).toEqual([tag, 'COBADEFFXXX', 'BNPAFRPPXXX', 10_000_000n, 'EUR']);
  });

  describe.each(['pacs.009.001.08', 'pacs.009.001.10'])('%s', (definition) => {
    it('moves money between the instructing and the instructed agent', () => {
      const agents = `<InstgAgt>${bic('DEUTDEFF')}</InstgAgt><InstdAgt>${bic('SOGEFRPP')}</InstdAgt>`;
      const [row] = readMessage(pacs009(definition, { agents })).transactions;
      expect([row?.debitedAgent, row?.creditedAgent, row?.uetr, row?.currency]).toEqual(['DEUTDEFFXXX', 'SOGEFRPPXXX', uetr, 'USD']);
    });
    it('takes DbtrAgt next, and the debtor institution last', () => {
      const [first] = readMessage(pacs009(definition, { debtorAgent: `<DbtrAgt>${bic('DEUTDEFF')}</DbtrAgt>` })).transactions;
      const [second] = readMessage(pacs009(definition)).transactions;
      expect([first?.debitedAgent, second?.debitedAgent, second?.creditedAgent]).toEqual(['DEUTDEFFXXX', 'COBADEFFXXX', 'BNPAFRPPXXX']);
    });
  });

  describe.each(['pacs.004.001.09', 'pacs.004.001.11'])('%s', (definition) => {
    it('debits who returns, under the return\'s own id', () => {
      const [row] = readMessage(pacs004(definition)).transactions;
      expect(row).toMatchObject({
        debitedAgent: 'BNPAFRPPXXX',
        creditedAgent: 'COBADEFFXXX',
        transactionId: 'RTR-1',
        endToEndId: 'E2E-1',
        uetr,
        amount: 7_550_000n,
        tag: 'RtrId',
        identityValue: 'RTR-1',
        code: null,
      });
    });
    it('takes the agents of the return chain where none is instructed', () => {
      const chain = `<RtrChain><Dbtr><Pty><Nm>A</Nm></Pty></Dbtr><DbtrAgt>${bic('BNPAFRPP')}</DbtrAgt><CdtrAgt>${bic('COBADEFF')}</CdtrAgt><Cdtr><Pty><Nm>B</Nm></Pty></Cdtr></RtrChain>`;
      const [row] = readMessage(pacs004(definition, { agents: '', chain })).transactions;
      expect([row?.debitedAgent, row?.creditedAgent]).toEqual(['BNPAFRPPXXX', 'COBADEFFXXX']);
    });
    it('without its own id is known by the original\'s UETR, and has no transaction id', () => {
      const [row] = readMessage(pacs004(definition, { returnId: '' })).transactions;
      expect([row?.tag, row?.identityValue, row?.transactionId]).toEqual(['UETR', uetr, null]);
    });
    it('is rejected when its total is not the sum', () => {
      expect(readMessage(pacs004(definition).replace('>75.5<', '>75.51<')).rejection).toBe('AM10');
    });
    it('that holds no transaction is rejected as a whole, since nothing else would be told of it', () => {
      const empty = pacs004(definition).replace(/<TxInf>.*<\/TxInf>/s, '').replace('<NbOfTxs>1<', '<NbOfTxs>0<');
      const read = readMessage(empty);
      expect([read.rejection, read.transactions, read.messageId]).toEqual(['FF01', [], 'MSG-4']);
      expect(read.reason).toContain('holds no transaction');
      expect(readMessage(empty.replace('<NbOfTxs>0<', '<NbOfTxs>1<')).rejection).toBe('AM19');
    });
  });

  describe.each([
    ['pain.001.001.03', '2026-11-24', 'BIC'],
    ['pain.001.001.09', '<Dt>2026-11-24</Dt>', 'BICFI'],
    ['pain.001.001.11', '<Dt>2026-11-24</Dt>', 'BICFI'],
  ])('%s', (definition, date, bicElement) => {
    const transfer = (id: string, amount?: string): string => initiationTransfer(id, amount, bicElement);
    const block = (transfers: readonly string[], options: { totals?: string; iban?: string } = {}): string =>
      initiationBlock(transfers, { date, bicElement, ...options });
    it('counts its transactions on across the blocks', () => {
      const blocks = [block([transfer('A'), transfer('B')], { totals: '<NbOfTxs>2</NbOfTxs><CtrlSum>20</CtrlSum>' }), block([transfer('C')])];
      const read = readMessage(pain001(definition, { count: '3', totals: '<CtrlSum>30</CtrlSum>', blocks }));
      expect(read.rejection).toBeNull();
      expect(read.transactions.map((row) => [row.endToEndId, row.identityValue, row.debitedAgent, row.amount])).toEqual([
        ['A', 'MSG-1|A|0', 'COBADEFFXXX', 1_000_000n],
        ['B', 'MSG-1|B|1', 'COBADEFFXXX', 1_000_000n],
        ['C', 'MSG-1|C|2', 'COBADEFFXXX', 1_000_000n],
      ]);
    });
    it.each([
      ['<NbOfTxs>2</NbOfTxs>', '1', 'AM20'],
      ['<CtrlSum>11</CtrlSum>', '1', 'AM17'],
      ['<NbOfTxs>2</NbOfTxs>', '2', 'AM19'],
      ['<NbOfTxs>1</NbOfTxs><CtrlSum>10.00</CtrlSum>', '1', null],
    ])('block with %s, message with %s: %s', (totals, count, expected) => {
      expect(readMessage(pain001(definition, { count, blocks: [block([transfer('A')], { totals })] })).rejection).toBe(expected);
    });
    it('rejects an amount that would have to be converted first', () => {
      const equivalent = '<EqvtAmt><Amt Ccy="EUR">10.00</Amt><CcyOfTrf>USD</CcyOfTrf></EqvtAmt>';
      const [row] = readMessage(pain001(definition, { blocks: [block([transfer('A', equivalent)])] })).transactions;
      expect([row?.code, row?.amount]).toEqual(['AM12', null]);
    });
    it('holds each block\'s transactions against its own debtor', () => {
      const blocks = [block([transfer('A'), transfer('B')]), block([transfer('C')], { iban: 'DE00370400440532013000' }), block([transfer('D')])];
      const codes = readMessage(pain001(definition, { count: '4', blocks })).transactions.map((row) => row.code);
      expect(codes).toEqual([null, null, 'AC02', null]);
    });
    it('finds the debtor\'s IBAN in the block', () => {
      const [row] = readMessage(pain001(definition, { blocks: [block([transfer('A')], { iban: 'DE00370400440532013000' })] })).transactions;
      expect([row?.code, row?.reason]).toEqual(['AC02', expect.stringContaining('/Document/CstmrCdtTrfInitn/PmtInf/DbtrAcct/Id/IBAN')]);
    });
  });
});
