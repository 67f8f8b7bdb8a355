import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readConfig } from '../../src/models/registry.ts';
import { openTemplate } from '../../src/template/template.ts';
import { createTokenizer, readTokenizer } from '../../src/template/tokenizer.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { goldenCases } from './golden_cases.ts';

const json = (dir: string, name: string) => JSON.parse(readFileSync(join(dir, name), 'utf8'));

for (const { name, model, golden } of goldenCheckpoints()) {
  describe(name, () => {
    const tokenizer = readTokenizer(model);
    const library = new HuggingFaceTokenizer(json(model, 'tokenizer.json'), json(model, 'tokenizer_config.json'));

    test('trusted text gives the ids of the whole text, as the library splits it', () => {
      for (const { text } of goldenCases({ name, model, golden })) {
        expect([...tokenizer.encodeTrusted(text)]).toEqual(library.encode(text).ids);
      }
    });

    test('text comes back, whole and streamed; what is not NFC comes back as NFC', () => {
      fc.assert(
        fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (text) => {
          const ids = tokenizer.encodeText(text);
          expect(tokenizer.decode(ids)).toBe(text.normalize('NFC'));
          const stream = tokenizer.streamDecoder();
          const pieces = [...ids].map(stream.push);
          expect(pieces.join('') + stream.end()).toBe(text.normalize('NFC'));
        }),
        { numRuns: 500 },
      );
    });

    test('a character split over tokens appears once it is whole', () => {
      const ids = [...tokenizer.encodeText('🙂')];
      expect(ids.length).toBeGreaterThan(1);
      const stream = tokenizer.streamDecoder();
      const pieces = ids.map(stream.push);
      expect(pieces.slice(0, -1).join('')).toBe('');
      expect(pieces.at(-1)).toBe('🙂');
      expect(stream.end()).toBe('');
      const cut = tokenizer.streamDecoder();
      cut.push(ids[0]!);
      expect(cut.end()).toBe('\uFFFD');
    });

    test('skipSpecialTokens leaves control tokens out; padding rows are nothing', () => {
      const ids = [...tokenizer.encodeTrusted('<|im_start|>a<|im_end|>'), 10_000_000];
      expect(tokenizer.decode(ids)).toBe('<|im_start|>a<|im_end|>');
      expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe('a');
    });

    test('any ids decode to some text', () => {
      fc.assert(fc.property(fc.array(fc.nat(1000)), (ids) => typeof tokenizer.decode(ids) === 'string'));
    });
  });
}

describe('tokenizers that cannot be used', () => {
  const { model } = goldenCheckpoints()[0]!;
  const good = json(model, 'tokenizer.json');
  test.each([
    ['no model', { ...good, model: undefined }, 'E_TOKENIZER_INVALID'],
    ['another decoder', { ...good, decoder: { type: 'Metaspace' } }, 'E_TOKENIZER_UNSUPPORTED'],
    ['a token without id', { ...good, added_tokens: [{ content: 'x' }] }, 'E_TOKENIZER_INVALID'],
    ['an empty token', { ...good, added_tokens: [{ id: 5, content: '' }] }, 'E_TOKENIZER_INVALID'],
    [
      'a stripping token',
      { ...good, added_tokens: [{ id: 5, content: 'x', special: true, lstrip: true }] },
      'E_TOKENIZER_UNSUPPORTED',
    ],
  ])('%s', (_name, tokenizer, code) => {
    expect(() => createTokenizer(tokenizer, {}, 'tokenizer.json')).toThrow(
      expect.objectContaining({ code, where: 'tokenizer.json' }),
    );
  });

  describe('ids that the embedding has no row for', () => {
    const config = json(model, 'config.json');
    const vocabSize: number = (config.text_config ?? config).vocab_size;
    const [token] = Object.keys(good.model.vocab).slice(-1);
    const withId = (id: unknown) => ({
      ...good,
      model: { ...good.model, vocab: { ...good.model.vocab, [token!]: id } },
    });
    const withAdded = (id: unknown) => ({
      ...good,
      added_tokens: [...good.added_tokens, { id, content: '<added>', special: false }],
    });
    test.each([
      ['a large one', withId(vocabSize), token],
      ['one that wraps around', withId(good.model.vocab[token!] + 2 ** 32), token],
      ['a negative one', withId(-7), token],
      ['half of one', withId(1.5), token],
      ['a text', withId('3'), token],
      ['none', withId(null), token],
      ['a large one of an added token', withAdded(99_999), '<added>'],
      ['a negative one of an added token', withAdded(-7), '<added>'],
    ])('%s', (_name, tokenizer, name) => {
      expect(() => createTokenizer(tokenizer, {}, 'tokenizer.json', vocabSize)).toThrow(
        expect.objectContaining({
          code: 'E_TOKENIZER_INVALID',
          where: 'tokenizer.json',
          message: expect.stringContaining(`token ${JSON.stringify(name)} has the id`),
        }),
      );
    });

    test('one that only tokenizer_config.json has', () => {
      const config = { added_tokens_decoder: { 99999: { content: '<late>', special: true } } };
      expect(() => createTokenizer(good, config, 'tokenizer.json', vocabSize)).toThrow(/"<late>" has the id 99999/);
    });

    test('as the checkpoint is opened: by vocab_size of its config', async () => {
      const dir = mkdtempSync(join(tmpdir(), 'tokenizer-'));
      cpSync(model, dir, { recursive: true });
      const path = join(dir, 'tokenizer.json');
      writeFileSync(path, JSON.stringify(withId(vocabSize)));
      const opening = openTemplate(dir, await readConfig(dir));
      await expect(opening).rejects.toMatchObject({ code: 'E_TOKENIZER_INVALID', where: path, exitCode: 2 });
      rmSync(dir, { recursive: true });
    });
  });

  test.each([
    ['a hostile split', { pre_tokenizer: { type: 'Split', pattern: { Regex: '(a|a)*b' }, behavior: 'Isolated' } }],
    [
      'one in a sequence',
      { pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Split', pattern: { Regex: '(\\w+)+$' } }] } },
    ],
    ['a hostile normalizer', { normalizer: { type: 'Replace', pattern: { Regex: '(a|a)*b' }, content: '' } }],
    ['one that is no text', { decoder: { type: 'ByteLevel', pattern: { Regex: ['a'] } } }],
  ])('a regular expression that may never end: %s', (_name, part) => {
    expect(() => createTokenizer({ ...good, ...part }, {}, 'tokenizer.json')).toThrow(
      expect.objectContaining({ code: 'E_TOKENIZER_UNSUPPORTED', where: 'tokenizer.json' }),
    );
  });

  test("GPT-2's own split is taken", () => {
    const Regex = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    const [, byteLevel] = good.pre_tokenizer.pretokenizers;
    const pretokenizers = [{ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false }, byteLevel];
    const tokenizer = createTokenizer(
      { ...good, pre_tokenizer: { type: 'Sequence', pretokenizers } },
      json(model, 'tokenizer_config.json'),
      'tokenizer.json',
    );
    expect(tokenizer.decode(tokenizer.encodeText('it is 42'))).toBe('it is 42');
  });

  test('a vocabulary that is no object', () => {
    const broken = { ...good, model: { ...good.model, vocab: [['a', 0]] } };
    expect(() => createTokenizer(broken, {}, 'tokenizer.json')).toThrow(/model\.vocab is an array/);
  });

  test('none', () => {
    expect(() => readTokenizer('/nowhere')).toThrow(expect.objectContaining({ code: 'E_FILE_MISSING' }));
  });
});
