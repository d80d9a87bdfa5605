/**
 * What every implementation of `Claims` promises, told once and run over memory and over a real Redis. A world is one
 * server and one fleet's claims on it, with the ways in which such a server forgets.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { OutageError } from '../../src/errors.ts';
import type { Claims, KnownClaim } from '../../src/ports.ts';
import { until } from '../until.ts';

export interface ClaimsWorld {
  /** What the fleet uses; the same after each fault. */
  readonly claims: Claims;
  /** Another worker of the same fleet. */
  readonly otherWorker: Claims;
  /** Another worker, whose window is one second. */
  readonly hasty: Claims;
  /** Milliseconds since the epoch, by the clock of this world. */
  now(): number;
  /** Lets time pass: at once in memory, by waiting with Redis. */
  tick(): void;
  flush(): Promise<void>;
  /** Keeps the present content aside: a snapshot on disk. */
  snapshot(): Promise<void>;
  /** Kills the server and starts it with the snapshot. */
  restartFromSnapshot(): Promise<void>;
  /** Cuts a replica off, so that it becomes stale. */
  freezeReplica(): Promise<void>;
  /** Puts the stale replica in the master's place. */
  failOverToReplica(): Promise<void>;
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

/** Longer than a test, in seconds. */
export const windowSeconds = 600;
const partition = 3;

