import { describe, expect, it } from 'vitest';
import { readSchemaTable } from '../../../schemas/iso20022/tables.ts';
import { createMessageReader } from '../../../src/codec/iso20022/payment-reader.ts';
import { hostileMessages } from './hostile.ts';
import { readMessage } from './reading.ts';

/**
 * The promise is 20 ms for 1 MiB on a core of its own, and `npm run fuzz` holds us to it. Here tests run side by side, so
 * only what is not linear fails: 1 MiB read in quadratic time takes minutes.
 */
const millisecondsMax = 400;

describe('a message of 1 MiB takes no longer than its size', () => {
  const reader = createMessageReader(readSchemaTable);
  it.each(hostileMessages())('%s', (_, text) => {
    const bytes = Buffer.from(text);
    let best = Infinity;
    for (let round = 0; round < 5 && best > millisecondsMax / 4; round++) {
      const before = process.cpuUsage();
      readMessage(bytes, 'pacs.008.001.08', reader);
      const { user, system } = process.cpuUsage(before);
      best = Math.min(best, (user + system) / 1000);
    }
    expect(best).toBeLessThan(millisecondsMax);
  });
});
