/**
 * Products with frozen weights that are not float32: float16 words, which are widened first, and codes of 4 or 8 bits, which
 * ONNX Runtime multiplies by as they are. Without gradients: backward takes the same weights in float32.
 */
import type { Shape } from '../shape.ts';
import { showShape } from '../shape.ts';
import { none, type Value } from '../value.ts';
import { emitCast, makeNode, requireFloat } from './define.ts';

/** float16 words as float32, exactly. */
export function widened(words: Value): Value {
  if (words.dtype !== 'float16') throw new Error(`widened: expected float16, got ${words.dtype}`);
  return makeNode({
    op: 'widened',
    inputs: [words],
    shape: words.shape,
    emit: (emitter, [name]) => emitCast(emitter, name!, 'float32'),
    vjp: none('the weight is frozen'),
  });
}

/** A weight [out, in] in blocks of `block` neighbours of a row, in the layout of MatMulNBits. It becomes part of the graph. */
export interface QuantisedMatrix {
  readonly bits: 4 | 8;
  readonly block: number;
  /** [out, blocks, block · bits / 8] */
  readonly codes: Uint8Array;
  /** [out, blocks] */
  readonly scales: Float32Array;
  readonly dims: readonly [number, number];
}

/**
 * x [n, in] · weightᵀ -> [n, out], where a code q of a block with scale s stands for (q - 2^(bits - 1)) s. The kernel rounds x
 * to 8 bits by blocks, too (accuracy level 4); the exact levels widen the weight at every call, and take longer than products of
 * float32.
 */
export function quantisedProduct(x: Value, { bits, block, codes, scales, dims: [out, inner] }: QuantisedMatrix): Value {
  requireFloat('quantisedProduct', x);
  const [n, width] = x.shape;
  if (x.shape.length !== 2 || width !== inner)
    throw new Error(`quantisedProduct: expected rows of ${inner}, got ${showShape(x.shape)}`);
  const blocks = Math.ceil(inner / block);
  const shape: Shape = [n!, out];
  return makeNode({
    op: 'quantised product',
    inputs: [x],
    shape,
    emit: (emitter, [name]) =>
      emitter.node(
        'MatMulNBits',
        [
          name!,
          emitter.tensor('uint8', [out, blocks, (block * bits) / 8], codes),
          emitter.tensor('float32', [out * blocks], scales),
        ],
        { K: inner, N: out, bits, block_size: block, accuracy_level: 4 },
        'com.microsoft',
      ),
    vjp: none('the weight is frozen'),
  });
}
