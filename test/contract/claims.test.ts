/** One suite over the claims in memory and the claims in a real Redis: a fake that has not passed it is a wish. */
import { MemoryClaims } from '../../src/adapters/memory/claims.ts';
import type { MemoryClaimsState } from '../../src/adapters/memory/claims.ts';
import { RedisClaims } from '../../src/adapters/redis/claims.ts';
import { RedisServer } from '../adapters/redis-server.ts';
import { RedisProxy } from '../adapters/redis-proxy.ts';
import { describeClaims, windowSeconds } from './claims-suite.ts';
import type { ClaimsWorld } from './claims-suite.ts';

describeClaims('memory', async () => memoryWorld());
describeClaims('a real Redis', redisWorld);

function memoryWorld(): ClaimsWorld {
  let now = Date.UTC(2026, 10, 23);
  const clock = (): number => now;
  const claims = new MemoryClaims({ clock, windowSeconds });
  // In memory the window belongs to the store: the hasty fleet has one of its own.
  const hasty = new MemoryClaims({ clock, windowSeconds: 1 });
  let kept: MemoryClaimsState | undefined;
  const keep = async (): Promise<void> => {
    kept = claims.snapshot();
  };
  const bringBack = async (): Promise<void> => {
    if (kept !== undefined) claims.replaceBy(kept);
  };
  return {
    claims,
    otherWorker: claims,
    hasty,
    now: clock,
    tick: () => {
      now += 100;
    },
    flush: async () => {
      claims.flush();
      hasty.flush();
    },
    snapshot: keep,
    restartFromSnapshot: bringBack,
    freezeReplica: keep,
    failOverToReplica: bringBack,
    stop: async () => claims.setAway(true),
    start: async () => claims.setAway(false),
    close: async () => undefined,
  };
}

async function redisWorld(): Promise<ClaimsWorld> {
  let master = await RedisServer.start();
  let replica: RedisServer | undefined;
  const proxy = await RedisProxy.start(master.port);
  const fleet = { url: proxy.url, namespace: () => 'payments. settlefleet', clock: Date.now, windowSeconds };
  const claims = new RedisClaims(fleet);
  const otherWorker = new RedisClaims(fleet);
  const hasty = new RedisClaims({ ...fleet, windowSeconds: 1 });
  return {
    claims,
    otherWorker,
    hasty,
    now: Date.now,
    tick: () => undefined,
    flush: async () => {
      await master.command('FLUSHALL');
    },
    snapshot: async () => {
      await master.command('SAVE');
    },
    restartFromSnapshot: async () => {
      await master.kill();
      await master.run();
    },
    freezeReplica: async () => {
      replica = await RedisServer.start();
      await replica.follow(master);
      await replica.command('REPLICAOF', 'NO', 'ONE');
    },
    failOverToReplica: async () => {
      if (replica === undefined) throw new Error('there is no replica to fail over to');
      await master.stop();
      master = replica;
      replica = undefined;
      proxy.pointTo(master.port);
    },
    stop: async () => master.kill(),
    start: async () => master.run(),
    close: async () => {
      await Promise.all([claims.close(), otherWorker.close(), hasty.close()]);
      await proxy.stop();
      await Promise.all([master.stop(), replica?.stop()]);
    },
  };
}
