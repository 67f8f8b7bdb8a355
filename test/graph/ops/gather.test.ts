import { describe, expect, test } from 'vitest';
import { gradients } from '../../../src/graph/autodiff.ts';
import { mul } from '../../../src/graph/ops/elementwise.ts';
import * as ops from '../../../src/graph/ops/gather.ts';
import { input } from '../../../src/graph/value.ts';
import { cpu } from '../../../src/runtime/cpu.ts';
import { floats, ints } from '../../../src/runtime/tensor.ts';
import { createRandom } from '../../../src/util/random.ts';
import { type Argument, largestDifference } from '../../helpers/check_op.ts';
import { describeOps } from '../../helpers/op_suite.ts';
import { tabulate } from '../../helpers/reference.ts';

const index = (data: number[], name: string): Argument => ({
  dims: [data.length],
  shape: [name],
  dtype: 'int32',
  data,
});
const rows = (n: number, width: number): Argument => ({ dims: [n, width], shape: ['N', width] });
const pick = (width: number) => (x: readonly number[], places: readonly number[]) =>
  tabulate([places.length, width], (i, j) => x[places[i]! * width + j]!);

describeOps(
  ops,
  {
    permuteRows: [
      {
        name: 'a permutation',
        args: [rows(4, 2), index([2, 0, 3, 1], 'N'), index([1, 3, 0, 2], 'N')],
        build: ops.permuteRows,
        reference: (x, places) => pick(2)(x, places!),
      },
      {
        name: 'with gaps: padding is masked, and sends nothing back',
        args: [
          rows(3, 2),
          index([1, 0, 0, 2, 0], 'M'),
          index([1, 0, 3], 'N'),
          { dims: [5, 1], shape: ['M', 1], data: [1, 1, 0, 1, 0], constant: true },
        ],
        build: (x, places, inverse, mask) => mul(ops.permuteRows(x, places, inverse), mask),
        reference: (x, places, _, mask) => pick(2)(x, places!).map((v, i) => v * mask![Math.floor(i / 2)]!),
      },
      {
        name: 'three axes',
        args: [{ dims: [3, 2, 2], shape: ['N', 2, 2] }, index([1, 2, 0], 'N'), index([2, 0, 1], 'N')],
        build: ops.permuteRows,
        reference: (x, places) => pick(4)(x, places!),
      },
    ],
    takeRows: [
      {
        name: 'rows often, once and never',
        args: [rows(4, 3), index([0, 2, 2, 0, 2, 1], 'M')],
        build: ops.takeRows,
        reference: (x, places) => pick(3)(x, places!),
      },
      {
        name: 'three axes',
        args: [{ dims: [3, 2, 2], shape: ['N', 2, 'W'] }, index([2, 2], 'M')],
        build: ops.takeRows,
        reference: (x, places) => pick(4)(x, places!),
      },
      {
        name: 'one axis',
        args: [{ dims: [4], shape: ['N'] }, index([3, 3, 0], 'M')],
        build: ops.takeRows,
        reference: (x, places) => pick(1)(x, places!),
      },
    ],
    takeFromRows: [
      {
        args: [{ dims: [3, 4], shape: ['N', 'V'] }, index([1, 3, 0], 'N')],
        build: ops.takeFromRows,
        reference: (x, places) => places!.map((j, i) => x[i * 4 + j]!),
      },
      { name: 'one column', args: [rows(2, 1), index([0, 0], 'N')], build: ops.takeFromRows, reference: (x) => x },
    ],
    addIntoRows: [
      {
        args: [{ dims: [3, 4], shape: ['N', 'V'] }, index([1, 3, 1], 'N'), { dims: [3, 1], shape: ['N', 1] }],
        build: ops.addIntoRows,
        reference: (x, places, dy) => x.map((v, at) => v + (at % 4 === places![at >> 2] ? dy![at >> 2]! : 0)),
      },
      {
        name: 'what it adds to is still read elsewhere',
        args: [rows(2, 3), index([2, 0], 'N'), { dims: [2, 1], shape: ['N', 1] }],
        build: (x, places, dy) => {
          const doubled = mul(x, 2);
          return mul(doubled, ops.addIntoRows(doubled, places, dy));
        },
        reference: (x, places, dy) =>
          tabulate([2, 3], (i, j) => {
            const v = 2 * x[i * 3 + j]!;
            return v * (v + (j === places![i] ? dy![i]! : 0));
          }),
        nan: false,
      },
    ],
    addRowsAt: [
      {
        name: 'at one row several times',
        args: [rows(4, 3), index([2, 0, 2], 'M'), { dims: [3, 3], shape: ['M', 3] }],
        build: ops.addRowsAt,
        reference: (x, places, added) =>
          tabulate([4, 3], (i, j) =>
            places!.reduce((sum, place, m) => sum + (place === i ? added![m * 3 + j]! : 0), x[i * 3 + j]!),
          ),
      },
    ],
    putRowsAt: [
      {
        name: 'rows that do not follow one another',
        args: [rows(4, 3), index([3, 1], 'M'), { dims: [2, 3], shape: ['M', 3] }],
        build: ops.putRowsAt,
        reference: (x, places, put) =>
          tabulate([4, 3], (i, j) => (places!.includes(i) ? put![places!.indexOf(i) * 3 + j]! : x[i * 3 + j]!)),
        notDifferentiable: /no gradient through 'putRowsAt': only copies use it/,
      },
    ],
    putSlices: [
      {
        name: 'rows of a matrix',
        args: [
          rows(4, 3),
          { dims: [2, 1], shape: ['M', 1], dtype: 'int32', data: [3, 1] },
          { dims: [2, 3], shape: ['M', 3] },
        ],
        build: ops.putSlices,
        reference: (x, places, slices) =>
          tabulate([4, 3], (i, j) => (places!.includes(i) ? slices![places!.indexOf(i) * 3 + j]! : x[i * 3 + j]!)),
        notDifferentiable: /no gradient through 'putSlices': only decoding uses it/,
      },
      {
        name: 'two indices',
        args: [
          { dims: [2, 3, 2], shape: ['N', 3, 'W'] },
          { dims: [3, 2], shape: ['M', 2], dtype: 'int32', data: [0, 2, 1, 0, 1, 1] },
          { dims: [3, 2], shape: ['M', 'W'] },
        ],
        build: ops.putSlices,
        reference: (x, _, slices) =>
          tabulate([6, 2], (i, j) => {
            const slice = [2, 3, 4].indexOf(i);
            return slice < 0 ? x[i * 2 + j]! : slices![slice * 2 + j]!;
          }),
        notDifferentiable: /no gradient through 'putSlices': only decoding uses it/,
      },
    ],
    binSums: [
      {
        name: 'bins of several, of one and of none',
        args: [
          { dims: [2, 5], shape: ['N', 5] },
          { dims: [2, 5], shape: ['N', 5], dtype: 'int32', data: [0, 2, 0, 0, 3, 1, 1, 3, 1, 0] },
        ],
        build: (weights, bins) => ops.binSums(weights, bins, 4),
        reference: (weights, bins) =>
          tabulate([2, 4], (i, bin) =>
            tabulate([5], (j) => (bins![i * 5 + j] === bin ? weights[i * 5 + j]! : 0)).reduce((a, b) => a + b),
          ),
        notDifferentiable: /no gradient through 'binSums': only sampling uses it/,
      },
    ],
    takeSlices: [
      {
        args: [{ dims: [3, 4, 2], shape: ['N', 4, 2] }, index([3, 0, 2], 'N')],
        build: ops.takeSlices,
        reference: (x, places) => tabulate([3, 2], (i, j) => x[i * 8 + places![i]! * 2 + j]!),
        notDifferentiable: /no gradient through 'takeSlices': only sampling uses it/,
      },
      {
        name: 'one row',
        args: [{ dims: [1, 2, 3], shape: ['N', 2, 3] }, index([1], 'N')],
        build: ops.takeSlices,
        reference: (x) => x.slice(3),
        notDifferentiable: /only sampling/,
      },
    ],
  },
  [
    [
      'indices that are float32',
      () => ops.takeRows(input('x', ['N', 2]), input('i', ['M'])),
      /takeRows: expected int32 indices of one axis, got float32 \[M\]/,
    ],
    [
      'indices of two axes',
      () => ops.takeRows(input('x', ['N', 2]), input('i', ['M', 3], 'int32')),
      /takeRows: expected int32 indices of one axis, got int32 \[M, 3\]/,
    ],
    [
      'rows that are int32',
      () => ops.takeRows(input('x', ['N', 2], 'int32'), input('i', ['M'], 'int32')),
      /takeRows: expected float32, got int32 \(input x\)/,
    ],
    [
      'an inverse for other rows',
      () => ops.permuteRows(input('x', ['N', 2]), input('i', ['M'], 'int32'), input('j', ['M'], 'int32')),
      /permuteRows: inverse \[M\] does not hold one position per row of \[N, 2\]/,
    ],
    [
      'an inverse that is float32',
      () => ops.permuteRows(input('x', ['N', 2]), input('i', ['M'], 'int32'), input('j', ['N'])),
      /permuteRows: expected int32 indices/,
    ],
    [
      'fewer indices than rows',
      () => ops.takeFromRows(input('x', ['N', 'V']), input('i', ['M'], 'int32')),
      /takeFromRows: expected a matrix and one index per row, got \[N, V\] and \[M\]/,
    ],
    [
      'slices of a matrix',
      () => ops.takeSlices(input('x', ['N', 4]), input('i', ['N'], 'int32')),
      /takeSlices: expected three axes and one index per row, got \[N, 4\] and \[N\]/,
    ],
    [
      'slices of another width',
      () => ops.putSlices(input('x', ['N', 4]), input('i', ['M', 1], 'int32'), input('s', ['M', 3])),
      /putSlices: \[M, 3\] at int32 \[M, 1\] are no slices of \[N, 4\]/,
    ],
    [
      'slices at indices without a second axis',
      () => ops.putSlices(input('x', ['N', 4]), input('i', ['M'], 'int32'), input('s', ['M', 4])),
      /putSlices: \[M, 4\] at int32 \[M\] are no slices/,
    ],
    [
      'elements of a vector',
      () => ops.takeFromRows(input('x', ['N']), input('i', ['N'], 'int32')),
      /takeFromRows: expected a matrix/,
    ],
  ],
);

