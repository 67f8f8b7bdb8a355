/**
 * Encodes a conversation with images as model input: token ids with image pads expanded, patches, the system block's length.
 * Combines tokenizer, chat template and image processor. Knows nothing of weights, rewards or dataset files.
 */
import type { ImageSource } from '../data/image_source.ts';
import { countImages, isEmpty, type Message, partsOf } from '../data/messages.ts';
import { SightlineError } from '../errors.ts';
import type { ModelConfig } from '../models/architecture.ts';
import {
  checkAgainstVision,
  type ImageLimits,
  readImageProcessorConfig,
  visualTokens,
} from '../models/image_processing.ts';
import type { JsonObject } from '../util/json.ts';
import { readChatTemplate } from './chat_template.ts';
import { createControlTokenEscape } from './escape_control_tokens.ts';
import type { GroundingOptions } from './grounding.ts';
import type { ProcessedImage } from './image_cache.ts';
import { createImageLoader, type ImageLoaderOptions } from './image_loader.ts';
import { checkPads, expand, systemBlock, withoutSystemBlock } from './rendered_text.ts';
import { specialNames, specialVariables } from './special_tokens.ts';
import { isFarTooLong } from './text_length_check.ts';
import { concat, type DecodeOptions, readTokenizer, type StreamDecoder, type Tokenizer } from './tokenizer.ts';
import { rendersTools, toolsUnsupported } from './tools.ts';
import { checkMessages, protectDeep, textsIn, textsOf, withSystem, writer } from './written_messages.ts';

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

export interface TemplateOptions extends ImageLimits, GroundingOptions, ImageLoaderOptions {
  /** System prompt for conversations without one. As in ms-swift, a row's own system prompt takes precedence. */
  readonly system?: string | undefined;
  /** Maximum number of prompt tokens; default the model's max_position_embeddings. */
  readonly maxLength?: number | undefined;
}

/** Opens the template of a checkpoint folder. Errors: those of the readers of tokenizer, chat template and image processor. */
export async function openTemplate(dir: string, config: ModelConfig, options: TemplateOptions = {}): Promise<Template> {
  const tokenizer = readTokenizer(dir, config.text.vocabSize);
  const chat = readChatTemplate(dir);
  const processor = readImageProcessorConfig(dir, options);
  checkAgainstVision(processor, config.vision, dir);
  const load = createImageLoader(processor, options);
  const grounding = { ...options, normBbox: options.normBbox ?? config.architecture.normBbox };
  const maxLength = options.maxLength ?? config.text.maxPositionEmbeddings;
  const names = specialNames(tokenizer, config, dir);
  const variables = specialVariables(dir);

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
