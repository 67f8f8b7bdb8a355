/**
 * Smoothing, reduction and correlation, against plain definitions.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { correlation, reducedIndices, smoothed } from '../../src/ui/curves.ts';

describe('smoothing', () => {
  test('is the weighted mean of all values up to each, with weights that fall by the factor', () => {
    const values = [3, -1, 4, 1, -5, 9];
    const weight = 0.7;
    const expected = values.map((_, end) => {
      const past = values.slice(0, end + 1).map((value, i) => ({ value, w: weight ** (end - i) }));
      return past.reduce((sum, { value, w }) => sum + w * value, 0) / past.reduce((sum, { w }) => sum + w, 0);
    });
    for (const [i, value] of smoothed(values, weight).entries()) expect(value).toBeCloseTo(expected[i]!, 12);
  });

  test('begins with the first value, leaves gaps, and changes nothing with weight 0', () => {
    expect(smoothed([null, 5, null, 5], 0.9)).toEqual([null, expect.closeTo(5, 12), null, expect.closeTo(5, 12)]);
    expect(smoothed([1, null, 2], 0)).toEqual([1, null, 2]);
    expect(smoothed([], 0.5)).toEqual([]);
  });
});

describe('reduction', () => {
  test('keeps both ends, both extremes, the order and the limit', () => {
    const value = fc.option(fc.double({ noNaN: true, noDefaultInfinity: true }), { nil: null });
    fc.assert(
      fc.property(fc.array(value, { maxLength: 400 }), fc.integer({ min: 4, max: 80 }), (values, points) => {
        const kept = reducedIndices(values, points);
        expect(kept.length).toBeLessThanOrEqual(Math.min(points, values.length));
        expect(kept).toEqual([...new Set(kept)].sort((a, b) => a - b));
        if (values.length === 0) return;
        expect([kept[0], kept.at(-1)]).toEqual([0, values.length - 1]);
        const finite = values.filter((each) => each !== null);
        const shown = kept.map((i) => values[i]!).filter((each) => each !== null);
        if (finite.length > 0) {
          expect([Math.min(...shown), Math.max(...shown)]).toEqual([Math.min(...finite), Math.max(...finite)]);
        }
      }),
    );
  });

  test('keeps everything that fits', () => {
    expect(reducedIndices([1, null, 3], 4)).toEqual([0, 1, 2]);
  });
});

describe('correlation', () => {
  test('is that of numpy.corrcoef', () => {
    // numpy.corrcoef([1, 2, 4, 8, -3], [2, 1, 7, 3, -1])[0, 1]
    expect(correlation([1, 2, 4, 8, -3], [2, 1, 7, 3, -1])).toBeCloseTo(0.6303936260899499, 12);
  });

  test('leaves out pairs with a null, and is null without three pairs or without variance', () => {
    expect(correlation([1, 2, null, 3], [2, 4, 100, 6])).toBeCloseTo(1, 12);
    expect(correlation([1, 2, 3], [3, 2, null])).toBeNull();
    expect(correlation([0.1, 0.1, 0.1], [1, 2, 3])).toBeNull();
    expect(correlation([1, 2, 3], [0.3, 0.1 + 0.2, 0.3])).toBeNull();
    expect(correlation([], [])).toBeNull();
  });
});
