import { expect, test } from 'vitest';
import * as E from '../../src/graph/ops/elementwise.ts';
import { permuteRows, takeFromRows, takeRows } from '../../src/graph/ops/gather.ts';
import { gemm, matmul } from '../../src/graph/ops/matmul.ts';
import { concat, reshape, slice, transpose } from '../../src/graph/ops/movement.ts';
import { rmsNorm } from '../../src/graph/ops/norm.ts';
import { logSumExp, softmax, sum } from '../../src/graph/ops/reduce.ts';
import { rotary } from '../../src/graph/ops/rotary.ts';
import { checkOp } from '../helpers/check_op.ts';

const cases: Record<string, Parameters<typeof checkOp>[0]> = {
  mul: { args: [{ dims: [3, 4], shape: ['N', 4] }, { dims: [4] }], build: E.mul },
  silu: { args: [{ dims: [3, 4] }], build: E.silu, reference: (x) => x.map((v) => v / (1 + Math.exp(-v))) },
  gelu: { args: [{ dims: [3, 4] }], build: E.gelu },
  softmax: { args: [{ dims: [3, 4] }], build: softmax },
  lse: { args: [{ dims: [3, 4] }], build: logSumExp },
  sum: { args: [{ dims: [3, 4], shape: ['N', 'M'] }], build: (x) => sum(x, [0]) },
  matmul: {
    args: [{ dims: [2, 3, 4], shape: ['B', 'M', 4] }, { dims: [1, 5, 4] }],
    build: (a, b) => matmul(a, b, { transB: true, alpha: 0.5 }),
  },
  matmulTA: { args: [{ dims: [2, 4, 3] }, { dims: [2, 4, 5] }], build: (a, b) => matmul(a, b, { transA: true }) },
  matmulTT: {
    args: [{ dims: [2, 4, 3] }, { dims: [2, 5, 4] }],
    build: (a, b) => matmul(a, b, { transA: true, transB: true }),
  },
  gemm: {
    args: [{ dims: [3, 4], shape: ['N', 4] }, { dims: [5, 4] }, { dims: [5] }],
    build: (a, b, c) => gemm(a, b, { transB: true, plus: c }),
  },
  norm: { args: [{ dims: [3, 4], shape: ['N', 4] }, { dims: [4] }], build: (x, w) => rmsNorm(x, w, 1e-6) },
  rotary: {
    args: [
      { dims: [3, 8], shape: ['N', 8] },
      { dims: [3, 2], constant: true, shape: ['N', 2] },
      { dims: [3, 2], constant: true, shape: ['N', 2] },
    ],
    build: (x, c, s) => rotary(x, c, s, 2),
  },
  slice: { args: [{ dims: [3, 4], shape: ['N', 'M'] }], build: (x) => slice(x, 1, 1, 'M') },
  concat: {
    args: [
      { dims: [3, 4], shape: ['N', 'M'] },
      { dims: [3, 2], shape: ['N', 'K'] },
    ],
    build: (x, y) => concat([x, y], 1),
  },
  take: {
    args: [
      { dims: [3, 2], shape: ['N', 2] },
      { dims: [4], shape: ['M'], dtype: 'int32', data: [0, 2, 2, 1] },
    ],
    build: takeRows,
  },
  permute: {
    args: [
      { dims: [3, 2], shape: ['N', 2] },
      { dims: [3], shape: ['M'], dtype: 'int32', data: [0, 2, 1] },
      { dims: [3], shape: ['N'], dtype: 'int32', data: [0, 2, 1] },
    ],
    build: permuteRows,
  },
  takeFromRows: {
    args: [
      { dims: [3, 4], shape: ['N', 'V'] },
      { dims: [3], shape: ['N'], dtype: 'int32', data: [1, 3, 0] },
    ],
    build: takeFromRows,
  },
  reshape: {
    args: [
      { dims: [6, 4], shape: ['G*L', 4] },
      { dims: [2, 3], shape: ['G', 'L'], constant: true },
    ],
    build: (x, y) => E.mul(transpose(reshape(x, ['G', 'L', 4]), [0, 2, 1]), reshape(y, ['G', 1, 'L'])),
  },
};
test.each(Object.entries(cases))('%s', async (_, c) => {
  const e = await checkOp(c);
  console.log(_, e);
  expect(e.gradient).toBeGreaterThanOrEqual(0);
});
