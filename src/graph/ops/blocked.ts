/**
 * Products of a few rows with weights stored in blocks of channels (the layout NCHWc of Liu et al. 2019, "Optimizing CNN
 * Model Inference on CPUs"). Such a product is a pointwise convolution, which streams the weights once, vector by vector.
 * The block size depends on the processor; every number of channels must be a multiple of it.
 *
 * The kernels are those that ONNX Runtime's optimiser substitutes for convolutions with constant weights.
 */
import { mulDims, type Shape, sameShape, showShape } from '../shape.ts';
import { none, type Value } from '../value.ts';
import { makeNode, requireFloat } from './define.ts';

const DOMAIN = 'com.microsoft.nchwc';
const noGradient = none('decoding is not differentiated');

/** Rows [1, 1, n, c] -> blocks of channels [1, c, 1, n]: the first block of all rows, then the second one, and so on. */
export function rowsToBlocks(x: Value): Value {
  requireFloat('rowsToBlocks', x);
  const [, , n, c] = axes('rowsToBlocks', x);
  return makeNode({
    op: 'rowsToBlocks',
    inputs: [x],
    shape: [1, c!, 1, n!],
    emit: (emitter, names) => emitter.node('ReorderInput', names, { channels_last: 1 }, DOMAIN),
    vjp: noGradient,
  });
}

/** The inverse of `rowsToBlocks`: [1, c, 1, n] -> [1, 1, n, c]. */
export function blocksToRows(x: Value): Value {
  requireFloat('blocksToRows', x);
  const [, c, , n] = axes('blocksToRows', x);
  if (typeof c !== 'number')
    throw new Error(`blocksToRows: expected a known number of channels, got ${showShape(x.shape)}`);
  return makeNode({
    op: 'blocksToRows',
    inputs: [x],
    shape: [1, 1, n!, c],
    emit: (emitter, names) => emitter.node('ReorderOutput', names, { channels: c, channels_last: 1 }, DOMAIN),
    vjp: noGradient,
  });
}

/**
 * A weight as checkpoints store it, passed as [1, out, 1, in] -> the same with its outputs in blocks, which `blockedLinear`
 * takes as [out, in, 1, 1].
 */
export function weightToBlocks(weight: Value): Value {
  requireFloat('weightToBlocks', weight);
  axes('weightToBlocks', weight);
  return makeNode({
    op: 'weightToBlocks',
    inputs: [weight],
    shape: weight.shape,
    emit: (emitter, names) => emitter.node('ReorderInput', names, {}, DOMAIN),
    vjp: noGradient,
  });
}

/**
 * weight · x + bias + plus, all in blocks: x [1, in, 1, n], weight [out, in, 1, 1], bias [out], plus [1, out, 1, n] ->
 * [1, out, 1, n].
 */
export function blockedLinear(x: Value, weight: Value, { bias, plus }: { bias?: Value; plus?: Value } = {}): Value {
  const inputs = [x, weight, bias, plus].filter((value) => value !== undefined);
  requireFloat('blockedLinear', ...inputs);
  const [, c, , n] = axes('blockedLinear', x);
  const [out, inner, ...kernel] = axes('blockedLinear', weight);
  const shape: Shape = [1, out!, 1, n!];
  const fits =
    inner === c &&
    mulDims(...kernel) === 1 &&
    (bias === undefined || sameShape(bias.shape, [out!])) &&
    (plus === undefined || sameShape(plus.shape, shape));
  if (!fits)
    throw new Error(`blockedLinear: ${inputs.map(({ shape }) => showShape(shape)).join(', ')} do not fit together`);
  return makeNode({
    op: 'blockedLinear',
    inputs,
    shape,
    emit: (emitter, [xName, weightName, ...more]) => {
      const biasName = bias === undefined ? '' : more.shift()!;
      return emitter.node(
        'Conv',
        [xName!, weightName!, biasName, ...more],
        { kernel_shape: [1, 1], strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1], group: 1 },
        DOMAIN,
      );
    },
    vjp: noGradient,
  });
}

// --- internal ---

function axes(op: string, { shape }: Value): Shape {
  if (shape.length !== 4) throw new Error(`${op}: expected 4 axes, got ${showShape(shape)}`);
  return shape;
}
