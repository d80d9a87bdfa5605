/** The replay of one partition over a history in memory, of which retention and compaction have taken parts. */
import { describe, expect, it } from 'vitest';
import { decodeCheckpoint } from '../../src/codec/checkpoint.ts';
import type { Checkpoint } from '../../src/codec/checkpoint.ts';
import { decodePaymentResult, encodePaymentResult } from '../../src/codec/payment-result.ts';
import { packRecords } from '../../src/codec/record-batch.ts';
import type { LooseRecord, RecordBatch } from '../../src/codec/record-batch.ts';
import { RecordSlab } from '../../src/codec/record-slab.ts';
import { encodeRouted } from '../../src/codec/routed.ts';
import { Ledger } from '../../src/domain/ledger.ts';
import { settlementPartition } from '../../src/domain/partition.ts';
import { topicNames } from '../../src/domain/topics.ts';
import { freshStanding, LaneBook } from '../../src/lane-book.ts';
import { Findings } from '../../src/verify/findings.ts';
import { PartitionReplay } from '../../src/verify/partition-replay.ts';
import type { ReplayOutcome } from '../../src/verify/partition-replay.ts';
import { PlaceSet } from '../../src/verify/place-set.ts';
import { ResultCursor } from '../../src/verify/result-cursor.ts';
import { createRandom } from '../integration/harness/traffic.ts';

const topics = topicNames('replay.');
const partitionCount = 2;
const ids = Array.from({ length: 40 }, (_, i) => `B${String.fromCharCode(65 + (i % 26), 65 + Math.floor(i / 26))}KDEFFXXX`);
const here = ids.filter((id) => settlementPartition(id, partitionCount) === 0);
const elsewhere = ids.filter((id) => settlementPartition(id, partitionCount) === 1);

interface History {
  readonly results: LooseRecord[];
  readonly checkpoints: LooseRecord[];
  readonly routed: LooseRecord[];
  readonly positions: ReadonlyMap<string, bigint>;
}

/** Commits of partition 0 as the fleet makes them: rejections, credits within, to and from the other partition. */
function makeHistory(commits: number): History {
  const random = createRandom(9);
  const ledger = new Ledger();
  const book = new LaneBook({ partition: 0, ledger, standing: freshStanding, topics, worker: 'w' });
  const history = { results: [] as LooseRecord[], checkpoints: [] as LooseRecord[], routed: [] as LooseRecord[] };
  const append = (records: LooseRecord[], key: Uint8Array | null, value: Uint8Array | null, marker: boolean): void => {
    const offset = (records.at(-1)?.offset ?? -1) + (marker ? 2 : 1);
    records.push({ key: key === null ? null : Buffer.from(key), value: value === null ? null : Buffer.from(value), offset, timestamp: 1, headers: null });
  };
  let inbound = 0;
  for (let commit = 0; commit < commits; commit++) {
    const slab = new RecordSlab();
    const count = random(4) === 0 ? 0 : 1 + random(6);
    const arriveAt = random(count + 1);
    let first = '';
    for (let i = 0; i <= count; i++) {
      if (i === arriveAt && random(2) === 0) {
        const leg = { participant: here[random(here.length)]!, currency: 'EUR', units: BigInt(1 + random(500)) };
        append(history.routed, null, encodeRouted({ from: 1, commit: commit + 1, credits: [leg], transfers: [] }), true);
        ledger.credit(leg.participant, leg.currency, leg.units);
        book.advance(topics.routed, history.routed.at(-1)!.offset + 1);
      }
      if (i === count) break;
      const debited = here[random(here.length)]!;
      const credited = random(2) === 0 ? here[random(here.length)]! : elsewhere[random(elsewhere.length)]!;
      const amount = BigInt(1 + random(900));
      const settles = random(4) > 0;
      const positionAfter = settles ? ledger.debit(debited, 'EUR', amount) : null;
      const result = {
        eventId: `e${inbound}`, messageType: 'pacs.008.001.08', source: 's', messageId: null, transactionIndex: 0, instructionId: null, endToEndId: null,
        transactionId: null, uetr: null, status: settles ? 'ACSC' : 'RJCT', reasonCode: settles ? null : 'AM04', reason: settles ? null : 'r',
        debitedParticipant: debited, creditedParticipant: credited, currency: 'EUR', amount, positionAfter, sequence: settles ? ledger.sequence : null,
        createdAt: 1, receivedAt: 2, settledAt: 3, inboundPartition: 0, inboundOffset: inbound, originalEventId: null,
        identity: `pacs.008|UETR|${inbound}`, statusReport: null,
      };
      if (first === '') first = `0:${inbound}:0`;
      slab.appendWith(topics.results, 0, debited, (bytes, start) => encodePaymentResult(result, 1, bytes, start));
      if (settles && settlementPartition(credited, partitionCount) === 0) ledger.credit(credited, 'EUR', amount);
      inbound++;
    }
    if (count > 0) book.extendChain(slab.slice(0), count, first);
    for (let i = 0; i < count; i++) append(history.results, slab.key(i), slab.value(i), i === 0 && history.results.length > 0);
    book.advance(topics.inbound, inbound);
    const sealed = new RecordSlab();
    book.seal(sealed);
    for (let i = 0; i < sealed.count; i++) {
      if (sealed.topic(i) === topics.checkpoints) append(history.checkpoints, sealed.key(i), sealed.value(i), true);
    }
  }
  const positions = new Map(here.map((id) => [`${id}|EUR`, ledger.position(id, 'EUR')]));
  return { ...history, positions };
}

