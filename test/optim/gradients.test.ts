import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openSafetensors } from '../../src/checkpoint/safetensors.ts';
import { globalNorm } from '../../src/optim/clip.ts';
import { sumOfSquares } from '../../src/optim/gradients.ts';
import { createRandom } from '../../src/util/random.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';

describe('sum of squares', () => {
  test.each([0, 1, 2, 3, 4, 5, 7, 8, 1001])('%i elements', (n) => {
    const random = createRandom(n);
    const x = Float32Array.from({ length: n }, () => random.normal());
    const expected = x.reduce((sum, value) => sum + value * value, 0);
    expect(Math.abs(sumOfSquares([x]) - expected)).toBeLessThanOrEqual(1e-14 * n);
  });

  test('of several arrays, some empty', () => {
    expect(sumOfSquares([Float32Array.of(1, 2), new Float32Array(0), Float32Array.of(3)])).toBe(14);
    expect(sumOfSquares([])).toBe(0);
  });

  test('of a view counts the view', () => {
    expect(sumOfSquares([Float32Array.of(9, 1, 1, 9).subarray(1, 3)])).toBe(2);
  });

  test('neither overflows nor loses small terms, as float32 would', () => {
    expect(sumOfSquares([Float32Array.of(1e30, 1e30)]) / 2e60).toBeCloseTo(1, 6);
    const x = new Float32Array(2 ** 20).fill(2 ** -15);
    x[0] = 2 ** 5;
    expect(sumOfSquares([x])).toBe(2 ** 10 + (2 ** 20 - 1) * 2 ** -30);
  });

  test('shows what is not finite', () => {
    expect(sumOfSquares([Float32Array.of(1, Number.NaN)])).toBeNaN();
    expect(sumOfSquares([Float32Array.of(1, Number.NEGATIVE_INFINITY)])).toBe(Number.POSITIVE_INFINITY);
  });

  test.each(goldenCheckpoints())('$name: the norm that torch clips by', ({ golden }) => {
    const file = openSafetensors(join(golden, 'gradients.safetensors'));
    const arrays = [...file.entries.keys()].map((name) => file.read(name));
    const { steps } = JSON.parse(readFileSync(join(golden, 'adamw.json'), 'utf8')) as {
      steps: { grad_norm: number }[];
    };
    const expected = steps[0]!.grad_norm;
    expect(Math.abs(globalNorm([sumOfSquares(arrays)]) / expected - 1)).toBeLessThan(1e-5);
    file.close();
  });
});
