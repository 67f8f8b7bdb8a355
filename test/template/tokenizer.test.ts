import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
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

  test('none', () => {
    expect(() => readTokenizer('/nowhere')).toThrow(expect.objectContaining({ code: 'E_FILE_MISSING' }));
  });
});
