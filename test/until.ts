/** Waits for a condition, bounded in time: what tests do where they would otherwise sleep. */
import { setTimeout as pause } from 'node:timers/promises';

const pauseMinMs = 10;
const pauseMaxMs = 500;

/**
 * Resolves once `condition` holds; throws, naming `what`, when it does not within the bound. An error of the condition
 * counts as "not yet", and is the cause when time is up.
 */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  boundMs = 5_000,
): Promise<void> {
  const deadline = performance.now() + boundMs;
  for (;;) {
    const askedAt = performance.now();
    let cause: unknown;
    try {
      if (await condition()) return;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > deadline) throw new Error(`not within ${boundMs} ms: ${what}`, { cause });
    // A question that is dear, such as one that starts a process, is asked a third of the time at most.
    await pause(Math.min(pauseMaxMs, Math.max(pauseMinMs, 2 * (performance.now() - askedAt))));
  }
}
