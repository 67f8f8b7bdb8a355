import { mul, square } from '../../../src/graph/ops/elementwise.ts';
import * as ops from '../../../src/graph/ops/reduce.ts';
import { input, type Value } from '../../../src/graph/value.ts';
import type { Argument, OpCase } from '../../helpers/check_op.ts';
import { describeOps } from '../../helpers/op_suite.ts';
import { rowsOf, tabulate, total } from '../../helpers/reference.ts';
import { ROUNDING } from '../../helpers/rounding.ts';

const cube: Argument = { dims: [2, 3, 4], shape: ['B', 3, 'M'] };
/** Elements of the cube at one index of the axes that stay. */
const lines = {
  first: (x: readonly number[]) => tabulate([3, 4], (i, j) => i * 4 + j).map((at) => [x[at]!, x[12 + at]!]),
  middle: (x: readonly number[]) =>
    rowsOf(x, 12).flatMap((b) => [0, 1, 2, 3].map((j) => [b[j]!, b[4 + j]!, b[8 + j]!])),
  last: (x: readonly number[]) => rowsOf(x, 4),
  outer: (x: readonly number[]) => [0, 1, 2].map((i) => x.filter((_, at) => Math.floor(at / 4) % 3 === i)),
  all: (x: readonly number[]) => [[...x]],
};

type Reduce = (x: Value, axes: readonly number[], keepDims?: boolean) => Value;

function reduction(op: Reduce, f: (xs: readonly number[]) => number, extra: Partial<OpCase> = {}): OpCase[] {
  const over = (name: string, of: keyof typeof lines, build: OpCase['build'], x = cube): OpCase => ({
    name,
    args: [x],
    build,
    reference: (data) => lines[of](data).map(f),
    ...extra,
  });
  const numbers: Argument = { dims: cube.dims };
  return [
    over('first axis', 'first', (x) => op(x, [0]), numbers),
    over('middle axis', 'middle', (x) => op(x, [1])),
    over('middle axis, kept', 'middle', (x) => op(x, [-2], true)),
    over('last axis', 'last', (x) => op(x, [2]), numbers),
    over('last axis, kept', 'last', (x) => op(x, [-1], true), numbers),
    over('first and last axis', 'outer', (x) => op(x, [0, -1]), numbers),
    over('axes in any order', 'outer', (x) => op(x, [2, 0], true), numbers),
    over('all axes', 'all', (x) => op(x, [0, 1, 2]), numbers),
  ];
}

const largest = (xs: readonly number[]): number => Math.max(...xs);
const logSumExp = (xs: readonly number[]): number =>
  largest(xs) + Math.log(total(xs.map((x) => Math.exp(x - largest(xs)))));
const softmax = (xs: readonly number[]): number[] => xs.map((x) => Math.exp(x - logSumExp(xs)));
const logSoftmax = (xs: readonly number[]): number[] => xs.map((x) => x - logSumExp(xs));
const shares = (xs: readonly number[]): number[] => {
  const whole = total(xs);
  let running = 0;
  return xs.map((x) => {
    running += x;
    return running / whole;
  });
};
const onRows = (width: number, f: (row: readonly number[]) => readonly number[]) => (x: readonly number[]) =>
  rowsOf(x, width).flatMap(f);
const matrix: Argument = { dims: [3, 4], shape: ['N', 'V'] };
const columns: Argument = { dims: [3], shape: ['N'], dtype: 'int32', data: [3, 0, 2] };
const huge: Argument = { dims: [2, 3], data: [1000, 1001, 999, -1000, -1001, -1002] };

