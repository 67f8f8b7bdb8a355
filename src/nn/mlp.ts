/**
 * The gated feed-forward layer SwiGLU (Shazeer 2020): down(silu(gate(x)) · up(x)).
 */
import { blockedLinear } from '../graph/ops/blocked.ts';
import { mul, silu } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { transpose } from '../graph/ops/movement.ts';
import type { Value } from '../graph/value.ts';
import { linear } from './linear.ts';

export interface GatedMlp {
  readonly gate: Value;
  readonly up: Value;
  readonly down: Value;
  readonly gateBias?: Value;
  readonly upBias?: Value;
  readonly downBias?: Value;
}

/** Results of a gated feed-forward layer; gate and up are [n, intermediate]. */
export interface GatedMlpValues {
  readonly gate: Value;
  readonly up: Value;
  /** [n, h]; in blocks [1, h, 1, n] */
  readonly out: Value;
}

/** x [n, h] -> out [n, h] */
export function gatedMlp(x: Value, w: GatedMlp): GatedMlpValues {
  const gate = linear(x, w.gate, w.gateBias);
  const up = linear(x, w.up, w.upBias);
  return { gate, up, out: linear(mul(silu(gate), up), w.down, w.downBias) };
}

/** The same for few rows, without biases: weights are left operands, and rows stay columns until the end. */
export function gatedMlpFewRows(x: Value, w: GatedMlp): GatedMlpValues {
  refuseBiases('gatedMlpFewRows', w);
  const gate = matmul(w.gate, x, { transB: true }); // [intermediate, n]
  const up = matmul(w.up, x, { transB: true });
  const asRows = (columns: Value): Value => transpose(columns, [1, 0]);
  return { gate: asRows(gate), up: asRows(up), out: asRows(matmul(w.down, mul(silu(gate), up))) };
}

/** The same in blocks of channels, added to `plus`: x, plus [1, h, 1, n] -> gate, up [1, intermediate, 1, n], out [1, h, 1, n]. */
export function gatedMlpInBlocks(x: Value, w: GatedMlp, plus: Value): GatedMlpValues {
  refuseBiases('gatedMlpInBlocks', w);
  const gate = blockedLinear(x, w.gate);
  const up = blockedLinear(x, w.up);
  return { gate, up, out: blockedLinear(mul(silu(gate), up), w.down, { plus }) };
}

// --- internal ---

function refuseBiases(name: string, { gateBias, upBias, downBias }: GatedMlp): void {
  if (gateBias !== undefined || upBias !== undefined || downBias !== undefined)
    throw new Error(`${name}: biases are not supported`);
}
