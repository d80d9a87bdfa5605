/**
 * Time as the machine tells it. Everything that waits does so through this port, so that the simulation can let hours pass
 * in milliseconds, and always in the same order.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Timing } from '../../ports.ts';

export const systemTiming: Timing = {
  now: Date.now,
  monotonic: () => performance.now(),
  async sleep(milliseconds, signal) {
    try {
      await sleep(milliseconds, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};
