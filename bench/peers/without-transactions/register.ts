/**
 * Loaded before the worker (`node --import`): the worker's Kafka transactions are replaced by ./transactions.ts, one module
 * for another, and all else is the product as it is. A seam of the loader, so that the product has no setting by which
 * anybody could switch exactly-once off.
 */
import { registerHooks } from 'node:module';

const replaced = new URL('../../../src/adapters/kafka/transactions.ts', import.meta.url).href;
const replacement = new URL('transactions.ts', import.meta.url).href;

registerHooks({
  resolve(specifier, context, next) {
    const resolved = next(specifier, context);
    return resolved.url === replaced && context.parentURL !== replacement ? { ...resolved, url: replacement } : resolved;
  },
});
