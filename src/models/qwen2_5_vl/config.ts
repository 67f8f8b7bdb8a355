/**
 * config.json -> sizes and ids of a Qwen2.5-VL checkpoint, checked before anybody allocates by them.
 * Reads the flat layout of the published checkpoints and the nested one of transformers 5; knows nothing of tensors.
 */
import { join } from 'node:path';
import {
  describe,
  isJsonObject,
  type JsonObject,
  readJsonFile,
  readJsonFileIfPresent,
  shownJson,
} from '../../checkpoint/json_file.ts';
import { SightlineError } from '../../errors.ts';
import { type Fields, fieldsOf } from './config_fields.ts';

export interface TextConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  /** hiddenSize / numAttentionHeads */
  readonly headDim: number;
  readonly vocabSize: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  /** Rotary pairs for time, height, width; they sum to headDim / 2. */
  readonly mropeSection: readonly [number, number, number];
  readonly tieWordEmbeddings: boolean;
  readonly maxPositionEmbeddings: number;
}

export interface VisionConfig {
  readonly depth: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHeads: number;
  readonly inChannels: number;
  /** Width after the merger; equals the text hiddenSize. */
  readonly outHiddenSize: number;
  /** Side of a patch in pixels. */
  readonly patchSize: number;
  readonly spatialMergeSize: number;
  readonly temporalPatchSize: number;
  /** Side of an attention window in pixels. */
  readonly windowSize: number;
  /** Blocks that attend over the whole image instead of windows. */
  readonly fullattBlockIndexes: readonly number[];
  readonly tokensPerSecond: number;
}

export interface Qwen2_5_VLConfig {
  readonly text: TextConfig;
  readonly vision: VisionConfig;
  readonly imageTokenId: number;
  readonly videoTokenId: number;
  readonly visionStartTokenId: number;
  readonly visionEndTokenId: number;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
  /** config.json as read. */
  readonly raw: Record<string, unknown>;
}

/** The `model_type` this engine runs. */
export const MODEL_TYPE = 'qwen2_5_vl';
/** The entry of `architectures` this engine runs. */
export const ARCHITECTURE = 'Qwen2_5_VLForConditionalGeneration';

/**
 * Checks and normalises a parsed config.json.
 *
 * Sizes that every checkpoint states are required; the rest falls back to the defaults of transformers'
 * Qwen2_5_VLTextConfig and Qwen2_5_VLVisionConfig, because transformers leaves out what equals a default.
 *
 * @param where file name for errors
 * Errors: E_CONFIG_INVALID, E_CONFIG_UNSUPPORTED, E_MODEL_UNSUPPORTED, each naming the field.
 */
export function parseConfig(json: unknown, where: string): Qwen2_5_VLConfig {
  if (!isJsonObject(json)) {
    throw new SightlineError('E_CONFIG_INVALID', `expected a JSON object, found ${describe(json)}`, {
      where,
      hint: 'use the config.json the model was published with',
    });
  }
  refuseOtherModels(json, where);
  const top = fieldsOf(json, '', where);
  const nested = top.has('text_config');
  const textFields = nested ? fieldsOf(top.object('text_config'), 'text_config.', where) : top;
  const text = parseText(textFields, top, nested);
  const vision = parseVision(fieldsOf(top.object('vision_config'), 'vision_config.', where), text);

  // Older nested files repeat the ids inside text_config; the top level wins, as in transformers.
  const owner = (name: string): Fields => (top.has(name) ? top : textFields);
  const id = (name: string, fallback: number): number => {
    const value = owner(name).int(name, { min: 0, max: LIMITS.vocab, fallback });
    if (value >= text.vocabSize) {
      throw owner(name).invalid(name, `is ${value}, but vocab_size is ${text.vocabSize}`);
    }
    return value;
  };
  return {
    text,
    vision,
    imageTokenId: id('image_token_id', 151655),
    videoTokenId: id('video_token_id', 151656),
    visionStartTokenId: id('vision_start_token_id', 151652),
    visionEndTokenId: id('vision_end_token_id', 151653),
    eosTokenIds: owner('eos_token_id').ids('eos_token_id', text.vocabSize),
    padTokenId: owner('pad_token_id').ids('pad_token_id', text.vocabSize)[0] ?? null,
    raw: json,
  };
}

/**
 * Reads config.json of a checkpoint folder, and the end-of-sequence and padding ids of generation_config.json if there
 * is one: generation stops at the ids of either file.
 */
export async function readConfig(dir: string): Promise<Qwen2_5_VLConfig> {
  const path = join(dir, 'config.json');
  const config = parseConfig(readJsonFile(path), path);
  const generationPath = join(dir, 'generation_config.json');
  const generation = readJsonFileIfPresent(generationPath);
  if (generation === null) return config;
  const fields = fieldsOf(generation, '', generationPath);
  const eos = fields.ids('eos_token_id', config.text.vocabSize);
  const pad = fields.ids('pad_token_id', config.text.vocabSize)[0] ?? null;
  return {
    ...config,
    eosTokenIds: [...new Set([...eos, ...config.eosTokenIds])],
    padTokenId: config.padTokenId ?? pad,
  };
}

