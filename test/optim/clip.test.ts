import { describe, expect, test } from 'vitest';
import { SightlineError } from '../../src/errors.ts';
import { clipCoefficient, globalNorm } from '../../src/optim/clip.ts';

describe('clipCoefficient', () => {
  test('brings a large norm to the limit, less the 1e-6 of torch', () => {
    const norm = globalNorm([9, 16]);
    expect(norm).toBe(5);
    expect(clipCoefficient(norm, 1)).toBe(1 / (5 + 1e-6));
  });

  test('leaves small norms alone, and just at the limit takes off the 1e-6 as torch does', () => {
    expect(clipCoefficient(0.5, 1)).toBe(1);
    expect(clipCoefficient(0, 1)).toBe(1);
    expect(clipCoefficient(1, 1)).toBe(1 / (1 + 1e-6));
  });

  test('a limit of 0 turns clipping off', () => {
    expect(clipCoefficient(100, 0)).toBe(1);
  });

  test('refuses a norm that is not finite', () => {
    expect(() => clipCoefficient(globalNorm([1, Number.NaN]), 1)).toThrow(SightlineError);
    expect(() => clipCoefficient(Number.POSITIVE_INFINITY, 0)).toThrow('the gradient norm is Infinity');
  });
});

test('the norm of nothing is 0', () => {
  expect(globalNorm([])).toBe(0);
});
