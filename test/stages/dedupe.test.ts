/** What the dedupe stage does when Redis forgets, is filled again by somebody else, or is away. */
import { describe, expect, it } from 'vitest';
import { MemoryClaims } from '../../src/adapters/memory/claims.ts';
import { packRecords } from '../../src/codec/record-batch.ts';
import { Ledger } from '../../src/domain/ledger.ts';
import { Directory } from '../../src/domain/participant.ts';
import { topicNames } from '../../src/domain/topics.ts';
import type { Transfer } from '../../src/domain/transfer.ts';
import { freshStanding, LaneBook } from '../../src/lane-book.ts';
import type { Log, Telemetry } from '../../src/ports.ts';
import { createDedupeStage } from '../../src/stages/dedupe.ts';
import type { Work } from '../../src/stages/route.ts';

const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const deaf: Telemetry = { consumed: () => {}, dedupe: () => {}, committed: () => {}, aborted: () => {}, audited: () => {}, windowRebuilt: () => {}, dependency: () => {} };

function transfer(offset: number, identity: string): Transfer {
  return {
    event: { eventId: `e${offset}`, messageType: 'pacs.008.001.08', source: 's', messageId: null, createdAt: 0, receivedAt: 0, inboundPartition: 0, inboundOffset: offset },
    transactionIndex: 0,
    instructionId: null,
    endToEndId: null,
    transactionId: null,
    uetr: null,
    debitedParticipant: 'COBADEFFXXX',
    creditedParticipant: 'BNPAFRPPXXX',
    currency: 'EUR',
    amount: 1n,
    formalRefusal: null,
    identity,
  };
}

function workOf(...transfers: Transfer[]): Work {
  return {
    records: packRecords('payments.inbound', 0, []),
    decoded: null,
    directory: Directory.empty,
    steps: transfers.map((one) => ({ kind: 'transfer', row: 0, transaction: -1, transfer: one, refusal: null, holder: null })),
    misdirected: [],
  };
}

function world() {
  const claims = new MemoryClaims({ clock: () => 0, windowSeconds: 600 });
  /** Settled and not in the results topic: what only the lane itself knows, and commits before it rebuilds. */
  const settled: { key: string; maker: string }[] = [];
  let rebuilds = 0;
  const fill = async (known: readonly { key: string; maker: string }[]): Promise<boolean> => {
    const restore = await claims.beginRestore(0);
    await restore.add(known.map((claim) => ({ ...claim, claimedAt: 0 })));
    return restore.complete();
  };
  const stage = createDedupeStage({
    claims,
    rebuild: async () => {
      rebuilds++;
      return fill(settled);
    },
    telemetry: deaf,
    log: quiet,
    timing: { now: () => 0, monotonic: () => 0, sleep: async () => {} },
  });
  const book = new LaneBook({ partition: 0, ledger: new Ledger(), standing: freshStanding, topics: topicNames('payments.'), worker: 'w' });
  const holderOf = async (offset: number, identity: string): Promise<unknown> => {
    const work = workOf(transfer(offset, identity));
    await stage(work, book, new AbortController().signal);
    const [step] = work.steps;
    return step?.kind === 'transfer' ? step.holder : null;
  };
  return { claims, settled, fill, holderOf, rebuilds: () => rebuilds };
}

describe('the dedupe stage', () => {
  it('rebuilds a window that Redis does not have, once', async () => {
    const { holderOf, rebuilds } = world();
    expect(await holderOf(1, 'pacs.008|TxId|A')).toBe('self');
    expect(await holderOf(2, 'pacs.008|TxId|B')).toBe('self');
    expect(rebuilds()).toBe(1);
  });

  it('meets its own claim again, and another one as a duplicate', async () => {
    const { holderOf } = world();
    await holderOf(1, 'pacs.008|TxId|A');
    expect(await holderOf(1, 'pacs.008|TxId|A')).toBe('self');
    expect(await holderOf(2, 'pacs.008|TxId|A')).toMatchObject({ eventId: 'e1' });
  });

  it('does not believe a window that a zombie filled again without what this lane has not committed yet', async () => {
    const { claims, settled, fill, holderOf, rebuilds } = world();
    await holderOf(1, 'pacs.008|TxId|A');
    settled.push({ key: 'COBADEFFXXX|pacs.008|TxId|A', maker: '0:1:0:e1' });
    claims.flush();
    await fill([]);
    expect(await holderOf(2, 'pacs.008|TxId|A')).toMatchObject({ eventId: 'e1' });
    expect(rebuilds()).toBe(2);
  });
});
