import * as ops from '../../../src/graph/ops/select.ts';
import { input } from '../../../src/graph/value.ts';
import type { Argument, OpCase } from '../../helpers/check_op.ts';
import { describeOps } from '../../helpers/op_suite.ts';
import { rowsOf } from '../../helpers/reference.ts';

const matrix: Argument = { dims: [3, 5], shape: ['N', 'V'] };
const ties: Argument = { dims: [2, 4], data: [1, 3, 3, 2, 0, 0, 0, 0] };
/** Columns of each row, from its largest element down. */
const order = (x: readonly number[], width: number): number[][] =>
  rowsOf(x, width).map((row) => row.map((_, i) => i).sort((a, b) => row[b]! - row[a]! || a - b));
const choice = /: a choice of the largest elements is discrete/;

describeOps(
  ops,
  {
    topValues: [
      ...[1, 3, 5].map(
        (count): OpCase => ({
          name: `${count} of 5`,
          args: [matrix],
          build: (x) => ops.topValues(x, count),
          reference: (x) => order(x, 5).flatMap((columns, i) => columns.slice(0, count).map((j) => x[i * 5 + j]!)),
          notDifferentiable: choice,
          nan: false,
        }),
      ),
    ],
    topIndices: [
      ...[1, 3, 5].map(
        (count): OpCase => ({
          name: `${count} of 5`,
          args: [matrix],
          build: (x) => ops.topIndices(x, count),
          reference: (x) => order(x, 5).flatMap((columns) => columns.slice(0, count)),
          notDifferentiable: choice,
          nan: false,
        }),
      ),
      {
        name: 'ties: the first comes first',
        args: [ties],
        build: (x) => ops.topIndices(x, 3),
        reference: (x) => order(x, 4).flatMap((columns) => columns.slice(0, 3)),
        notDifferentiable: choice,
        nan: false,
      },
    ],
    argMax: [
      {
        args: [matrix],
        build: ops.argMax,
        reference: (x) => order(x, 5).map(([first]) => first!),
        notDifferentiable: /argMax': a column number is discrete/,
        nan: false,
      },
      {
        name: 'ties: the first',
        args: [ties],
        build: ops.argMax,
        reference: () => [1, 0],
        notDifferentiable: /a column number is discrete/,
        nan: false,
      },
    ],
  },
  [
    [
      'more than there are',
      () => ops.topValues(input('x', ['N', 4]), 5),
      /topValues: asked for the 5 largest of 4 columns/,
    ],
    ['integers', () => ops.argMax(input('x', ['N', 4], 'int32')), /argMax: expected float32, got int32 \(input x\)/],
  ],
);
