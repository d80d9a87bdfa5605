/**
 * The proxy before one broker: beside what any TCP proxy does, it sees whole requests and whom they are from, and withholds
 * a request from the broker, or its answer from the client. Whoever set the trap kills the client then.
 *
 * Source: kafka.apache.org/protocol: size (int32), API key and version (int16 each), correlation id (int32), client id
 * (int16 length, bytes); an answer begins with its size and the correlation id.
 */
import { clientIdOf, onFrames } from '../late-endtxn/frame-proxy.ts';
import { TcpProxy } from '../integration/harness/tcp-proxy.ts';
import type { Connection } from '../integration/harness/tcp-proxy.ts';
import type { Trap } from './crash-points.ts';

/** By client id, which is the worker's. Shared by the proxies of all brokers. */
export class Traps {
  readonly #set = new Map<string, Trap & { passes: number; sprung: () => void }>();

  /** Calls `sprung` when the request of `clientId` has come by `passes` times and then once more. */
  set(clientId: string, trap: Trap, passes: number, sprung: () => void): void {
    this.#set.set(clientId, { ...trap, passes, sprung });
  }

  remove(clientId: string): void {
    this.#set.delete(clientId);
  }

  /** The trap that this request walks into, which is gone then. */
  take(clientId: string, apiKey: number): { readonly withheld: Trap['withheld']; readonly sprung: () => void } | undefined {
    const trap = this.#set.get(clientId);
    if (trap?.apiKey !== apiKey || trap.passes-- > 0) return undefined;
    this.#set.delete(clientId);
    return trap;
  }
}

export class BrokerProxy extends TcpProxy {
  readonly #traps: Traps;

  private constructor(target: number, traps: Traps) {
    super(target);
    this.#traps = traps;
  }

  static async before(target: number, port: number, traps: Traps): Promise<BrokerProxy> {
    const proxy = new BrokerProxy(target, traps);
    await proxy.listen(port);
    return proxy;
  }

  protected override passOn({ client, server, toServer, toClient }: Connection): void {
    const awaited = new Map<number, () => void>();
    /** Nothing overtakes what was withheld. */
    let isTrapped = false;
    onFrames(client, (frame) => {
      if (isTrapped) return;
      const trap = this.#traps.take(clientIdOf(frame), frame.readInt16BE(4));
      if (trap?.withheld === 'request') {
        isTrapped = true;
        return trap.sprung();
      }
      if (trap !== undefined) awaited.set(frame.readInt32BE(8), trap.sprung);
      toServer(frame);
    });
    onFrames(server, (frame) => {
      if (isTrapped) return;
      const sprung = awaited.get(frame.readInt32BE(4));
      if (sprung === undefined) return toClient(frame);
      isTrapped = true;
      sprung();
    });
  }
}
