/**
 * Linear layers on rows of features, and the forms in which a product takes its weight.
 * The forms differ only in speed: with many rows the weight is the right operand; the few rows of a decode step are faster
 * with the weight on the left, or with a copy of it in blocks of channels.
 */
import { blockedLinear, blocksToRows, rowsToBlocks } from '../graph/ops/blocked.ts';
import { add } from '../graph/ops/elementwise.ts';
import { gemm, matmul } from '../graph/ops/matmul.ts';
import { transpose } from '../graph/ops/movement.ts';
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

/** x [n, in] · weight [out, in]ᵀ + bias [out] -> [n, out] */
export type Linear = (x: Value, weight: Value, bias?: Value) => Value;

export const linear: Linear = (x, weight, bias) => gemm(x, weight, { transB: true, plus: bias });

/**
 * The same for few rows: the kernel streams a left operand from where it is, but repacks a right one at every call.
 * Uses matmul because ONNX Runtime would undo a transposed gemm (GemmTransposeFusion).
 */
export const linearFewRows: Linear = (x, weight, bias) => {
  const y = transpose(matmul(weight, x, { transB: true }), [1, 0]);
  return bias === undefined ? y : add(y, bias);
};

/** The same for few rows and a weight in blocks, which streams faster: [1, 1, n, in] -> [1, 1, n, out]. */
const linearInBlocks: Linear = (x, weight, bias) => blocksToRows(blockedLinear(rowsToBlocks(x), weight, { bias }));

export const LINEAR: Readonly<Record<WeightForm, Linear>> = {
  right: linear,
  left: linearFewRows,
  blocks: linearInBlocks,
};
