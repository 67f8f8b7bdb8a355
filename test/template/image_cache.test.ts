import { describe, expect, test } from 'vitest';
import { createImageCache, type SizedImage } from '../../src/template/image_cache.ts';

const side = { width: 28, height: 28 };

const imageOf = (hash: string, bytes: number): SizedImage => ({
  image: { hash, gridThw: [1, 2, 2], size: { stored: side, shown: side }, pixelValues: new Float32Array(0) },
  bytes,
});

/** A cache, and the hashes it had to make. */
function watched(budget: number) {
  const cache = createImageCache(budget);
  const made: string[] = [];
  const get = (hash: string, bytes = 10) =>
    cache.get(hash, async () => {
      made.push(hash);
      return imageOf(hash, bytes);
    });
  return { get, made };
}

describe('kept images', () => {
  test('the longest unused goes first once the budget is passed', async () => {
    const { get, made } = watched(25);
    await get('a');
    await get('b');
    await get('a');
    await get('c');
    await get('a');
    await get('b');
    expect(made).toEqual(['a', 'b', 'c', 'b']);
  });

  test('none is kept without a budget, but one under way is made once', async () => {
    const { get, made } = watched(0);
    const [one, other] = await Promise.all([get('a'), get('a')]);
    expect(one).toBe(other);
    await get('a');
    expect(made).toEqual(['a', 'a']);
  });
});
