/**
 * Encodes a conversation with images as model input: token ids with image pads expanded, patches, the system block's length.
 * Combines tokenizer, chat template and image processor. Knows nothing of weights, rewards or dataset files.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { readJsonFileIfPresent } from '../checkpoint/json_file.ts';
import { decodeImage } from '../data/image_decode.ts';
import { type ImageSource, nameOfSource, readImageBytes } from '../data/image_source.ts';
import { type ContentPart, countImages, isEmpty, type Message, partsOf, ROLES } from '../data/messages.ts';
import type { AlphaMode } from '../data/rgb.ts';
import { SightlineError } from '../errors.ts';
import type { ModelConfig } from '../models/architecture.ts';
import {
  checkAgainstVision,
  gridOf,
  type ImageLimits,
  type ImageProcessorConfig,
  patchElements,
  readImageProcessorConfig,
  resizeToGrid,
  visualTokens,
  writePatches,
} from '../models/image_processing.ts';
import type { RgbImage } from '../models/image_resize.ts';
import { isJsonObject, type JsonObject } from '../util/json.ts';
import { createExclusive } from '../util/mutex.ts';
import { type ChatTemplate, readChatTemplate } from './chat_template.ts';
import { type ControlTokenEscape, createControlTokenEscape } from './escape_control_tokens.ts';
import { boxText, type GroundingOptions, refText, sizeFor } from './grounding.ts';
import { createImageCache, type ProcessedImage } from './image_cache.ts';
import { isFarTooLong } from './text_length_check.ts';
import { concat, type DecodeOptions, readTokenizer, type StreamDecoder, type Tokenizer } from './tokenizer.ts';

export interface EncodedPrompt {
  /** As rendered by the chat template, before image pads are expanded. */
  readonly text: string;
  /** [tokens]; image pads expanded to one per visual token. */
  readonly ids: Int32Array;
  /** In the order of their pads. */
  readonly images: readonly ProcessedImage[];
  /** Tokens of the system block, including its `<|im_end|>` and line break; 0 if there is none. */
  readonly systemPrefix: number;
}

/** Context for error messages. */
export interface ErrorOptions {
  /** The dataset row. */
  readonly where?: string;
  /** The hint for a prompt that is too long. It names flags of the running command. */
  readonly tooLongHint?: string;
}

export interface EncodeOptions extends ErrorOptions {
  /** JSON schemas of tools, which the chat template lists. */
  readonly tools?: readonly JsonObject[];
}

export interface Template {
  readonly tokenizer: Tokenizer;
  /** The token that ends an assistant turn. */
  readonly endOfTurnId: number;
  /** Image, video and vision tokens, ascending. They must never be sampled. */
  readonly visionTokenIds: readonly number[];
  /**
   * Encodes the prompt for the next assistant turn. As in ms-swift, an empty system message leaves the system block out, even
   * the template's default one.
   *
   * Errors: E_IMAGE_COUNT, E_PROMPT_TOO_LONG, E_MESSAGES_INVALID, E_TOOLS_UNSUPPORTED, those of the chat template, of the
   * image sources and of the image processor.
   */
  encode(messages: readonly Message[], images: readonly ImageSource[], options?: EncodeOptions): Promise<EncodedPrompt>;
  /**
   * The token ids [tokens] of an answer, for teacher forcing: its text without control tokens, names and boxes of objects as
   * the model writes them, then `endOfTurnId`. Error: E_MESSAGES_INVALID.
   *
   * @param images images of the prompt, which boxes refer to
   */
  encodeAnswer(answer: Message, images: EncodedPrompt['images'], where?: string): Int32Array;
  /**
   * Refuses an answer that far exceeds the longest possible prompt before it is encoded, because encoding takes seconds per
   * megabyte. `encode` does the same for prompts. Error: E_PROMPT_TOO_LONG.
   */
  refuseFarTooLong(answer: Message, errors?: ErrorOptions): Promise<void>;
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  streamDecoder(options?: DecodeOptions): StreamDecoder;
  close(): Promise<void>;
}

/** Default of `imageCacheBytes`. */
export const IMAGE_CACHE_BYTES = 64 * 2 ** 20;

export interface TemplateOptions extends ImageLimits, GroundingOptions {
  /** System prompt for conversations without one. As in ms-swift, a row's own system prompt takes precedence. */
  readonly system?: string | undefined;
  /** Maximum number of prompt tokens; default the model's max_position_embeddings. */
  readonly maxLength?: number | undefined;
  /** Budget for resized images kept in memory, at 3 bytes a pixel. */
  readonly imageCacheBytes?: number | undefined;
  /** How transparent parts of images are handled; default white. */
  readonly imageAlpha?: AlphaMode | undefined;
  /** Gets a notice when the first image is composited on white. */
  readonly tell?: ((text: string) => void) | undefined;
}

