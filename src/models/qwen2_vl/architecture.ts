/**
 * Qwen2-VL: the same decoder as Qwen2.5-VL, and a vision tower with layer norms and plain feed-forward layers, in which every
 * block attends to the whole image. Reference: modeling_qwen2_vl.py of transformers.
 */
import { quickGelu } from '../../graph/ops/elementwise.ts';
import type { Architecture, VisionConfig, VisionTowerParts } from '../architecture.ts';
import { decoderBlock } from '../qwen_vl/decoder_block.ts';
import { patchEmbedding, storedShapes } from '../qwen_vl/patches.ts';
import { ropeIndex } from '../qwen_vl/positions.ts';
import { attentionInput, attentionOutput, feedForward, layer, merger } from '../qwen_vl/vision_block.ts';
import { readingOrder } from '../qwen_vl/vision_layout.ts';
import { parseConfig, TITLE } from './config.ts';

export const qwen2_vl: Architecture = {
  modelType: 'qwen2_vl',
  className: 'Qwen2VLForConditionalGeneration',
  title: TITLE,
  normBbox: 'norm1000',
  parseConfig,
  decoderBlock: ({ text }) => decoderBlock(text, { qkvBias: true, qkNorm: false }),
  vision: ({ vision }) => visionTower(vision),
  positions: ropeIndex,
};

// --- internal ---

function visionTower(config: VisionConfig): VisionTowerParts {
  return {
    embedding: patchEmbedding(config),
    before: attentionInput(config, layer),
    after: attentionOutput(config, layer, feedForward('mlp.fc1', 'mlp.fc2', quickGelu)),
    merger: merger(config, layer, { norm: 'merger.ln_q', fc1: 'merger.mlp.0', fc2: 'merger.mlp.2' }),
    deepstack: [],
    attends: () => 'frames',
    layout: (grid) => readingOrder(config, grid),
    storedShapes: storedShapes(config),
  };
}
