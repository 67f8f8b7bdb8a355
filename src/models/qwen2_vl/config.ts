/**
 * config.json of a Qwen2-VL checkpoint.
 */
import type { JsonObject } from '../../util/json.ts';
import type { ModelConfig, TextConfig, VisionConfig } from '../architecture.ts';
import type { Fields } from '../config_fields.ts';
import {
  LIMITS,
  parseQwenConfig,
  patchFields,
  QWEN2_TEXT,
  requireActivation,
  requireRotaryWidth,
  requireTextWidth,
  requireVisionTheta,
} from '../qwen_vl/config.ts';

export const TITLE = 'Qwen2-VL';

/** Defaults are those of transformers' Qwen2VLTextConfig and Qwen2VLVisionConfig; see `parseQwenConfig`. */
export function parseConfig(json: JsonObject, where: string): Omit<ModelConfig, 'architecture'> {
  return parseQwenConfig(json, where, {
    title: TITLE,
    text: QWEN2_TEXT,
    vision: parseVision,
  });
}

// --- internal ---

/** In this file `embed_dim` is the width of the tower, and `hidden_size` the width after the merger. */
function parseVision(fields: Fields, text: TextConfig): VisionConfig {
  const size = (name: string, max: number, fallback: number): number => fields.int(name, { min: 1, max, fallback });
  requireActivation(fields, 'quick_gelu', TITLE);
  const hiddenSize = size('embed_dim', LIMITS.width, 1280);
  const numHeads = size('num_heads', LIMITS.heads, 16);
  requireRotaryWidth(fields, 'embed_dim', hiddenSize, numHeads);
  const outHiddenSize = size('hidden_size', LIMITS.width, 3584);
  requireTextWidth(fields, 'hidden_size', outHiddenSize, text);
  requireVisionTheta(fields, TITLE);
  const ratio = fields.number('mlp_ratio', { min: 1 / hiddenSize, max: LIMITS.small, fallback: 4 });
  return {
    ...patchFields(fields, { patchSize: 14 }),
    depth: size('depth', LIMITS.layers, 32),
    hiddenSize,
    intermediateSize: Math.trunc(hiddenSize * ratio),
    numHeads,
    outHiddenSize,
  };
}
