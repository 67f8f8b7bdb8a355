/**
 * The demo's tokenizer and processor files, in the layout of the published Qwen2.5-VL checkpoints.
 * Knows special tokens, the chat template and pixel limits, not weights.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFolderAtomically } from '../checkpoint/atomic_folder.ts';
import { SightlineError } from '../errors.ts';
import { QWEN2_SPLIT } from '../template/split_pattern.ts';
import { type Bpe, trainBpe } from './bpe.ts';
import { SYSTEM_PROMPT } from './questions.ts';
import { demoSample } from './rows.ts';

/** In Qwen2.5-VL's order. Their ids follow the last BPE token. */
export const SPECIAL_TOKENS = [
  '<|endoftext|>',
  '<|im_start|>',
  '<|im_end|>',
  '<|vision_start|>',
  '<|vision_end|>',
  '<|vision_pad|>',
  '<|image_pad|>',
  '<|video_pad|>',
] as const;
export type SpecialToken = (typeof SPECIAL_TOKENS)[number];

/** Entries of the tokenizer, including special tokens. */
export const TOKENIZER_SIZE = 400;
/** Rows of the embedding table: the tokenizer's entries rounded up to a multiple of 64. */
export const EMBEDDING_ROWS = 448;

const TRAINING_ROWS = 3000;
/** Limits of the image processor in pixels: 4 to 1024 merged patches of 28 x 28. */
const MIN_PIXELS = 4 * 28 * 28;
const MAX_PIXELS = 1024 * 28 * 28;

/** The id of a special token. */
export function specialId(token: SpecialToken): number {
  return TOKENIZER_SIZE - SPECIAL_TOKENS.length + SPECIAL_TOKENS.indexOf(token);
}

/**
 * A chat template that behaves like Qwen2.5-VL's. It writes a system block first, a default one if none is given. Every image
 * or video becomes one placeholder between vision tokens, and `add_vision_id` numbers them. The default system prompt is the
 * one that this model is trained with.
 */
export const CHAT_TEMPLATE = `{%- set media = namespace(images=0, videos=0) -%}
{%- if messages and messages[0]['role'] != 'system' -%}
{{- '<|im_start|>system\\n${SYSTEM_PROMPT}<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['content'] is string -%}
{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' or 'image' in part or 'image_url' in part -%}
{%- set media.images = media.images + 1 -%}
{%- if add_vision_id -%}{{- 'Picture ' ~ media.images ~ ': ' -}}{%- endif -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- elif part['type'] == 'video' or 'video' in part -%}
{%- set media.videos = media.videos + 1 -%}
{%- if add_vision_id -%}{{- 'Video ' ~ media.videos ~ ': ' -}}{%- endif -%}
{{- '<|vision_start|><|video_pad|><|vision_end|>' -}}
{%- elif 'text' in part -%}
{{- part['text'] -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
`;

/**
 * Trains the tokenizer on generated rows and writes tokenizer.json, tokenizer_config.json, chat_template.json and
 * preprocessor_config.json. Equal seeds give equal bytes.
 *
 * @throws SightlineError E_OUTPUT_EXISTS if the folder exists.
 */
export async function writeTokenizer(options: { readonly seed: number; readonly outputDir: string }): Promise<void> {
  await writeFolderAtomically(options.outputDir, async (dir) => {
    for (const [name, content] of Object.entries(tokenizerFiles(options.seed))) {
      await writeFile(join(dir, name), `${JSON.stringify(content, null, 2)}\n`);
    }
  });
}

/** Content of each tokenizer and processor file by name. */
export function tokenizerFiles(seed: number): Record<string, unknown> {
  return {
    'tokenizer.json': tokenizerJson(trainDemoBpe(seed)),
    'tokenizer_config.json': tokenizerConfig(),
    'chat_template.json': { chat_template: CHAT_TEMPLATE },
    'preprocessor_config.json': preprocessorConfig(),
  };
}

// --- internal ---

/** Trains on supervised rows as the chat template renders them, without special tokens. */
function trainDemoBpe(seed: number): Bpe {
  const size = TOKENIZER_SIZE - SPECIAL_TOKENS.length;
  const bpe = trainBpe(trainingTexts(seed), size);
  const learnt = Object.keys(bpe.vocab).length;
  if (learnt !== size) {
    throw new SightlineError('E_DEMO_TOKENIZER', `the demo text gives ${learnt} tokens, expected ${size}`, {
      where: `seed ${seed}`,
      hint: 'use another seed',
    });
  }
  return bpe;
}

function* trainingTexts(seed: number): Generator<string> {
  for (let index = 0; index < TRAINING_ROWS; index++) {
    yield* [`system\n`, SYSTEM_PROMPT, '\n'];
    for (const { role, content } of demoSample('sft', seed, index).row.messages) {
      yield* [`${role}\n`, content.replace('<image>', ''), '\n'];
    }
  }
}

function tokenizerJson(bpe: Bpe): unknown {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content) => ({ id: specialId(content), ...addedToken(content) })),
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: QWEN2_SPLIT }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    post_processor: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: bpe.vocab,
      merges: bpe.merges,
    },
  };
}

function tokenizerConfig(): unknown {
  const decoder = SPECIAL_TOKENS.map((content) => [String(specialId(content)), addedToken(content)]);
  return {
    add_bos_token: false,
    add_prefix_space: false,
    added_tokens_decoder: Object.fromEntries(decoder),
    additional_special_tokens: SPECIAL_TOKENS.slice(1),
    bos_token: null,
    chat_template: CHAT_TEMPLATE,
    clean_up_tokenization_spaces: false,
    eos_token: '<|im_end|>',
    errors: 'replace',
    model_max_length: 4096,
    pad_token: '<|endoftext|>',
    split_special_tokens: false,
    tokenizer_class: 'Qwen2Tokenizer',
    unk_token: null,
  };
}

function addedToken(content: SpecialToken) {
  return { content, lstrip: false, normalized: false, rstrip: false, single_word: false, special: true };
}

/** Mean and deviation are CLIP's, as in all Qwen2-VL checkpoints. */
function preprocessorConfig(): unknown {
  return {
    min_pixels: MIN_PIXELS,
    max_pixels: MAX_PIXELS,
    patch_size: 14,
    temporal_patch_size: 2,
    merge_size: 2,
    image_mean: [0.48145466, 0.4578275, 0.40821073],
    image_std: [0.26862954, 0.26130258, 0.27577711],
    image_processor_type: 'Qwen2VLImageProcessor',
    processor_class: 'Qwen2_5_VLProcessor',
  };
}
