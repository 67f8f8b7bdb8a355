/**
 * Parses the config.json of a Qwen-VL model, and checks it before anything is allocated by it: the decoder's sizes, token
 * ids, and the fields that the vision towers share. Reads the flat layout of the published checkpoints and the nested one
 * of transformers 5. Knows nothing about tensors.
 */
import { describe, type JsonObject, shownJson } from '../../util/json.ts';
import type { ModelConfig, TextConfig } from '../architecture.ts';
import { type Fields, fieldsOf } from '../config_fields.ts';
import { VISION_ROPE_THETA } from './vision_layout.ts';

/** Upper bounds: far above any real model, and low enough that no single tensor's shape overflows or exhausts memory. */
export const LIMITS = { layers: 1024, width: 1 << 18, heads: 4096, vocab: 1 << 24, positions: 2 ** 31, small: 4096 };

/** Defaults of a text config in transformers, which omits fields equal to them from a nested text_config. */
export interface TextDefaults {
  readonly vocabSize: number;
  /** Null: as many as query heads. */
  readonly numKeyValueHeads: number | null;
  /** Null: always hidden_size / num_attention_heads. */
  readonly headDim: number | null;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly maxPositionEmbeddings: number;
  /** Whether the rotary pairs of the three axes alternate; config.json has no field for it. */
  readonly mropeInterleaved?: true;
}

/** The defaults of Qwen2VLTextConfig and Qwen2_5_VLTextConfig. */
export const QWEN2_TEXT: TextDefaults = {
  vocabSize: 152064,
  numKeyValueHeads: 8,
  headDim: null,
  rmsNormEps: 1e-5,
  ropeTheta: 1_000_000,
  maxPositionEmbeddings: 32768,
};

/** The differences between the architectures of this family, for `parseQwenConfig`. */
export interface ConfigFamily<V> {
  /** Name for messages, e.g. "Qwen2.5-VL". */
  readonly title: string;
  readonly text: TextDefaults;
  readonly vision: (fields: Fields, text: TextConfig) => V;
}

/**
 * Checks and normalises a parsed config.json.
 *
 * Sizes that every checkpoint states are required; other fields fall back to the defaults of transformers' config classes.
 *
 * @param where file name for errors
 * Errors: E_CONFIG_INVALID, E_CONFIG_UNSUPPORTED, each naming the field.
 */
