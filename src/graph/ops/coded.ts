/**
 * Frozen weights of 4 or 8 bits whose codes are inputs of a graph, as a device with memory of its own takes them: layers share a
 * graph, and the codes stay where they are. Without gradients for the weights; those of a product's rows go through `dequantised`.
 */
import { sameShape, showShape } from '../shape.ts';
import { none, type Value } from '../value.ts';
import { makeNode, requireFloat } from './define.ts';
import { reshape, slice } from './movement.ts';

/** A weight [out, in] in blocks of `block` neighbours of a row, in the layout of MatMulNBits. */
export interface CodedMatrix {
  readonly bits: 4 | 8;
  readonly block: number;
  /** uint8 [out, blocks, block · bits / 8]; a code q of a block with scale s stands for (q - 2^(bits - 1)) s. */
  readonly codes: Value;
  /** [out, blocks, 1] */
  readonly scales: Value;
  readonly inner: number;
}

/** What the codes stand for, in float32: [out, in]. */
export function dequantised({ bits, block, codes, scales, inner }: CodedMatrix): Value {
  const [out, blocks] = requireCodes('dequantised', codes, scales);
  const rows = Array.from({ length: out }, (_, row) => row);
  const wide = makeNode({
    op: 'dequantised',
    inputs: [codes, scales],
    shape: [out, blocks, block],
    emit: (emitter, [codesName, scalesName]) =>
      emitter.node(
        'GatherBlockQuantized',
        [codesName!, emitter.constant('int32', [out], rows), scalesName!],
        { bits, block_size: block, gather_axis: 0, quantize_axis: 2 },
        'com.microsoft',
      ),
    vjp: none('the weight is frozen'),
  });
  const padded = reshape(wide, [out, blocks * block]);
  return blocks * block === inner ? padded : slice(padded, 1, 0, inner);
}

/**
 * x [n, in] · weightᵀ -> [n, out] for few rows, which reads the codes and writes no float32 weight. Unlike `quantisedProduct` it
 * does not round x (accuracy level 0).
 */
export function codedProduct(x: Value, { bits, block, codes, scales, inner }: CodedMatrix): Value {
  requireFloat('codedProduct', x);
  const [out, blocks] = requireCodes('codedProduct', codes, scales);
  const [n, width] = x.shape;
  if (x.shape.length !== 2 || width !== inner)
    throw new Error(`codedProduct: expected rows of ${inner}, got ${showShape(x.shape)}`);
  return makeNode({
    op: 'coded product',
    inputs: [x, codes, reshape(scales, [out * blocks])],
    shape: [n!, out],
    emit: (emitter, names) =>
      emitter.node(
        'MatMulNBits',
        names,
        { K: inner, N: out, bits, block_size: block, accuracy_level: 0 },
        'com.microsoft',
      ),
    vjp: none('decoding is not differentiated'),
  });
}

// --- internal ---

/** Outputs and blocks of each, of codes and scales that fit together. */
function requireCodes(op: string, codes: Value, scales: Value): [out: number, blocks: number] {
  if (codes.dtype !== 'uint8') throw new Error(`${op}: expected codes of uint8, got ${codes.dtype}`);
  requireFloat(op, scales);
  const [out, blocks] = codes.shape;
  if (codes.shape.length !== 3 || !sameShape(scales.shape, [out!, blocks!, 1]))
    throw new Error(`${op}: codes ${showShape(codes.shape)} do not fit scales ${showShape(scales.shape)}`);
  return [Number(out), Number(blocks)];
}
