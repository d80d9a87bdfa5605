// Chooses the ports of a stack: the usual one where it is free, any other where it is not.
import { createServer } from 'node:net';
import { randomInt } from 'node:crypto';

// Below the range from which the system gives ports to outgoing connections (32768 and up on Linux): a port chosen
// there could be taken by any connection between this check and the listener's start.
const firstPort = 20_000;
const lastPort = 32_000;
const attemptsMax = 200;

/** Whether nothing listens on the loopback port at this moment. */
export function portIsFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => { resolve(false); });
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.close(() => { resolve(true); });
    });
  });
}

/** A free loopback port: the preferred one where it is free. `taken` lists ports already promised to others. */
export async function chooseFreePort(options: { preferred?: number; taken?: Set<number> } = {}): Promise<number> {
  const taken = options.taken ?? new Set<number>();
  const candidates = options.preferred === undefined ? [] : [options.preferred];
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const port = candidates.pop() ?? randomInt(firstPort, lastPort);
    if (taken.has(port) || !(await portIsFree(port))) continue;
    taken.add(port);
    return port;
  }
  throw new Error(`no free port found between ${firstPort} and ${lastPort} in ${attemptsMax} attempts`);
}
