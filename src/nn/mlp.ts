/**
 * The gated feed-forward layer SwiGLU (Shazeer 2020): down(silu(gate(x)) · up(x)).
 */
import { mul, silu } from '../graph/ops/elementwise.ts';
import { transpose } from '../graph/ops/movement.ts';
import type { Value } from '../graph/value.ts';
import {
  columnsOf,
  isFrozen,
  type Linear,
  type LinearLayer,
  linear,
  linearFewRows,
  productInBlocks,
} from './linear.ts';

export interface GatedMlp {
  readonly gate: LinearLayer;
  readonly up: LinearLayer;
  readonly down: LinearLayer;
}

/** Results of a gated feed-forward layer; gate and up are [n, intermediate]. */
export interface GatedMlpValues {
  readonly gate: Value;
  readonly up: Value;
  /** [n, h]; in blocks [1, h, 1, n] */
  readonly out: Value;
}

/** x [n, h] -> [n, h] through [n, intermediate] */
export function gatedMlp(x: Value, layers: GatedMlp, product: Linear = linear): GatedMlpValues {
  const gate = product(x, layers.gate);
  const up = product(x, layers.up);
  return { gate, up, out: product(mul(silu(gate), up), layers.down) };
}

/** The same without biases for few rows: weights on the left, and the rows stay columns until the end. */
export function gatedMlpFewRows(x: Value, layers: GatedMlp): GatedMlpValues {
  refuseBiases('gatedMlpFewRows', layers);
  // Products with weights that are not float32 give rows.
  if (Object.values(layers).some(({ weight }) => isFrozen(weight))) return gatedMlp(x, layers, linearFewRows);
  const gate = columnsOf(x, layers.gate, { xIsRows: true }); // [intermediate, n]
  const up = columnsOf(x, layers.up, { xIsRows: true });
  const out = columnsOf(mul(silu(gate), up), layers.down, { xIsRows: false });
  const asRows = (columns: Value): Value => transpose(columns, [1, 0]);
  return { gate: asRows(gate), up: asRows(up), out: asRows(out) };
}

/** The same in blocks of channels, and added to `plus`: x, plus [1, h, 1, n] -> gate, up [1, intermediate, 1, n], out. */
export function gatedMlpInBlocks(x: Value, layers: GatedMlp, plus: Value): GatedMlpValues {
  refuseBiases('gatedMlpInBlocks', layers);
  const gate = productInBlocks(x, layers.gate);
  const up = productInBlocks(x, layers.up);
  return { gate, up, out: productInBlocks(mul(silu(gate), up), layers.down, plus) };
}

// --- internal ---

function refuseBiases(name: string, { gate, up, down }: GatedMlp): void {
  if ([gate, up, down].some(({ bias }) => bias !== undefined)) throw new Error(`${name}: biases are not supported`);
}