/** Opens the template of a checkpoint folder. Errors: those of the readers of tokenizer, chat template and image processor. */
export async function openTemplate(dir: string, config: ModelConfig, options: TemplateOptions = {}): Promise<Template> {
  const tokenizer = readTokenizer(dir, config.text.vocabSize);
  const chat = readChatTemplate(dir);
  const processor = readImageProcessorConfig(dir, options);
  checkAgainstVision(processor, config.vision, dir);
  const cache = createImageCache(options.imageCacheBytes ?? IMAGE_CACHE_BYTES);
  const grounding = { ...options, normBbox: options.normBbox ?? config.architecture.normBbox };
  const maxLength = options.maxLength ?? config.text.maxPositionEmbeddings;
  const names = specialNames(tokenizer, config, dir);
  const variables = specialVariables(dir);
  const alpha = options.imageAlpha ?? 'white';
  const processing = JSON.stringify({ processor, alpha });
  let hasToldOfWhiteGround = false;
  const tellOfWhiteGround = (name: string): void => {
    if (!hasToldOfWhiteGround) options.tell?.(whiteGroundText(name));
    hasToldOfWhiteGround = true;
  };

  // One image at a time: the decoded pixels of a whole batch would take many times the memory of the resized ones.
  const oneByOne = createExclusive();
  const load = async (source: ImageSource): Promise<ProcessedImage> => {
    const bytes = await readImageBytes(source);
    const hash = createHash('sha256').update(processing).update(bytes).digest('hex');
    return cache.get(hash, () =>
      oneByOne(async () => {
        const name = nameOfSource(source);
        const pixels = await decodeImage(bytes, { name, where: source.where, alpha });
        if (pixels.hasWhiteGround) tellOfWhiteGround(name);
        const resized = await resizeToGrid(pixels, processor, source.where);
        return { image: processedImage(pixels, resized, processor, hash), bytes: resized.data.byteLength };
      }),
    );
  };

  const refuseTexts = async (texts: readonly string[], errors: ErrorOptions): Promise<void> => {
    const isLong = await isFarTooLong(texts, maxLength, (text) => tokenizer.encodeText(text).length);
    if (isLong) throw farTooLong(maxLength, errors);
  };

  const encode: Template['encode'] = async (messages, sources, { tools = [], where, tooLongHint } = {}) => {
    checkMessages(messages, where);
    if (tools.length > 0 && !rendersTools(chat)) throw toolsUnsupported(chat, where);
    const conversation = withSystem(messages, options.system);
    const places = countImages(conversation);
    if (places !== sources.length) throw wrongCount(places, sources.length, where);
    const texts = [...textsOf(conversation), ...textsIn(tools)];
    await refuseTexts(texts, { where, tooLongHint });
    const escaping = createControlTokenEscape([...tokenizer.special.keys()], texts, chat.source);
    const images = await Promise.all(sources.map(load));
    const written = conversation.map(({ role, content }) => ({
      role,
      content:
        typeof content === 'string'
          ? escaping.protect(content)
          : content.map(writer(escaping, images, grounding, where)),
    }));
    const whole = await chat.render({
      ...variables,
      messages: written,
      add_generation_prompt: true,
      ...(tools.length === 0 ? {} : { tools: protectDeep(tools, escaping) }),
    });
    const [first] = conversation;
    const isWithoutSystem = first?.role === 'system' && isEmpty(first) && tools.length === 0;
    const rendered = isWithoutSystem ? withoutSystemBlock(whole, chat) : whole;
    checkPads(rendered, names, sources.length, chat);
    const pads = images.map(({ gridThw }) => visualTokens(gridThw, config.vision.spatialMergeSize));
    const ids = expand(tokenizer.encodeTrusted(rendered, escaping.restore), config.imageTokenId, pads);
    if (ids.length > maxLength) throw tooLong(ids.length, maxLength, pads, { where, tooLongHint });
    const system = systemBlock(rendered);
    const systemIds = expand(tokenizer.encodeTrusted(system, escaping.restore), config.imageTokenId, pads);
    return { text: escaping.restore(rendered), ids, images, systemPrefix: systemIds.length };
  };

  const encodeAnswer: Template['encodeAnswer'] = (answer, images, where) => {
    const escaping = createControlTokenEscape([...tokenizer.special.keys()], textsOf([answer]), '');
    const parts = partsOf(answer.content).map(writer(escaping, images, grounding, where));
    const text = parts.map((part) => {
      if (part.type === 'text') return part.text;
      throw new SightlineError('E_MESSAGES_INVALID', 'an answer holds an image; only prompts do', { where });
    });
    return concat([tokenizer.encodeTrusted(text.join(''), escaping.restore), Int32Array.of(names.endOfTurnId)]);
  };

  return {
    tokenizer,
    endOfTurnId: names.endOfTurnId,
    visionTokenIds: names.visionTokenIds,
    encode,
    encodeAnswer,
    refuseFarTooLong: (answer, errors = {}) => refuseTexts(textsOf([answer]), errors),
    decode: tokenizer.decode,
    streamDecoder: tokenizer.streamDecoder,
    close: () => chat.close(),
  };
}

