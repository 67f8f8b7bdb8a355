import * as ops from '../../../src/graph/ops/blocked.ts';
import { reshape } from '../../../src/graph/ops/movement.ts';
import { input, type Value } from '../../../src/graph/value.ts';
import { channelBlock } from '../../../src/runtime/channel_block.ts';
import type { OpCase } from '../../helpers/check_op.ts';
import { describeOps } from '../../helpers/op_suite.ts';
import { tabulate } from '../../helpers/reference.ts';

const processorsBlock = await channelBlock();
const block = processorsBlock ?? 8;
const notDifferentiable = /decoding is not differentiated/;
const [few, many] = [2 * block, 5 * block]; // channels

/** x [n, c] or [c, n] in blocks: block of channels, row, channel within the block. */
const inBlocks = (c: number, n: number, at: (channel: number, row: number) => number): number[] =>
  tabulate([c / block, n, block], (b, row, i) => at(b * block + i, row));

const toBlocks = (n: number, c: number): OpCase => ({
  args: [{ dims: [n, c], shape: ['N', c] }],
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
function product(x: Value, w: Value, bias?: Value): Value {
  const [out, inner] = w.shape as [number, number];
  const blocks = reshape(ops.weightToBlocks(reshape(w, [1, out, 1, inner])), [out, inner, 1, 1]);
  return ops.blocksToRows(ops.blockedLinear(ops.rowsToBlocks(x), blocks, bias));
}

const linear = (n: number, inner: number, out: number, biased: boolean): OpCase => ({
  name: `${n} rows, ${inner} to ${out}${biased ? ', with a bias' : ''}`,
  args: [{ dims: [n, inner], shape: ['N', inner] }, { dims: [out, inner] }, ...(biased ? [{ dims: [out] }] : [])],
  build: product,
  tolerance: { value: 3e-5 },
  reference: (x, w, bias) =>
    tabulate([n, out], (row, o) => {
      let sum = bias?.[o] ?? 0;
      for (let i = 0; i < inner; i++) sum += x[row * inner + i]! * w![o * inner + i]!;
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
      ...[1, 2, 3, 4, 7, 8, 9, 33].map((n) => linear(n, few, many, false)),
      linear(8, many, few, true),
      linear(8, 20 * block, 9 * block, true),
    ],
  },
  [
    ['rows of three axes', () => ops.rowsToBlocks(x), /rowsToBlocks: expected 2 axes, got \[1, 16, 1, N\]/],
    ['blocks of two axes', () => ops.blocksToRows(input('r', ['N', 16])), /blocksToRows: expected 4 axes/],
    [
      'channels of unknown number',
      () => ops.blocksToRows(input('b', [1, 'C', 1, 'N'])),
      /blocksToRows: \[1, C, 1, N\] has channels of unknown number/,
    ],
    ['a weight of two axes', () => ops.weightToBlocks(input('m', [32, 16])), /weightToBlocks: expected 4 axes/],
    [
      'a weight of other channels',
      () => ops.blockedLinear(x, input('v', [32, 8, 1, 1])),
      /blockedLinear: \[1, 16, 1, N\], \[32, 8, 1, 1\] do not fit one another/,
    ],
    [
      'a bias of other channels',
      () => ops.blockedLinear(x, w, input('b', [16])),
      /blockedLinear: .*\[16\] do not fit one another/,
    ],
    ['integers', () => ops.rowsToBlocks(input('i', ['N', 16], 'int32')), /rowsToBlocks: expected float32, got int32/],
  ],
  processorsBlock === null ? 'this processor has no kernels for blocks of channels' : undefined,
);
