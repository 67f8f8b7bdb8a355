/**
 * Learned position embeddings of Qwen3-VL's vision tower: a square table, interpolated bilinearly to the grid of each image
 * (`get_vision_interpolation_indices_and_weights` of transformers, align_corners).
 */
import type { Module } from '../../graph/module.ts';
import { add, mul } from '../../graph/ops/elementwise.ts';
import { reshape } from '../../graph/ops/movement.ts';
import { takeRowsByPieces } from '../../graph/ops/pieces.ts';
import { layerOf } from '../../nn/adapter.ts';
import { linear } from '../../nn/linear.ts';
import type { Grid, VisionLayout } from '../architecture.ts';
import { patchEmbedding } from '../qwen_vl/patches.ts';
import { patchPosition, unitsOf } from '../qwen_vl/vision_layout.ts';
import type { Qwen3VLVisionConfig } from './config.ts';

/** The four entries of the table around a patch: top left, top right, bottom left, bottom right. */
const CORNERS = [0, 1, 2, 3] as const;
const entry = (corner: number): string => `entry.${corner}`;
const weight = (corner: number): string => `weight.${corner}`;

/**
 * The patch embedding plus the position embedding: pixels [N, patchWidth], entry.c int32 [N] and weight.c [N] for the four
 * corners c -> x [N, hidden].
 */
export function embedding(config: Qwen3VLVisionConfig): Module {
  const patches = patchEmbedding(config);
  return {
    ...patches,
    params: {
      ...patches.params,
      'patch_embed.proj.bias': [config.hiddenSize],
      'pos_embed.weight': [config.positionEmbeddings, config.hiddenSize],
    },
    constants: {
      ...patches.constants,
      ...Object.fromEntries(CORNERS.map((c) => [entry(c), { shape: ['N'], dtype: 'int32' as const }])),
      ...Object.fromEntries(CORNERS.map((c) => [weight(c), { shape: ['N'] }])),
    },
    build: (w) => {
      const taken = CORNERS.map((c) =>
        mul(takeRowsByPieces(w['pos_embed.weight']!, w[entry(c)]!), reshape(w[weight(c)]!, ['N', 1])),
      );
      const pixels = linear(w.pixels!, layerOf(w, 'patch_embed.proj'));
      return {
        x: add(
          pixels,
          taken.reduce((sum, part) => add(sum, part)),
        ),
      };
    },
  };
}

/** The table entries at the corners of each patch, in the processor's order, and their weights. */
export function positionTables(config: Qwen3VLVisionConfig, grid: Grid): NonNullable<VisionLayout['tables']> {
  const [, height, width] = grid;
  const { columns } = unitsOf(grid, config);
  const side = config.positionSide;
  const count = height * width;
  const entries = CORNERS.map(() => new Int32Array(count));
  const weights = CORNERS.map(() => new Float32Array(count));
  for (let patch = 0; patch < count; patch++) {
    const [row, column] = patchPosition(patch, columns, config.spatialMergeSize);
    const [y, x] = [neighbours(row, height, side), neighbours(column, width, side)];
    for (const c of CORNERS) {
      const [i, j] = [c >> 1, c & 1];
      entries[c]![patch] = y.at[i]! * side + x.at[j]!;
      weights[c]![patch] = y.share[i]! * x.share[j]!;
    }
  }
  return Object.fromEntries(
    CORNERS.flatMap((c) => [
      [entry(c), entries[c]!],
      [weight(c), weights[c]!],
    ]),
  );
}

// --- internal ---

/** The two table entries next to position `index` of `count`, on an axis of `side` entries with aligned ends, and their weights. */
function neighbours(index: number, count: number, side: number) {
  const position = count === 1 ? 0 : Math.fround((index * (side - 1)) / (count - 1));
  const low = Math.floor(position);
  const share = Math.fround(position - low);
  return { at: [low, Math.min(low + 1, side - 1)], share: [Math.fround(1 - share), share] };
}