// --- internal ---

const TURN_START = '<|im_start|>';
const TURN_END = '<|im_end|>';

interface SpecialNames {
  readonly imagePad: string;
  readonly videoPad: string | undefined;
  readonly endOfTurnId: number;
  readonly visionTokenIds: readonly number[];
}

/** Patches take eight times the bytes of the pixels and are rarely needed twice, so they are computed at each access. */
function processedImage(
  { width, height }: RgbImage,
  resized: RgbImage,
  processor: ImageProcessorConfig,
  hash: string,
): ProcessedImage {
  const writePixels = (target: Float32Array): void => writePatches(resized, processor, target);
  return {
    hash,
    gridThw: gridOf(resized, processor),
    size: { stored: { width, height }, shown: { width: resized.width, height: resized.height } },
    writePixels,
    get pixelValues() {
      const patches = new Float32Array(patchElements(resized, processor));
      writePixels(patches);
      return patches;
    },
  };
}

function specialNames({ special }: Tokenizer, config: ModelConfig, where: string): SpecialNames {
  const nameOf = new Map([...special].map(([name, id]) => [id, name]));
  const imagePad = nameOf.get(config.imageTokenId);
  const endOfTurnId = special.get(TURN_END);
  if (imagePad === undefined || endOfTurnId === undefined) {
    const missing = imagePad === undefined ? `with image_token_id ${config.imageTokenId}` : TURN_END;
    throw new SightlineError('E_TOKENIZER_INVALID', `the tokenizer has no special token ${missing}`, {
      where,
      hint: 'tokenizer files (tokenizer_config.json among them) and config.json come from different checkpoints; fetch the folder again',
    });
  }
  const { imageTokenId, videoTokenId, visionStartTokenId, visionEndTokenId } = config;
  const named = [...special].filter(([name]) => /^<\|(vision|image|video)_\w+\|>$/.test(name)).map(([, id]) => id);
  const vision = new Set([imageTokenId, videoTokenId, visionStartTokenId, visionEndTokenId, ...named]);
  return {
    imagePad,
    videoPad: nameOf.get(videoTokenId),
    endOfTurnId,
    visionTokenIds: [...vision].sort((a, b) => a - b),
  };
}

/** Names such as `bos_token` that templates may use, as transformers passes them. */
function specialVariables(dir: string): Record<string, string> {
  const config = readJsonFileIfPresent(join(dir, 'tokenizer_config.json')) ?? {};
  const entries = ['bos_token', 'eos_token', 'pad_token', 'unk_token'].flatMap((name): [string, string][] => {
    const value = config[name];
    const text = isJsonObject(value) ? value.content : value;
    return typeof text === 'string' ? [[name, text]] : [];
  });
  return Object.fromEntries(entries);
}

/** A role is written next to control tokens without escaping, so only known roles are accepted. */
function checkMessages(messages: readonly Message[], where: string | undefined): void {
  if (messages.length === 0) {
    throw new SightlineError('E_MESSAGES_INVALID', 'the conversation has no messages', { where });
  }
  const unknown = messages.find(({ role }) => !ROLES.includes(role));
  if (unknown !== undefined) {
    throw new SightlineError(
      'E_MESSAGES_INVALID',
      `role is ${JSON.stringify(unknown.role)}, expected ${ROLES.join(', ')}`,
      {
        where,
      },
    );
  }
}

function withSystem(messages: readonly Message[], system: string | undefined): readonly Message[] {
  if (system === undefined || messages[0]?.role === 'system') return messages;
  return [{ role: 'system', content: system }, ...messages];
}

function textsOf(messages: readonly Message[]): string[] {
  return messages.flatMap(({ content }) =>
    partsOf(content).flatMap((part) => (part.type === 'text' || part.type === 'ref' ? [part.text] : [])),
  );
}

/** All texts in a JSON value, including the names of fields. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...textsIn(inner)]);
}

function protectDeep(value: unknown, escaping: ControlTokenEscape): unknown {
  if (typeof value === 'string') return escaping.protect(value);
  if (Array.isArray(value)) return value.map((inner) => protectDeep(inner, escaping));
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [escaping.protect(key), protectDeep(inner, escaping)]),
  );
}

/** A message part as the chat template sees it: text or an image without its content. */
type WrittenPart = { readonly type: 'text'; readonly text: string } | { readonly type: 'image' };

