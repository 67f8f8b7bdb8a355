/**
 * Linear layers on rows of features, and the forms in which a product takes its weight.
 * The forms differ only in speed: with many rows the weight is the right operand; the few rows of a decode step are faster
 * with the weight on the left, or with a copy of it in blocks of channels.
 *
 * A layer may carry a low-rank update of its weight (LoRA, Hu et al. 2021); it is added to the product here and nowhere
 * else. Copies in blocks include the update already.
 */
import { blockedLinear, blocksToRows, rowsToBlocks } from '../graph/ops/blocked.ts';
import { type CodedMatrix, codedProduct } from '../graph/ops/coded.ts';
import { add, mul } from '../graph/ops/elementwise.ts';
import { type HalfMatrix, halfProduct, type QuantisedMatrix, quantisedProduct } from '../graph/ops/frozen.ts';
import { gemm, matmul } from '../graph/ops/matmul.ts';
import { transpose } from '../graph/ops/movement.ts';
import { linearByPieces } from '../graph/ops/pieces.ts';
import type { Dim, Shape } from '../graph/shape.ts';
import type { Value } from '../graph/value.ts';

/** The weight is the right operand, the left operand, or stored in blocks of channels (graph/ops/blocked.ts). */
export type WeightForm = 'right' | 'left' | 'blocks';

/** The shape in which a graph takes a weight [out, in]. */
export const weightShape = (form: WeightForm, out: number, inner: number): Shape =>
  form === 'blocks' ? [out, inner, 1, 1] : [out, inner];

/** The shape of the rows that a layer with a weight of this form takes and returns. */
export const rowsShape = (form: WeightForm, n: Dim, width: Dim): Shape =>
  form === 'blocks' ? [1, 1, n, width] : [n, width];

/** A frozen weight that is not float32. Only products of few rows take it; many rows take it in float32. */
export type FrozenMatrix = QuantisedMatrix | CodedMatrix | HalfMatrix;

export const isFrozen = (weight: Value | FrozenMatrix): weight is FrozenMatrix => !('rule' in weight);

/** weight [out, in], bias [out] */
export interface LinearLayer {
  readonly weight: Value | FrozenMatrix;
  readonly bias?: Value | undefined;
  readonly update?: LowRankUpdate | undefined;
}

/** What is added to a layer's product: (x · mask) aᵀ bᵀ. */
export interface LowRankUpdate {
  /** [rank, in] */
  readonly a: Value;
  /** [out, rank], times the adapter's scale */
  readonly b: Value;
  /** Dropout of the update's input [n, in]: 0, or 1 / (1 - rate). */
  readonly mask?: Value | undefined;
}

/** x [n, in] · weight [out, in]ᵀ + bias [out] -> [n, out] */
export type Linear = (x: Value, layer: LinearLayer) => Value;

export const linear: Linear = (x, { weight, bias, update }) =>
  plusUpdate(isFrozen(weight) ? frozenProduct(x, weight, bias) : linearByPieces(x, weight, bias), x, update);

/** y [n, out] with what an update adds to the product of x [n, in]. */
export function plusUpdate(y: Value, x: Value, update: LowRankUpdate | undefined): Value {
  if (update === undefined) return y;
  const { a, b, mask } = update;
  const reduced = gemm(mask === undefined ? x : mul(x, mask), a, { transB: true }); // [n, rank]
  return gemm(reduced, b, { transB: true, plus: y });
}

/**
 * The same for few rows: the kernel streams a left operand from where it is, but repacks a right one at every call.
 * Uses matmul because ONNX Runtime would undo a transposed gemm (GemmTransposeFusion).
 */
export const linearFewRows: Linear = (x, layer) => {
  const { weight, bias } = layer;
  if (isFrozen(weight)) return linear(x, layer);
  const y = transpose(columnsOf(x, layer, { xIsRows: true }), [1, 0]);
  return bias === undefined ? y : add(y, bias);
};

/** weight · x as columns [out, n], without a bias: x as rows [n, in], or as columns [in, n]. */
export function columnsOf(
  x: Value,
  { weight, update }: LinearLayer,
  { xIsRows }: { readonly xIsRows: boolean },
): Value {
  const y = matmul(inFloat32(weight), x, { transB: xIsRows });
  if (update === undefined) return y;
  if (update.mask !== undefined) throw new Error('internal: few rows are of decoding, which has no dropout');
  return add(y, matmul(update.b, matmul(update.a, x, { transB: xIsRows })));
}

/** The same for few rows and a weight in blocks, which streams faster: [1, 1, n, in] -> [1, 1, n, out]. */
const linearInBlocks: Linear = (x, layer) => blocksToRows(productInBlocks(rowsToBlocks(x), layer));

/** weight · x + bias + plus, all in blocks of channels. */
export function productInBlocks(x: Value, { weight, bias, update }: LinearLayer, plus?: Value): Value {
  if (update !== undefined) throw new Error('internal: a weight in blocks is a copy that has its update already');
  return blockedLinear(x, inFloat32(weight), { bias, plus });
}

export const LINEAR: Readonly<Record<WeightForm, Linear>> = {
  right: linear,
  left: linearFewRows,
  blocks: linearInBlocks,
};

// --- internal ---

function frozenProduct(x: Value, weight: FrozenMatrix, bias: Value | undefined): Value {
  const product =
    'pieces' in weight
      ? halfProduct(x, weight)
      : 'inner' in weight
        ? codedProduct(x, weight)
        : quantisedProduct(x, weight);
  return bias === undefined ? product : add(product, bias);
}

function inFloat32(weight: LinearLayer['weight']): Value {
  if (isFrozen(weight)) throw new Error('internal: expected a weight in float32, got a frozen one that is not');
  return weight;
}
