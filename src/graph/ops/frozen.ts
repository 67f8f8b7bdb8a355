/**
 * Frozen weights that are not float32, and products with them: float16 words, which are widened first, and codes of 4 or 8 bits,
 * which ONNX Runtime multiplies by as they are. Without gradients for the weights.
 */
import type { Shape } from '../shape.ts';
import { showShape } from '../shape.ts';
import { none, type Value } from '../value.ts';
import { blockedLinear, blocksToRows, rowsToBlocks } from './blocked.ts';
import { emitCast, makeNode, requireFloat } from './define.ts';
import { mul } from './elementwise.ts';
import { matmul } from './matmul.ts';
import { concat, reshape, transpose } from './movement.ts';

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

/** A weight [out, in] in pieces of its outputs, whose values are float16 words times a factor. */
export interface HalfMatrix {
  /** Each [outputs, in], or [outputs, in, 1, 1] with the outputs in blocks of channels (blocked.ts). */
  readonly pieces: readonly Value[];
  /** [] */
  readonly factor: Value;
}

/**
 * x [n, in] · weightᵀ -> [n, out] for few rows. Piece by piece, because a widened piece stays in the processor's cache until it
 * is multiplied by; the whole weight, widened, would cross the memory twice more.
 */
export function halfProduct(x: Value, { pieces, factor }: HalfMatrix): Value {
  requireFloat('halfProduct', x);
  const [n, inner] = x.shape;
  const outputs = pieces.reduce((sum, { shape: [count] }) => sum + Number(count), 0);
  if (x.shape.length !== 2 || pieces.some(({ shape }) => shape[1] !== inner))
    throw new Error(`halfProduct: ${showShape(x.shape)} does not fit ${showShape(pieces[0]?.shape ?? [])}`);
  const inBlocks = pieces.some(({ shape }) => shape.length === 4);
  if (!inBlocks) {
    const columns = pieces.map((words) => matmul(widened(words), x, { transB: true }));
    return mul(transpose(concat(columns, 0), [1, 0]), factor);
  }
  const blocks = rowsToBlocks(reshape(x, [1, 1, n!, inner!]));
  const channels = pieces.map((words) => blockedLinear(blocks, widened(words)));
  return mul(reshape(blocksToRows(concat(channels, 1)), [n!, outputs]), factor);
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
