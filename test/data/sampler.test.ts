import { describe, expect, test } from 'vitest';
import { createSampler, restoreSampler } from '../../src/data/sampler.ts';

const take = (sampler: { next(): number }, n: number): number[] => Array.from({ length: n }, () => sampler.next());

describe('sampler', () => {
  test('every epoch is a permutation, epochs differ, seeds differ, equal seeds do not', () => {
    const sampler = createSampler({ length: 20, seed: 3 });
    const [first, second] = [take(sampler, 20), take(sampler, 20)];
    const all = Array.from({ length: 20 }, (_, i) => i);
    expect([...first].sort((a, b) => a - b)).toEqual(all);
    expect([...second].sort((a, b) => a - b)).toEqual(all);
    expect(second).not.toEqual(first);
    expect(take(createSampler({ length: 20, seed: 3 }), 40)).toEqual([...first, ...second]);
    expect(take(createSampler({ length: 20, seed: 4 }), 20)).not.toEqual(first);
  });

  test('goes on from any state, over the end of an epoch too', () => {
    for (const done of [0, 1, 6, 7, 8, 20]) {
      const sampler = createSampler({ length: 7, seed: 1 });
      take(sampler, done);
      const state = JSON.parse(JSON.stringify(sampler.state()));
      expect(take(restoreSampler(state, 7), 25)).toEqual(take(sampler, 25));
    }
  });

  test('without shuffling, in order; epoch counts passes', () => {
    const sampler = createSampler({ length: 4, seed: 0, shuffle: false });
    expect(take(sampler, 6)).toEqual([0, 1, 2, 3, 0, 1]);
    expect(sampler.epoch()).toBe(1.5);
  });

  test('a dataset of another length is refused', () => {
    expect(() => restoreSampler(createSampler({ length: 4, seed: 0 }).state(), 5)).toThrow(
      expect.objectContaining({ code: 'E_RESUME_DATASET' }),
    );
  });
});
