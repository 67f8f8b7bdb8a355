/**
 * Linear layers on rows of features, in two orders of the same product.
 * The choice is one of speed: many rows keep the weight on the right, a few rows of a decode step put it on the left.
 */
import { add } from '../graph/ops/elementwise.ts';
import { gemm, matmul } from '../graph/ops/matmul.ts';
import { transpose } from '../graph/ops/movement.ts';
import type { Value } from '../graph/value.ts';

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
