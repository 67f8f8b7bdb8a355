import { expect, test } from 'vitest';
import { lower } from '../../../src/graph/graph.ts';
import { mul } from '../../../src/graph/ops/elementwise.ts';
import * as ops from '../../../src/graph/ops/matmul.ts';
import { input } from '../../../src/graph/value.ts';
import type { Argument, OpCase, Reference } from '../../helpers/check_op.ts';
import { describeOps } from '../../helpers/op_suite.ts';
import { tabulate, total } from '../../helpers/reference.ts';

interface Flags {
  readonly transA?: boolean;
  readonly transB?: boolean;
}

const allFlags: readonly Flags[] = [{}, { transA: true }, { transB: true }, { transA: true, transB: true }];
const [M, K, N] = [3, 4, 5];
const sizesA = ({ transA }: Flags): number[] => (transA ? [K, M] : [M, K]);
const sizesB = ({ transB }: Flags): number[] => (transB ? [N, K] : [K, N]);

/** Σ_k op(a)[i, k] op(b)[k, j], over matrices that begin at these offsets. */
function product(
  flags: Flags,
  a: readonly number[],
  b: readonly number[],
  fromA = 0,
  fromB = 0,
): (i: number, j: number) => number {
  const atA = (i: number, k: number): number => a[fromA + (flags.transA ? k * M + i : i * K + k)]!;
  const atB = (k: number, j: number): number => b[fromB + (flags.transB ? j * K + k : k * N + j)]!;
  return (i, j) => total(Array.from({ length: K }, (_, k) => atA(i, k) * atB(k, j)));
}

const spell = (flags: Flags): string => `${flags.transA ? 'aᵀ' : 'a'} ${flags.transB ? 'bᵀ' : 'b'}`;
const plain =
  (flags: Flags): Reference =>
  (a, b) =>
    tabulate([M, N], product(flags, a, b!));
const named = (dims: readonly number[], names: readonly string[]): Argument => ({
  dims,
  shape: dims.map((size, i) => names[dims.length - 1 - i] ?? size),
});

/** Batches of a and of b, and where each result's matrices begin, as [a's, b's] places. */
const batches: readonly { a: number[]; b: number[]; pairs: readonly (readonly [number, number])[] }[] = [
  {
    a: [2],
    b: [2],
    pairs: [
      [0, 0],
      [1, 1],
    ],
  },
  {
    a: [2],
    b: [],
    pairs: [
      [0, 0],
      [1, 0],
    ],
  },
  {
    a: [],
    b: [2],
    pairs: [
      [0, 0],
      [0, 1],
    ],
  },
  {
    a: [1],
    b: [2],
    pairs: [
      [0, 0],
      [0, 1],
    ],
  },
  {
    a: [2, 1],
    b: [3],
    pairs: [
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 1],
      [1, 2],
    ],
  },
];

const batched = allFlags.flatMap((flags) =>
  batches.map(
    ({ a, b, pairs }): OpCase => ({
      name: `${spell(flags)}, batches [${a}] and [${b}]`,
      args: [{ dims: [...a, ...sizesA(flags)] }, { dims: [...b, ...sizesB(flags)] }],
      build: (x, y) => ops.matmul(x, y, flags),
      reference: (x, y) => pairs.flatMap(([i, j]) => tabulate([M, N], product(flags, x, y!, i * M * K, j * K * N))),
    }),
  ),
);

const [a, b] = [named([M, K], ['K', 'M']), named([N, K], ['K', 'N'])];
const biases: readonly { dims: number[]; at: (i: number, j: number) => number }[] = [
  { dims: [N], at: (_, j) => j },
  { dims: [1, N], at: (_, j) => j },
  { dims: [M, 1], at: (i) => i },
  { dims: [M, N], at: (i, j) => i * N + j },
  { dims: [1], at: () => 0 },
  { dims: [], at: () => 0 },
];

const [left, right] = [input('a', [3, 4]), input('b', [4, 5])];

