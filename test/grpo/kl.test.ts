import { describe, expect, test } from 'vitest';
import { KL_LIMIT, tokenKl } from '../../src/grpo/kl.ts';

describe('tokenKl', () => {
  test('is 0 with slope 0 where the policies agree', () => {
    expect(tokenKl(-3, -3)).toEqual({ value: 0, gradient: 0 });
  });

  test('is exp(d) - d - 1, never negative, with the matching derivative', () => {
    for (const d of [-10, -3, -0.5, -1e-3, 1e-3, 0.5, 2.5]) {
      const { value, gradient } = tokenKl(-4, -4 + d);
      expect(value).toBeCloseTo(Math.exp(d) - d - 1, 12);
      expect(value).toBeGreaterThanOrEqual(0);
      const h = 1e-6;
      const numeric = (tokenKl(-4 + h, -4 + d).value - tokenKl(-4 - h, -4 + d).value) / (2 * h);
      expect(Math.abs(gradient - numeric)).toBeLessThan(1e-8);
    }
  });

  test('stays finite, and flat, where the policy has all but dropped the token', () => {
    expect(tokenKl(-900, -1)).toEqual({ value: KL_LIMIT, gradient: 0 });
    expect(tokenKl(-4, -1)).toEqual({ value: KL_LIMIT, gradient: 0 });
    expect(tokenKl(-1, -40)).toEqual({ value: KL_LIMIT, gradient: 0 });
  });
});
