import * as ops from '../../../src/graph/ops/norm.ts';
import { input } from '../../../src/graph/value.ts';
import type { OpCase, Reference } from '../../helpers/check_op.ts';
import { describeOps } from '../../helpers/op_suite.ts';
import { rowsOf, total } from '../../helpers/reference.ts';

const rmsNorm =
  (epsilon: number): Reference =>
  (x, weight) =>
    rowsOf(x, weight!.length).flatMap((row) => {
      const scale = 1 / Math.sqrt(total(row.map((v) => v * v)) / row.length + epsilon);
      return row.map((v, i) => v * scale * weight![i]!);
    });

const layerNorm =
  (epsilon: number): Reference =>
  (x, weight, bias) =>
    rowsOf(x, weight!.length).flatMap((row) => {
      const mean = total(row) / row.length;
      const scale = 1 / Math.sqrt(total(row.map((v) => (v - mean) ** 2)) / row.length + epsilon);
      return row.map((v, i) => (v - mean) * scale * weight![i]! + bias![i]!);
    });

const layerNormed = (epsilon: number, extra: Partial<OpCase> & Pick<OpCase, 'args'>): OpCase => ({
  build: (x, weight, bias) => ops.layerNorm(x, weight, bias, epsilon),
  reference: layerNorm(epsilon),
  ...extra,
});

const normed = (epsilon: number, extra: Partial<OpCase> & Pick<OpCase, 'args'>): OpCase => ({
  build: (x, weight) => ops.rmsNorm(x, weight, epsilon),
  reference: rmsNorm(epsilon),
  ...extra,
});

describeOps(
  ops,
  {
    layerNorm: [
      layerNormed(1e-6, { args: [{ dims: [3, 4], shape: ['N', 4] }, { dims: [4] }, { dims: [4] }] }),
      layerNormed(1e-6, { args: [{ dims: [2, 3, 5], shape: ['B', 'N', 5] }, { dims: [5] }, { dims: [5] }] }),
      layerNormed(0.5, { name: 'an epsilon that matters', args: [{ dims: [3, 4] }, { dims: [4] }, { dims: [4] }] }),
    ],
    rmsNorm: [
      normed(1e-6, { args: [{ dims: [3, 4], shape: ['N', 4] }, { dims: [4] }] }),
      normed(1e-6, { args: [{ dims: [2, 3, 5], shape: ['B', 'N', 5] }, { dims: [5] }] }),
      normed(1e-6, { args: [{ dims: [7] }, { dims: [7] }] }),
      normed(0.5, { name: 'an epsilon that matters', args: [{ dims: [3, 4] }, { dims: [4] }] }),
      normed(1e-6, {
        name: 'rows of zeros',
        args: [{ dims: [2, 3], data: [0, 0, 0, 1, 2, 3], constant: true }, { dims: [3] }],
      }),
    ],
  },
  [
    [
      'a weight of another width',
      () => ops.rmsNorm(input('x', ['N', 4]), input('w', [3]), 1e-6),
      /rmsNorm: weight \[3\] does not fit the last axis of \[N, 4\]/,
    ],
    [
      'a weight of two axes',
      () => ops.rmsNorm(input('x', ['N', 4]), input('w', [1, 4]), 1e-6),
      /rmsNorm: weight \[1, 4\] does not fit/,
    ],
    [
      'a bias of another width',
      () => ops.layerNorm(input('x', ['N', 4]), input('w', [4]), input('b', [3]), 1e-6),
      /layerNorm: bias \[3\] does not fit the last axis of \[N, 4\]/,
    ],
    [
      'integers',
      () => ops.rmsNorm(input('x', ['N', 4], 'int32'), input('w', [4]), 1e-6),
      /rmsNorm: expected float32, got int32 \(input x\)/,
    ],
  ],
);
