/** What `settlefleet explain` makes of bytes and values, without any part of the fleet. */
import { describe, expect, it } from 'vitest';
import { encodeCheckpoint } from '../../src/codec/checkpoint.ts';
import { packRecords } from '../../src/codec/record-batch.ts';
import type { LooseRecord } from '../../src/codec/record-batch.ts';
import { encodePosition } from '../../src/codec/position-record.ts';
import { encodeRouted } from '../../src/codec/routed.ts';
import { topicNames } from '../../src/domain/topics.ts';
import { glanceMessage, maskAccount } from '../../src/explain/event-glance.ts';
import { FleetHistory } from '../../src/explain/fleet-history.ts';
import type { EventLife, TransactionLife } from '../../src/explain/life.ts';
import { needlesOf, rowsHolding } from '../../src/explain/record-search.ts';
import { carries, quoted, wouldClaim } from '../../src/explain/result-search.ts';
import { traceOf } from '../../src/explain/tell-event.ts';
import { explanationLines, headline } from '../../src/explain/text.ts';
import type { TopicReader } from '../../src/ports.ts';
import { message, transaction } from '../integration/harness/directory.ts';
import { buildMessage } from '../integration/harness/message.ts';
import { sampleResult } from '../sink/support.ts';

const topics = topicNames('x.');
const loose = (offset: number, key: string | null, value: string | Buffer | null, timestamp = 1000): LooseRecord =>
  ({ key: key === null ? null : Buffer.from(key), value: value === null ? null : Buffer.from(value), offset, timestamp, headers: null });

/** Topics in memory, partition 0 and 1, read as Kafka's are. */
function readerOf(records: Readonly<Record<string, readonly LooseRecord[]>>): TopicReader {
  const of = (topic: string, partition: number): readonly LooseRecord[] => records[`${topic}/${partition}`] ?? [];
  return {
    async readToEnd({ topic, partition, from, before }, onBatch) {
      const wanted = of(topic, partition).filter(({ offset }) => offset >= (from ?? 0) && offset < (before ?? Infinity));
      for (let i = 0; i < wanted.length; i += 3) await onBatch(packRecords(topic, partition, wanted.slice(i, i + 3)));
      return 0;
    },
    async offsetAt(topic, partition, timestampMs) {
      return of(topic, partition).find(({ timestamp }) => timestamp >= timestampMs)?.offset ?? (of(topic, partition).at(-1)?.offset ?? -1) + 1;
    },
    async watermarks(topic, partition) {
      return { low: of(topic, partition)[0]?.offset ?? 0, high: (of(topic, partition).at(-1)?.offset ?? -1) + 1 };
    },
  };
}

describe('the search for bytes', () => {
  it('finds each value that holds one, and neither a key nor what lies over a border', () => {
    const batch = packRecords('t', 0, [
      loose(0, 'needle', 'nothing'), loose(1, null, 'a needle in it'), loose(2, 'k', 'need'), loose(3, 'le', 'x'), loose(4, null, null), loose(5, 'k', 'needle'),
      loose(6, 'k', 'two needle needles'), loose(7, null, 'other'),
    ]);
    expect(rowsHolding(batch, [Buffer.from('needle')])).toEqual([1, 5, 6]);
    expect(rowsHolding(batch, [Buffer.from('other'), Buffer.from('needle')])).toEqual([1, 5, 6, 7]);
  });

  it('knows an identifier as XML escapes it, and a UUID in lower case', () => {
    expect(needlesOf(['A&B<C>']).map(String)).toEqual(['A&B<C>', 'A&amp;B&lt;C>', 'A&amp;B&lt;C&gt;']);
    expect(needlesOf(['8A562C67-CA16-48BA-B074-65581BE6F001']).map(String)).toEqual(['8A562C67-CA16-48BA-B074-65581BE6F001', '8a562c67-ca16-48ba-b074-65581be6f001']);
  });
});