export function describeClaims(name: string, createWorld: () => Promise<ClaimsWorld>): void {
  describe(`claims over ${name}`, { timeout: 30_000 }, () => {
    let world: ClaimsWorld;
    beforeAll(async () => {
      world = await createWorld();
    }, 30_000);
    afterAll(async () => world.close());
    beforeEach(async () => {
      await world.flush();
    });

    async function makeWhole(claims: Claims = world.claims, known: readonly KnownClaim[] = []): Promise<void> {
      const restore = await claims.beginRestore(partition);
      expect(await restore.add(known)).toBe(true);
      expect(await restore.complete()).toBe(true);
    }

    async function ownersOf(keys: string[], makers: string[], claims: Claims = world.claims): Promise<unknown> {
      const answer = await claims.claim({ partition, keys, makers, window: null });
      return answer.kind === 'claimed' ? answer.owners : answer.kind;
    }

    it('claims nothing while the window is not known to be whole', async () => {
      expect(await ownersOf(['a'], ['1'])).toBe('windowIncomplete');
      await makeWhole();
      expect(await ownersOf(['a'], ['2'])).toEqual([null]);
    });

    it('keeps a window for each partition', async () => {
      await makeWhole();
      const answer = await world.claims.claim({ partition: partition + 1, keys: ['a'], makers: ['1'], window: null });
      expect(answer).toEqual({ kind: 'windowIncomplete' });
    });

    it('lets the first of two equal keys in a batch win', async () => {
      await makeWhole();
      expect(await ownersOf(['a', 'b', 'a', 'a'], ['1', '2', '3', '4'])).toEqual([null, null, '1', '1']);
    });

    it('tells a redelivery, which meets its own claim, from a duplicate, which meets another', async () => {
      await makeWhole();
      await ownersOf(['a', 'b'], ['0:17:0:e', '0:17:1:e']);
      const answer = await world.otherWorker.claim({
        partition,
        keys: ['a', 'b', 'c', 'a'],
        makers: ['0:17:0:e', '0:18:0:f', '0:18:1:f', '0:17:0:e'],
        window: null,
      });
      expect(answer).toMatchObject({ kind: 'claimed', owners: [null, '0:17:1:e', null, null], redelivered: 2 });
    });

    it('says which restore made the window whole, so that one who claimed before sees that it was filled anew', async () => {
      const windowNow = async (): Promise<string | null> => {
        const answer = await world.claims.claim({ partition, keys: [], makers: [], window: null });
        return answer.kind === 'claimed' ? answer.window : null;
      };
      await makeWhole();
      const first = await windowNow();
      expect(await windowNow()).toBe(first);
      await world.flush();
      await makeWhole(world.otherWorker);
      expect([null, first]).not.toContain(await windowNow());
      const late = await world.claims.claim({ partition, keys: ['a'], makers: ['1'], window: first });
      expect(late).toEqual({ kind: 'windowIncomplete' });
      expect(await ownersOf(['a'], ['2'])).toEqual([null]);
    });

    it('claims 2,000 keys in one batch, in order', async () => {
      await makeWhole();
      const keys = Array.from({ length: 2_000 }, (_, index) => `key ${index % 1_500}`);
      const makers = keys.map((_, index) => `maker ${index}`);
      const expected = keys.map((_, index) => (index < 1_500 ? null : `maker ${index - 1_500}`));
      expect(await ownersOf(keys, makers)).toEqual(expected);
    });

    it('takes an empty batch', async () => {
      await makeWhole();
      expect(await ownersOf([], [])).toEqual([]);
    });

    it('keeps apart keys and makers of any characters and lengths', async () => {
      await makeWhole();
      const keys = ['COBADEFFXXX|pacs.008|TxId|ä\n€', 'k'.repeat(5_000), '', '\0', '\0\0'];
      const makers = ['0:1:0:zeile\neins', '0:2:0:😀', '', '0:4:0:\0', `0:5:0:${'x'.repeat(100_000)}`];
      expect(await ownersOf(keys, makers)).toEqual([null, null, null, null, null]);
      expect(await ownersOf(keys, ['v', 'w', 'x', 'y', 'z'])).toEqual(makers);
    });

    it('ends a claim with its window', async () => {
      await makeWhole(world.hasty);
      await ownersOf(['a'], ['1'], world.hasty);
      expect(await ownersOf(['a'], ['2'], world.hasty)).toEqual(['1']);
      await until('the claim has ended', async () => {
        world.tick();
        const [owner] = (await ownersOf(['a'], ['2'], world.hasty)) as (string | null)[];
        return owner === null;
      });
    });

    it('notices that it was emptied, and goes on once the window is restored', async () => {
      await makeWhole();
      await ownersOf(['a', 'b'], ['1', '2']);
      await world.flush();
      expect(await ownersOf(['a', 'c'], ['3', '4'])).toBe('windowIncomplete');
      await makeWhole(world.claims, [{ key: 'a', maker: '1', claimedAt: world.now() - 1_000 }]);
      expect(await ownersOf(['a', 'c'], ['3', '4'])).toEqual(['1', null]);
    });

    it('refuses a restore in whose middle it was emptied', async () => {
      const restore = await world.claims.beginRestore(partition);
      await restore.add([{ key: 'a', maker: '1', claimedAt: world.now() }]);
      await world.flush();
      expect(await restore.add([{ key: 'b', maker: '2', claimedAt: world.now() }])).toBe(false);
      expect(await restore.complete()).toBe(false);
      expect(await ownersOf(['a'], ['3'])).toBe('windowIncomplete');
    });

    it('lets two workers restore at the same time', async () => {
      const one = await world.claims.beginRestore(partition);
      const other = await world.otherWorker.beginRestore(partition);
      expect([await one.complete(), await other.complete()]).toEqual([true, true]);
    });

    it('takes a restore as finished only once', async () => {
      const restore = await world.claims.beginRestore(partition);
      expect([await restore.complete(), await restore.complete()]).toEqual([true, false]);
    });

    it('restores without overwriting, and leaves out what is older than the window', async () => {
      await makeWhole();
      await ownersOf(['a'], ['1']);
      await makeWhole(world.claims, [
        { key: 'a', maker: 'late', claimedAt: world.now() },
        { key: 'old', maker: '2', claimedAt: world.now() - windowSeconds * 1_000 - 1 },
        { key: 'young', maker: '3', claimedAt: world.now() - windowSeconds * 1_000 + 60_000 },
      ]);
      expect(await ownersOf(['a', 'old', 'young'], ['4', '5', '6'])).toEqual(['1', null, '3']);
    });

    it('restores a claim for what is left of its window only', async () => {
      await makeWhole(world.hasty, [{ key: 'a', maker: '1', claimedAt: world.now() }]);
      expect(await ownersOf(['a'], ['2'], world.hasty)).toEqual(['1']);
      await until('the restored claim has ended', async () => {
        world.tick();
        const [owner] = (await ownersOf(['a'], ['2'], world.hasty)) as (string | null)[];
        return owner === null;
      });
    });

    it('restores 10,000 claims at once', async () => {
      const known = Array.from({ length: 10_000 }, (_, index) => ({
        key: `key ${index}`,
        maker: `maker ${index}`,
        claimedAt: world.now(),
      }));
      await makeWhole(world.claims, known);
      expect(await ownersOf(['key 0', 'key 9999', 'key 10000'], ['x', 'y', 'z'])).toEqual(['maker 0', 'maker 9999', null]);
    });

    it('does not trust what a restart brings back from a snapshot', async () => {
      await makeWhole();
      await world.snapshot();
      await ownersOf(['after the snapshot'], ['1']);
      const restore = await world.claims.beginRestore(partition);
      await world.restartFromSnapshot();
      await until('the server answers', async () => (await ownersOf(['x'], ['2'])) === 'windowIncomplete');
      expect(await restore.complete()).toBe(false);
    });

    it('does not trust a replica that did not receive everything', async () => {
      await makeWhole();
      await world.freezeReplica();
      await ownersOf(['after the freeze'], ['1']);
      await world.failOverToReplica();
      await until('the replica answers', async () => (await ownersOf(['x'], ['2'])) === 'windowIncomplete');
      await makeWhole();
      expect(await ownersOf(['x'], ['2'])).toEqual([null]);
    });

    it('says that there is an outage while the server is away, and goes on when it is back', async () => {
      await makeWhole();
      await world.stop();
      await expect(ownersOf(['a'], ['1'])).rejects.toThrow(OutageError);
      await expect(world.claims.beginRestore(partition)).rejects.toThrow(OutageError);
      await world.start();
      await until('the server answers', async () => (await ownersOf(['a'], ['1'])) !== undefined);
    });
  });
}