async function* batches(topic: string, records: readonly LooseRecord[]): AsyncGenerator<RecordBatch> {
  for (let i = 0; i < records.length; i += 7) yield packRecords(topic, 0, records.slice(i, i + 7));
}

async function replay(history: History): Promise<{ outcome: ReplayOutcome; findings: Findings }> {
  const findings = new Findings();
  const checkpoints = history.checkpoints.map(({ value }) => decodeCheckpoint(value!));
  const cut: Checkpoint = checkpoints.at(-1)!;
  const partitionReplay = new PartitionReplay({
    partition: 0, partitionCount, topics, cut,
    results: new ResultCursor(batches(topics.results, history.results), () => {}),
    checkpoints: batches(topics.checkpoints, history.checkpoints),
    routed: batches(topics.routed, history.routed),
    resultsLow: history.results[0]?.offset ?? 1,
    routedLow: 0,
    places: new PlaceSet(), windowMs: 1000, creditsSent: new Map(), findings,
  });
  const outcome = await partitionReplay.run();
  await partitionReplay.tail(cut);
  return { outcome, findings };
}

const valuesOf = ({ key, value }: LooseRecord): Pick<LooseRecord, 'key' | 'value'> => ({ key, value });

function withOtherAmount(value: Uint8Array): Buffer {
  const bytes = Buffer.alloc(2048);
  const result = decodePaymentResult(value);
  return bytes.subarray(0, encodePaymentResult({ ...result, amount: result.amount! + 1n }, 1, bytes, 0));
}

/** Positions that were found out, and are not what the lane had. */
function wrongPositions({ accounts }: ReplayOutcome, history: History): string[] {
  return Array.from(accounts.all).filter(([name, { known, units }]) => known && history.positions.get(name) !== units).map(([name]) => name);
}

const whole = makeHistory(60);

