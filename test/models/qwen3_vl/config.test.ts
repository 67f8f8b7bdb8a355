import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../../src/models/registry.ts';

/** config.json as the published Qwen3-VL-4B states its sizes; everything left out has transformers' defaults. */
const published = (vision: Record<string, unknown> = {}, text: Record<string, unknown> = {}) => ({
  architectures: ['Qwen3VLForConditionalGeneration'],
  model_type: 'qwen3_vl',
  tie_word_embeddings: true,
  text_config: {
    hidden_size: 2560,
    intermediate_size: 9728,
    num_hidden_layers: 36,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    head_dim: 128,
    rope_scaling: { mrope_interleaved: true, mrope_section: [24, 20, 20], rope_type: 'default' },
    rope_theta: 5_000_000,
    ...text,
  },
  vision_config: {
    depth: 24,
    hidden_size: 1024,
    intermediate_size: 4096,
    out_hidden_size: 2560,
    deepstack_visual_indexes: [5, 11, 17],
    ...vision,
  },
});

describe('Qwen3-VL', () => {
  test('sizes and defaults', () => {
    const { text, vision, architecture } = parseConfig(published(), 'config.json');
    expect(architecture).toMatchObject({ title: 'Qwen3-VL', normBbox: 'norm1000' });
    expect(text).toMatchObject({ headDim: 128, vocabSize: 151936, rmsNormEps: 1e-6, mropeInterleaved: true });
    expect(text).toMatchObject({ ropeTheta: 5_000_000, mropeSection: [24, 20, 20], tieWordEmbeddings: true });
    expect(vision).toMatchObject({
      patchSize: 16,
      positionSide: 48,
      numHeads: 16,
      deepstackVisualIndexes: [5, 11, 17],
    });
  });

  test.each([
    [{ deepstack_visual_indexes: [5, 24] }, /deepstack_visual_indexes/],
    [{ deepstack_visual_indexes: [11, 5] }, /ascending/],
    [{ hidden_act: 'silu' }, /hidden_act is "silu"; only "gelu_pytorch_tanh" is/],
    [{ out_hidden_size: 1024 }, /out_hidden_size is 1024, but the language model's hidden_size is 2560/],
    [{ hidden_size: 1000 }, /hidden_size is 1000, not a multiple of 4 \* num_heads \(64\)/],
  ])('refused: vision_config %j', (vision, expected) => {
    expect(() => parseConfig(published(vision), 'config.json')).toThrow(expected);
  });

  test.each([
    [{ num_hidden_layers: 3 }, /deepstack_visual_indexes has 3 entries, expected fewer than num_hidden_layers \(3\)/],
    [{ head_dim: 127 }, /head_dim is 127; rotary embeddings need an even one/],
    [{ attention_bias: true }, /attention_bias is true/],
    [{ rope_scaling: { mrope_section: [24, 20] } }, /mrope_section has 2 entries/],
  ])('refused: text_config %j', (text, expected) => {
    expect(() => parseConfig(published({}, text), 'config.json')).toThrow(expected);
  });
});
