import { QUANT_BLOCK } from '../../../src/checkpoint/quantised.ts';
import * as ops from '../../../src/graph/ops/coded.ts';
import { input, type Value } from '../../../src/graph/value.ts';
import { createRandom } from '../../../src/util/random.ts';
import type { OpCase } from '../../helpers/check_op.ts';
import { largestSum, productOf, randomCodes, valueAt } from '../../helpers/codes.ts';
import { describeOps } from '../../helpers/op_suite.ts';

const random = createRandom(6);

/** Random codes as arguments. @param cuts into how many blocks each one is cut, which gives its scale as often */
function drawn(bits: 4 | 8, inner: number, out: number, cuts: number) {
  const matrix = randomCodes(random, bits, out, inner);
  const block = QUANT_BLOCK / cuts;
  const blocks = (matrix.scales.length / out) * cuts;
  return {
    matrix,
    name: `${bits} bits: [${out}, ${inner}] in blocks of ${block}`,
    args: [
      { dims: [out, blocks, (block * bits) / 8], dtype: 'uint8' as const, data: [...matrix.codes] },
      { dims: [out, blocks, 1], data: [...matrix.scales].flatMap((scale) => Array<number>(cuts).fill(scale)) },
    ],
    of: (codes: Value, scales: Value): ops.CodedMatrix => ({ bits, block, codes, scales, inner }),
  };
}

function product(bits: 4 | 8, n: number, inner: number, out: number, cuts = 1): OpCase {
  const { matrix, name, args, of } = drawn(bits, inner, out, cuts);
  return {
    name: `${n} rows, ${name}`,
    args: [{ dims: [n, inner], shape: ['N', inner] }, ...args],
    build: (x, codes, scales) => ops.codedProduct(x, of(codes!, scales!)),
    reference: (x) => productOf(matrix, x),
    // x lies within 2, and each sum has `inner` summands: each number and each step is rounded to 24 bits.
    tolerance: { value: (inner + 2) * 2 * largestSum(matrix) * 2 ** -24 },
    notDifferentiable: /coded product': decoding is not differentiated/,
    nan: false,
  };
}

function values(bits: 4 | 8, inner: number, out: number, cuts = 1): OpCase {
  const { matrix, name, args, of } = drawn(bits, inner, out, cuts);
  return {
    name,
    args,
    build: (codes, scales) => ops.dequantised(of(codes!, scales!)),
    // A product of a small integer and a float32 rounds once.
    reference: () =>
      Array.from({ length: out * inner }, (_, at) => Math.fround(valueAt(matrix, Math.floor(at / inner), at % inner))),
    tolerance: { value: 1e-30 },
    notDifferentiable: /dequantised': the weight is frozen/,
    nan: false,
  };
}

const matrix = (codes: Value, scales: Value): ops.CodedMatrix => ({ bits: 8, block: 64, codes, scales, inner: 64 });
const codes = input('codes', [2, 1, 64], 'uint8');
const scales = input('scales', [2, 1, 1]);

describeOps(
  ops,
  {
    dequantised: ([4, 8] as const).flatMap((bits) => [
      values(bits, 64, 3),
      values(bits, 100, 7),
      values(bits, 48, 32, 2),
      values(bits, 192, 5, 2),
    ]),
    codedProduct: ([4, 8] as const).flatMap((bits) => [
      product(bits, 1, 64, 3),
      product(bits, 5, 100, 7),
      product(bits, 8, 48, 96, 2),
      product(bits, 1, 192, 130, 2),
      product(bits, 33, 192, 130, 2),
    ]),
  },
  [
    [
      'codes that are float32',
      () => ops.dequantised(matrix(input('codes', [2, 1, 64]), scales)),
      /dequantised: expected codes of uint8, got float32/,
    ],
    [
      'scales of other blocks',
      () => ops.codedProduct(input('x', ['N', 64]), matrix(codes, input('scales', [2, 2, 1]))),
      /codedProduct: codes \[2, 1, 64\] do not fit scales \[2, 2, 1\]/,
    ],
    [
      'rows of another width',
      () => ops.codedProduct(input('x', ['N', 65]), matrix(codes, scales)),
      /codedProduct: expected rows of 64, got \[N, 65\]/,
    ],
  ],
);
