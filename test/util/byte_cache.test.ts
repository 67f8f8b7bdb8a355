import { expect, test } from 'vitest';
import { createByteCache } from '../../src/util/byte_cache.ts';

test('the longest unused goes first once the budget is passed', () => {
  const cache = createByteCache<string>(25);
  cache.set('a', 'A', 10);
  cache.set('b', 'B', 10);
  expect(cache.get('a')).toBe('A');
  cache.set('c', 'C', 10);
  expect(cache.get('b')).toBeUndefined();
  expect([cache.get('a'), cache.get('c')]).toEqual(['A', 'C']);
  expect(cache.bytes).toBe(20);
});

test('several go for a large one, and a value above the budget is not kept', () => {
  const cache = createByteCache<string>(25);
  cache.set('a', 'A', 10);
  cache.set('b', 'B', 10);
  cache.set('c', 'C', 25);
  expect([cache.get('a'), cache.get('b'), cache.get('c')]).toEqual([undefined, undefined, 'C']);
  cache.set('d', 'D', 26);
  expect(cache.get('d')).toBeUndefined();
  expect(cache.bytes).toBe(0);
});

test('a key that is set again counts once, and is young', () => {
  const cache = createByteCache<string>(25);
  cache.set('a', 'A', 10);
  cache.set('b', 'B', 10);
  cache.set('a', 'AA', 12);
  expect(cache.bytes).toBe(22);
  cache.set('c', 'C', 10);
  expect([cache.get('a'), cache.get('b'), cache.get('c')]).toEqual(['AA', undefined, 'C']);
});