describe('a glance at a message', () => {
  it('takes identifiers, amounts and accounts of every transaction, and nothing of other payments', () => {
    const one = transaction({ endToEndId: 'A&B', amount: '1.50', debtorIban: 'DE89370400440532013000' });
    const two = transaction({ currency: 'JPY', amount: '7', extra: '<SplmtryData><Envlp><CdtTrfTxInf><PmtId><UETR>no</UETR></PmtId></CdtTrfTxInf></Envlp></SplmtryData>' });
    const spec = message(one, two);
    for (const prefix of [undefined, 'p']) {
      const glanced = glanceMessage(Buffer.from(buildMessage(spec, prefix === undefined ? {} : { prefix })));
      expect(glanced).toEqual({
        messageId: spec.messageId,
        transactions: [
          { index: 0, uetr: one.uetr, endToEndId: 'A&B', transactionId: one.transactionId, instructionId: one.instructionId, currency: 'EUR', amount: 150_000n, debtorAccount: 'DE89370400440532013000', creditorAccount: null },
          { index: 1, uetr: two.uetr, endToEndId: two.endToEndId, transactionId: two.transactionId, instructionId: two.instructionId, currency: 'JPY', amount: 700_000n, debtorAccount: null, creditorAccount: null },
        ],
      });
    }
  });

  it('takes what a return says of the payment that it returns, and a debtor account of a whole block', () => {
    const pacs004 = '<Document><PmtRtr><GrpHdr><MsgId>R</MsgId></GrpHdr><TxInf><RtrId>RTR</RtrId><OrgnlEndToEndId>E</OrgnlEndToEndId><OrgnlUETR>U</OrgnlUETR>' +
      '<RtrdIntrBkSttlmAmt Ccy="EUR">5</RtrdIntrBkSttlmAmt><OrgnlTxRef><DbtrAcct><Id><IBAN>NO</IBAN></Id></DbtrAcct></OrgnlTxRef></TxInf></PmtRtr></Document>';
    expect(glanceMessage(Buffer.from(pacs004)).transactions).toMatchObject([{ transactionId: 'RTR', endToEndId: 'E', uetr: 'u', amount: 500_000n, currency: 'EUR', debtorAccount: null }]);
    const pain001 = '<Document><CstmrCdtTrfInitn><PmtInf><DbtrAcct><Id><IBAN>ONE</IBAN></Id></DbtrAcct><CdtTrfTxInf><PmtId><EndToEndId>a</EndToEndId></PmtId><Amt><InstdAmt Ccy="EUR">1</InstdAmt></Amt></CdtTrfTxInf></PmtInf>' +
      '<PmtInf><CdtTrfTxInf><PmtId><EndToEndId>b</EndToEndId></PmtId></CdtTrfTxInf></PmtInf></CstmrCdtTrfInitn></Document>';
    expect(glanceMessage(Buffer.from(pain001)).transactions).toMatchObject([{ endToEndId: 'a', debtorAccount: 'ONE', amount: 100_000n }, { endToEndId: 'b', debtorAccount: null }]);
  });

  it.each([['DE89 3704 0044 0532 0130 00', 'DE89**************3000'], ['12345678901', '***********'], ['', '']])('masks the account %j', (account, masked) => {
    expect(maskAccount(account)).toBe(masked);
  });
});

