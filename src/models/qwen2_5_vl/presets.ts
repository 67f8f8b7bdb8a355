/**
 * Sizes for new Qwen2.5-VL models, named presets, and the config.json for them in the published layout.
 * Token ids come from the tokenizer. Knows nothing about weights.
 */
import type { DtypeName } from '../../checkpoint/dtypes.ts';
import type { JsonObject } from '../../util/json.ts';
import { qwen2_5_vl } from './architecture.ts';

export interface CheckpointSizes {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  /** May exceed the tokenizer's vocabulary; ids beyond it are never used. */
  readonly vocabSize: number;
  readonly tieWordEmbeddings: boolean;
  /** Default 32768. */
  readonly maxPositionEmbeddings?: number;
  /** Rotary pairs per axis. Default: a quarter for time, and half of the rest each for height and width. */
  readonly mropeSection?: readonly [number, number, number];
  readonly vision: {
    readonly depth: number;
    readonly hiddenSize: number;
    readonly intermediateSize: number;
    readonly numHeads: number;
    /** Side of an attention window in pixels. */
    readonly windowSize: number;
    readonly fullattBlockIndexes: readonly number[];
  };
}

/** Model sizes by name. */
export const MODEL_PRESETS = {
  /** 28.6 M parameters: for timings on a laptop. */
  mini: {
    hiddenSize: 512,
    intermediateSize: 1280,
    numHiddenLayers: 8,
    numAttentionHeads: 8,
    numKeyValueHeads: 2,
    vocabSize: 6000,
    tieWordEmbeddings: true,
    vision: {
      depth: 4,
      hiddenSize: 256,
      intermediateSize: 512,
      numHeads: 4,
      windowSize: 112,
      fullattBlockIndexes: [1, 3],
    },
  },
  /** The shapes of Qwen2.5-VL-3B-Instruct, 3.75 G parameters. */
  'qwen2.5-vl-3b': {
    hiddenSize: 2048,
    intermediateSize: 11008,
    numHiddenLayers: 36,
    numAttentionHeads: 16,
    numKeyValueHeads: 2,
    vocabSize: 151936,
    tieWordEmbeddings: true,
    maxPositionEmbeddings: 128000,
    vision: {
      depth: 32,
      hiddenSize: 1280,
      intermediateSize: 3420,
      numHeads: 16,
      windowSize: 112,
      fullattBlockIndexes: [7, 15, 23, 31],
    },
  },
  /** The shapes of Qwen2.5-VL-7B-Instruct, 8.29 G parameters. */
  'qwen2.5-vl-7b': {
    hiddenSize: 3584,
    intermediateSize: 18944,
    numHiddenLayers: 28,
    numAttentionHeads: 28,
    numKeyValueHeads: 4,
    vocabSize: 152064,
    tieWordEmbeddings: false,
    maxPositionEmbeddings: 128000,
    vision: {
      depth: 32,
      hiddenSize: 1280,
      intermediateSize: 3420,
      numHeads: 16,
      windowSize: 112,
      fullattBlockIndexes: [7, 15, 23, 31],
    },
  },
} as const satisfies Record<string, CheckpointSizes>;

/** Ids of the control tokens that a config names. */
export interface ControlTokens {
  readonly endOfText: number;
  readonly imEnd: number;
  readonly visionStart: number;
  readonly visionEnd: number;
  readonly imagePad: number;
  readonly videoPad: number;
}

/** config.json in the layout of the published checkpoints, which transformers 4 and 5 read. */
export function publishedConfig(sizes: CheckpointSizes, tokens: ControlTokens, dtype: DtypeName): JsonObject {
  const { vision } = sizes;
  return {
    architectures: [qwen2_5_vl.className],
    attention_dropout: 0,
    bos_token_id: tokens.endOfText,
    eos_token_id: tokens.imEnd,
    vision_start_token_id: tokens.visionStart,
    vision_end_token_id: tokens.visionEnd,
    image_token_id: tokens.imagePad,
    video_token_id: tokens.videoPad,
    hidden_act: 'silu',
    hidden_size: sizes.hiddenSize,
    initializer_range: 0.02,
    intermediate_size: sizes.intermediateSize,
    max_position_embeddings: sizes.maxPositionEmbeddings ?? 32768,
    max_window_layers: sizes.numHiddenLayers,
    model_type: qwen2_5_vl.modelType,
    num_attention_heads: sizes.numAttentionHeads,
    num_hidden_layers: sizes.numHiddenLayers,
    num_key_value_heads: sizes.numKeyValueHeads,
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    rope_scaling: { type: 'mrope', mrope_section: sizes.mropeSection ?? defaultSection(sizes) },
    sliding_window: 32768,
    tie_word_embeddings: sizes.tieWordEmbeddings,
    torch_dtype: dtype,
    use_cache: true,
    use_sliding_window: false,
    vision_config: {
      depth: vision.depth,
      hidden_act: 'silu',
      hidden_size: vision.hiddenSize,
      intermediate_size: vision.intermediateSize,
      num_heads: vision.numHeads,
      in_chans: 3,
      out_hidden_size: sizes.hiddenSize,
      patch_size: 14,
      spatial_merge_size: 2,
      spatial_patch_size: 14,
      window_size: vision.windowSize,
      fullatt_block_indexes: vision.fullattBlockIndexes,
      tokens_per_second: 2,
      temporal_patch_size: 2,
    },
    vocab_size: sizes.vocabSize,
  };
}

// --- internal ---

/** [16, 24, 24] for a head of width 128, as published. */
function defaultSection({ hiddenSize, numAttentionHeads }: CheckpointSizes): [number, number, number] {
  const pairs = Math.floor(hiddenSize / numAttentionHeads / 2);
  const time = Math.floor(pairs / 4);
  const height = Math.floor((pairs - time) / 2);
  return [time, height, pairs - time - height];
}