// --- internal ---

/** Far above any real model, far below what would overflow or exhaust memory by a single tensor's shape. */
const LIMITS = { layers: 1024, width: 1 << 18, heads: 4096, vocab: 1 << 24, positions: 2 ** 31, small: 4096 };

/** Beyond these, float32 makes a zero, an infinity or a NaN of them, and then of every logit. */
const EPSILONS = { min: 1e-12, max: 0.1 };
const BASES = { min: 1, max: 1e12 };

function refuseOtherModels(json: JsonObject, where: string): void {
  const supported = `supported: model_type "${MODEL_TYPE}" (Qwen2.5-VL checkpoints, ${ARCHITECTURE})`;
  const architectures = json.architectures ?? [ARCHITECTURE];
  if (json.model_type !== MODEL_TYPE) {
    const named =
      Array.isArray(architectures) && json.architectures !== undefined ? ` (${shownJson(architectures, 80)})` : '';
    const found =
      json.model_type === undefined ? 'field model_type is missing' : `model_type is ${describe(json.model_type)}`;
    throw new SightlineError('E_MODEL_UNSUPPORTED', `unsupported architecture: ${found}${named}`, {
      where,
      hint: supported,
    });
  }
  if (!Array.isArray(architectures) || !architectures.includes(ARCHITECTURE)) {
    throw new SightlineError(
      'E_MODEL_UNSUPPORTED',
      `unsupported architecture: architectures is ${describe(architectures)}`,
      {
        where,
        hint: supported,
      },
    );
  }
  if (json.quantization_config !== undefined && json.quantization_config !== null) {
    throw new SightlineError(
      'E_CONFIG_UNSUPPORTED',
      'field quantization_config is set: quantised weights cannot be read',
      {
        where,
        hint: 'use the float32, float16 or bfloat16 checkpoint',
      },
    );
  }
}

function parseText(fields: Fields, top: Fields, nested: boolean): TextConfig {
  const size = (name: string, max: number, fallback?: number): number => fields.int(name, { min: 1, max, fallback });
  const hiddenSize = size('hidden_size', LIMITS.width);
  const numAttentionHeads = size('num_attention_heads', LIMITS.heads);
  // transformers 4.5x leaves fields that equal its defaults out of a nested text_config: 7B loses vocab_size, 32B both.
  const numKeyValueHeads = fields.isNull('num_key_value_heads')
    ? numAttentionHeads
    : size('num_key_value_heads', LIMITS.heads, nested ? 8 : undefined);
  if (hiddenSize % numAttentionHeads !== 0) {
    throw fields.invalid(
      'hidden_size',
      `is ${hiddenSize}, not a multiple of num_attention_heads (${numAttentionHeads})`,
    );
  }
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    const wanted = `does not divide num_attention_heads (${numAttentionHeads})`;
    throw fields.invalid('num_key_value_heads', `is ${numKeyValueHeads}, which ${wanted}`);
  }
  const headDim = hiddenSize / numAttentionHeads;
  if (headDim % 2 !== 0)
    throw fields.invalid('hidden_size', `gives a head size of ${headDim}; rotary embeddings need an even one`);
  const statedHeadDim = fields.int('head_dim', { min: 1, max: LIMITS.width, fallback: headDim });
  if (statedHeadDim !== headDim) {
    throw fields.invalid('head_dim', `is ${statedHeadDim}, expected hidden_size / num_attention_heads = ${headDim}`);
  }
  requireSilu(fields);
  refuseSlidingWindow(fields);
  return {
    hiddenSize,
    intermediateSize: size('intermediate_size', LIMITS.width * 4),
    numHiddenLayers: size('num_hidden_layers', LIMITS.layers),
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    vocabSize: size('vocab_size', LIMITS.vocab, nested ? 152064 : undefined),
    rmsNormEps: fields.number('rms_norm_eps', { ...EPSILONS, fallback: 1e-5 }),
    ...parseRope(fields, headDim),
    // Either level may hold it, and transformers 5 ties where one of the two says so.
    tieWordEmbeddings: [top, fields].some((level) => level.bool('tie_word_embeddings', false)),
    maxPositionEmbeddings: size('max_position_embeddings', LIMITS.positions, 32768),
  };
}

