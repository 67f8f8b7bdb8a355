import { mul, square, toFloat } from '../../../src/graph/ops/elementwise.ts';
import * as ops from '../../../src/graph/ops/movement.ts';
import { input } from '../../../src/graph/value.ts';
import type { Argument } from '../../helpers/check_op.ts';
import { describeOps } from '../../helpers/op_suite.ts';
import { pointwise, tabulate } from '../../helpers/reference.ts';

const matrix: Argument = { dims: [3, 4], shape: ['N', 'M'] };
const int: Argument = { dims: [2, 3], shape: ['N', 3], dtype: 'int32', data: [3, 1, 4, 1, 5, 9] };
/** Feeds two sizes, by names, to a graph whose shapes are their products. */
const sizes: Argument = { dims: [2, 3], shape: ['G', 'L'], constant: true };
const same = (x: readonly number[]): readonly number[] => x;

describeOps(
  ops,
  {
    reshape: [
      { args: [{ dims: [3, 4] }], build: (x) => ops.reshape(x, [2, 6]), reference: same },
      {
        args: [{ dims: [3, 4], shape: ['N', 4] }],
        build: (x) => ops.reshape(x, ['N', 2, 2]),
        namesOnly: true,
        reference: same,
      },
      { name: 'to a scalar', args: [{ dims: [1, 1] }], build: (x) => ops.reshape(x, []), reference: same },
      { name: 'from a scalar', args: [{ dims: [] }], build: (x) => ops.reshape(x, [1, 1]), reference: same },
      { name: 'two names', args: [matrix], build: (x) => ops.reshape(x, [1, 'M*N']), namesOnly: true, reference: same },
      {
        name: 'a product of names into its factors, and used as one',
        args: [{ dims: [6, 4], shape: ['G*L', 4] }, sizes],
        build: (x, y) => mul(ops.reshape(x, ['G', 'L', 4]), ops.reshape(y, ['G', 'L', 1])),
        namesOnly: true,
        reference: (x, y) => tabulate([2, 3, 4], (g, l, i) => x[(g * 3 + l) * 4 + i]! * y![g * 3 + l]!),
      },
      {
        name: 'a product spelled in another order',
        args: [{ dims: [6], shape: ['L*G'] }, sizes],
        build: (x, y) => mul(x, ops.reshape(y, ['G*L'])),
        namesOnly: true,
        reference: pointwise((x, y) => x! * y!, [6], [6]),
      },
      {
        name: 'integers',
        args: [int],
        build: (x) => toFloat(ops.reshape(x, [3, 'N'])),
        namesOnly: true,
        reference: same,
      },
    ],
    transpose: [
      {
        args: [matrix],
        build: (x) => ops.transpose(x, [1, 0]),
        reference: (x) => tabulate([4, 3], (i, j) => x[j * 4 + i]!),
      },
      {
        name: 'three axes, a cycle',
        args: [{ dims: [2, 3, 4], shape: ['B', 3, 'M'] }],
        build: (x) => ops.transpose(x, [2, 0, 1]),
        reference: (x) => tabulate([4, 2, 3], (k, i, j) => x[(i * 3 + j) * 4 + k]!),
      },
      {
        name: 'integers',
        args: [int],
        build: (x) => toFloat(ops.transpose(x, [1, 0])),
        reference: (x) => tabulate([3, 2], (i, j) => x[j * 3 + i]!),
      },
    ],
    expand: [
      {
        args: [{ dims: [3, 1], shape: ['N', 1] }],
        build: (x) => ops.expand(x, [2, x.shape[0]!, 4]),
        reference: (x) => tabulate([2, 3, 4], (_, j) => x[j]!),
      },
      {
        name: 'to a name',
        args: [
          { dims: [1, 4], shape: [1, 'M'] },
          { ...matrix, constant: true },
        ],
        build: (x, y) => ops.expand(x, y.shape),
        reference: (x) => tabulate([3, 4], (_, j) => x[j]!),
      },
      {
        name: 'to a product of names',
        args: [{ dims: [1] }, sizes],
        build: (x, y) => mul(ops.expand(x, ['L*G']), ops.reshape(y, ['G*L'])),
        namesOnly: true,
        reference: (x, y) => y!.map((v) => v * x[0]!),
      },
      {
        name: 'from a scalar',
        args: [{ dims: [] }],
        build: (x) => ops.expand(x, [2, 3]),
        reference: (x) => tabulate([2, 3], () => x[0]!),
      },
      {
        name: 'integers',
        args: [{ dims: [3, 1], dtype: 'int32', data: [7, 8, 9] }],
        build: (x) => toFloat(ops.expand(x, [3, 2])),
        reference: (x) => tabulate([3, 2], (i) => x[i]!),
      },
    ],
    slice: [
      {
        name: 'to a named end',
        args: [matrix],
        build: (x) => ops.slice(x, 1, 1, x.shape[1]!),
        reference: (x) => tabulate([3, 3], (i, j) => x[i * 4 + j + 1]!),
      },
      {
        name: 'inside',
        args: [{ dims: [4, 3] }],
        build: (x) => ops.slice(x, 0, 1, 3),
        reference: (x) => tabulate([2, 3], (i, j) => x[(i + 1) * 3 + j]!),
      },
      {
        name: 'negative axis',
        args: [{ dims: [2, 5] }],
        build: (x) => ops.slice(x, -1, 2, 4),
        reference: (x) => tabulate([2, 2], (i, j) => x[i * 5 + j + 2]!),
      },
      {
        name: 'nothing',
        args: [{ dims: [3, 2], constant: true }],
        build: (x) => ops.slice(x, 0, 2, 2),
        reference: () => [],
      },
      {
        name: 'halves of a sum of names',
        args: [
          { dims: [5, 2], shape: ['P+L', 2] },
          { dims: [2], shape: ['P'], constant: true },
          { dims: [3], shape: ['L'], constant: true },
        ],
        build: (x, p, l) => ops.slice(x, 0, p.shape[0]!, x.shape[0] === 5 ? 5 : `${l.shape[0]}+${p.shape[0]}`),
        reference: (x) => x.slice(4),
      },
      {
        name: 'integers',
        args: [int],
        build: (x) => toFloat(ops.slice(x, 1, 0, 2)),
        reference: (x) => tabulate([2, 2], (i, j) => x[i * 3 + j]!),
      },
    ],
    pad: [
      {
        args: [matrix],
        build: (x) => ops.pad(x, 1, 1, 2),
        reference: (x) => tabulate([3, 7], (i, j) => (j >= 1 && j < 5 ? x[i * 4 + j - 1]! : 0)),
      },
      {
        name: 'by a name',
        args: [matrix],
        build: (x) => ops.pad(x, 0, x.shape[1]!, 0),
        reference: (x) => tabulate([7, 4], (i, j) => (i < 4 ? 0 : x[(i - 4) * 4 + j]!)),
      },
      { name: 'by nothing', args: [{ dims: [2, 2] }], build: (x) => ops.pad(x, -1, 0, 0), reference: same },
    ],
    concat: [
      {
        args: [matrix, { dims: [3, 2], shape: ['N', 'K'] }],
        build: (x, y) => ops.concat([x, y], 1),
        reference: (x, y) => tabulate([3, 6], (i, j) => (j < 4 ? x[i * 4 + j]! : y![i * 2 + j - 4]!)),
      },
      {
        name: 'three, first axis',
        args: [{ dims: [1, 2] }, { dims: [2, 2] }, { dims: [3, 2] }],
        build: (x, y, z) => ops.concat([x, y, z], 0),
        reference: (x, y, z) => [...x, ...y!, ...z!],
      },
      { name: 'one', args: [matrix], build: (x) => ops.concat([x], -1), reference: same },
      {
        name: 'the same twice',
        args: [{ dims: [2, 2], shape: ['N', 2] }],
        build: (x) => square(ops.concat([x, x], 0)),
        reference: (x) => [...x, ...x].map((v) => v * v),
      },
      { name: 'integers', args: [int], build: (x) => toFloat(ops.concat([x, x], 0)), reference: (x) => [...x, ...x] },
    ],
  },
  [
    [
      'a reshape to another number of elements',
      () => ops.reshape(input('a', ['N', 4]), ['N', 5]),
      /reshape: \[N, 4\] and \[N, 5\] differ in their number of elements/,
    ],
    [
      'a transpose that drops an axis',
      () => ops.transpose(input('a', [2, 3]), [0]),
      /transpose: \[0\] is no permutation of the axes of \[2, 3\]/,
    ],
    [
      'a transpose that repeats an axis',
      () => ops.transpose(input('a', [2, 3]), [1, 1]),
      /transpose: \[1,1\] is no permutation/,
    ],
    [
      'an expand that shrinks',
      () => ops.expand(input('a', [2, 3]), [3]),
      /expand: \[2, 3\] cannot be expanded to \[3\]/,
    ],
    [
      'an expand of a size other than 1',
      () => ops.expand(input('a', [2]), [4]),
      /expand: shapes \[2\] and \[4\] do not broadcast/,
    ],
    [
      'a slice past the end',
      () => ops.slice(input('a', [2, 3]), 1, 1, 4),
      /slice: 1\.\.4 does not lie within axis 1 of \[2, 3\]/,
    ],
    [
      'a slice that ends before it starts',
      () => ops.slice(input('a', ['N', 3]), 0, 2, 1),
      /slice: 2\.\.1 does not lie within axis 0 of \[N, 3\]/,
    ],
    ['a slice from the end', () => ops.slice(input('a', [3]), 0, -2, 3), /slice: -2\.\.3 does not lie within/],
    [
      'a slice of an axis that is not there',
      () => ops.slice(input('a', [3]), 1, 0, 1),
      /slice: axis 1 is out of range for rank 1/,
    ],
    ['a negative pad', () => ops.pad(input('a', [3]), 0, -1, 0), /pad: -1 and 0 must not be negative/],
    ['concat of nothing', () => ops.concat([], 0), /concat: expected at least one value/],
    [
      'concat of rows of different widths',
      () => ops.concat([input('a', [2, 3]), input('b', [2, 4])], 0),
      /concat: \[2, 4\] does not join \[2, 3\] along axis 0/,
    ],
    [
      'concat of different ranks',
      () => ops.concat([input('a', [2, 3]), input('b', [2])], 0),
      /concat: \[2\] does not join \[2, 3\]/,
    ],
    [
      'concat of two element types',
      () => ops.concat([input('a', [2]), input('b', [2], 'int32')], 0),
      /concat: element types differ, float32 and int32/,
    ],
  ],
);
