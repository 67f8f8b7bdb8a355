/**
 * The vision tower of Qwen2.5-VL: root-mean-square norms, gated feed-forward layers, and attention within windows, except
 * in some blocks.
 */
import type { VisionTowerParts } from '../architecture.ts';
import { patchEmbedding, storedShapes } from '../qwen_vl/patches.ts';
import { attentionInput, attentionOutput, gated, merger, rms } from '../qwen_vl/vision_block.ts';
import type { Qwen2_5_VLVisionConfig } from './config.ts';
import { windowLayout } from './window_layout.ts';

export function visionTower(config: Qwen2_5_VLVisionConfig): VisionTowerParts {
  return {
    embedding: patchEmbedding(config),
    before: attentionInput(config, rms),
    after: attentionOutput(config, rms, gated),
    merger: merger(config, rms, { norm: 'merger.ln_q', fc1: 'merger.mlp.0', fc2: 'merger.mlp.2' }),
    deepstack: [],
    attends: (block) => (config.fullattBlockIndexes.includes(block) ? 'frames' : 'windows'),
    layout: (grid) => windowLayout(config, grid),
    storedShapes: storedShapes(config),
  };
}
