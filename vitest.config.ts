import { defineConfig } from 'vitest/config';

/**
 * Two kinds of tests in one run: those that need nothing but the code, and those that talk to the real stack or start
 * processes. The latter wait more than they work (sessions that must end, outages that must last), so three files run at a
 * time; each has topics, a group and, where it strikes them, parts of its own.
 */
const real = ['test/integration/**', 'test/contract/**', 'test/adapters/**', 'test/sink/**', 'test/verify/**', 'test/explain/explain.test.ts', 'test/late-endtxn/**', 'test/recovery/**', 'test/cli/**', 'test/soak/**', 'test/overload/**', 'test/chaos/**', 'test/alerts/**', 'test/dashboards/**', 'test/dashboards.test.ts'];

export default defineConfig({
  test: {
    // The Kafka addon can be loaded in one thread of a process only, so each file has a process of its own.
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ['default'],
    projects: [
      { extends: true, test: { name: 'code', include: ['test/**/*.test.ts'], exclude: real, maxWorkers: 3 } },
      { extends: true, test: { name: 'real', include: real.map((path) => (path.endsWith('.ts') ? path : `${path}/*.test.ts`)), maxWorkers: 3 } },
    ],
  },
});
