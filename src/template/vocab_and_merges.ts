/**
 * Builds a tokenizer.json from vocab.json and merges.txt, for checkpoints that have only these two.
 * Follows transformers 5 (`Qwen2Tokenizer`, and the legacy files of `PreTrainedTokenizerBase._from_pretrained`). Knows
 * nothing of how text is encoded.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonFile, readJsonFileIfPresent, readRegularFile } from '../checkpoint/json_file.ts';
import { SightlineError } from '../errors.ts';
import { describe, isJsonObject, type JsonObject, shownJson } from '../util/json.ts';
import { QWEN2_SPLIT } from './split_pattern.ts';

/**
 * @param config tokenizer_config.json
 * @returns the tokenizer, and the config merged with special_tokens_map.json
 * Errors: E_FILE_MISSING, E_JSON_INVALID, E_TOKENIZER_INVALID.
 */
export function readVocabAndMerges(dir: string, config: JsonObject): { json: JsonObject; config: JsonObject } {
  const missing = [VOCAB, MERGES].filter((name) => !existsSync(join(dir, name)));
  if (missing.length > 0) {
    const older =
      missing.length === 2
        ? 'vocab.json with merges.txt'
        : `a ${missing[0]} beside ${missing[0] === VOCAB ? MERGES : VOCAB}`;
    throw new SightlineError('E_FILE_MISSING', `the checkpoint has no tokenizer: neither tokenizer.json nor ${older}`, {
      where: dir,
      hint: 'copy tokenizer.json from the base model into this folder',
    });
  }
  const vocab = readJsonFile(join(dir, VOCAB));
  const { config: whole, tokens } = addedTokens(dir, config, vocab);
  const json = {
    added_tokens: tokens,
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: QWEN2_SPLIT }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: config.add_prefix_space === true, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', vocab, merges: readMerges(join(dir, MERGES), vocab) },
  };
  return { json, config: whole };
}

// --- internal ---

const VOCAB = 'vocab.json';
const MERGES = 'merges.txt';

/** Maximum number of bytes of merges.txt; the same as for vocab.json. */
const LONGEST_MERGES = 64 * 1024 * 1024;

/** The attributes that name one control token each, with the defaults of Qwen2Tokenizer. */
const NAMED: Readonly<Record<string, string | null>> = {
  bos_token: null,
  eos_token: '<|endoftext|>',
  unk_token: '<|endoftext|>',
  sep_token: null,
  pad_token: '<|endoftext|>',
  cls_token: null,
  mask_token: null,
};

/** Pairs of tokens in order of priority. Both halves and the merged token are in the vocabulary. */
function readMerges(path: string, vocab: JsonObject): [string, string][] {
  const text = Buffer.from(readRegularFile(path, LONGEST_MERGES)).toString('utf8');
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines.flatMap((line, i): [string, string][] => {
    if (line.startsWith('#version')) return [];
    const [left, right, ...more] = line.split(' ');
    const whole = `${left}${right}`;
    if (left === undefined || right === undefined || more.length > 0) {
      throw invalid(`${path}:${i + 1}`, `a merge is ${shownJson(line, 60)}, expected two tokens separated by a space`);
    }
    const unknown = [left, right, whole].find((token) => !Object.hasOwn(vocab, token));
    if (unknown === undefined) return [[left, right]];
    const message = `the merge ${shownJson(line, 60)} needs the token ${shownJson(unknown, 60)}, which vocab.json does not have`;
    throw invalid(`${path}:${i + 1}`, message);
  });
}

/**
 * The added tokens. They come from added_tokens_decoder of tokenizer_config.json, or else from added_tokens.json, where the
 * tokens named by tokenizer_config.json or special_tokens_map.json are control tokens. Named tokens that are in neither are
 * looked up in the vocabulary.
 */
function addedTokens(dir: string, stated: JsonObject, vocab: JsonObject): { config: JsonObject; tokens: JsonObject[] } {
  const decoder = stated.added_tokens_decoder;
  if (isJsonObject(decoder)) {
    const tokens = Object.entries(decoder).map(([id, token]) => {
      if (isJsonObject(token)) return { ...token, id: Number(id) };
      const message = `field added_tokens_decoder.${id} is ${describe(token)}, expected an object with a content`;
      throw invalid(join(dir, 'tokenizer_config.json'), message);
    });
    return { config: stated, tokens: [...tokens, ...namedTokens(stated, vocab, new Set(tokens.map(contentOf)))] };
  }
  const config = { ...stated, ...readJsonFileIfPresent(join(dir, 'special_tokens_map.json')) };
  const special = new Set([...Object.keys(NAMED).map((name) => named(config, name)), ...listed(config)]);
  const tokens = Object.entries(readJsonFileIfPresent(join(dir, 'added_tokens.json')) ?? {}).map(([content, id]) =>
    addedToken(content, id, special.has(content)),
  );
  return { config, tokens: [...tokens, ...namedTokens(config, vocab, new Set(tokens.map(contentOf)))] };
}

const contentOf = ({ content }: JsonObject): unknown => content;

/** Named control tokens that are in the vocabulary. */
function namedTokens(config: JsonObject, vocab: JsonObject, known: ReadonlySet<unknown>): JsonObject[] {
  const names = new Set([...Object.keys(NAMED).map((name) => named(config, name)), ...listed(config)]);
  return [...names].flatMap((content) =>
    content === null || known.has(content) || !Object.hasOwn(vocab, content)
      ? []
      : [addedToken(content, vocab[content], true)],
  );
}

function addedToken(content: string, id: unknown, special: boolean): JsonObject {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: !special, special };
}

function named(config: JsonObject, name: string): string | null {
  const value = Object.hasOwn(config, name) ? config[name] : NAMED[name];
  return textOf(value);
}

function listed(config: JsonObject): string[] {
  return [config.additional_special_tokens, config.extra_special_tokens].flatMap((list) =>
    Array.isArray(list) ? list.map(textOf).filter((text) => text !== null) : [],
  );
}

/** The text of a token given as a string or as an object with `content`, as transformers writes it; null otherwise. */
function textOf(token: unknown): string | null {
  const text = isJsonObject(token) ? token.content : token;
  return typeof text === 'string' ? text : null;
}

function invalid(where: string, message: string): SightlineError {
  return new SightlineError('E_TOKENIZER_INVALID', `tokenizer cannot be used: ${message}`, {
    where,
    hint: 'fetch vocab.json, merges.txt and tokenizer_config.json again, from one checkpoint',
  });
}
