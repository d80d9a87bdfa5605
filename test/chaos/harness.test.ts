/** What judges and strikes the fleet must itself be right: it sees what is wrong, and knows what did not really happen. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import type { StoredResult } from '../integration/harness/bench.ts';
import { TcpProxy } from '../integration/harness/tcp-proxy.ts';
import { createRandom } from '../integration/harness/traffic.ts';
import { Traps } from './broker-proxy.ts';
import { Ledger } from './ledger.ts';
import { runStrand } from './nemesis.ts';
import { passed, quantiles } from './report.ts';
import type { ChaosReport } from './report.ts';
import { FatePlan } from './run.ts';
import { Outcomes } from './watch.ts';

const result = (inboundOffset: number, sequence: number | null, more: Partial<StoredResult> = {}): StoredResult =>
  ({ partition: 0, offset: inboundOffset, inboundPartition: 0, inboundOffset, transactionIndex: 0, status: sequence === null ? 'RJCT' : 'ACSC', sequence, settledAt: Date.now(), receivedAt: Date.now(), ...more }) as StoredResult;

function seen(...results: StoredResult[]): string[] {
  const problems: string[] = [];
  const outcomes = new Outcomes((text) => problems.push(text));
  for (const one of results) outcomes.result(one);
  return problems;
}

describe('the concurrent reader', () => {
  it('is content with one outcome for each transaction, in order', () => {
    expect(seen(result(0, 1), result(1, null), result(2, 2), result(2, 3, { transactionIndex: 1 }))).toEqual([]);
  });

  it.each([
    ['a second outcome of a transaction', [result(0, 1), result(0, 2)], 'a second outcome of event 0/0 transaction 0'],
    ['a transaction of a message that was answered as a whole', [result(0, null, { transactionIndex: -1 }), result(0, 1)], 'a second outcome of event 0/0'],
    ['a gap in the sequence', [result(0, 1), result(1, 3)], 'has sequence 3, not 2'],
    ['a sequence that is told again', [result(0, 1), result(1, 1)], 'has sequence 1, not 2'],
    ['an event that was overtaken', [result(1, 1), result(0, 2)], 'stands behind that of 0/1'],
  ])('sees %s', (_, results, problem) => {
    expect(seen(...results)).toContainEqual(expect.stringContaining(problem));
  });
});

describe('the ledger', () => {
  it('counts what really happened only, and the strand tells what never did', async () => {
    const ledger = new Ledger(() => undefined);
    const late = new AbortController();
    let tries = 0;
    const missing = await runStrand({
      name: 'parts', pauseMs: [0, 1],
      faults: {
        happens: async () => 'proof',
        'does not': async () => {
          if (++tries === 3) late.abort();
          return null;
        },
      },
    }, { ledger, random: createRandom(1), signal: AbortSignal.abort(), lateSignal: late.signal });
    expect(missing).toEqual(['does not']);
    expect([...ledger.counts()]).toEqual([['happens', 1]]);
    expect(passed({ checks: [{ what: 'every planned fault really happened', problems: missing }] } as unknown as ChaosReport)).toBe(false);
  });

  it('takes a recovery as undisturbed only when nothing else was struck meanwhile', () => {
    const ledger = new Ledger(() => undefined);
    const [kill, other] = [ledger.begin('kill'), ledger.begin('other')];
    ledger.end(kill, 'proof');
    ledger.recoveries.push({ partition: 0, at: kill.at, milliseconds: 10, cause: kill });
    expect(ledger.undisturbed()).toEqual([]);
    other.until = kill.at - 10_000;
    expect(ledger.undisturbed()).toHaveLength(1);
  });

  it('gives quantiles by nearest rank', () => {
    expect(quantiles([3, 1, 2])).toEqual({ count: 3, p50: 2, p99: 3, max: 3 });
    expect(quantiles([])).toEqual({ count: 0, p50: 0, p99: 0, max: 0 });
  });
});

describe('the plan of fates', () => {
  it('deals late only what is missing, a crash point at once, and leaves alone who has nothing to meet', () => {
    const happened = new Set<string>();
    const plan = new FatePlan(createRandom(3), [/^crash point: (commit answered|claims made|block full)/, /killed at random/]);
    plan.isCalm = false;
    expect(plan.next('sink').kind).not.toBe('leftAlone');
    plan.becomeLate((kind) => !happened.has(kind));
    for (const kind of plan.kinds) if (!kind.includes('claims made')) happened.add(kind);
    expect(Array.from({ length: 3 }, () => plan.next('worker'))).toEqual(Array.from({ length: 3 }, () => ({ kind: 'crash', point: 'claims made; the answer not heard', isAtOnce: true })));
    expect(plan.next('sink')).toEqual({ kind: 'leftAlone' });
  });
});

describe('a trap on the wire', () => {
  it('takes the request it was set for, of the client it was set for, and only once', () => {
    const traps = new Traps();
    let sprung = 0;
    traps.set('worker', { apiKey: 26, withheld: 'request' }, 1, () => sprung++);
    expect(traps.take('another', 26)).toBeUndefined();
    expect(traps.take('worker', 0)).toBeUndefined();
    expect(traps.take('worker', 26)).toBeUndefined();
    const trap = traps.take('worker', 26);
    expect(trap?.withheld).toBe('request');
    trap!.sprung();
    expect(sprung).toBe(1);
    expect(traps.take('worker', 26)).toBeUndefined();
  });
});

describe('the proxy', () => {
  it('delivers what it held or delayed whole and in its order, and says how much was struck', async () => {
    const received: Promise<Buffer>[] = [];
    const server = createServer((socket) => void received.push(buffer(socket))).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = await TcpProxy.start((server.address() as AddressInfo).port);
    const client = connect(proxy.port, '127.0.0.1');
    client.setNoDelay(true);
    await once(client, 'connect');
    try {
      let sent = '';
      for (const [i, flow] of (['pass', 'hold', 40, 'pass', 5, 'hold', 'pass'] as const).entries()) {
        proxy.set(flow);
        sent += `part ${i};`;
        await new Promise<void>((resolve) => client.write(`part ${i};`, () => setTimeout(resolve, 5)));
      }
      client.end();
      // The client's end is the connection's: what waited is written before.
      await once(client, 'close');
      expect((await received[0]!).toString()).toBe(sent);
      expect(proxy.takeStruck().bytes).toBeGreaterThan(0);
      proxy.set('refuse');
      proxy.takeStruck();
      const refused = connect(proxy.port, '127.0.0.1');
      await once(refused, 'close');
      expect(proxy.takeStruck()).toEqual({ connections: 1, bytes: 0 });
    } finally {
      client.destroy();
      await proxy.stop();
      server.close();
    }
  });
});
