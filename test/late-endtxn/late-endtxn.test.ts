/**
 * A request that arrives late, in the middle of a later Kafka transaction (src/adapters/kafka/transactions.ts tells how).
 * The long form is `node test/late-endtxn/main.ts --holds 100`.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { stackEnvironment } from '../stack.ts';
import { everyTrial, TrialBench } from './trial.ts';
import type { Trial } from './trial.ts';

let bench: TrialBench | undefined;
afterEach(async () => {
  await bench?.close();
  bench = undefined;
});

const nameOf = ({ late, mode, second }: Trial): string => `late ${late} after a ${mode}, the second ${second}`;

describe('a late request', () => {
  it('tears the next Kafka transaction where hiccups go unnoticed', async () => {
    bench = await TrialBench.create(stackEnvironment().kafkaBrokers, false);
    const commit = await bench.run({ late: 'commit', mode: 'reset', second: 'aborts' });
    expect(commit).toMatchObject({ outcomes: ['committed', 'fenced'], torn: [expect.stringContaining('given up, and 12 of 12'), expect.any(String)] });
    const abort = await bench.run({ late: 'abort', mode: 'reset', second: 'commits' });
    expect(abort).toMatchObject({ outcomes: ['fenced', 'committed'], torn: [expect.stringContaining('committed, and 0 of 12')] });
    const offsets = await bench.run({ late: 'offsets', mode: 'reset', second: 'commits' });
    expect(offsets).toMatchObject({ outcomes: ['committed', 'committed'], torn: [expect.stringContaining('the group stands at')] });
  });

  it('tears nothing: the producer was replaced before the next one began', async () => {
    bench = await TrialBench.create(stackEnvironment().kafkaBrokers, true);
    // A time-out takes its time; all of them are in the long form.
    const timeouts: Trial[] = [{ late: 'commit', mode: 'timeout', second: 'aborts' }, { late: 'abort', mode: 'timeout', second: 'commits' }];
    for (const trial of [...everyTrial.filter(({ mode }) => mode === 'reset'), ...timeouts]) {
      const { arrived, torn, outcomes } = await bench.run(trial);
      expect({ trial: nameOf(trial), arrived, torn, outcomes }).toEqual({
        trial: nameOf(trial),
        arrived: true,
        torn: [],
        outcomes: [trial.late === 'abort' ? 'fenced' : 'committed', trial.second === 'aborts' ? 'fenced' : 'committed'],
      });
    }
  });
});