describe('cotangents of a row that is taken very often', () => {
  const [x, places, dy] = [input('x', ['N', 8]), input('places', ['M'], 'int32'), input('dy', ['M', 8])];
  const [dx] = gradients([{ value: ops.takeRows(x, places), cotangent: dy }], [x]);

  // Whole numbers add exactly in any order: a lost update cannot hide behind rounding.
  test.each([1, 3, 50])('none is lost: %i rows, 20000 takes', async (n) => {
    const executable = await cpu.compile({
      name: 'takeRows backward',
      inputs: { x, places, dy },
      outputs: { dx: dx! },
    });
    const random = createRandom(n);
    const taken = Int32Array.from({ length: 20_000 }, () => random.int(n));
    const sent = Float32Array.from({ length: 20_000 * 8 }, () => random.int(5));
    const expected = new Float64Array(n * 8);
    taken.forEach((row, i) => {
      for (let j = 0; j < 8; j++) expected[row * 8 + j]! += sent[i * 8 + j]!;
    });
    const got = await executable.run({
      x: floats(new Float32Array(n * 8), [n, 8]),
      places: ints(taken, [20_000]),
      dy: floats(sent, [20_000, 8]),
    });
    expect(largestDifference(got.dx!.data, expected)).toBe(0);
    await executable.release();
  });
});

test('slices are put into the buffer itself, which is not copied', async () => {
  const [x, places, slices] = [input('x', ['N', 64]), input('i', ['M', 1], 'int32'), input('s', ['M', 64])];
  const y = ops.putSlices(x, places, slices);
  const doubled = mul(y, 2);
  const executable = await cpu.compile({ name: 'put', inputs: { x, i: places, s: slices }, outputs: { y, doubled } });
  const whole = floats(new Float32Array(64 * 2 ** 14).fill(1), [2 ** 14, 64]);
  const feeds = {
    x: whole,
    i: ints(Int32Array.of(5, 9000), [2, 1]),
    s: floats(new Float32Array(128).fill(3), [2, 64]),
  };
  const into = { y: whole, doubled: floats(new Float32Array(64 * 2 ** 14), [2 ** 14, 64]) };
  await executable.run(feeds, into);
  for (const [i, value] of [...whole.data].entries())
    if (value !== ([5, 9000].includes(Math.floor(i / 64)) ? 3 : 1)) throw new Error(`element ${i} is ${value}`);
  expect([into.doubled.data[5 * 64], into.doubled.data[6 * 64]]).toEqual([6, 2]);
  await executable.release();
});
