/** Entropies of rows: values in float64, gradients by finite differences. */
import { mul } from '../../../src/graph/ops/elementwise.ts';
import * as ops from '../../../src/graph/ops/entropy.ts';
import { logSoftmax } from '../../../src/graph/ops/reduce.ts';
import { input } from '../../../src/graph/value.ts';
import type { Argument } from '../../helpers/check_op.ts';
import { describeOps } from '../../helpers/op_suite.ts';
import { rowsOf, total } from '../../helpers/reference.ts';

const logs = (row: readonly number[]): number[] => {
  const largest = Math.max(...row);
  const logSum = largest + Math.log(total(row.map((x) => Math.exp(x - largest))));
  return row.map((x) => x - logSum);
};
const entropy = (row: readonly number[]): number => -total(logs(row).map((log) => Math.exp(log) * log));
const matrix: Argument = { dims: [3, 5], shape: ['N', 'V'] };

describeOps(
  ops,
  {
    softmaxEntropy: [
      { args: [matrix], build: (x) => ops.softmaxEntropy(x), reference: (x) => rowsOf(x, 5).map(entropy) },
      {
        name: 'even and certain rows',
        args: [{ dims: [2, 4], data: [3, 3, 3, 3, 40, -40, 0, 1] }],
        build: (x) => ops.softmaxEntropy(x),
        reference: (x) => rowsOf(x, 4).map(entropy),
      },
      {
        name: 'with the log-softmax that is needed elsewhere',
        args: [matrix],
        build: (x) => {
          const shared = logSoftmax(x);
          return mul(shared, ops.softmaxEntropy(x, shared));
        },
        reference: (x) => rowsOf(x, 5).flatMap((row) => logs(row).map((log) => log * entropy(row))),
      },
    ],
  },
  [
    ['whole numbers', () => ops.softmaxEntropy(input('x', ['N', 3], 'int32')), /logSoftmax/],
    ['a single row', () => ops.softmaxEntropy(input('x', [3])), /softmaxEntropy: expected rows of logits, got \[3\]/],
  ],
);