/** Makes a function that writes parts for the template. Control tokens come only from object names and boxes, around escaped text. */
function writer(
  escaping: ControlTokenEscape,
  images: readonly ProcessedImage[],
  grounding: Parameters<typeof boxText>[2],
  where: string | undefined,
): (part: ContentPart) => WrittenPart {
  const sizes = images.map(({ size }) => size);
  return (part) => {
    if (part.type === 'image') return { type: 'image' };
    if (part.type === 'text') return { type: 'text', text: escaping.protect(part.text) };
    if (part.type === 'ref') return { type: 'text', text: refText(escaping.protect(part.text), grounding) };
    return { type: 'text', text: boxText(part, sizeFor(part, sizes, where), grounding) };
  };
}

/** Whether a chat template lists tools. A template that does not mention them would drop them silently. */
export function rendersTools({ source }: Pick<ChatTemplate, 'source'>): boolean {
  return /\btools\b/.test(source);
}

/** The error for a row with tools if the template does not list them. */
export function toolsUnsupported(
  { where: template }: Pick<ChatTemplate, 'where'>,
  where: string | undefined,
): SightlineError {
  return new SightlineError(
    'E_TOOLS_UNSUPPORTED',
    `the row has "tools", but the chat template ${template} does not list tools`,
    {
      where,
      hint: 'describe the tools in the system message, or use a chat template that renders `tools`',
    },
  );
}

/** Removes the empty system block from the rendered text. */
function withoutSystemBlock(rendered: string, chat: ChatTemplate): string {
  const block = `${TURN_START}system\n${TURN_END}\n`;
  if (rendered.startsWith(block)) return rendered.slice(block.length);
  throw new SightlineError(
    'E_TEMPLATE_INVALID',
    'the chat template does not write an empty system block for an empty system message',
    {
      where: chat.where,
      hint: 'use a system prompt that is not empty, or the template that the model was published with',
    },
  );
}

const whiteGroundText = (name: string): string =>
  `images with transparent parts are put on a white background; the first one is ${name}. --image_alpha drop ignores the transparency instead`;

/** The leading system block of the rendered text, including its end; empty if there is none. */
function systemBlock(rendered: string): string {
  if (!rendered.startsWith(`${TURN_START}system`)) return '';
  const end = rendered.indexOf(`${TURN_END}\n`);
  return end === -1 ? '' : rendered.slice(0, end + TURN_END.length + 1);
}

/** Repeats each image pad once per visual token of its image. */
function expand(ids: Int32Array, imageTokenId: number, pads: readonly number[]): Int32Array {
  let image = 0;
  const parts: Int32Array[] = [];
  let from = 0;
  for (let at = ids.indexOf(imageTokenId); at !== -1; at = ids.indexOf(imageTokenId, at + 1)) {
    parts.push(ids.subarray(from, at), new Int32Array(pads[image++]!).fill(imageTokenId));
    from = at + 1;
  }
  return concat([...parts, ids.subarray(from)]);
}

function checkPads(rendered: string, names: SpecialNames, images: number, chat: ChatTemplate): void {
  const pads = rendered.split(names.imagePad).length - 1;
  const videos = names.videoPad === undefined ? 0 : rendered.split(names.videoPad).length - 1;
  if (pads === images && videos === 0) return;
  throw new SightlineError(
    'E_TEMPLATE_INVALID',
    `the chat template wrote ${pads} image and ${videos} video pads for ${images} images`,
    {
      where: chat.where,
      hint: 'use the template that the model was published with',
    },
  );
}

function wrongCount(tags: number, images: number, where: string | undefined): SightlineError {
  return new SightlineError('E_IMAGE_COUNT', `the messages have ${tags} <image> tags, but there are ${images} images`, {
    where,
    hint: 'put one <image> into the text for each image',
  });
}

function tooLong(
  length: number,
  limit: number,
  pads: readonly number[],
  { where, tooLongHint }: ErrorOptions,
): SightlineError {
  const visual = pads.reduce((sum, count) => sum + count, 0);
  return new SightlineError(
    'E_PROMPT_TOO_LONG',
    `the prompt has ${length} tokens (${visual} of them visual); the limit is ${limit}`,
    { where, hint: tooLongHint ?? (visual > length / 2 ? 'lower --max_pixels' : 'shorten the text') },
  );
}

function farTooLong(limit: number, { where, tooLongHint }: ErrorOptions): SightlineError {
  const message = `the text has more than ${2 * limit} tokens; the limit is ${limit}`;
  return new SightlineError('E_PROMPT_TOO_LONG', message, { where, hint: tooLongHint ?? 'shorten the text' });
}
