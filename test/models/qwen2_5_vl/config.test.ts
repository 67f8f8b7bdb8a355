import { describe, expect, test } from 'vitest';
import { parseConfig, readConfig } from '../../../src/models/registry.ts';
import type { JsonObject } from '../../../src/util/json.ts';
import { folderOf, refusal, shown } from '../../checkpoint/scratch.ts';

/** Published layout, as small as it gets. */
function flat(): JsonObject {
  return {
    architectures: ['Qwen2_5_VLForConditionalGeneration'],
    model_type: 'qwen2_5_vl',
    hidden_size: 64,
    intermediate_size: 128,
    num_attention_heads: 4,
    num_hidden_layers: 2,
    num_key_value_heads: 2,
    vocab_size: 960,
    eos_token_id: 902,
    image_token_id: 906,
    video_token_id: 907,
    vision_start_token_id: 903,
    vision_end_token_id: 904,
    rope_theta: 1e6,
    rope_scaling: { type: 'mrope', mrope_section: [2, 3, 3] },
    vision_config: { depth: 1, hidden_size: 32, num_heads: 2, out_hidden_size: 64, in_chans: 3 },
  };
}

/** Layout of transformers 4.52 and later. */
function nested(text: JsonObject = {}, top: JsonObject = {}): JsonObject {
  const { architectures, model_type, vision_config, ...rest } = flat();
  return { architectures, model_type, vision_config, text_config: { ...rest, ...text }, ...top };
}

/** The object with a dotted field set, or removed when the value is undefined. */
function withField(json: JsonObject, path: string, value: unknown): JsonObject {
  const copy = structuredClone(json);
  const keys = path.split('.');
  let place: JsonObject = copy;
  for (const key of keys.slice(0, -1)) place = place[key] as JsonObject;
  if (value === undefined) delete place[keys.at(-1)!];
  else place[keys.at(-1)!] = value;
  return copy;
}

const refused = async (json: unknown): Promise<string> =>
  shown(await refusal(() => parseConfig(json, 'x/config.json')));

describe('layouts', () => {
  test('flat and nested give the same', () => {
    expect({ ...parseConfig(nested(), ''), raw: null }).toEqual({ ...parseConfig(flat(), ''), raw: null });
  });

  test('rope_parameters with the base inside, rope_scaling with the base beside', () => {
    const inside = withField(nested(), 'text_config.rope_scaling', undefined);
    const rope = { rope_type: 'default', mrope_section: [1, 3, 4], rope_theta: 5000 };
    const config = parseConfig(withField(inside, 'text_config.rope_parameters', rope), '');
    expect([config.text.ropeTheta, ...config.text.mropeSection]).toEqual([5000, 1, 3, 4]);
  });

  test('what transformers leaves out takes its defaults', () => {
    const { rope_theta: _, ...json } = flat();
    const config = parseConfig({ ...json, vision_config: { hidden_size: 1280, out_hidden_size: 64 } }, '');
    expect(config.text).toMatchObject({
      rmsNormEps: 1e-5,
      ropeTheta: 1e6,
      tieWordEmbeddings: false,
      maxPositionEmbeddings: 32768,
    });
    expect(config.vision).toEqual({
      depth: 32,
      hiddenSize: 1280,
      intermediateSize: 3420,
      numHeads: 16,
      inChannels: 3,
      outHiddenSize: 64,
      patchSize: 14,
      spatialMergeSize: 2,
      temporalPatchSize: 2,
      windowSize: 112,
      fullattBlockIndexes: [7, 15, 23, 31],
      tokensPerSecond: 4,
    });
  });

  test('a nested file without vocab_size and heads of keys has those of transformers', () => {
    const json = withField(
      withField(nested(), 'text_config.vocab_size', undefined),
      'text_config.num_attention_heads',
      8,
    );
    const config = parseConfig(
      withField(
        withField(json, 'text_config.num_key_value_heads', undefined),
        'text_config.rope_scaling.mrope_section',
        [1, 1, 2],
      ),
      '',
    );
    expect([config.text.vocabSize, config.text.numKeyValueHeads]).toEqual([152064, 8]);
  });

  test('num_key_value_heads null means as many as heads', () => {
    expect(parseConfig({ ...flat(), num_key_value_heads: null }, '').text.numKeyValueHeads).toBe(4);
  });

  test.each([
    [undefined, undefined, false],
    [true, undefined, true],
    [undefined, true, true],
    [true, false, true],
    // transformers 5.24: `ModelConfig.__post_init__`
    [false, true, true],
  ])('tie_word_embeddings top %s, text %s -> %s', (top, text, expected) => {
    const json = nested({ tie_word_embeddings: text }, { tie_word_embeddings: top });
    expect(parseConfig(json, '').text.tieWordEmbeddings).toBe(expected);
  });
});

