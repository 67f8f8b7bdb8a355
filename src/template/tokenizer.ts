/**
 * Converts text to token ids and back with the checkpoint's tokenizer. Callers decide which text may contain control tokens.
 * Knows nothing of conversations and images. The only importer of @huggingface/tokenizers.
 */
import { join } from 'node:path';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { readJsonFileIfPresent } from '../checkpoint/json_file.ts';
import { messageOf, SightlineError } from '../errors.ts';
import { describe, isJsonObject, type JsonObject, shownJson } from '../util/json.ts';
import { byteTable } from './byte_level.ts';
import { checkSplitPatterns } from './split_pattern.ts';
import { readVocabAndMerges } from './vocab_and_merges.ts';

export interface DecodeOptions {
  /** Omit control tokens; default false. */
  readonly skipSpecialTokens?: boolean;
}

/** Decodes tokens one by one. A character that spans several tokens appears once it is complete. */
export interface StreamDecoder {
  push(id: number): string;
  /** The rest of the text; an incomplete character becomes U+FFFD. */
  end(): string;
}

export interface Tokenizer {
  /** Control tokens (`special` added tokens) and their ids. */
  readonly special: ReadonlyMap<string, number>;
  /** Whether an id stands for a token. Padding rows of the embedding, beyond the vocabulary, do not. */
  has(id: number): boolean;
  /** Encodes text without recognising control tokens, even if the text spells them. Returns [tokens]. */
  encodeText(text: string): Int32Array;
  /**
   * Encodes text and recognises control tokens in it. Only for text that no user wrote. Returns [tokens].
   *
   * @param restore maps the ordinary pieces between control tokens before they are encoded
   */
  encodeTrusted(text: string, restore?: (piece: string) => string): Int32Array;
  /** Decodes ids. Invalid UTF-8 becomes U+FFFD; ids without a token (padding rows of the embedding) are omitted. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  streamDecoder(options?: DecodeOptions): StreamDecoder;
}

/** Ids must fit in an Int32Array. */
const MAX_VOCAB_SIZE = 2 ** 31;

/**
 * Reads tokenizer.json and tokenizer_config.json of a checkpoint folder. If tokenizer.json is missing, reads vocab.json and
 * merges.txt instead.
 *
 * @param vocabSize rows of the model's embedding; ids must be smaller
 * Errors: E_FILE_MISSING, E_JSON_INVALID, E_TOKENIZER_INVALID, E_TOKENIZER_UNSUPPORTED.
 */
export function readTokenizer(dir: string, vocabSize = MAX_VOCAB_SIZE): Tokenizer {
  const path = join(dir, 'tokenizer.json');
  const config = readJsonFileIfPresent(join(dir, 'tokenizer_config.json')) ?? {};
  const json = readJsonFileIfPresent(path);
  if (json !== null) return createTokenizer(json, config, path, vocabSize);
  const older = readVocabAndMerges(dir, config);
  return createTokenizer(older.json, older.config, join(dir, 'vocab.json'), vocabSize);
}

/** The same as `readTokenizer`, from parsed files. */
export function createTokenizer(
  json: JsonObject,
  config: JsonObject,
  where: string,
  vocabSize = MAX_VOCAB_SIZE,
): Tokenizer {
  checkSplitPatterns(json, where);
  const added = addedTokens(json, config, where);
  checkIds([...vocabulary(json, where), ...added.map(({ content, id }): [string, number] => [content, id])], {
    vocabSize,
    where,
  });
  const special = new Map(added.filter((token) => token.special).map(({ content, id }) => [content, id]));
  const plain = createPlain(json, config, added, where);
  const bytes = byteTable(json, where);
  const controlIds = new Set(special.values());
  const contentOf = new Map(added.map(({ content, id }) => [id, content]));
  const pattern = specialPattern([...special.keys()]);

  const encodeText = (text: string): Int32Array => {
    if (text === '') return new Int32Array(0);
    const { ids } = plain.encode(text, { add_special_tokens: false });
    for (const id of ids) {
      if (!Number.isInteger(id) || controlIds.has(id))
        throw invalid(`ordinary text was encoded as the id ${id}`, where);
    }
    return Int32Array.from(ids);
  };

  /** UTF-8 bytes of one token. */
  const bytesOf = (id: number, skip: boolean): Uint8Array => {
    if (skip && controlIds.has(id)) return EMPTY;
    const content = contentOf.get(id);
    if (content !== undefined) return Buffer.from(content, 'utf8');
    const token = plain.id_to_token(id);
    return token === undefined ? EMPTY : bytes(token);
  };

  const streamDecoder = ({ skipSpecialTokens = false }: DecodeOptions = {}): StreamDecoder => {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    return {
      push: (id) => decoder.decode(bytesOf(id, skipSpecialTokens), { stream: true }),
      end: () => decoder.decode(),
    };
  };

  return {
    special,
    has: (id) => contentOf.has(id) || plain.id_to_token(id) !== undefined,
    encodeText,
    encodeTrusted: (text, restore = (piece) => piece) =>
      concat(
        text.split(pattern).map((piece) => {
          const id = special.get(piece);
          return id === undefined ? encodeText(restore(piece)) : Int32Array.of(id);
        }),
      ),
    decode: (ids, options) => {
      const stream = streamDecoder(options);
      let text = '';
      for (let i = 0; i < ids.length; i++) text += stream.push(ids[i]!);
      return text + stream.end();
    },
    streamDecoder,
  };
}

/** Concatenates arrays. */
export function concat(parts: readonly Int32Array[]): Int32Array {
  const result = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

// --- internal ---

const EMPTY = new Uint8Array(0);

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** The tokens of the BPE model with their unchecked ids. */
function vocabulary({ model }: JsonObject, where: string): [string, unknown][] {
  const vocab = isJsonObject(model) ? model.vocab : undefined;
  if (!isJsonObject(vocab))
    throw invalid(`model.vocab is ${describe(vocab)}, expected an object of ids by token`, where);
  return Object.entries(vocab);
}

/** An id without a row in the embedding would make a graph fail, or wrap around and become another token. */
function checkIds(
  tokens: readonly (readonly [string, unknown])[],
  { vocabSize, where }: { readonly vocabSize: number; readonly where: string },
): void {
  for (const [token, id] of tokens) {
    if (Number.isInteger(id) && Number(id) >= 0 && Number(id) < vocabSize) continue;
    throw new SightlineError(
      'E_TOKENIZER_INVALID',
      `token ${shownJson(token, 60)} has the id ${shownJson(id, 40)}, expected a whole number from 0 to ${vocabSize - 1}`,
      {
        where,
        hint: 'vocab_size of config.json sets the limit; the files come from different checkpoints, fetch the folder again',
      },
    );
  }
}

/** Added tokens of tokenizer.json and of tokenizer_config.json, merged as in transformers. */
function addedTokens(json: JsonObject, config: JsonObject, where: string): AddedToken[] {
  const listed = Array.isArray(json.added_tokens) ? json.added_tokens : [];
  const decoder = isJsonObject(config.added_tokens_decoder) ? config.added_tokens_decoder : {};
  const entries = [
    ...listed,
    ...Object.entries(decoder).map(([id, token]) => (isJsonObject(token) ? { ...token, id: Number(id) } : token)),
  ];
  const named = new Set(
    [config.additional_special_tokens, config.extra_special_tokens].flatMap((list) =>
      Array.isArray(list) ? list : [],
    ),
  );
  const byId = new Map<number, AddedToken>();
  for (const entry of entries) {
    if (
      !isJsonObject(entry) ||
      typeof entry.id !== 'number' ||
      !Number.isInteger(entry.id) ||
      typeof entry.content !== 'string'
    ) {
      throw invalid(`an added token is ${shownJson(entry, 80)}, expected an id and a content`, where);
    }
    if (entry.content === '') throw invalid(`added token ${entry.id} is empty`, where);
    const special = entry.special === true || named.has(entry.content);
    // These flags make a token absorb the spaces around it. No Qwen tokenizer sets them; ignoring them would change ids silently.
    if (
      special &&
      (entry.lstrip === true || entry.rstrip === true || entry.single_word === true || entry.normalized === true)
    ) {
      throw new SightlineError(
        'E_TOKENIZER_UNSUPPORTED',
        `special token ${shownJson(entry.content, 60)} has lstrip, rstrip, single_word or normalized set`,
        {
          where,
          hint: 'use the tokenizer files of a Qwen-VL checkpoint',
        },
      );
    }
    if (!byId.has(entry.id)) byId.set(entry.id, { id: entry.id, content: entry.content, special });
  }
  return [...byId.values()];
}

/**
 * The library's tokenizer without the control tokens, so that text can never become one. Added tokens that are not special,
 * such as `<tool_call>`, stay.
 */
function createPlain(
  json: JsonObject,
  config: JsonObject,
  added: readonly AddedToken[],
  where: string,
): HuggingFaceTokenizer {
  const specialIds = new Set(added.filter((token) => token.special).map(({ id }) => id));
  const listed = Array.isArray(json.added_tokens) ? json.added_tokens : [];
  const ordinary = listed.filter((token: { id: number }) => !specialIds.has(token.id));
  try {
    return new HuggingFaceTokenizer({ ...json, added_tokens: ordinary }, config);
  } catch (cause) {
    throw invalid(messageOf(cause), where, cause);
  }
}

/** Matches any control token, the longest first. The capturing group makes `split` return them. */
function specialPattern(contents: string[]): RegExp {
  const sorted = contents.sort((a, b) => b.length - a.length);
  return new RegExp(`(${sorted.map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|') || '(?!)'})`);
}

function invalid(message: string, where: string, cause?: unknown): SightlineError {
  return new SightlineError('E_TOKENIZER_INVALID', `tokenizer cannot be used: ${message}`, {
    where,
    hint: 'compare with the tokenizer.json that the model was published with',
    cause,
  });
}