describe('the replay of a partition', () => {
  it('finds nothing wrong with a whole history, and knows every position', async () => {
    const { outcome, findings } = await replay(whole);
    expect(findings.kept).toEqual([]);
    expect([outcome.anchor, outcome.commits, outcome.results, outcome.unchained]).toEqual([0, 60, whole.results.length, 0]);
    expect(wrongPositions(outcome, whole)).toEqual([]);
  });

  it('finds nothing wrong wherever retention has cut the results', async () => {
    const anchors = new Set<number>();
    for (let taken = 1; taken < whole.results.length - 20; taken++) {
      const { outcome, findings } = await replay({ ...whole, results: whole.results.slice(taken) });
      expect(findings.kept, `${taken} results taken`).toEqual([]);
      expect(outcome.anchor, `${taken} results taken`).not.toBeNull();
      expect(outcome.results).toBeLessThanOrEqual(whole.results.length - taken);
      expect(wrongPositions(outcome, whole)).toEqual([]);
      anchors.add(outcome.anchor!);
    }
    expect(anchors.size).toBeGreaterThan(20);
  });

  it('finds nothing wrong where compaction has taken checkpoints, and says how much it could not hash', async () => {
    const random = createRandom(3);
    for (let round = 0; round < 20; round++) {
      const checkpoints = whole.checkpoints.filter((_, i) => i === 59 || random(3) > 0);
      const { outcome, findings } = await replay({ ...whole, checkpoints });
      expect(findings.kept).toEqual([]);
      expect(outcome.unchained).toBeGreaterThan(0);
      expect(wrongPositions(outcome, whole)).toEqual([]);
    }
  });

  it('names a result that was changed, wherever it stands, and goes on behind it', async () => {
    for (let changed = 0; changed < whole.results.length; changed += 7) {
      const results = whole.results.map((record, i) => (i === changed ? { ...record, value: Buffer.from(record.value!).fill(1, 5, 6) } : record));
      const { findings } = await replay({ ...whole, results });
      expect(findings.kept.length).toBeGreaterThan(0);
      const far = findings.kept.filter(({ topic, offset }) => topic === topics.results && offset !== null && Math.abs(offset - results[changed]!.offset) > 10);
      expect(far).toEqual([]);
    }
  });

  it.each<readonly [string, (results: readonly LooseRecord[], at: number) => LooseRecord[]]>([
    ['one is missing', (results, at) => results.toSpliced(at, 1)],
    ['one stands twice', (results, at) => results.toSpliced(at, 0, { ...results[at]!, offset: results[at]!.offset - 0.5 })],
    ['two have changed places', (results, at) => results.map((record, i) => ({ ...record, ...(i === at ? valuesOf(results[at + 1]!) : i === at + 1 ? valuesOf(results[at]!) : {}) }))],
    ['one has another amount', (results, at) => results.map((record, i) => (i === at ? { ...record, value: withOtherAmount(record.value!) } : record))],
  ])('names the place where %s among the results, wherever that is', async (_what, damage) => {
    let tried = 0;
    for (let at = 3; at < whole.results.length - 1; at += 5) {
      // Half offsets would be none of Kafka's: all are doubled.
      const results = damage(whole.results, at).map((record) => ({ ...record, offset: record.offset * 2 }));
      const { findings } = await replay({ ...whole, results });
      const near = findings.kept.filter(({ topic, offset }) => topic === topics.results && offset !== null && Math.abs(offset / 2 - whole.results[at]!.offset) <= 10);
      expect(near.length, `at ${at}: ${JSON.stringify(findings.kept.slice(0, 3))}`).toBeGreaterThan(0);
      tried++;
    }
    expect(tried).toBeGreaterThan(15);
  });

  it('finds that the newest results are missing, of which the checkpoint speaks', async () => {
    for (let lost = 1; lost < 8; lost++) {
      const { findings } = await replay({ ...whole, results: whole.results.slice(0, -lost) });
      expect(findings.kept.length, `${lost} results lost`).toBeGreaterThan(0);
    }
  });

  it('names a result that stands between two commits and belongs to none, and nothing else', async () => {
    const firsts = new Set(whole.checkpoints.map(({ value }) => decodeCheckpoint(value!).first));
    let tried = 0;
    for (let place = 1; place < whole.results.length; place++) {
      if (!firsts.has(`0:${place}:0`)) continue;
      tried++;
      const foreign = { ...whole.results[0]!, offset: whole.results[place]!.offset - 1 };
      const { findings } = await replay({ ...whole, results: [...whole.results.slice(0, place), foreign, ...whole.results.slice(place)] });
      expect(findings.kept).toEqual([expect.objectContaining({ kind: 'unaccounted', offset: foreign.offset })]);
    }
    expect(tried).toBeGreaterThan(20);
  });
});
