/**
 * Linear layers on rows of features, and the forms in which a product may find its weight.
 * The choice is one of speed: many rows keep the weight on the right; a few rows of a decode step put it on the left, or
 * take a copy of it in blocks of channels.
 */
import { blockedLinear, blocksToRows, rowsToBlocks } from '../graph/ops/blocked.ts';
import { add } from '../graph/ops/elementwise.ts';
import { gemm, matmul } from '../graph/ops/matmul.ts';
import { transpose } from '../graph/ops/movement.ts';
import type { Dim, Shape } from '../graph/shape.ts';
import type { Value } from '../graph/value.ts';

/** Where a product finds its weight: the right operand, the left one, or in blocks of channels (graph/ops/blocked.ts). */
export type WeightForm = 'right' | 'left' | 'blocks';

/** What a graph takes for a weight [out, in]. */
export const weightShape = (form: WeightForm, out: number, inner: number): Shape =>
  form === 'blocks' ? [out, inner, 1, 1] : [out, inner];

/** The rows that a layer with a weight of this form takes and gives. */
export const rowsShape = (form: WeightForm, n: Dim, width: Dim): Shape =>
  form === 'blocks' ? [1, 1, n, width] : [n, width];

/** x [n, in] · weight [out, in]ᵀ + bias [out] -> [n, out] */
export type Linear = (x: Value, weight: Value, bias?: Value) => Value;

export const linear: Linear = (x, weight, bias) => gemm(x, weight, { transB: true, plus: bias });

/**
 * The same for few rows: the kernel streams a left operand as it lies, and packs a right one at every call.
 * A matmul, since ONNX Runtime would turn a transposed gemm round again (its GemmTransposeFusion).
 */
export const linearFewRows: Linear = (x, weight, bias) => {
  const y = transpose(matmul(weight, x, { transB: true }), [1, 0]);
  return bias === undefined ? y : add(y, bias);
};

/** The same for few rows, [1, 1, n, in] -> [1, 1, n, out], and a weight in blocks, which is streamed faster. */
const linearInBlocks: Linear = (x, weight, bias) => blocksToRows(blockedLinear(rowsToBlocks(x), weight, { bias }));

export const LINEAR: Readonly<Record<WeightForm, Linear>> = {
  right: linear,
  left: linearFewRows,
  blocks: linearInBlocks,
};
