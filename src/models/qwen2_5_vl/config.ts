/**
 * config.json of a Qwen2.5-VL checkpoint.
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

export interface Qwen2_5_VLVisionConfig extends VisionConfig {
  /** Side of an attention window in pixels. */
  readonly windowSize: number;
  /** Blocks that attend over the whole image instead of windows. */
  readonly fullattBlockIndexes: readonly number[];
  readonly tokensPerSecond: number;
}

export interface Qwen2_5_VLConfig extends ModelConfig {
  readonly vision: Qwen2_5_VLVisionConfig;
}

/** Defaults are those of transformers' Qwen2_5_VLTextConfig and Qwen2_5_VLVisionConfig; see `parseQwenConfig`. */
export function parseConfig(json: JsonObject, where: string): Omit<Qwen2_5_VLConfig, 'architecture'> {
  return parseQwenConfig(json, where, {
    title: TITLE,
    text: QWEN2_TEXT,
    vision: parseVision,
  });
}

export const TITLE = 'Qwen2.5-VL';

// --- internal ---

function parseVision(fields: Fields, text: TextConfig): Qwen2_5_VLVisionConfig {
  const size = (name: string, max: number, fallback?: number): number => fields.int(name, { min: 1, max, fallback });
  requireActivation(fields, 'silu', TITLE);
  const hiddenSize = size('hidden_size', LIMITS.width);
  const numHeads = size('num_heads', LIMITS.heads, 16);
  requireRotaryWidth(fields, 'hidden_size', hiddenSize, numHeads);
  const outHiddenSize = size('out_hidden_size', LIMITS.width, 3584);
  requireTextWidth(fields, 'out_hidden_size', outHiddenSize, text);
  const patches = patchFields(fields, { patchSize: 14 });
  const windowSize = size('window_size', LIMITS.width, 112);
  const side = patches.patchSize * patches.spatialMergeSize;
  if (windowSize < side)
    throw fields.invalid('window_size', `is ${windowSize}, smaller than one merged patch (${side} pixels)`);
  requireVisionTheta(fields, TITLE);
  return {
    ...patches,
    depth: size('depth', LIMITS.layers, 32),
    hiddenSize,
    intermediateSize: size('intermediate_size', LIMITS.width * 4, 3420),
    numHeads,
    outHiddenSize,
    windowSize,
    fullattBlockIndexes: fields.has('fullatt_block_indexes')
      ? fields.ints('fullatt_block_indexes', { min: 0, max: LIMITS.layers })
      : [7, 15, 23, 31],
    tokensPerSecond: fields.number('tokens_per_second', { min: 0.001, max: 1000, fallback: 4 }),
  };
}