/** rope_parameters (transformers 5, with rope_theta inside) or rope_scaling + rope_theta (before). */
function parseRope(fields: Fields, headDim: number): Pick<TextConfig, 'ropeTheta' | 'mropeSection'> {
  const name = fields.has('rope_parameters') ? 'rope_parameters' : 'rope_scaling';
  const rope = fields.inner(name);
  for (const key of ['rope_type', 'type']) {
    const type = rope.has(key) ? rope.text(key) : 'default';
    if (type !== 'mrope' && type !== 'default') {
      throw rope.unsupported(
        key,
        `is ${shownJson(type, 60)}, only "mrope" and "default" are`,
        'remove the context extension from config.json',
      );
    }
  }
  const section = rope.ints('mrope_section', { min: 0, max: LIMITS.width });
  const [t, h, w] = section;
  if (section.length !== 3 || t === undefined || h === undefined || w === undefined) {
    throw rope.invalid('mrope_section', `has ${section.length} entries, expected 3 (time, height, width)`);
  }
  if (t + h + w !== headDim / 2) {
    throw rope.invalid('mrope_section', `sums to ${t + h + w}, expected half the head size, ${headDim / 2}`);
  }
  const theta = rope.has('rope_theta') ? rope : fields;
  return { ropeTheta: theta.number('rope_theta', { ...BASES, fallback: 1_000_000 }), mropeSection: [t, h, w] };
}

function refuseSlidingWindow(fields: Fields): void {
  const hint = 'every published Qwen2.5-VL checkpoint has it off';
  if (fields.bool('use_sliding_window', false)) {
    throw fields.unsupported('use_sliding_window', 'is true; sliding-window attention is not', hint);
  }
  const types = fields.has('layer_types') ? fields.array('layer_types') : [];
  const other = types.find((type) => type !== 'full_attention');
  if (other !== undefined)
    throw fields.unsupported('layer_types', `holds ${describe(other)}; only "full_attention" is`, hint);
}

function requireSilu(fields: Fields): void {
  const act = fields.has('hidden_act') ? fields.text('hidden_act') : 'silu';
  if (act !== 'silu')
    throw fields.unsupported('hidden_act', `is ${shownJson(act, 60)}; only "silu" is`, 'use a Qwen2.5-VL checkpoint');
}

function parseVision(fields: Fields, text: TextConfig): VisionConfig {
  const size = (name: string, max: number, fallback?: number): number => fields.int(name, { min: 1, max, fallback });
  requireSilu(fields);
  const hiddenSize = size('hidden_size', LIMITS.width);
  const numHeads = size('num_heads', LIMITS.heads, 16);
  // Half of each head turns by the row, half by the column, in pairs: hence 4.
  if (hiddenSize % (numHeads * 4) !== 0) {
    throw fields.invalid('hidden_size', `is ${hiddenSize}, not a multiple of 4 * num_heads (${numHeads * 4})`);
  }
  const outHiddenSize = size('out_hidden_size', LIMITS.width, 3584);
  if (outHiddenSize !== text.hiddenSize) {
    throw fields.invalid(
      'out_hidden_size',
      `is ${outHiddenSize}, but the language model's hidden_size is ${text.hiddenSize}`,
    );
  }
  const patchSize = size('patch_size', LIMITS.small, 14);
  const spatialMergeSize = size('spatial_merge_size', LIMITS.small, 2);
  const windowSize = size('window_size', LIMITS.width, 112);
  if (windowSize < patchSize * spatialMergeSize) {
    const wanted = `smaller than one merged patch (${patchSize * spatialMergeSize} pixels)`;
    throw fields.invalid('window_size', `is ${windowSize}, ${wanted}`);
  }
  if (fields.has('rope_parameters')) {
    const rope = fields.inner('rope_parameters');
    const theta = rope.number('rope_theta', { ...BASES, fallback: VISION_ROPE_THETA });
    if (theta !== VISION_ROPE_THETA) {
      throw rope.unsupported('rope_theta', `is ${theta}; only ${VISION_ROPE_THETA} is`, 'use a Qwen2.5-VL checkpoint');
    }
  }
  return {
    depth: size('depth', LIMITS.layers, 32),
    hiddenSize,
    intermediateSize: size('intermediate_size', LIMITS.width * 4, 3420),
    numHeads,
    // The published files call it in_chans, transformers in_channels.
    inChannels: size(fields.has('in_channels') ? 'in_channels' : 'in_chans', LIMITS.small, 3),
    outHiddenSize,
    patchSize,
    spatialMergeSize,
    temporalPatchSize: size('temporal_patch_size', LIMITS.small, 2),
    windowSize,
    fullattBlockIndexes: fields.has('fullatt_block_indexes')
      ? fields.ints('fullatt_block_indexes', { min: 0, max: LIMITS.layers })
      : [7, 15, 23, 31],
    tokensPerSecond: fields.number('tokens_per_second', { min: 0.001, max: 1000, fallback: 4 }),
  };
}

/** Base of the vision tower's rotary embedding; a constant of the architecture. */
const VISION_ROPE_THETA = 10000;
