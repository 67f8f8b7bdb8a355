/**
 * Rows of a layer's tape put into the order of a packed batch, as a module: a rollout computes them in another one.
 */
import type { Module } from '../graph/module.ts';
import { takeRows } from '../graph/ops/gather.ts';
import type { Shape } from '../graph/shape.ts';
import type { TextConfig } from '../models/architecture.ts';
import { tapeWidths } from './layer_tape.ts';

/** Rows of the packed batch. */
const N = 'N';

/** The tensors of a layer's tape, rows picked by index: x [M, hidden] and so on, order int32 [N] -> `ordered.x` [N, hidden], … */
export function tapeInOrder(config: TextConfig, products: boolean): Module {
  const inputs = Object.fromEntries(
    Object.entries(tapeWidths(config, products)).map(([name, width]): [string, Shape] => [name, ['M', width]]),
  );
  return {
    name: 'tape in order',
    params: {},
    inputs,
    constants: { order: { shape: [N], dtype: 'int32' } },
    build: (w) =>
      Object.fromEntries(Object.keys(inputs).map((name) => [`ordered.${name}`, takeRows(w[name]!, w.order!)])),
  };
}
