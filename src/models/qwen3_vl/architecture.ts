/**
 * Qwen3-VL, dense. The decoder normalises each head of queries and keys and interleaves the three axes of its rotary
 * embedding. The vision tower has learned positions, and some of its blocks feed the first decoder layers ("deepstack").
 * Reference: modeling_qwen3_vl.py of transformers.
 */
import { geluTanh } from '../../graph/ops/elementwise.ts';
import type { Architecture, VisionTowerParts } from '../architecture.ts';
import { decoderBlock } from '../qwen_vl/decoder_block.ts';
import { storedShapes } from '../qwen_vl/patches.ts';
import { ropeIndex } from '../qwen_vl/positions.ts';
import { attentionInput, attentionOutput, feedForward, layer, merger } from '../qwen_vl/vision_block.ts';
import { readingOrder } from '../qwen_vl/vision_layout.ts';
import { parseConfig, type Qwen3VLConfig, type Qwen3VLVisionConfig, TITLE } from './config.ts';
import { embedding, positionTables } from './position_embedding.ts';

export const qwen3_vl: Architecture<Qwen3VLConfig> = {
  modelType: 'qwen3_vl',
  className: 'Qwen3VLForConditionalGeneration',
  title: TITLE,
  normBbox: 'norm1000',
  parseConfig,
  decoderBlock: ({ text }) => decoderBlock(text, { qkvBias: false, qkNorm: true }),
  vision: ({ vision }) => visionTower(vision),
  positions: ropeIndex,
};

// --- internal ---

function visionTower(config: Qwen3VLVisionConfig): VisionTowerParts {
  const names = { norm: 'norm', fc1: 'linear_fc1', fc2: 'linear_fc2' };
  const below = (prefix: string) => ({
    norm: `${prefix}${names.norm}`,
    fc1: `${prefix}${names.fc1}`,
    fc2: `${prefix}${names.fc2}`,
  });
  return {
    embedding: embedding(config),
    before: attentionInput(config, layer),
    after: attentionOutput(config, layer, feedForward('mlp.linear_fc1', 'mlp.linear_fc2', geluTanh)),
    merger: merger(config, layer, below('merger.')),
    deepstack: config.deepstackVisualIndexes.map((block, i) => ({
      block,
      module: merger(config, layer, names, true),
      prefix: `deepstack_merger_list.${i}.`,
    })),
    attends: () => 'frames',
    layout: (grid) => ({ ...readingOrder(config, grid), tables: positionTables(config, grid) }),
    storedShapes: storedShapes(config),
  };
}
