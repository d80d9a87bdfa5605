/** Loaded before a worker process by `--import`: its decoder threads become those of poison-worker.ts. */
import { registerHooks } from 'node:module';

const entry = "'../../../workers/decode.ts'";
const poisoned = "'../../../test/integration/harness/poison-worker.ts'";

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (!url.endsWith('/src/adapters/piscina/decoder.ts')) return loaded;
    const source = Buffer.from(loaded.source as Uint8Array).toString();
    if (!source.includes(entry)) throw new Error(`there is no ${entry} to replace in ${url}`);
    return { ...loaded, source: source.replace(entry, poisoned) };
  },
});
