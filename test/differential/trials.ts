/** Mutations of the corpus, repeatable by their seed. */
import type { Trial } from './compare.ts';
import type { Sample } from './corpus.ts';
import { mutate } from './mutations.ts';
import { SeededRandom } from './seeded-random.ts';

/** Larger messages are compared whole, but not mutated: most of the time would go into them. */
const mutatedBytesMax = 12_000;

export function mutatedTrials(samples: readonly Sample[], count: number, seed: number): Trial[] {
  const random = new SeededRandom(seed);
  const small = samples.filter((sample) => sample.text.length <= mutatedBytesMax);
  return Array.from({ length: count }, () => {
    const sample = random.pick(small);
    const { text, steps } = mutate(sample.text, random);
    return { definitionId: sample.definitionId, text, origin: `seed ${seed}, ${sample.file}: ${steps.join(', ')}` };
  });
}
