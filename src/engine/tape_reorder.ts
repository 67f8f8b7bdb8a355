/**
 * A module that puts the rows of a layer's tape into the order of a packed batch: sampling computes them in another order.
 */
import type { Module } from '../graph/module.ts';
import { takeRows } from '../graph/ops/gather.ts';
import type { Shape } from '../graph/shape.ts';
import type { TextConfig } from '../models/architecture.ts';
import { tapeWidths } from './layer_tape.ts';

/** Rows of the packed batch. */
const N = 'N';

/** Picks rows by index: x [M, hidden] and the tape's other tensors, order int32 [N] -> `ordered.x` [N, hidden], … */
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
