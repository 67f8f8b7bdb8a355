/**
 * The gated feed-forward layer SwiGLU (Shazeer 2020): down(silu(gate x) · up x).
 */
import { mul, silu } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { transpose } from '../graph/ops/movement.ts';
import type { Value } from '../graph/value.ts';
import type { Linear } from './linear.ts';

export interface GatedMlp {
  readonly gate: Value;
  readonly up: Value;
  readonly down: Value;
  readonly gateBias?: Value;
  readonly upBias?: Value;
  readonly downBias?: Value;
}

/** x [n, h] -> [n, h] through [n, intermediate] */
export function gatedMlp(x: Value, w: GatedMlp, apply: Linear): Value {
  const gated = mul(silu(apply(x, w.gate, w.gateBias)), apply(x, w.up, w.upBias));
  return apply(gated, w.down, w.downBias);
}

/** The same without biases for few rows: weights on the left, and the rows stay columns until the end. */
export function gatedMlpFewRows(x: Value, w: GatedMlp): Value {
  if (w.gateBias !== undefined || w.upBias !== undefined || w.downBias !== undefined)
    throw new Error('gatedMlpFewRows: biases are not supported');
  const gated = mul(silu(matmul(w.gate, x, { transB: true })), matmul(w.up, x, { transB: true })); // [intermediate, n]
  return transpose(matmul(w.down, gated), [1, 0]);
}
