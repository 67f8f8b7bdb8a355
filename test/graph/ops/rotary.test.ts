import { square } from '../../../src/graph/ops/elementwise.ts';
import * as ops from '../../../src/graph/ops/rotary.ts';
import { input } from '../../../src/graph/value.ts';
import type { Argument, OpCase, Reference } from '../../helpers/check_op.ts';
import { describeOps } from '../../helpers/op_suite.ts';
import { tabulate } from '../../helpers/reference.ts';

/** (x_i, x_{i + d/2}) turned by the row's i-th angle, in each head. */
const rotary =
  (n: number, heads: number, half: number): Reference =>
  (x, cos, sin) =>
    tabulate([n, heads, 2, half], (row, head, side, i) => {
      const at = (part: number): number => x[((row * heads + head) * 2 + part) * half + i]!;
      const [c, s] = [cos![row * half + i]!, sin![row * half + i]!];
      return side === 0 ? at(0) * c - at(1) * s : at(1) * c + at(0) * s;
    });

function turned(n: number, heads: number, half: number): OpCase {
  const angles = (f: (angle: number) => number): Argument => ({
    dims: [n, half],
    shape: ['N', half],
    data: tabulate([n, half], (row, i) => f(row * 1.3 - i * 0.7 + 0.2)),
    constant: true,
  });
  return {
    name: `${n} rows, ${heads} heads of ${2 * half}`,
    args: [{ dims: [n, heads * 2 * half], shape: ['N', heads * 2 * half] }, angles(Math.cos), angles(Math.sin)],
    build: (x, cos, sin) => ops.rotary(x, cos, sin, heads),
    reference: rotary(n, heads, half),
  };
}

/** The same rows with an axis of one in front. */
function batchOfOne({ args: [rows, ...angles], ...rest }: OpCase): OpCase {
  const { dims, shape } = rows!;
  return { ...rest, name: 'a batch of one', args: [{ dims: [1, ...dims], shape: [1, ...shape!] }, ...angles] };
}

const one = turned(3, 2, 2);
const [x, table] = [input('x', ['N', 8]), input('table', ['N', 2])];

describeOps(
  ops,
  {
    rotary: [
      one,
      turned(1, 1, 1),
      turned(5, 3, 4),
      turned(2, 1, 20),
      batchOfOne(turned(3, 2, 2)),
      {
        ...one,
        name: 'a cotangent that varies',
        build: (...args) => square(one.build(...args)),
        reference: (...args) => one.reference!(...args).map((v) => v * v),
      },
    ],
  },
  [
    [
      'heads that do not fill a row',
      () => ops.rotary(x, table, table, 3),
      /rotary: 3 heads of twice 2 do not make rows of 8/,
    ],
    [
      'angles of other rows',
      () => ops.rotary(x, input('c', ['M', 2]), input('s', ['M', 2]), 2),
      /rotary: expected rows and their angles, got \[N, 8\], \[M, 2\], \[M, 2\]/,
    ],
    [
      'cos and sin of different widths',
      () => ops.rotary(x, table, input('s', ['N', 4]), 2),
      /rotary: expected rows and their angles/,
    ],
    [
      'angles of one axis',
      () => ops.rotary(x, input('c', ['N']), input('s', ['N']), 2),
      /rotary: expected rows and their angles, got \[N, 8\], \[N\], \[N\]/,
    ],
    [
      'three axes',
      () => ops.rotary(input('x', ['B', 'N', 8]), table, table, 2),
      /rotary: expected rows and their angles/,
    ],
    [
      'integers',
      () => ops.rotary(input('x', ['N', 8], 'int32'), table, table, 2),
      /rotary: expected float32, got int32 \(input x\)/,
    ],
  ],
);
