/**
 * The long differential test: our verdicts against libxml2's, over the whole corpus and as many mutations of it as asked
 * for. `npm run differential -- [--count 200000] [--seed 1]`. Ends with exit code 1 when one difference is not documented.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { compare } from '../test/differential/compare.ts';
import type { Comparison, Trial } from '../test/differential/compare.ts';
import { corpusIsThere, readSamples } from '../test/differential/corpus.ts';
import { mutatedTrials } from '../test/differential/trials.ts';
import { hasXmllint } from '../test/differential/oracle.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '200000' },
    seed: { type: 'string', default: '1' },
  },
});

/** One round is one seed; a round's messages are all held in memory. */
const roundSize = 40_000;

if (!corpusIsThere || !hasXmllint()) {
  console.error('The corpus (../shared/iso20022) or xmllint (libxml2-utils) is not there: nothing to compare with.');
  process.exitCode = 2;
} else run(Number(values.count), Number(values.seed));

function run(count: number, firstSeed: number): void {
  const folder = mkdtempSync(join(tmpdir(), 'settlefleet-differential-'));
  const samples = readSamples();
  const totals = { count: 0, accepted: 0, documented: new Map<string, number>(), differences: 0 };
  const add = (name: string, comparison: Comparison): void => {
    totals.count += comparison.count;
    totals.accepted += comparison.accepted;
    totals.differences += comparison.differences.length;
    for (const [what, times] of comparison.documented) totals.documented.set(what, (totals.documented.get(what) ?? 0) + times);
    console.log(`${name}: ${comparison.count} messages, ${comparison.accepted} accepted, ${comparison.differences.length} differences`);
    comparison.differences.forEach(({ trial, ours, libxml2 }, index) => {
      const file = join(folder, `${name.replaceAll(/\W+/g, '-')}-${index}.xml`);
      writeFileSync(file, Buffer.from(trial.text, 'latin1'));
      console.log(`  ${file}\n    ${trial.origin}\n    ours: ${ours || 'accepted'}\n    libxml2: ${libxml2.valid ? 'accepted' : libxml2.reason}`);
    });
  };
  const whole: Trial[] = samples.map((sample) => ({ definitionId: sample.definitionId, text: sample.text, origin: sample.file }));
  add('corpus', compare(whole, join(folder, 'work')));
  for (let seed = firstSeed, left = count; left > 0; seed++, left -= roundSize) {
    add(`seed ${seed}`, compare(mutatedTrials(samples, Math.min(left, roundSize), seed), join(folder, 'work')));
  }
  console.log(`${totals.count} messages, ${totals.accepted} accepted by both, ${totals.differences} differences that are not documented`);
  for (const [what, times] of totals.documented) console.log(`  documented: ${what}: ${times}`);
  if (totals.differences === 0) rmSync(folder, { recursive: true });
  else process.exitCode = 1;
}
