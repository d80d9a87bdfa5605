import { expect, it } from 'vitest';
import { mostUsedCaps } from '../../src/domain/cap-use.ts';
import { Directory } from '../../src/domain/participant.ts';

const directory = new Directory(
  [['A', 1000n], ['B', 1000n], ['C', 200n], ['D', 0n]].map(([id, cap]) => ({
    id: id as string, name: id as string, aliases: [], debitCaps: new Map([['EUR', cap as bigint]]),
  })),
);
const position = (participant: string, units: bigint) => ({ participant, currency: 'EUR', units });

it('names those that have used most of their caps, first the one that has used most, and nobody who is above 0', () => {
  const all = [position('A', -100n), position('B', -900n), position('C', -300n), position('D', -5n), position('E', 7n)];
  expect(mostUsedCaps(all, directory, 10).map(({ participant, used }) => [participant, used])).toEqual([['C', 1.5], ['D', 1], ['B', 0.9], ['A', 0.1]]);
  expect(mostUsedCaps(all, directory, 2).map(({ participant }) => participant)).toEqual(['C', 'D']);
  expect(mostUsedCaps([position('A', 0n)], directory, 10)).toEqual([]);
});