describe('token ids', () => {
  test('those of generation_config.json come first, without doubles', async () => {
    const dir = folderOf({
      'config.json': JSON.stringify(flat()),
      'generation_config.json': '{"eos_token_id": [900, 902], "pad_token_id": 900}',
    });
    const config = await readConfig(dir);
    expect(config.eosTokenIds).toEqual([900, 902]);
    expect(config.padTokenId).toBe(900);
  });

  test('none stated', () => {
    const { eos_token_id: _, ...json } = flat();
    expect(parseConfig(json, '')).toMatchObject({ eosTokenIds: [], padTokenId: null });
  });

  test('defaults are those of the published models', () => {
    const { image_token_id, video_token_id, vision_start_token_id, vision_end_token_id, ...json } = flat();
    expect(parseConfig({ ...json, vocab_size: 152064 }, '')).toMatchObject({
      imageTokenId: 151655,
      videoTokenId: 151656,
      visionStartTokenId: 151652,
      visionEndTokenId: 151653,
    });
    expect([image_token_id, video_token_id, vision_start_token_id, vision_end_token_id]).toEqual([906, 907, 903, 904]);
  });

  test('a bad generation_config.json is named', async () => {
    const dir = folderOf({ 'config.json': JSON.stringify(flat()), 'generation_config.json': '{"eos_token_id": 960}' });
    expect(shown(await refusal(() => readConfig(dir)))).toMatch(/eos_token_id is .*960.*generation_config\.json/);
  });
});