describe('a trace id', () => {
  const header = (key: string, value: string) => ({ headers: [{ key, value: Buffer.from(value) }] });
  it.each([
    ['Traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', '4bf92f3577b34da6a3ce929d0e0e4736'],
    ['x-amzn-trace-id', 'Self=1-67891234-12456789abcdef012345678;Root=1-5759e988-bd862e3fe1be46a994272793', '1-5759e988-bd862e3fe1be46a994272793'],
    ['traceparent', 'garbage', undefined],
    ['other', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', undefined],
  ])('of %s: %s is %s', (key, value, id) => {
    expect(traceOf(header(key, value))?.id).toBe(id);
  });
});

describe('who is meant', () => {
  const result = { ...sampleResult(1, 0), messageType: 'pacs.008.001.08', messageId: 'M|1', endToEndId: 'E%2', transactionIndex: 3, uetr: 'ab', transactionId: 'T', instructionId: 'I' };
  it.each([
    ['pacs.008|UETR|AB', true], ['pacs.008|UETR|ac', false], ['pacs.009|UETR|ab', false], ['pacs.008|TxId|T', true], ['pacs.008|RtrId|T', true], ['pacs.008|InstrId|I', true],
    ['pacs.008|MsgId+EndToEndId|M%7C1|E%252|3', true], ['pacs.008|MsgId+EndToEndId|M%7C1|E%252|4', false], [null, false],
  ])('a transaction would have claimed %s: %s', (identity, would) => {
    expect(wouldClaim(identity, result)).toBe(would);
  });

  it('is found by any identifier, the UETR in any case', () => {
    expect(['AB', 'E%2', 'T', 'I', result.eventId].map((id) => carries(result, id))).toEqual([true, true, true, true, true]);
    expect(['e%2', 't', 'M|1'].map((id) => carries(result, id))).toEqual([false, false, false]);
  });

  it('cannot break out of a query', () => {
    expect(quoted("\\' OR 1=1 --")).toBe("'\\\\\\' OR 1=1 --'");
  });
});

describe('the history of a partition', () => {
  const checkpoint = (commit: number, sequence: number, routed = 0) =>
    encodeCheckpoint({ commit, inbound: commit * 10, routed, sequence, results: sequence, first: null, chain: '0'.repeat(64), worker: `w${commit}` });
  const minute = 60_000;
  const checkpoints = [1, 2, 3, 4].map((commit) => loose(commit * 2, '0', checkpoint(commit, commit * 5), commit * minute));

  it('says which commit made a result visible, wherever one begins to read', async () => {
    const history = new FleetHistory(readerOf({ 'x.checkpoints/0': checkpoints }), topics);
    for (const around of [0, 2 * minute, 3.1 * minute, 99 * minute]) {
      expect(await history.commitThat(({ sequence }) => sequence >= 12, 0, around)).toMatchObject({ checkpoint: { commit: 3, worker: 'w3' }, exact: true, at: 3 * minute });
    }
    expect(await history.commitThat(({ sequence }) => sequence >= 3, 0, 99 * minute)).toMatchObject({ checkpoint: { commit: 1 }, exact: true });
    expect(await history.commitThat(({ sequence }) => sequence >= 21, 0, 0)).toBeNull();
  });

  it('does not say so for certain where compaction has taken the checkpoint before', async () => {
    const history = new FleetHistory(readerOf({ 'x.checkpoints/0': checkpoints.filter((_, i) => i !== 1) }), topics);
    expect(await history.commitThat(({ sequence }) => sequence >= 12, 0, 0)).toMatchObject({ checkpoint: { commit: 3 }, exact: false });
    const cut = new FleetHistory(readerOf({ 'x.checkpoints/0': checkpoints.slice(2) }), topics);
    expect(await cut.commitThat(({ sequence }) => sequence >= 12, 0, 0)).toMatchObject({ checkpoint: { commit: 3 }, exact: false });
  });

  it('finds the record by which a commit sent a credit, among those of other commits and other partitions', async () => {
    const leg = (participant: string) => ({ participant, currency: 'EUR', units: 5n });
    const routed = [
      loose(0, null, encodeRouted({ from: 0, commit: 2, credits: [leg('A')], transfers: [] }), 2 * minute),
      loose(2, null, encodeRouted({ from: 2, commit: 3, credits: [leg('A')], transfers: [] }), 3 * minute),
      loose(4, null, encodeRouted({ from: 0, commit: 3, credits: [leg('B')], transfers: [] }), 3 * minute),
      loose(5, null, encodeRouted({ from: 0, commit: 3, credits: [leg('A')], transfers: [] }), 3 * minute),
    ];
    const history = new FleetHistory(readerOf({ 'x.checkpoints/0': checkpoints, 'x.routed/1': routed }), topics);
    const sender = (await history.commitThat(({ sequence }) => sequence >= 12, 0, 0))!;
    expect(await history.routedBy(sender, 1, ({ credits }) => credits.some(({ participant }) => participant === 'A'))).toMatchObject({ partition: 1, offset: 5 });
    expect(await history.routedBy(sender, 1, ({ credits }) => credits.some(({ participant }) => participant === 'C'))).toBeNull();
  });

  it('says what a position was before and after a commit; where it cannot be known, it does not', async () => {
    const position = (offset: number, participant: string, units: bigint, commit: number) =>
      loose(offset, `${participant}|EUR`, encodePosition({ participant, currency: 'EUR', units: units * 100_000n }, commit), commit * minute);
    const whole = [position(0, 'A', 1n, 1), position(1, 'B', 2n, 1), position(3, 'A', 3n, 2), position(5, 'C', 4n, 3), position(6, 'B', 5n, 3), position(8, 'A', 6n, 4)];
    const around = async (records: readonly LooseRecord[], participant: string, commit: number) => {
      const history = new FleetHistory(readerOf({ 'x.checkpoints/0': checkpoints, 'x.positions/0': records }), topics);
      return history.positionAround((await history.commitThat((one) => one.commit >= commit, 0, 0))!, participant, 'EUR');
    };
    expect(await around(whole, 'B', 3)).toEqual({ before: 200_000n, after: 500_000n });
    expect(await around(whole, 'C', 3)).toEqual({ before: 0n, after: 400_000n });
    expect(await around(whole, 'A', 3)).toEqual({ before: null, after: null });
    // Compaction has taken the first record of A, or the first two of all: what was before is not known.
    expect(await around(whole.filter(({ offset }) => offset !== 0), 'A', 2)).toEqual({ before: null, after: 300_000n });
    expect(await around(whole.filter(({ offset }) => offset !== 1), 'B', 3)).toEqual({ before: null, after: 500_000n });
  });
});

describe('the first line', () => {
  const credit = { state: 'applied' };
  const one = (changes: object): TransactionLife => ({ amount: '5.00', currency: 'EUR', debitedParticipant: 'A', creditedParticipant: 'B', decision: null, waiting: null, ...changes }) as TransactionLife;
  const settled = one({ decision: { status: 'ACSC', reasonCode: null, credit } });
  const refused = (reasonCode: string): TransactionLife => one({ decision: { status: 'RJCT', reasonCode, credit: null } });
  const event = (transactions: readonly TransactionLife[], deadLetter: unknown = null): EventLife => ({ transactions, deadLetter }) as EventLife;
  it.each([
    [[event([settled]), event([refused('AM05')])], 'settled, 5.00 EUR from A to B; 1 duplicate refused.'],
    [[event([settled, settled, refused('AM04'), refused('AM04')])], '2 transactions settled; 2 times rejected with AM04.'],
    [[event([one({ decision: { status: 'ACSC', reasonCode: null, credit: { state: 'underWay' } } })])], 'settled, 5.00 EUR from A to B (the credit is still under way).'],
    [[event([], {}), event([settled])], 'settled, 5.00 EUR from A to B; 1 event dead-lettered.'],
    [[event([one({ waiting: { at: 'inbound' } })])], 'still under way.'],
    [[event([one({ waiting: { at: 'unknown' } })]), event([])], '2 without an outcome that could be found.'],
  ])('says what matters', (events, line) => {
    expect(headline({ events })).toBe(line);
  });

  it('shows no control characters of strangers', () => {
    const lines = explanationLines({ id: 'x\u001b[31m', askedAt: '', found: false, events: [], inboundSearchedSince: null, looked: [], notes: ['\u0007'] });
    expect(lines.join('\n')).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  });
});