describeOps(
  ops,
  {
    sum: [
      ...reduction(ops.sum, total),
      {
        name: 'over names',
        args: [cube],
        build: (x) => ops.sum(x, [0, 2]),
        reference: (x) => lines.outer(x).map(total),
      },
    ],
    mean: [
      ...reduction(ops.mean, (xs) => total(xs) / xs.length),
      {
        name: 'a cotangent that varies',
        args: [{ dims: [2, 3] }],
        build: (x) => square(ops.mean(square(x), [1])),
        reference: (x) => rowsOf(x, 3).map((row) => (total(row.map((v) => v * v)) / 3) ** 2),
      },
    ],
    reduceMax: reduction(ops.reduceMax, largest, {
      notDifferentiable: /no gradient through 'reduceMax': it is only used where/,
    }),
    logSoftmax: [
      { args: [matrix], build: ops.logSoftmax, reference: onRows(4, logSoftmax) },
      { args: [cube], build: ops.logSoftmax, reference: onRows(4, logSoftmax) },
      {
        name: 'far from 0',
        args: [huge],
        build: ops.logSoftmax,
        reference: onRows(3, logSoftmax),
        tolerance: { value: 1e-4 },
      },
    ],
    logSoftmaxAt: [
      {
        args: [matrix, columns],
        build: ops.logSoftmaxAt,
        reference: (x, places) => rowsOf(x, 4).map((row, i) => logSoftmax(row)[places![i]!]!),
      },
      {
        name: 'far from 0',
        args: [huge, { dims: [2], dtype: 'int32', data: [0, 2] }],
        build: ops.logSoftmaxAt,
        reference: (x, places) => rowsOf(x, 3).map((row, i) => logSoftmax(row)[places![i]!]!),
        tolerance: { value: 1e-4 },
      },
      {
        name: 'beside the log-softmax itself',
        args: [matrix, columns],
        build: (x, places) => mul(ops.logSoftmax(x), ops.logSoftmaxAt(x, places)),
        reference: (x, places) =>
          rowsOf(x, 4).flatMap((row, i) => logSoftmax(row).map((v) => v * logSoftmax(row)[places![i]!]!)),
      },
    ],
    softmax: [
      { args: [matrix], build: ops.softmax, reference: onRows(4, softmax) },
      { args: [cube], build: ops.softmax, reference: onRows(4, softmax) },
      {
        name: 'a cotangent that varies',
        args: [matrix],
        build: (x) => mul(x, ops.softmax(x)),
        reference: onRows(4, (row) => softmax(row).map((p, i) => p * row[i]!)),
      },
      { name: 'far from 0', args: [huge], build: ops.softmax, reference: onRows(3, softmax) },
    ],
    cumulativeShare: [
      ...[matrix, cube].map((x) => ({ ...x, low: 0.1 })),
      // Each addition of a hundred-thousandth to a sum near 1 rounds the same way in float32: 0.2 % in all.
      { dims: [1, 100_000], data: new Array<number>(100_000).fill(1e-5) },
    ].map((x) => ({
      args: [x],
      build: ops.cumulativeShare,
      reference: onRows(x.dims.at(-1)!, shares),
      tolerance: { value: ROUNDING },
      notDifferentiable: /no gradient through 'cumulativeShare': only sampling uses it/,
    })),
  },
  [
    ['an axis that is not there', () => ops.sum(input('a', [3, 4]), [2]), /sum: axis 2 is out of range for rank 2/],
    [
      'an axis from before the first',
      () => ops.mean(input('a', [3]), [-2]),
      /mean: axis -2 is out of range for rank 1/,
    ],
    ['no axes, which ONNX reads as all', () => ops.sum(input('a', [3]), []), /sum: expected at least one axis/],
    ['an axis twice', () => ops.reduceMax(input('a', [3, 4]), [1, -1]), /reduceMax: axes \[1,-1\] name an axis twice/],
    ['integers', () => ops.softmax(input('a', [3], 'int32')), /softmax: expected float32, got int32 \(input a\)/],
    [
      'a scalar where a last axis is needed',
      () => ops.logSoftmax(input('a', [])),
      /logSoftmax: axis -1 is out of range for rank 0/,
    ],
    ['a scalar in softmax', () => ops.softmax(input('a', [])), /softmax: axis -1 is out of range for rank 0/],
    [
      'a scalar in a running sum',
      () => ops.cumulativeShare(input('a', [])),
      /cumulativeShare: axis -1 is out of range for rank 0/,
    ],
  ],
);