describe('refused, naming file and field', () => {
  test.each([
    'hidden_size',
    'intermediate_size',
    'num_hidden_layers',
    'num_attention_heads',
    'num_key_value_heads',
    'vocab_size',
    'rope_scaling',
    'rope_scaling.mrope_section',
    'vision_config',
    'vision_config.hidden_size',
  ])('%s missing', async (field) => {
    const text = await refused(withField(flat(), field, undefined));
    expect(text).toContain(`E_CONFIG_INVALID | field ${field} is missing`);
    expect(text).toContain('x/config.json');
  });

  test.each([
    ['hidden_size', '64'],
    ['hidden_size', 64.5],
    ['hidden_size', -64],
    ['hidden_size', 0],
    ['hidden_size', null],
    ['hidden_size', [64]],
    ['hidden_size', 2 ** 40],
    ['num_hidden_layers', 1e9],
    ['num_attention_heads', 1e9],
    ['vocab_size', 1e12],
    ['intermediate_size', 1e12],
    ['num_key_value_heads', 0],
    ['num_key_value_heads', 3],
    ['head_dim', 32],
    ['rms_norm_eps', 0],
    ['rms_norm_eps', '1e-6'],
    ['rms_norm_eps', 1e300],
    ['rms_norm_eps', 1e-300],
    ['rope_theta', -1],
    ['rope_theta', 1e-300],
    ['rope_theta', 1e300],
    ['tie_word_embeddings', 'yes'],
    ['use_sliding_window', 1],
    ['hidden_act', 3],
    ['max_position_embeddings', 0],
    ['rope_scaling', []],
    ['rope_scaling.mrope_section', [2, 3, 4]],
    ['rope_scaling.mrope_section', [2, 6]],
    ['rope_scaling.mrope_section', [2, 3, 3, 0]],
    ['rope_scaling.mrope_section', [2, 7, -1]],
    ['rope_scaling.mrope_section', '2,3,3'],
    ['image_token_id', 960],
    ['image_token_id', '906'],
    ['eos_token_id', [902, 960]],
    ['eos_token_id', [[902]]],
    ['pad_token_id', -1],
    ['vision_config', 'no'],
    ['vision_config.depth', 1e9],
    ['vision_config.hidden_size', 36],
    ['vision_config.num_heads', 3],
    ['vision_config.out_hidden_size', 32],
    ['vision_config.patch_size', 0],
    ['vision_config.window_size', 27],
    ['vision_config.fullatt_block_indexes', [1.5]],
    ['vision_config.fullatt_block_indexes', 1],
    ['vision_config.in_chans', 'x'],
    ['vision_config.tokens_per_second', 0],
  ])('%s = %j', async (field, value) => {
    const text = await refused(withField(flat(), field, value));
    expect(text).toMatch(/^E_CONFIG_INVALID/);
    // Head counts that do not fit are told at one of the two fields.
    const blamed = field === 'vision_config.num_heads' ? 'vision_config.hidden_size' : field;
    expect(text).toContain(`field ${blamed}`);
    expect(text).toContain('x/config.json');
  });

  test('numbers of which float32 makes NaNs, with the range they must be in', async () => {
    expect(await refused(withField(flat(), 'rms_norm_eps', 1e300))).toContain(
      'field rms_norm_eps is the number 1e+300, expected a number from 1e-12 to 0.1',
    );
    expect(await refused(withField(flat(), 'rope_theta', 1e-300))).toContain(
      'field rope_theta is the number 1e-300, expected a number from 1 to 1000000000000',
    );
  });

  test('what the file says is quoted: a terminal would obey it', async () => {
    const hostile = '\u001b[2J\u009b2Jbad';
    for (const [field, value] of [
      ['model_type', hostile],
      ['hidden_act', hostile],
      ['rope_scaling.type', hostile],
      ['architectures', [hostile]],
    ] as const) {
      const other = field === 'model_type' ? withField(flat(), 'architectures', [hostile]) : flat();
      const text = await refused(withField(other, field, value));
      expect(text).toContain('\\u001b[2J\\u009b2Jbad');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
      expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
    }
  });

  test('hidden_size that heads do not divide', async () => {
    const json = withField(withField(flat(), 'num_attention_heads', 6), 'num_key_value_heads', 2);
    expect(await refused(json)).toContain('field hidden_size is 64, not a multiple of num_attention_heads (6)');
  });

  test('mrope_section that does not fill half a head says what would', async () => {
    expect(await refused(withField(flat(), 'rope_scaling.mrope_section', [16, 24, 24]))).toContain(
      'field rope_scaling.mrope_section sums to 64, expected half the head size, 8',
    );
  });

  test('fields of a nested file are named by their path', async () => {
    expect(await refused(nested({ hidden_size: '64' }))).toContain('field text_config.hidden_size is the string "64"');
  });

  test.each([
    ['hidden_act', 'gelu'],
    ['use_sliding_window', true],
    ['layer_types', ['full_attention', 'sliding_attention']],
    ['rope_scaling.type', 'yarn'],
    ['rope_scaling.rope_type', 'dynamic'],
    ['vision_config.hidden_act', 'gelu_pytorch_tanh'],
    ['vision_config.rope_parameters', { rope_theta: 5000 }],
    ['quantization_config', { quant_method: 'awq' }],
  ])('unsupported: %s = %j', async (field, value) => {
    const text = await refused(withField(flat(), field, value));
    expect(text).toMatch(/^E_CONFIG_UNSUPPORTED/);
    expect(text).toContain(`field ${field}`);
    expect(text).toContain('x/config.json');
  });

  test.each([
    [
      { model_type: 'llava', architectures: ['LlavaForConditionalGeneration'] },
      /"llava" \(\["LlavaForConditionalGeneration"\]\)/,
    ],
    [{ model_type: 'llama' }, /"llama"/],
    [{ model_type: undefined, architectures: undefined }, /model_type is missing/],
    [{ architectures: ['Qwen2_5_VLForSequenceClassification'] }, /Qwen2_5_VLForSequenceClassification/],
    [{ architectures: 'x' }, /architectures is the string "x"/],
  ])('another model: %j', async (fields, expected) => {
    const text = await refused({ ...flat(), ...fields });
    expect(text).toMatch(/^E_MODEL_UNSUPPORTED/);
    expect(text).toMatch(expected);
    expect(text).toMatch(/supported: model_type "qwen2_vl" .*"qwen2_5_vl" .*"qwen3_vl"/);
  });

  test('no object, no file, no JSON', async () => {
    expect(await refused([1])).toMatch(/expected a JSON object, found an array/);
    expect((await refusal(() => readConfig(folderOf({})))).code).toBe('E_FILE_MISSING');
    expect((await refusal(() => readConfig(folderOf({ 'config.json': '{' })))).code).toBe('E_JSON_INVALID');
  });

  test('fields are never taken from the prototype', async () => {
    const json = JSON.parse(
      JSON.stringify(flat()).replace('"hidden_size":64,"inter', '"__proto__":{"hidden_size":64},"inter'),
    );
    expect(await refused(json)).toContain('field hidden_size is missing');
  });
});
