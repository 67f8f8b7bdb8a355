import { lower } from '../../../src/graph/graph.ts';
import { add } from '../../../src/graph/ops/elementwise.ts';
import * as ops from '../../../src/graph/ops/pieces.ts';
import { input } from '../../../src/graph/value.ts';
import type { OpCase } from '../../helpers/check_op.ts';
import { describeOps } from '../../helpers/op_suite.ts';

/** Of a table in pieces of these rows, and of 3 columns. */
function taking(pieces: readonly number[], index: readonly number[]): OpCase {
  return {
    name: `rows ${index} of pieces of ${pieces}`,
    args: [
      { dims: [index.length], shape: ['N'], dtype: 'int32', data: index },
      ...pieces.map((rows) => ({ dims: [rows, 3], constant: true })),
    ],
    build: (at, ...values) => ops.takeRowsByPieces(ops.inPieces(values), at),
    reference: (at, ...values) => at.flatMap((row) => values.flat().slice(3 * row, 3 * row + 3)),
    tolerance: { value: 1e-30 },
    nan: false,
  };
}

/** Rows x [n, 4] times a weight in pieces of these outputs. */
function product(n: number, pieces: readonly number[], biased: boolean): OpCase {
  const outputs = pieces.reduce((sum, rows) => sum + rows, 0);
  return {
    name: `${n} rows, pieces of ${pieces} outputs${biased ? ', with a bias' : ''}`,
    args: [
      { dims: [n, 4], shape: ['N', 4] },
      ...(biased ? [{ dims: [outputs] }] : []),
      ...pieces.map((rows) => ({ dims: [rows, 4], constant: true })),
    ],
    build: (x, ...rest) =>
      ops.linearByPieces(x, ops.inPieces(biased ? rest.slice(1) : rest), biased ? rest[0] : undefined),
    reference: (x, ...rest) => {
      const weight = (biased ? rest.slice(1) : rest).flat();
      return Array.from({ length: n * outputs }, (_, at) => {
        const [row, out] = [Math.floor(at / outputs), at % outputs];
        let sum = biased ? rest[0]![out]! : 0;
        for (let i = 0; i < 4; i++) sum += x[4 * row + i]! * weight[4 * out + i]!;
        return sum;
      });
    },
  };
}

const pieces = [input('a', [2, 4]), input('b', [3, 4])];

describeOps(
  ops,
  {
    inPieces: [taking([5], [4, 0])],
    takeRowsByPieces: [taking([2, 3, 1], [5, 0, 1, 2, 4, 3, 2]), taking([1, 4], [0, 4, 1])],
    linearByPieces: [product(3, [2, 5, 1], false), product(2, [3, 3], true), product(2, [4], true)],
  },
  [
    [
      'a matrix in pieces as one tensor',
      () =>
        lower({
          name: 'g',
          inputs: { a: pieces[0]!, b: pieces[1]! },
          outputs: { y: add(ops.inPieces(pieces), input('a', [1, 4])) },
        }),
      /a matrix in pieces is taken as one tensor/,
    ],
    [
      'an index of another type',
      () => ops.takeRowsByPieces(ops.inPieces(pieces), input('x', ['N'])),
      /takeRowsByPieces: expected an int32 index, got float32/,
    ],
  ],
);
