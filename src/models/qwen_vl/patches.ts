/**
 * The patch embedding of the vision towers; each patch of pixels is one row.
 */
import type { Module } from '../../graph/module.ts';
import { permuteRows } from '../../graph/ops/gather.ts';
import { layerOf } from '../../nn/adapter.ts';
import { linear } from '../../nn/linear.ts';
import type { VisionConfig } from '../architecture.ts';

/** Width of one row of pixel values: channels x frames x patch x patch. */
export const patchWidth = ({ inChannels, temporalPatchSize, patchSize }: VisionConfig): number =>
  inChannels * temporalPatchSize * patchSize * patchSize;

/** pixels [N, patchWidth] in the processor's order -> x [N, hidden] in the tower's order. */
export function patchEmbedding(config: VisionConfig): Module {
  const width = patchWidth(config);
  return {
    name: 'patch embedding',
    params: { 'patch_embed.proj.weight': [config.hiddenSize, width] },
    inputs: {},
    constants: {
      pixels: { shape: ['N', width] },
      order: { shape: ['N'], dtype: 'int32' },
      inverse: { shape: ['N'], dtype: 'int32' },
    },
    build: (w) => ({ x: permuteRows(linear(w.pixels!, layerOf(w, 'patch_embed.proj')), w.order!, w.inverse!) }),
  };
}

/** Checkpoints store the embedding as the weight of a convolution. */
export const storedShapes = ({ hiddenSize, inChannels, temporalPatchSize, patchSize }: VisionConfig) => ({
  'patch_embed.proj.weight': [hiddenSize, inChannels, temporalPatchSize, patchSize, patchSize],
});
