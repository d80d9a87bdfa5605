/** What only a real Redis can do to claims: lose its connection in the middle of a reply, stall, run full, evict. */
import { once } from 'node:events';
import { createServer } from 'node:net';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { RedisClaims } from '../../src/adapters/redis/claims.ts';
import type { RedisClaimsOptions } from '../../src/adapters/redis/claims.ts';
import { OutageError } from '../../src/errors.ts';
import type { Claims } from '../../src/ports.ts';
import { until } from '../until.ts';
import { RedisProxy } from './redis-proxy.ts';
import { RedisServer } from './redis-server.ts';

const partition = 0;

describe('claims in Redis', { timeout: 30_000 }, () => {
  let server: RedisServer;
  let proxy: RedisProxy;
  let opened: RedisClaims[] = [];

  beforeEach(async () => {
    server = await RedisServer.start();
    proxy = await RedisProxy.start(server.port);
  });
  afterEach(async () => {
    await Promise.all(opened.map((claims) => claims.close()));
    opened = [];
    await proxy.stop();
    await server.stop();
  });

  function open(options: Partial<RedisClaimsOptions> = {}): RedisClaims {
    const claims = new RedisClaims({
      url: proxy.url,
      namespace: () => 'payments. settlefleet',
      windowSeconds: 600,
      clock: Date.now,
      ...options,
    });
    opened.push(claims);
    return claims;
  }

  async function openWhole(options: Partial<RedisClaimsOptions> = {}): Promise<RedisClaims> {
    const claims = open(options);
    expect(await (await claims.beginRestore(partition)).complete()).toBe(true);
    return claims;
  }

  async function owners(claims: Claims, keys: string[], makers: string[]): Promise<unknown> {
    const answer = await claims.claim({ partition, keys, makers, window: null });
    return answer.kind === 'claimed' ? answer.owners : answer.kind;
  }

  /** Seconds left of each key of this pattern, -1 for one without an end. Keys are binary: they stay in the server. */
  async function timeToLive(pattern: string): Promise<readonly number[]> {
    const source = `
      local seconds = {}
      for _, key in ipairs(redis.call('KEYS', ARGV[1])) do seconds[#seconds + 1] = redis.call('TTL', key) end
      return seconds`;
    return (await server.command('EVAL', source, '0', pattern)) as number[];
  }

  describe('when the connection fails', () => {
    it.each([0, 1, 20, 40])('gives no answer to a reply that is cut after %i bytes, and a redelivery to the next', async (bytes) => {
      const claims = await openWhole();
      await owners(claims, ['a'], ['1']);
      proxy.spoilNextReply({ kind: 'cutAfter', bytes });
      await expect(owners(claims, ['a', 'b'], ['2', '3'])).rejects.toThrow(OutageError);
      expect(await owners(claims, ['a', 'b'], ['2', '3'])).toEqual(['1', null]);
    });

    it('fails every batch under way when one reply is cut, and mixes none of them up', async () => {
      const claims = await openWhole();
      const batches = Array.from({ length: 20 }, (_, index) => index);
      const ask = (who: string): Promise<unknown>[] =>
        batches.map((index) => owners(claims, [`key ${index}`], [`${who} ${index}`]));
      await Promise.all(ask('first'));
      proxy.spoilNextReply({ kind: 'cutAfter', bytes: 150 });
      for (const [index, answer] of (await Promise.allSettled(ask('second'))).entries()) {
        if (answer.status === 'fulfilled') expect(answer.value).toEqual([`first ${index}`]);
        else expect(answer.reason).toBeInstanceOf(OutageError);
      }
      expect(await Promise.all(ask('third'))).toEqual(batches.map((index) => [`first ${index}`]));
    });

    it('refuses the reply of another request', async () => {
      const claims = await openWhole();
      await owners(claims, ['the scripts are loaded'], ['0']);
      proxy.spoilNextReply({ kind: 'swallow' });
      const lost = owners(claims, ['a'], ['1']);
      const lostReply = expect(lost).rejects.toThrow(/reply of another request/);
      await until('the first claim is made', async () => (await server.command('DBSIZE')) === 3);
      await expect(owners(claims, ['b'], ['2'])).rejects.toThrow(OutageError);
      await lostReply;
      expect(await owners(claims, ['a', 'b'], ['1', '2'])).toEqual([null, null]);
    });

    it('connects again by itself after the server closed an idle connection', async () => {
      const claims = await openWhole();
      await server.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await until('the connection is given up', async () => (await owners(claims, ['a'], ['1'])) !== undefined);
    });

    it('stops waiting for a server that stalls, and asks again safely', async () => {
      const claims = await openWhole({ commandTimeoutMs: 200 });
      await server.command('CLIENT', 'PAUSE', '1000', 'ALL');
      await expect(owners(claims, ['a'], ['1'])).rejects.toThrow(/timed out/);
      await until('Redis answers', async () => (await owners(claims, ['a'], ['1'])) !== undefined);
      expect(await owners(claims, ['a'], ['1'])).toEqual([null]);
    });

    it('stops waiting for a peer that accepts and never answers', async () => {
      const silent = createServer().listen(0, '127.0.0.1');
      await once(silent, 'listening');
      const { port } = silent.address() as { port: number };
      const claims = open({ url: `redis://127.0.0.1:${port}`, connectTimeoutMs: 100 });
      await expect(owners(claims, ['a'], ['1'])).rejects.toThrow(OutageError);
      silent.close();
    });

    it('names the address that refuses', async () => {
      const claims = open({ url: 'redis://127.0.0.1:1' });
      await expect(claims.check()).rejects.toThrow(/Redis cannot be reached: connect ECONNREFUSED 127\.0\.0\.1:1/);
    });

    it('is an outage when the password is wrong', async () => {
      await server.command('CONFIG', 'SET', 'requirepass', 'right');
      const claims = open({ url: proxy.url.replace('redis://', 'redis://:wrong@') });
      await expect(claims.check()).rejects.toThrow(OutageError);
    });
  });

  describe('when the server cannot be trusted', () => {
    it('claims nothing where claims may be evicted, and says so', async () => {
      const claims = await openWhole();
      await server.command('CONFIG', 'SET', 'maxmemory', '100mb', 'maxmemory-policy', 'volatile-lru');
      await expect(owners(claims, ['a'], ['1'])).rejects.toThrow(
        'Redis may evict claims: maxmemory is set and maxmemory-policy is volatile-lru, expected noeviction',
      );
      await server.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
      expect(await owners(claims, ['a'], ['2'])).toEqual([null]);
    });

    it('finds the window incomplete when keys were evicted between two batches', async () => {
      const claims = await openWhole();
      await owners(claims, ['a'], ['1']);
      await server.command('CONFIG', 'SET', 'maxmemory', '1', 'maxmemory-policy', 'volatile-random');
      await until('something was evicted', async () => {
        await server.command('SET', 'other', 'key').catch(() => undefined);
        return /evicted_keys:[1-9]/.test(String(await server.command('INFO', 'stats')));
      });
      await server.command('CONFIG', 'SET', 'maxmemory', '0', 'maxmemory-policy', 'noeviction');
      expect(await owners(claims, ['a'], ['2'])).toBe('windowIncomplete');
    });

    it('is an outage when memory is full, and none when there is room again', async () => {
      const claims = await openWhole();
      await server.command('CONFIG', 'SET', 'maxmemory', '1');
      await expect(owners(claims, ['a'], ['1'])).rejects.toThrow(/OOM/);
      await expect(claims.beginRestore(partition)).rejects.toThrow(OutageError);
      await server.command('CONFIG', 'SET', 'maxmemory', '0');
      expect(await owners(claims, ['a'], ['1'])).toEqual([null]);
    });

    it('claims nothing on a replica, even a writable one', async () => {
      const claims = await openWhole();
      const master = await RedisServer.start();
      await server.command('CONFIG', 'SET', 'replica-read-only', 'no');
      await server.follow(master);
      await expect(owners(claims, ['a'], ['1'])).rejects.toThrow('Redis is a replica (role slave), expected a master');
      await master.stop();
    });

    it('finds the window incomplete when the same process was a stale master\'s replica meanwhile', async () => {
      const claims = await openWhole();
      const stale = await RedisServer.start();
      await stale.follow(server);
      await stale.command('REPLICAOF', 'NO', 'ONE');
      await owners(claims, ['a'], ['1']);
      const restore = await claims.beginRestore(partition);
      await server.follow(stale);
      await server.command('REPLICAOF', 'NO', 'ONE');
      expect(await restore.complete()).toBe(false);
      expect(await owners(claims, ['a'], ['2'])).toBe('windowIncomplete');
      await stale.stop();
    });

    it.each([
      ['nothing', 0],
      ['everything', 1],
    ])('finds the window incomplete after a restart that kept %s', async (_what, claimsKept) => {
      const claims = await openWhole();
      await owners(claims, ['a'], ['1']);
      if (claimsKept > 0) await server.command('SAVE');
      await server.kill();
      await server.run();
      expect(await timeToLive('sf????????c*')).toHaveLength(claimsKept);
      await until('Redis answers', async () => (await owners(claims, ['a'], ['2'])) === 'windowIncomplete');
    });
  });

  it('loads its scripts again when they were flushed', async () => {
    const claims = await openWhole();
    await server.command('SCRIPT', 'FLUSH');
    expect(await owners(claims, ['a'], ['1'])).toEqual([null]);
  });

  it('keeps two fleets on one Redis apart', async () => {
    const one = await openWhole();
    const other = open({ namespace: () => 'other. settlefleet' });
    await owners(one, ['a'], ['1']);
    expect(await owners(other, ['a'], ['2'])).toBe('windowIncomplete');
    await (await other.beginRestore(partition)).complete();
    expect(await owners(other, ['a'], ['2'])).toEqual([null]);
  });

  it('finds the window incomplete when it was made for another length', async () => {
    const claims = await openWhole({ windowSeconds: 60 });
    await owners(claims, ['a'], ['1']);
    const longer = open({ windowSeconds: 600 });
    expect(await owners(longer, ['a'], ['2'])).toBe('windowIncomplete');
    const restore = await longer.beginRestore(partition);
    await restore.add([{ key: 'a', maker: '1', claimedAt: Date.now() }]);
    await restore.complete();
    expect(await timeToLive('sf????????c*')).toEqual([expect.toSatisfy((seconds: number) => seconds > 590)]);
  });

  it('leaves nothing behind that has no end, but one marker a partition', async () => {
    const claims = await openWhole();
    await claims.beginRestore(partition);
    await owners(claims, ['a'], ['1']);
    expect((await timeToLive('*')).filter((seconds) => seconds === -1)).toHaveLength(1);
    expect(await timeToLive('sf????????m0')).toEqual([-1]);
    expect(await timeToLive('*')).toHaveLength(3);
  });
});
