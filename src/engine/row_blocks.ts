/**
 * Rows of the vocabulary's size in blocks of columns, for sums in two steps. They are shorter than one sum over the row, so they
 * round less.
 */
import { pad, reshape } from '../graph/ops/movement.ts';
import type { Value } from '../graph/value.ts';

/** rows [N, columns] -> [N, blocks, width]; what the last block has left over is zeros. */
export function inBlocks(rows: Value, columns: number): Value {
  const width = blockWidth(columns);
  const blocks = Math.ceil(columns / width);
  const gap = blocks * width - columns;
  const full = gap === 0 ? rows : pad(rows, 1, 0, gap);
  return reshape(full, [full.shape[0]!, blocks, width]);
}

/**
 * Columns of a block: near the square root of all columns, so that both steps are about as long. A divisor is preferred where
 * one is near enough (151,936 = 1187 · 128), because then nothing is padded.
 */
export function blockWidth(columns: number): number {
  const root = Math.ceil(Math.sqrt(columns));
  const near = Array.from({ length: root }, (_, i) => root - i).filter((width) => 4 * width >= root);
  return near.find((width) => columns % width === 0) ?? root;
}
