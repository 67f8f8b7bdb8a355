import { expect, test } from 'vitest';
import { narrow, widen } from '../../../src/checkpoint/dtypes.ts';
import {
  type HalfWeight,
  holdHalf,
  shiftFor,
  toBlocks,
  toHalf,
  widenHalf,
} from '../../../src/checkpoint/half_words.ts';
import { allocateQuantised, dequantise, QUANT_BLOCK, quantise } from '../../../src/checkpoint/quantised.ts';
import { widenInPieces } from '../../../src/engine/half_pieces.ts';
import * as ops from '../../../src/graph/ops/frozen.ts';
import { input } from '../../../src/graph/value.ts';
import { cpu } from '../../../src/runtime/cpu.ts';
import { halves, zeros } from '../../../src/runtime/tensor.ts';
import { createRandom } from '../../../src/util/random.ts';
import { largestDifference, type OpCase } from '../../helpers/check_op.ts';
import { largestSum, productOf, randomCodes, valueAt } from '../../helpers/codes.ts';
import { describeOps } from '../../helpers/op_suite.ts';

const random = createRandom(5);

const inRows = (words: Uint16Array<ArrayBuffer>, shift: number): HalfWeight => ({
  kind: 'half',
  words,
  block: 1,
  shift,
  dims: [1, words.length],
});

/**
 * The kernel rounds each row of x to 8 bits by blocks: to multiples of the block's largest value over 127, off by half of that.
 * Over 64 values that is at most 64 · (2 / 127 / 2) · the largest weight; x lies within 2.
 */
const boundOf = (matrix: ops.QuantisedMatrix): number => (1 / 127) * largestSum(matrix) * 1.01;

const product = (bits: 4 | 8, n: number, inner: number, out: number): OpCase => {
  const matrix = randomCodes(random, bits, out, inner);
  return {
    name: `${bits} bits: [${n}, ${inner}] to ${out}`,
    args: [{ dims: [n, inner], shape: ['N', inner] }],
    build: (x) => ops.quantisedProduct(x, matrix),
    reference: (x) => productOf(matrix, x),
    tolerance: { value: boundOf(matrix) },
    notDifferentiable: /quantised product': the weight is frozen/,
    nan: false,
  };
};

/** Numbers that float16 holds, at most 4. */
const numbers = (count: number): number[] => Array.from({ length: count }, () => (random.int(1024) - 512) / 128);

/** Pieces of a weight of so many outputs each, in blocks of channels or in rows; the piece's numbers are given by rows. */
function halfCase(n: number, inner: number, outputs: readonly number[], block: number): OpCase {
  const arranged = (rows: readonly number[]): number[] =>
    rows.map((_, at) => {
      const [lane, i] = [at % block, Math.floor(at / block) % inner];
      const first = Math.floor(at / (block * inner)) * block;
      return rows[(first + lane) * inner + i]!;
    });
  const pieces = outputs.map((count) => numbers(count * inner));
  const dimsOf = (count: number): number[] => (block === 1 ? [count, inner] : [count, inner, 1, 1]);
  return {
    name: `${n} rows, ${inner} to ${outputs.join(' and ')}, blocks of ${block}`,
    args: [
      { dims: [n, inner], shape: ['N', inner] },
      { dims: [] },
      ...pieces.map((rows, i) => ({
        dims: dimsOf(outputs[i]!),
        dtype: 'float16' as const,
        data: block === 1 ? rows : arranged(rows),
      })),
    ],
    build: (x, factor, ...words) => ops.halfProduct(x, { pieces: words, factor }),
    reference: (x, [factor]) =>
      Array.from({ length: n }, (_, row) =>
        pieces.flatMap((rows, piece) =>
          Array.from({ length: outputs[piece]! }, (_, out) => {
            let sum = 0;
            for (let i = 0; i < inner; i++) sum += x[row * inner + i]! * rows[out * inner + i]!;
            return sum * factor!;
          }),
        ),
      ).flat(),
    // Each of the sums has `inner` summands of at most 2 · 4 · 2, rounded to 24 bits at every step.
    tolerance: { value: inner ** 2 * 16 * 2 ** -24 },
    notDifferentiable: /the weight is frozen|decoding is not differentiated/,
    nan: false,
  };
}

const block = await cpu.channelBlock();

describeOps(
  ops,
  {
    halfProduct: [
      halfCase(1, 5, [3], 1),
      halfCase(8, 24, [7, 2, 5], 1),
      ...(block === null
        ? []
        : [halfCase(1, block, [block], block), halfCase(8, 3 * block, [2 * block, block], block)]),
    ],
    quantisedProduct: [
      ...([4, 8] as const).flatMap((bits) => [
        product(bits, 1, 64, 3),
        product(bits, 8, 256, 32),
        product(bits, 5, 100, 7),
      ]),
    ],
    widened: [
      {
        args: [{ dims: [2, 3], shape: ['N', 3], dtype: 'float16', data: [1, -0.5, 65504, 2 ** -24, 0, -1.25] }],
        build: ops.widened,
        reference: (words) => words,
        tolerance: { value: 1e-30 },
        notDifferentiable: /widened': the weight is frozen/,
        nan: false,
      },
    ],
  },
  [
    [
      'pieces of another width',
      () => ops.halfProduct(input('x', ['N', 5]), { pieces: [input('w', [2, 6], 'float16')], factor: input('f', []) }),
      /halfProduct: \[N, 5\] does not fit \[2, 6\]/,
    ],
    ['words that are float32', () => ops.widened(input('x', [2])), /widened: expected float16, got float32/],
    [
      'rows of another width',
      () => ops.quantisedProduct(input('x', ['N', 65]), randomCodes(random, 4, 2, 64)),
      /quantisedProduct: expected rows of 64, got \[N, 65\]/,
    ],
  ],
);