describeOps(
  ops,
  {
    matmul: [
      ...allFlags.map(
        (flags): OpCase => ({
          name: spell(flags),
          args: [{ dims: sizesA(flags) }, { dims: sizesB(flags) }],
          build: (x, y) => ops.matmul(x, y, flags),
          reference: plain(flags),
        }),
      ),
      ...batched,
      {
        name: 'names, and a factor',
        args: [
          { dims: [2, M, K], shape: ['B', 'M', 'K'] },
          { dims: [2, N, K], shape: ['B', 'N', 'K'] },
        ],
        build: (x, y) => ops.matmul(x, y, { transB: true, alpha: 0.5 }),
        reference: (x, y) =>
          [0, 1]
            .flatMap((i) => tabulate([M, N], product({ transB: true }, x, y!, i * M * K, i * N * K)))
            .map((v) => v / 2),
      },
      {
        name: 'factor with both transposed',
        args: [{ dims: [K, M] }, { dims: [N, K] }],
        build: (x, y) => ops.matmul(x, y, { transA: true, transB: true, alpha: -3 }),
        reference: (x, y) => plain({ transA: true, transB: true })(x, y!).map((v) => v * -3),
        tolerance: { value: 1e-4 },
      },
      {
        name: 'with itself',
        args: [{ dims: [4, 4] }],
        build: (x) => ops.matmul(x, x, { transB: true }),
        reference: (x) => tabulate([4, 4], (i, j) => total([0, 1, 2, 3].map((k) => x[i * 4 + k]! * x[j * 4 + k]!))),
      },
    ],
    gemm: [
      ...allFlags.map(
        (flags): OpCase => ({
          name: spell(flags),
          args: [{ dims: sizesA(flags) }, { dims: sizesB(flags) }],
          build: (x, y) => ops.gemm(x, y, flags),
          reference: plain(flags),
        }),
      ),
      {
        name: 'names',
        args: [a, b],
        build: (x, y) => ops.gemm(x, y, { transB: true }),
        reference: plain({ transB: true }),
      },
      ...biases.map(
        ({ dims, at }): OpCase => ({
          name: `plus [${dims}]`,
          args: [{ dims: [M, K] }, { dims: [N, K] }, { dims }],
          build: (x, y, plus) => ops.gemm(x, y, { transB: true, plus }),
          reference: (x, y, plus) =>
            tabulate([M, N], (i, j) => product({ transB: true }, x, y!)(i, j) + plus![at(i, j)]!),
        }),
      ),
      ...allFlags.map(
        (flags): OpCase => ({
          name: `${spell(flags)} plus a bias`,
          args: [{ dims: sizesA(flags) }, { dims: sizesB(flags) }, { dims: [N] }],
          build: (x, y, plus) => ops.gemm(x, y, { ...flags, plus }),
          reference: (x, y, plus) => tabulate([M, N], (i, j) => product(flags, x, y!)(i, j) + plus![j]!),
        }),
      ),
    ],
    accumulate: [
      ...allFlags.map(
        (flags): OpCase => ({
          name: `a gemm, ${spell(flags)}`,
          args: [{ dims: [M, N] }, { dims: sizesA(flags) }, { dims: sizesB(flags) }],
          build: (sum, x, y) => ops.accumulate(sum, ops.gemm(x, y, flags)),
          reference: (sum, x, y) => plain(flags)(x!, y!).map((v, i) => v + sum[i]!),
        }),
      ),
      {
        name: 'names',
        args: [named([M, N], ['N', 'M']), a, b],
        build: (sum, x, y) => ops.accumulate(sum, ops.gemm(x, y, { transB: true })),
        reference: (sum, x, y) => plain({ transB: true })(x!, y!).map((v, i) => v + sum[i]!),
      },
      {
        name: 'a gemm that has a bias already',
        args: [{ dims: [M, N] }, { dims: [M, K] }, { dims: [N, K] }, { dims: [N] }],
        build: (sum, x, y, plus) => ops.accumulate(sum, ops.gemm(x, y, { transB: true, plus })),
        reference: (sum, x, y, plus) => plain({ transB: true })(x!, y!).map((v, i) => v + sum[i]! + plus![i % N]!),
      },
      {
        name: 'no gemm',
        args: [{ dims: [2, 3] }, { dims: [2, 3] }],
        build: (sum, x) => ops.accumulate(sum, mul(x, x)),
        reference: (sum, x) => sum.map((v, i) => v + x![i]! ** 2),
      },
    ],
  },
  [
    [
      'inner sizes that differ',
      () => ops.matmul(left, right, { transB: true }),
      /matmul: inner sizes differ, \[3, 4\] x \[4, 5\]ᵀ/,
    ],
    [
      'inner names that differ',
      () => ops.matmul(input('a', [3, 'K']), input('b', ['L', 5])),
      /matmul: inner sizes differ, \[3, K\] x \[L, 5\]/,
    ],
    ['a vector', () => ops.matmul(input('a', [4]), right), /matmul: expected at least 2 axes, got \[4\]/],
    [
      'batches that do not broadcast',
      () => ops.matmul(input('a', [2, 3, 4]), input('b', [3, 4, 5])),
      /matmul: shapes \[2\] and \[3\] do not broadcast/,
    ],
    [
      'integers',
      () => ops.matmul(input('a', [3, 4], 'int32'), right),
      /matmul: expected float32, got int32 \(input a\)/,
    ],
    [
      'a gemm of batches',
      () => ops.gemm(input('a', [2, 3, 4]), right),
      /gemm: expected matching matrices, got \[2, 3, 4\] x \[4, 5\]/,
    ],
    [
      'a gemm of inner sizes that differ',
      () => ops.gemm(left, right, { transA: true }),
      /gemm: expected matching matrices, got \[3, 4\]ᵀ x \[4, 5\]/,
    ],
    [
      'a bias of another width',
      () => ops.gemm(left, right, { plus: input('c', [4]) }),
      /gemm: shapes \[4\] and \[3, 5\] do not broadcast/,
    ],
    [
      'a bias bigger than the product',
      () => ops.gemm(left, right, { plus: input('c', [2, 3, 5]) }),
      /gemm: cannot add \[2, 3, 5\] to a product of \[3, 5\]/,
    ],
    [
      'an accumulator of another shape',
      () => ops.accumulate(input('c', [5]), ops.gemm(left, right)),
      /accumulate: \[5\] cannot hold a gradient of \[3, 5\]/,
    ],
  ],
);

test('an accumulated gemm is one kernel', () => {
  const [sum, x, y] = [input('sum', [3, 5]), input('x', [3, 4]), input('y', [4, 5])];
  const lowered = lower({ name: 'g', inputs: { sum, x, y }, outputs: { out: ops.accumulate(sum, ops.gemm(x, y)) } });
  expect(lowered.nodes).toEqual([
    { opType: 'Gemm', domain: '', inputs: ['x', 'y', 'sum'], outputs: ['out'], attributes: { transA: 0, transB: 0 } },
  ]);
});
