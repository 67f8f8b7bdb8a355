import * as ops from '../../../src/graph/ops/blocked.ts';
import { reshape } from '../../../src/graph/ops/movement.ts';
import { input, type Value } from '../../../src/graph/value.ts';
import { cpu } from '../../../src/runtime/cpu.ts';
import type { Argument, OpCase } from '../../helpers/check_op.ts';
import { describeOps } from '../../helpers/op_suite.ts';
import { inBlocksOf, tabulate } from '../../helpers/reference.ts';

const processorsBlock = await cpu.channelBlock();
const block = processorsBlock ?? 8;
const inBlocks = inBlocksOf(block);
const notDifferentiable = /decoding is not differentiated/;
const [few, many] = [2 * block, 5 * block]; // channels

const toBlocks = (n: number, c: number): OpCase => ({
  args: [{ dims: [1, 1, n, c], shape: [1, 1, 'N', c] }],
  build: ops.rowsToBlocks,
  reference: (x) => inBlocks(c, n, (channel, row) => x[row * c + channel]!),
  notDifferentiable,
});

const toRows = (n: number, c: number): OpCase => ({
  args: [{ dims: [1, c, 1, n], shape: [1, c, 1, 'N'] }],
  build: ops.blocksToRows,
  reference: (x) =>
    tabulate([n, c], (row, channel) => x[(Math.floor(channel / block) * n + row) * block + (channel % block)]!),
  notDifferentiable,
});

const weight = (out: number, inner: number): OpCase => ({
  args: [{ dims: [1, out, 1, inner] }],
  build: ops.weightToBlocks,
  reference: (w) => inBlocks(out, inner, (o, i) => w[o * inner + i]!),
  notDifferentiable,
});

/** Rows in, rows out: a weight as checkpoints store it goes through its blocks. */
function product(x: Value, w: Value, more: { bias?: Value; plus?: Value } = {}): Value {
  const [out, inner] = w.shape as [number, number];
  const blocks = reshape(ops.weightToBlocks(reshape(w, [1, out, 1, inner])), [out, inner, 1, 1]);
  const plus = more.plus && ops.rowsToBlocks(more.plus);
  return ops.blocksToRows(ops.blockedLinear(ops.rowsToBlocks(x), blocks, { ...more, plus }));
}

const linear = (n: number, inner: number, out: number, ...more: ('bias' | 'plus')[]): OpCase => ({
  name: [`${n} rows, ${inner} to ${out}`, ...more].join(', '),
  args: [
    { dims: [1, 1, n, inner], shape: [1, 1, 'N', inner] },
    { dims: [out, inner] },
    ...more.map(
      (which): Argument => (which === 'bias' ? { dims: [out] } : { dims: [1, 1, n, out], shape: [1, 1, 'N', out] }),
    ),
  ],
  build: (x, w, ...values) => product(x, w, Object.fromEntries(more.map((which, i) => [which, values[i]!]))),
  tolerance: { value: 3e-5 },
  reference: (x, w, ...values) =>
    tabulate([n, out], (row, o) => {
      let sum = 0;
      for (const [i, which] of more.entries()) sum += values[i]![which === 'bias' ? o : row * out + o]!;
      for (let i = 0; i < inner; i++) sum += x[row * inner + i]! * w[o * inner + i]!;
      return sum;
    }),
  notDifferentiable,
});

const [x, w] = [input('x', [1, 16, 1, 'N']), input('w', [32, 16, 1, 1])];

describeOps(
  ops,
  {
    rowsToBlocks: [toBlocks(1, few), toBlocks(8, few), toBlocks(3, many)],
    blocksToRows: [toRows(1, few), toRows(8, few), toRows(3, many)],
    weightToBlocks: [weight(few, many), weight(many, few), weight(few, 3)],
    blockedLinear: [
      ...[1, 2, 3, 4, 7, 8, 9, 33].map((n) => linear(n, few, many)),
      linear(8, many, few, 'bias'),
      linear(5, few, many, 'plus'),
      linear(8, 20 * block, 9 * block, 'bias', 'plus'),
    ],
  },
  [
    ['rows of two axes', () => ops.rowsToBlocks(input('r', ['N', 16])), /rowsToBlocks: expected 4 axes, got \[N, 16\]/],
    ['blocks of two axes', () => ops.blocksToRows(input('r', ['N', 16])), /blocksToRows: expected 4 axes/],
    [
      'channels of unknown number',
      () => ops.blocksToRows(input('b', [1, 'C', 1, 'N'])),
      /blocksToRows: expected a known number of channels, got \[1, C, 1, N\]/,
    ],
    ['a weight of two axes', () => ops.weightToBlocks(input('m', [32, 16])), /weightToBlocks: expected 4 axes/],
    [
      'a weight of other channels',
      () => ops.blockedLinear(x, input('v', [32, 8, 1, 1])),
      /blockedLinear: \[1, 16, 1, N\], \[32, 8, 1, 1\] do not fit together/,
    ],
    [
      'a bias of other channels',
      () => ops.blockedLinear(x, w, { bias: input('b', [16]) }),
      /blockedLinear: .*\[16\] do not fit together/,
    ],
    [
      'rows of another kind to add',
      () => ops.blockedLinear(x, w, { plus: input('p', [1, 16, 1, 'N']) }),
      /blockedLinear: .*\[1, 16, 1, N\] do not fit together/,
    ],
    [
      'integers',
      () => ops.rowsToBlocks(input('i', [1, 1, 'N', 16], 'int32')),
      /rowsToBlocks: expected float32, got int32/,
    ],
  ],
  processorsBlock === null ? 'this processor has no kernels for blocks of channels' : undefined,
);
