/**
 * A decoder block's two halves as modules over the rows of a packed batch: what enters attention, and what follows it.
 * Knows rows and forms of weights; the block itself is the architecture's.
 */
import type { Module } from '../graph/module.ts';
import type { DecoderBlock, TextConfig } from '../models/architecture.ts';
import { blockOps, blockParams } from '../nn/block_ops.ts';
import { KEPT } from './layer_tape.ts';

/** Rows of the packed batch. */
export const ROWS = 'N';
const N = ROWS;

/** x [N, hidden], cos, sin [N, d / 2] -> rotated q [N, heads * d] and k, and v [N, kvHeads * d]. */
export function attentionInput(block: DecoderBlock, { hiddenSize, headDim }: TextConfig): Module {
  return {
    name: 'text attention input',
    params: blockParams(block.before, block.joint, 'right'),
    inputs: { x: [N, hiddenSize] },
    constants: { cos: { shape: [N, headDim / 2] }, sin: { shape: [N, headDim / 2] } },
    build: (w) => ({ ...block.project(blockOps('right', w, N), w.x!, { cos: w.cos!, sin: w.sin! }) }),
  };
}

/** x [N, hidden], o [N, heads * d] -> y [N, hidden]; kept for backward: attended, gate, up. */
export function attentionOutput(block: DecoderBlock, { hiddenSize, numAttentionHeads, headDim }: TextConfig): Module {
  return {
    name: 'text attention output',
    params: blockParams(block.after, block.joint, 'right'),
    inputs: { x: [N, hiddenSize], o: [N, numAttentionHeads * headDim] },
    constants: {},
    keeps: KEPT,
    build: (w) => ({ ...block.finish(blockOps('right', w, N), w.x!, w.o!) }),
  };
}