export function parseQwenConfig<V extends ModelConfig['vision']>(
  json: JsonObject,
  where: string,
  family: ConfigFamily<V>,
): Omit<ModelConfig, 'architecture'> & { readonly vision: V } {
  const top = fieldsOf(json, '', where);
  const nested = top.has('text_config');
  const textFields = nested ? fieldsOf(top.object('text_config'), 'text_config.', where) : top;
  const text = parseText(textFields, top, nested, family);
  const vision = family.vision(fieldsOf(top.object('vision_config'), 'vision_config.', where), text);

  // Older nested files repeat the ids inside text_config; the top level takes precedence, as in transformers.
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

/** Refuses an activation other than the one that the architecture uses. */
export function requireActivation(fields: Fields, expected: string, title: string): void {
  const act = fields.has('hidden_act') ? fields.text('hidden_act') : expected;
  if (act !== expected)
    throw fields.unsupported(
      'hidden_act',
      `is ${shownJson(act, 60)}; only "${expected}" is`,
      `use a ${title} checkpoint`,
    );
}

/** Refuses another rotary base than the constant of the vision towers; config.json may state it. */
export function requireVisionTheta(fields: Fields, title: string): void {
  if (!fields.has('rope_parameters')) return;
  const rope = fields.inner('rope_parameters');
  const theta = rope.number('rope_theta', { ...BASES, fallback: VISION_ROPE_THETA });
  if (theta !== VISION_ROPE_THETA)
    throw rope.unsupported('rope_theta', `is ${theta}; only ${VISION_ROPE_THETA} is`, `use a ${title} checkpoint`);
}

/** The fields about patches, which all vision configs share. */
export function patchFields(fields: Fields, defaults: { readonly patchSize: number }) {
  const size = (name: string, fallback: number): number => fields.int(name, { min: 1, max: LIMITS.small, fallback });
  return {
    // Called in_chans in the published files, in_channels in transformers.
    inChannels: size(fields.has('in_channels') ? 'in_channels' : 'in_chans', 3),
    patchSize: size('patch_size', defaults.patchSize),
    spatialMergeSize: size('spatial_merge_size', 2),
    temporalPatchSize: size('temporal_patch_size', 2),
  };
}

/** Rotary embedding turns half of each head by rows and half by columns, in pairs, so a head's width is a multiple of 4. */
export function requireRotaryWidth(fields: Fields, name: string, hiddenSize: number, numHeads: number): void {
  if (hiddenSize % (numHeads * 4) !== 0)
    throw fields.invalid(name, `is ${hiddenSize}, not a multiple of 4 * num_heads (${numHeads * 4})`);
}

/** Refuses a merger whose output width is not the decoder's width. */
export function requireTextWidth(fields: Fields, name: string, width: number, text: TextConfig): void {
  if (width !== text.hiddenSize)
    throw fields.invalid(name, `is ${width}, but the language model's hidden_size is ${text.hiddenSize}`);
}

// --- internal ---

/** Beyond these bounds float32 yields zeros, infinities or NaN, and with them all logits are useless. */
const EPSILONS = { min: 1e-12, max: 0.1 };
const BASES = { min: 1, max: 1e12 };

function parseText(
  fields: Fields,
  top: Fields,
  nested: boolean,
  { text: defaults, title }: Pick<ConfigFamily<unknown>, 'text' | 'title'>,
): TextConfig {
  const size = (name: string, max: number, fallback?: number): number => fields.int(name, { min: 1, max, fallback });
  const hiddenSize = size('hidden_size', LIMITS.width);
  const numAttentionHeads = size('num_attention_heads', LIMITS.heads);
  // transformers 4.5x omits fields equal to its defaults from a nested text_config: vocab_size for 7B, both for 32B.
  const keyValueDefault = defaults.numKeyValueHeads ?? numAttentionHeads;
  const numKeyValueHeads = fields.isNull('num_key_value_heads')
    ? numAttentionHeads
    : size('num_key_value_heads', LIMITS.heads, nested ? keyValueDefault : undefined);
  if (defaults.headDim === null && hiddenSize % numAttentionHeads !== 0) {
    throw fields.invalid(
      'hidden_size',
      `is ${hiddenSize}, not a multiple of num_attention_heads (${numAttentionHeads})`,
    );
  }
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    const wanted = `does not divide num_attention_heads (${numAttentionHeads})`;
    throw fields.invalid('num_key_value_heads', `is ${numKeyValueHeads}, which ${wanted}`);
  }
  const headDim = headDimOf(fields, hiddenSize / numAttentionHeads, defaults.headDim);
  requireActivation(fields, 'silu', title);
  refuseSlidingWindow(fields, title);
  return {
    hiddenSize,
    intermediateSize: size('intermediate_size', LIMITS.width * 4),
    numHiddenLayers: size('num_hidden_layers', LIMITS.layers),
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    vocabSize: size('vocab_size', LIMITS.vocab, nested ? defaults.vocabSize : undefined),
    rmsNormEps: fields.number('rms_norm_eps', { ...EPSILONS, fallback: defaults.rmsNormEps }),
    ...parseRope(fields, headDim, defaults.ropeTheta),
    ...(defaults.mropeInterleaved ? { mropeInterleaved: true } : {}),
    // Either level may have the field, and transformers 5 ties the head if one of the two says so.
    tieWordEmbeddings: [top, fields].some((level) => level.bool('tie_word_embeddings', false)),
    maxPositionEmbeddings: size('max_position_embeddings', LIMITS.positions, defaults.maxPositionEmbeddings),
  };
}

/** @param fixed default width of heads if it is not hidden_size / num_attention_heads; the file may state another one */
function headDimOf(fields: Fields, derived: number, fixed: number | null): number {
  const headDim = fields.int('head_dim', { min: 1, max: LIMITS.width, fallback: fixed ?? derived });
  if (fixed === null && headDim !== derived)
    throw fields.invalid('head_dim', `is ${headDim}, expected hidden_size / num_attention_heads = ${derived}`);
  if (headDim % 2 !== 0) {
    const [name, gives] = fixed === null ? ['hidden_size', 'gives a head size of'] : ['head_dim', 'is'];
    throw fields.invalid(name!, `${gives} ${headDim}; rotary embeddings need an even one`);
  }
  return headDim;
}

/** rope_parameters (transformers 5, with rope_theta inside) or rope_scaling + rope_theta (before). */
function parseRope(
  fields: Fields,
  headDim: number,
  defaultTheta: number,
): Pick<TextConfig, 'ropeTheta' | 'mropeSection'> {
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
  return {
    ropeTheta: theta.number('rope_theta', { ...BASES, fallback: defaultTheta }),
    mropeSection: [t, h, w],
  };
}

function refuseSlidingWindow(fields: Fields, title: string): void {
  const hint = `every published ${title} checkpoint has it off`;
  if (fields.bool('use_sliding_window', false)) {
    throw fields.unsupported('use_sliding_window', 'is true; sliding-window attention is not', hint);
  }
  const types = fields.has('layer_types') ? fields.array('layer_types') : [];
  const other = types.find((type) => type !== 'full_attention');
  if (other !== undefined)
    throw fields.unsupported('layer_types', `holds ${describe(other)}; only "full_attention" is`, hint);
}
