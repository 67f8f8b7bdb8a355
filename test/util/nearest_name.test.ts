import { expect, test } from 'vitest';
import { editDistance, nearestName } from '../../src/util/nearest_name.ts';

test('editDistance counts insertions, deletions, substitutions and swaps of neighbours', () => {
  expect(editDistance('kitten', 'sitting')).toBe(3);
  expect(editDistance('rate', 'rtae')).toBe(1);
  expect(editDistance('', 'abc')).toBe(3);
  expect(editDistance('abcdef', 'uvwxyz', 3)).toBe(3);
});

test('nearestName', () => {
  expect(nearestName('epsilom', ['epsilon', 'epsilon_high'])).toBe('epsilon');
  expect(nearestName('zzz', ['epsilon'])).toBeNull();
});
