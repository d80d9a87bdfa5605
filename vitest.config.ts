import { defineConfig } from 'vitest/config';
import { BaseSequencer } from 'vitest/node';
import type { TestSpecification } from 'vitest/node';

/**
 * Two kinds of tests in one run: those that need nothing but the code, and those that talk to the real stack or start
 * processes. The latter wait more than they work (sessions that must end, outages that must last), so three files run at a
 * time; each has topics, a group and, where it strikes them, parts of its own.
 */
const real = ['test/integration/**', 'test/contract/**', 'test/adapters/**', 'test/sink/**', 'test/verify/**', 'test/explain/explain.test.ts', 'test/late-endtxn/**', 'test/recovery/**', 'test/cli/**', 'test/soak/**', 'test/overload/**', 'test/chaos/**', 'test/alerts/**', 'test/dashboards/**', 'test/dashboards.test.ts'];

/**
 * What takes longest begins first, so that nothing runs alone at the end; those that compute are between those that wait. Then
 * what needs real parts, and last the many that take a moment. Vitest itself begins with the largest files where it has not
 * seen them run, and what takes longest here are small ones.
 */
const longest = [
  'chaos/chaos', 'simulation/checker', 'sink/kafka', 'simulation/simulation', 'sink/sink', 'sink/server', 'integration/kafka-faults',
  'integration/fleet', 'soak/soak', 'verify/verify', 'integration/redis-faults', 'sink/sql', 'integration/sink',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId, project }: TestSpecification): number => {
      const known = longest.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return known >= 0 ? known : longest.length + (project.name === 'real' ? 0 : 1);
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    // The Kafka addon can be loaded in one thread of a process only, so each file has a process of its own.
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ['default'],
    sequence: { sequencer: LongestFirst },
    projects: [
      { extends: true, test: { name: 'code', include: ['test/**/*.test.ts'], exclude: real, maxWorkers: 3 } },
      { extends: true, test: { name: 'real', include: real.map((path) => (path.endsWith('.ts') ? path : `${path}/*.test.ts`)), maxWorkers: 3 } },
    ],
  },
});
