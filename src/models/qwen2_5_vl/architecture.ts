/**
 * Qwen2.5-VL: the decoder of Qwen2 with multimodal rotary positions, and a vision tower that attends in windows.
 * Reference: modeling_qwen2_5_vl.py of transformers.
 */
import type { Architecture } from '../architecture.ts';
import { decoderBlock } from '../qwen_vl/decoder_block.ts';
import { ropeIndex } from '../qwen_vl/positions.ts';
import { parseConfig, type Qwen2_5_VLConfig, TITLE } from './config.ts';
import { visionTower } from './vision.ts';

export const qwen2_5_vl: Architecture<Qwen2_5_VLConfig> = {
  modelType: 'qwen2_5_vl',
  className: 'Qwen2_5_VLForConditionalGeneration',
  title: TITLE,
  normBbox: 'none',
  parseConfig,
  decoderBlock: ({ text }) => decoderBlock(text, { qkvBias: true, qkNorm: false }),
  vision: ({ vision }) => visionTower(vision),
  positions: ropeIndex,
};