test('every finite float16 is widened exactly, in a graph and here', async () => {
  const words = Uint16Array.from({ length: 1 << 16 }, (_, word) => word).filter((word) => (word & 0x7c00) !== 0x7c00);
  const wanted = new Float32Array(words.length);
  widen('F16', words, wanted);
  const w = input('w', ['N'], 'float16');
  const executable = await cpu.compile({ name: 'widen', inputs: { w }, outputs: { y: ops.widened(w) } });
  const { y } = await executable.run({ w: halves(words, [words.length]) });
  // Subnormals of float16 are ordinary numbers of float32.
  expect(largestDifference(y!.data, wanted)).toBe(0);
  const here = new Float32Array(words.length);
  widenHalf(inRows(words, 0), here);
  expect(largestDifference(here, wanted)).toBe(0);
  await executable.release();
});

test('bfloat16 words of 29 binades below the largest are held exactly, and smaller ones to 2^-39 of it', () => {
  for (const exponent of [-100, -20, 0, 3, 90]) {
    const values = Float32Array.from(
      { length: 4096 },
      () => (1 + random.int(128) / 128) * 2 ** (exponent - random.int(60)),
    );
    values[0] = 2 ** exponent * (2 - 2 ** -7);
    const stored = new Uint16Array(values.length);
    narrow('BF16', values, stored);
    widen('BF16', stored, values);
    const held = new Uint16Array(values.length);
    const shift = shiftFor(values[0]!);
    toHalf(Float32Array.from(values), shift, held);
    const back = new Float32Array(values.length);
    widenHalf(inRows(held, shift), back);
    for (const [i, value] of values.entries()) {
      const off = Math.abs(back[i]! - value) / 2 ** exponent;
      if (value >= 2 ** (exponent - 28)) expect(off).toBe(0);
      else expect(off).toBeLessThanOrEqual(2 ** -39);
    }
  }
});

test.each([1, 2, 8, 16])(
  'words in blocks of %d are widened to the values of their rows, here and in the runtime',
  async (size) => {
    const [out, inner] = [3 * 16, 5];
    const rows = Uint16Array.from({ length: out * inner }, () => random.int(0x7c00));
    const words = new Uint16Array(rows.length);
    toBlocks(rows, inner, size, words);
    const wanted = new Float32Array(rows.length);
    widen('F16', rows, wanted);
    for (let i = 0; i < wanted.length; i++) wanted[i]! *= 2 ** -3;
    const weight: HalfWeight = { kind: 'half', words, block: size, shift: 3, dims: [out, inner] };
    const here = zeros(out, inner);
    widenHalf(weight, here.data);
    expect(largestDifference(here.data, wanted)).toBe(0);
    const there = zeros(out, inner);
    await widenInPieces(weight, there);
    expect(largestDifference(there.data, wanted)).toBe(0);
  },
);

test.each(['BF16', 'F16'] as const)('a weight stored as %s is held with its values', (dtype) => {
  const dims = [32, 5] as const;
  const stored = new Uint16Array(dims[0] * dims[1]);
  narrow(
    dtype,
    Float32Array.from(stored, () => 3e-3 * random.normal()),
    stored,
  );
  const values = new Float32Array(stored.length);
  widen(dtype, stored, values);
  for (const size of [1, 16]) {
    const held = holdHalf(values.slice(), dims, size, dtype === 'BF16');
    expect(held.block).toBe(size);
    const back = new Float32Array(values.length);
    widenHalf(held, back);
    expect(largestDifference(back, values)).toBe(0);
    // Both ways give the same words.
    expect([...held.words]).toEqual([...holdHalf(values.slice(), dims, size, false).words]);
  }
});

test.each([4, 8] as const)('%d bits: values are off by half a step, at the far end by one', (bits) => {
  const [out, inner] = [5, 150];
  const values = Float32Array.from({ length: out * inner }, () => random.normal());
  values.fill(0, 0, QUANT_BLOCK); // a block of zeros
  values[inner] = 9;
  values[inner + 1] = -9; // both ends of a range
  const weight = allocateQuantised([out, inner], bits);
  quantise(values, weight);
  const back = new Float32Array(values.length);
  dequantise(weight, back);
  let largest = 0;
  for (const [at, value] of values.entries()) {
    const [row, column] = [Math.floor(at / inner), at % inner];
    expect(back[at]).toBe(Math.fround(valueAt({ ...weight, block: QUANT_BLOCK }, row, column)));
    const scale = weight.scales[row * Math.ceil(inner / QUANT_BLOCK) + Math.floor(column / QUANT_BLOCK)]!;
    if (scale === 0) expect(back[at]).toBe(0);
    else {
      const off = Math.abs(back[at]! - value) / Math.abs(scale);
      const atFarEnd = value / scale > 2 ** (bits - 1) - 1;
      expect(off).toBeLessThanOrEqual((atFarEnd ? 1 : 0.5) * (1 + 2 ** -18));
      largest = Math.max(largest, off);
    }
  }
  expect(largest).toBeGreaterThan(0.9); // the far end is reached
});
