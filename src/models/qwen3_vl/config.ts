/**
 * config.json of a dense Qwen3-VL checkpoint.
 */
import type { JsonObject } from '../../util/json.ts';
import type { ModelConfig, TextConfig, VisionConfig } from '../architecture.ts';
import { type Fields, fieldsOf } from '../config_fields.ts';
import {
  LIMITS,
  parseQwenConfig,
  patchFields,
  requireActivation,
  requireRotaryWidth,
  requireTextWidth,
  requireVisionTheta,
} from '../qwen_vl/config.ts';

export interface Qwen3VLVisionConfig extends VisionConfig {
  /** Number of learned position embeddings. */
  readonly positionEmbeddings: number;
  /** Side of the square of position embeddings that is used. */
  readonly positionSide: number;
  /** Blocks, ascending. The merged output of the i-th one is added to the stream after decoder layer i. */
  readonly deepstackVisualIndexes: readonly number[];
}

export interface Qwen3VLConfig extends ModelConfig {
  readonly vision: Qwen3VLVisionConfig;
}

export const TITLE = 'Qwen3-VL';

/** Defaults are those of transformers' Qwen3VLTextConfig and Qwen3VLVisionConfig; see `parseQwenConfig`. */
export function parseConfig(json: JsonObject, where: string): Omit<Qwen3VLConfig, 'architecture'> {
  const text = fieldsOf(json, '', where).inner('text_config');
  if (text.bool('attention_bias', false))
    throw text.unsupported('attention_bias', 'is true; only false is', `every published ${TITLE} checkpoint has none`);
  return parseQwenConfig(json, where, {
    title: TITLE,
    text: {
      vocabSize: 151936,
      numKeyValueHeads: 32,
      headDim: 128,
      rmsNormEps: 1e-6,
      ropeTheta: 500_000,
      maxPositionEmbeddings: 128_000,
      mropeInterleaved: true,
    },
    vision: parseVision,
  });
}

// --- internal ---

function parseVision(fields: Fields, text: TextConfig): Qwen3VLVisionConfig {
  const size = (name: string, max: number, fallback: number): number => fields.int(name, { min: 1, max, fallback });
  requireActivation(fields, 'gelu_pytorch_tanh', TITLE);
  const depth = size('depth', LIMITS.layers, 27);
  const hiddenSize = size('hidden_size', LIMITS.width, 1152);
  const numHeads = size('num_heads', LIMITS.heads, 16);
  requireRotaryWidth(fields, 'hidden_size', hiddenSize, numHeads);
  const outHiddenSize = size('out_hidden_size', LIMITS.width, 3584);
  requireTextWidth(fields, 'out_hidden_size', outHiddenSize, text);
  requireVisionTheta(fields, TITLE);
  const positionEmbeddings = size('num_position_embeddings', LIMITS.vocab, 2304);
  return {
    ...patchFields(fields, { patchSize: 16 }),
    depth,
    hiddenSize,
    intermediateSize: size('intermediate_size', LIMITS.width * 4, 4304),
    numHeads,
    outHiddenSize,
    positionEmbeddings,
    positionSide: Math.floor(Math.sqrt(positionEmbeddings)),
    deepstackVisualIndexes: deepstackIndexes(fields, depth, text),
  };
}

function deepstackIndexes(fields: Fields, depth: number, { numHiddenLayers }: TextConfig): readonly number[] {
  const name = 'deepstack_visual_indexes';
  const indexes = fields.has(name) ? fields.ints(name, { min: 0, max: depth - 1 }) : [8, 16, 24];
  if (indexes.some((index, i) => index >= depth || (i > 0 && index <= indexes[i - 1]!)))
    throw fields.invalid(name, `is [${indexes}], expected ascending numbers of blocks below depth (${depth})`);
  // After the last layer only the rows that predict are left, so visual tokens cannot be added there.
  if (indexes.length >= numHiddenLayers)
    throw fields.invalid(
      name,
      `has ${indexes.length} entries, expected fewer than num_hidden_layers (${numHiddenLayers})`,
    );
  return indexes;
}
