// Bounded waits for the conditions that say "this part answers", each in the part's own protocol.
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const attemptMs = 1_000;
const pauseMs = 50;

/** Waits until the condition holds. Throws, naming what was awaited, when it does not within the bound. */
export async function waitUntil(
  what: string,
  condition: () => boolean | Promise<boolean>,
  options: { boundMs: number; giveUp?: () => string | undefined },
): Promise<void> {
  const deadline = Date.now() + options.boundMs;
  for (;;) {
    if (await condition()) return;
    const reason = options.giveUp?.();
    if (reason !== undefined) throw new Error(`${what}: ${reason}`);
    if (Date.now() > deadline) throw new Error(`${what}: no answer within ${options.boundMs / 1000} s`);
    await delay(pauseMs);
  }
}

/** Sends bytes to a loopback port and asks whether the answer passes. */
function answers(port: number, request: Buffer, accept: (answer: Buffer) => boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const conclude = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(attemptMs, () => { conclude(false); });
    socket.once('error', () => { conclude(false); });
    socket.once('close', () => { conclude(false); });
    socket.once('connect', () => { socket.write(request); });
    socket.once('data', (answer) => { conclude(accept(answer)); });
  });
}

// Kafka's ApiVersions request (key 18, version 0): length 10, key, version, correlation id, a null client id.
const apiVersionsRequest = Buffer.from('0000000a001200005e771ef1ffff', 'hex');

/** A broker answers requests only after it has started whole: an open port alone would be too early. */
export function kafkaAnswers(port: number): Promise<boolean> {
  return answers(port, apiVersionsRequest, (answer) => answer.length >= 8 && answer.readUInt32BE(4) === 0x5e771ef1);
}

export function redisAnswers(port: number): Promise<boolean> {
  return answers(port, Buffer.from('PING\r\n'), (answer) => answer.toString('latin1').startsWith('+PONG'));
}

export async function httpAnswers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(attemptMs) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
