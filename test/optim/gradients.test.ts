import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSafetensors } from '../../src/checkpoint/safetensors.ts';
import { globalNorm } from '../../src/optim/clip.ts';
import { createSumOfSquares, type SumOfSquares } from '../../src/optim/gradients.ts';
import { sumOfSquares } from '../../src/optim/sums_here.ts';
import { blocksOf } from '../../src/optim/sums_there.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { type FloatTensor, floats } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { sumError } from '../helpers/rounding.ts';

const relativeError = (sum: number, x: Float32Array): number => Math.abs(sum / sumOfSquares(x) - 1);

/** A block is summed in float32, the blocks in float64; on a device with memory of its own, each round in float32. */
const boundOf = ({ length }: Float32Array): number =>
  cpu.sharesMemory ? sumError(1024) : blocksOf(length).reduce((sum, block) => sum + sumError(block), 0);

const normals = (n: number, scale = 1): Float32Array => {
  const random = createRandom(n);
  return Float32Array.from({ length: n }, () => scale * random.normal());
};

describe('sum of squares in float64', () => {
  test.each([0, 1, 2, 3, 4, 5, 7, 8, 1001])('%i elements', (n) => {
    const x = normals(n);
    const expected = x.reduce((sum, value) => sum + value * value, 0);
    expect(Math.abs(sumOfSquares(x) - expected)).toBeLessThanOrEqual(1e-14 * n);
  });

  test('of a view counts the view', () => {
    expect(sumOfSquares(Float32Array.of(9, 1, 1, 9).subarray(1, 3))).toBe(2);
  });

  test('neither overflows nor loses small terms, as float32 would', () => {
    expect(sumOfSquares(Float32Array.of(2 ** 100, 2 ** 100))).toBe(2 ** 201);
    const x = new Float32Array(2 ** 20).fill(2 ** -15);
    x[0] = 2 ** 5;
    expect(sumOfSquares(x)).toBe(2 ** 10 + (2 ** 20 - 1) * 2 ** -30);
  });

  test('shows what is not finite', () => {
    expect(sumOfSquares(Float32Array.of(1, Number.NaN))).toBeNaN();
    expect(sumOfSquares(Float32Array.of(1, Number.NEGATIVE_INFINITY))).toBe(Number.POSITIVE_INFINITY);
  });
});

test('blocks make up the whole, and are short where its divisors allow', () => {
  expect(blocksOf(151_936 * 2048).every((block) => block <= 1187)).toBe(true); // 1187 is prime
  expect(blocksOf(2 ** 30)).toEqual([1024, 1024, 1024]);
  for (const n of [1, 2, 1024, 1025, 1031, 1031 * 6, 10 ** 6])
    expect(blocksOf(n).reduce((product, block) => product * block, 1)).toBe(n);
});

describe('sums of squares in the runtime', () => {
  let squares: SumOfSquares;
  beforeAll(async () => {
    squares = await createSumOfSquares();
  });
  afterAll(() => squares.release());
  const sumsOf = async (arrays: readonly Float32Array[]): Promise<number[]> => {
    const tensors = [];
    for (const array of arrays) tensors.push(await cpu.upload(floats(array, [array.length])));
    const sums = await squares.of(tensors as FloatTensor[]);
    for (const tensor of tensors) cpu.release(tensor);
    return sums;
  };

  test.each([2 ** 15, 2 ** 15 + 1, 2 ** 16 + 255, 10 ** 6, 2 ** 15 - 1, 3])('%i elements', async (n) => {
    const x = normals(n);
    expect(relativeError((await sumsOf([x]))[0]!, x)).toBeLessThan(boundOf(x));
  });

  // On a device with memory of its own, the sums of blocks are added in float32 too.
  test.skipIf(!cpu.sharesMemory).each([2 ** 15, 2 ** 15 + 1, 2 ** 16 + 255, 10 ** 6])(
    '%i whole numbers, of which none is lost',
    async (n) => {
      // The squares of a block add up to less than 2^24, exactly, in whatever order.
      const random = createRandom(n);
      const x = Float32Array.from({ length: n }, () => random.int(255) - 127);
      expect(await sumsOf([x])).toEqual([sumOfSquares(x)]);
    },
  );

  test('one number for each array, in their order, views included', async () => {
    const large = new Float32Array(2 ** 16).fill(2);
    const arrays = [Float32Array.of(1, 2), new Float32Array(0), large, large.subarray(5, 2 ** 15 + 7)];
    expect(await sumsOf(arrays)).toEqual([5, 0, 2 ** 18, 4 * (2 ** 15 + 2)]);
    expect(await sumsOf([])).toEqual([]);
  });

  test.each([1e30, 1e-30, 1e-20, 0])('elements of %d, whose squares float32 does not have', async (scale) => {
    const x = normals(2 ** 16, scale);
    const [sum] = await sumsOf([x]);
    if (cpu.sharesMemory || scale === 0) expect(sum).toBe(sumOfSquares(x));
    else expect(relativeError(sum!, x)).toBeLessThan(boundOf(x));
  });

  test('shows what is not finite', async () => {
    const x = normals(2 ** 16);
    x[12345] = Number.NaN;
    expect((await sumsOf([x]))[0]).toBeNaN();
    x[12345] = Number.NEGATIVE_INFINITY;
    expect(await sumsOf([x])).toEqual([Number.POSITIVE_INFINITY]);
  });

  test.each(goldenCheckpoints())('$name: the norm that torch clips by', async ({ golden }) => {
    const file = openSafetensors(join(golden, 'gradients.safetensors'));
    const arrays = [...file.entries.keys()].map((name) => file.read(name));
    const { steps } = JSON.parse(readFileSync(join(golden, 'adamw.json'), 'utf8')) as {
      steps: { grad_norm: number }[];
    };
    const expected = steps[0]!.grad_norm;
    // The root halves the error of the sum of squares; torch takes norms in float32, of each tensor and then of the norms.
    const largestSize = Math.max(...arrays.map(({ length }) => length));
    const ours = Math.max(...arrays.map(boundOf));
    const error = Math.abs(globalNorm(await sumsOf(arrays)) / expected - 1);
    expect(error).toBeLessThan((ours + sumError(largestSize) + sumError(arrays.length)) / 2);
    file.close();
  });
});
