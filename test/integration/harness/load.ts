/** Open load: what the traffic makes, sent by the clock whatever becomes of it, and now and then what nobody can read. */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Bench, Sending, Sent } from './bench.ts';
import { buildMessage } from './message.ts';
import type { Random, Traffic } from './traffic.ts';
import type { Facts } from './truth.ts';

/** Sent and not acknowledged by the broker. */
const underWayMax = 500;
const toldEvery = 10_000;

export class OpenLoad {
  readonly #bench: Bench;
  readonly #traffic: Traffic;
  readonly #random: Random;
  readonly #codes = new Map<string, string>();
  readonly #formFaults = new Set<string>();
  sent = 0;

  constructor(bench: Bench, traffic: Traffic, random: Random) {
    this.#bench = bench;
    this.#traffic = traffic;
    this.#random = random;
  }

  /** What the messages themselves do not show. */
  get expected(): Pick<Required<Facts>, 'deadLetterCodes' | 'formFaults'> {
    return { deadLetterCodes: this.#codes, formFaults: this.#formFaults };
  }

  /** Sends `count` evenly over the time; ends early when `signal` says so. Resolves when the broker has all of them. */
  async send(count: number, durationMs: number, say: (line: string) => void, signal?: AbortSignal): Promise<void> {
    const begun = performance.now();
    const underWay = new Set<Promise<void>>();
    let failure: Error | undefined;
    const raise = (): void => {
      if (failure !== undefined) throw failure;
    };
    for (let sent = 0; sent < count && signal?.aborted !== true; sent++) {
      const dueMs = (sent / count) * durationMs - (performance.now() - begun);
      if (dueMs > 5) await pause(dueMs);
      while (underWay.size >= underWayMax) await Promise.race(underWay);
      raise();
      const one: Promise<void> = this.#sendOne().catch((error: unknown) => {
        failure = error instanceof Error ? error : new Error(String(error));
      }).finally(() => underWay.delete(one));
      underWay.add(one);
      this.sent++;
      if (this.sent % toldEvery === 0) say(`${this.sent} events sent, ${this.#bench.results.length} results`);
    }
    await Promise.all(underWay);
    raise();
  }

  async #sendOne(): Promise<void> {
    const { message, sending } = this.#traffic.next();
    const dice = this.#random(400);
    if (dice === 0) return this.#sendUnreadable('NOT_FRAMED', Buffer.from(`no frame ${this.#random(1_000_000)}`));
    if (dice === 1) return this.#sendUnreadable('NOT_FRAMED', null);
    if (dice === 2) return this.#sendUnreadable('XML_INVALID', this.#encoded('<Document>', {}));
    if (dice === 3) return this.#sendUnreadable('TYPE_MISMATCH', this.#encoded(buildMessage(message), { messageType: 'pacs.009.001.08' }));
    if (dice === 4) {
      const sent = await this.#bench.sendDocument(buildMessage(message).replace('SLEV', 'OOPS'), { ...sending, message });
      this.#formFaults.add(`${sent.partition}/${sent.offset}`);
      forgetValue(sent);
      return;
    }
    forgetValue(await this.#bench.send(message, sending));
  }

  #encoded(document: string, sending: Sending): Buffer {
    return this.#bench.encode(document, { eventId: randomUUID(), createdAt: Date.now(), ...sending });
  }

  async #sendUnreadable(code: string, value: Buffer | null): Promise<void> {
    const sent = await this.#bench.sendValue(value, { partition: this.#random(this.#bench.partitions), key: this.#random(2) === 0 ? null : 'some key' });
    this.#codes.set(`${sent.partition}/${sent.offset}`, code);
  }
}

/** Hundreds of thousands of them would fill the memory; only dead letters are compared with what was sent. */
function forgetValue(sent: Sent): void {
  (sent as { value: Buffer | null }).value = null;
}
