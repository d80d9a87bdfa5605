/** A TCP proxy before Redis, which can cut a reply in its middle, swallow one, or hold everything. */
import { TcpProxy } from '../integration/harness/tcp-proxy.ts';

export class RedisProxy extends TcpProxy {
  static override async start(target: number): Promise<RedisProxy> {
    const proxy = new RedisProxy(target);
    await proxy.listen(0);
    return proxy;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }
}
