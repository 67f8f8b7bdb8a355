/**
 * Products of a few rows with weights whose channels lie in blocks, one block of outputs beside the other (the layout
 * NCHWc of Liu et al. 2019, "Optimizing CNN Model Inference on CPUs"): a pointwise convolution, for which the weights are
 * streamed once, vector by vector. How many channels make a block is up to the processor; all numbers of channels must be
 * multiples of it.
 *
 * The kernels are those that ONNX Runtime's optimiser puts in place of convolutions with constant weights.
 */
import { mulDims, type Shape, sameShape, showShape } from '../shape.ts';
import { none, type Value } from '../value.ts';
import { makeNode, requireFloat } from './define.ts';

const DOMAIN = 'com.microsoft.nchwc';
const noGradient = none('decoding is not differentiated');

/** Rows [n, c] in blocks: [1, c, 1, n], a block of channels of all rows after the other. */
export function rowsToBlocks(x: Value): Value {
  requireFloat('rowsToBlocks', x);
  const [n, c] = axes('rowsToBlocks', x, 2);
  return makeNode({
    op: 'rowsToBlocks',
    inputs: [x],
    shape: [1, c!, 1, n!],
    emit: (emitter, [rows]) => {
      const image = emitter.node('Unsqueeze', [rows!, emitter.constant('int64', [2], [0, 1])]);
      return emitter.node('ReorderInput', [image], { channels_last: 1 }, DOMAIN);
    },
    vjp: noGradient,
  });
}

/** The way back: [1, c, 1, n] -> [n, c]. */
export function blocksToRows(x: Value): Value {
  requireFloat('blocksToRows', x);
  const [, c, , n] = axes('blocksToRows', x, 4);
  if (typeof c !== 'number') throw new Error(`blocksToRows: ${showShape(x.shape)} has channels of unknown number`);
  return makeNode({
    op: 'blocksToRows',
    inputs: [x],
    shape: [n!, c],
    emit: (emitter, names) => {
      const image = emitter.node('ReorderOutput', names, { channels: c, channels_last: 1 }, DOMAIN);
      return emitter.node('Squeeze', [image, emitter.constant('int64', [2], [0, 1])]);
    },
    vjp: noGradient,
  });
}

/** A weight as checkpoints store it, seen as [1, out, 1, in], with its outputs in blocks: what `blockedLinear` takes as [out, in, 1, 1]. */
export function weightToBlocks(weight: Value): Value {
  requireFloat('weightToBlocks', weight);
  axes('weightToBlocks', weight, 4);
  return makeNode({
    op: 'weightToBlocks',
    inputs: [weight],
    shape: weight.shape,
    emit: (emitter, names) => emitter.node('ReorderInput', names, {}, DOMAIN),
    vjp: noGradient,
  });
}

/** weight · x + bias, all in blocks: x [1, in, 1, n], weight [out, in, 1, 1], bias [out] -> [1, out, 1, n]. */
export function blockedLinear(x: Value, weight: Value, bias?: Value): Value {
  const inputs = bias === undefined ? [x, weight] : [x, weight, bias];
  requireFloat('blockedLinear', ...inputs);
  const [, c, , n] = axes('blockedLinear', x, 4);
  const [out, inner, ...kernel] = axes('blockedLinear', weight, 4);
  if (inner !== c || mulDims(...kernel) !== 1 || (bias !== undefined && !sameShape(bias.shape, [out!])))
    throw new Error(`blockedLinear: ${inputs.map(({ shape }) => showShape(shape)).join(', ')} do not fit one another`);
  return makeNode({
    op: 'blockedLinear',
    inputs,
    shape: [1, out!, 1, n!],
    emit: (emitter, names) =>
      emitter.node(
        'Conv',
        names,
        { kernel_shape: [1, 1], strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1], group: 1 },
        DOMAIN,
      ),
    vjp: noGradient,
  });
}

// --- internal ---

function axes(op: string, { shape }: Value, count: number): Shape {
  if (shape.length !== count) throw new Error(`${op}: expected ${count} axes, got ${showShape(shape)}`);
  return shape;
}
