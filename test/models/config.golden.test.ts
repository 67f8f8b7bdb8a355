/**
 * The config of every golden checkpoint, field by field against its config.json.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readConfig } from '../../src/models/registry.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';

type Json = Record<string, unknown>;

const patches = (vision: Json) => ({
  inChannels: vision.in_channels ?? vision.in_chans,
  patchSize: vision.patch_size,
  spatialMergeSize: vision.spatial_merge_size,
  temporalPatchSize: vision.temporal_patch_size,
});

const tower = (vision: Json) => ({
  ...patches(vision),
  depth: vision.depth,
  hiddenSize: vision.hidden_size,
  intermediateSize: vision.intermediate_size,
  numHeads: vision.num_heads,
  outHiddenSize: vision.out_hidden_size,
});

/** What is read of vision_config, by model_type. */
const VISION: Record<string, (vision: Json) => Json> = {
  qwen2_vl: (vision) => ({
    ...patches(vision),
    depth: vision.depth,
    hiddenSize: vision.embed_dim,
    intermediateSize: (vision.embed_dim as number) * (vision.mlp_ratio as number),
    numHeads: vision.num_heads,
    outHiddenSize: vision.hidden_size,
  }),
  qwen2_5_vl: (vision) => ({
    ...tower(vision),
    windowSize: vision.window_size,
    fullattBlockIndexes: vision.fullatt_block_indexes,
    tokensPerSecond: vision.tokens_per_second,
  }),
  qwen3_vl: (vision) => ({
    ...tower(vision),
    positionEmbeddings: vision.num_position_embeddings,
    positionSide: Math.floor((vision.num_position_embeddings as number) ** 0.5),
    deepstackVisualIndexes: vision.deepstack_visual_indexes,
  }),
};

describe('golden checkpoints', () => {
  test.each(goldenCheckpoints())('$name: every field', async ({ model }) => {
    const json = JSON.parse(readFileSync(join(model, 'config.json'), 'utf8'));
    const text = json.text_config ?? json;
    const vision = json.vision_config;
    const rope = text.rope_parameters ?? text.rope_scaling;
    const generation = JSON.parse(readFileSync(join(model, 'generation_config.json'), 'utf8'));
    const { architecture, ...config } = await readConfig(model);
    expect(architecture.modelType).toBe(json.model_type);
    expect(config).toEqual({
      text: {
        hiddenSize: text.hidden_size,
        intermediateSize: text.intermediate_size,
        numHiddenLayers: text.num_hidden_layers,
        numAttentionHeads: text.num_attention_heads,
        numKeyValueHeads: text.num_key_value_heads,
        headDim: text.head_dim ?? text.hidden_size / text.num_attention_heads,
        vocabSize: text.vocab_size,
        rmsNormEps: text.rms_norm_eps,
        ropeTheta: rope.rope_theta ?? text.rope_theta,
        mropeSection: rope.mrope_section,
        ...(json.model_type === 'qwen3_vl' ? { mropeInterleaved: true } : {}),
        tieWordEmbeddings: json.tie_word_embeddings,
        maxPositionEmbeddings: text.max_position_embeddings,
      },
      vision: VISION[json.model_type]!(vision),
      imageTokenId: json.image_token_id,
      videoTokenId: json.video_token_id,
      visionStartTokenId: json.vision_start_token_id,
      visionEndTokenId: json.vision_end_token_id,
      eosTokenIds: [...new Set([generation.eos_token_id, text.eos_token_id].flat())],
      padTokenId: text.pad_token_id ?? generation.pad_token_id,
      raw: json,
    });
  });
});
