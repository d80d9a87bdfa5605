/** Whether a Redis may be trusted with claims, and for how long it has room. */
import type { RedisFacts } from '../adapters/redis/inspection.ts';
import { Findings } from './finding.ts';
import type { Finding } from './finding.ts';

const versionMin = 7;
const filledWarn = 0.8;

export function judgeRedis({ info }: Pick<RedisFacts, 'info'>): Finding[] {
  const findings = new Findings('redis');
  const text = (name: string): string => info.get(name) ?? '';
  const number = (name: string): number => Number(info.get(name) ?? NaN);

  const version = text('redis_version');
  if (Number.parseInt(version, 10) >= versionMin) findings.ok(`Redis ${version}`);
  else findings.wrong(`Redis ${version || 'of no version'}, expected ${versionMin}.0 or newer`, 'upgrade it');

  if (text('redis_mode') === 'cluster') {
    findings.wrong('it is a Redis Cluster: one script claims a whole batch, whose keys must be on one node', 'use one Redis, or one with a replica and Sentinel');
  }
  if (text('role') === 'master') findings.ok(`it is the master, with ${number('connected_slaves') || 0} replicas`);
  else findings.wrong(`it is a ${text('role') || 'server of no role'}: what it answers may be old, and workers do not claim there`, 'give REDIS_URL the address of the master');

  const policy = text('maxmemory_policy');
  const limit = number('maxmemory');
  if (limit > 0 && policy !== 'noeviction') {
    findings.wrong(`maxmemory-policy is ${policy} with maxmemory ${limit}: an evicted claim is a duplicate that settles, so workers wait`, 'redis-cli CONFIG SET maxmemory-policy noeviction, and in redis.conf');
  } else if (policy !== 'noeviction') {
    findings.warn(`maxmemory-policy is ${policy}; without maxmemory nothing is evicted, but setting that would stop the fleet`, 'redis-cli CONFIG SET maxmemory-policy noeviction, and in redis.conf');
  } else findings.ok('maxmemory-policy is noeviction');

  const used = number('used_memory');
  const share = limit > 0 ? used / limit : 0;
  if (limit > 0 && share >= filledWarn) {
    findings.warn(`${Math.round(share * 100)}% of maxmemory is taken (${mebibytes(used)} of ${mebibytes(limit)} MiB): when it is full, nothing settles`, 'raise maxmemory, or shorten DEDUPE_WINDOW_SECONDS');
  } else findings.ok(limit > 0 ? `${Math.round(share * 100)}% of maxmemory is taken` : `${mebibytes(used)} MiB are taken, without maxmemory`);

  const evicted = number('evicted_keys');
  if (evicted > 0) findings.warn(`it has evicted ${evicted} keys since it was started: each worker has rebuilt its window since`, 'see maxmemory-policy');
  if (text('loading') === '1') findings.warn('it is loading its data', 'wait; workers wait too');
  const persists = text('aof_enabled') === '1' ? 'an append-only file' : number('rdb_last_save_time') > 0 && text('rdb_saves') !== '0' ? 'snapshots' : 'nothing';
  findings.ok(`it keeps ${persists} on disk; after a restart each lane rebuilds its window from Kafka in any case`);
  return findings.all;
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / (1 << 20));
}
