import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readTokenizer } from '../../src/template/tokenizer.ts';
import { openPolicy } from '../../src/train/policy.ts';
import { folderOf, refusal, shown } from '../checkpoint/scratch.ts';
import { expected, variant } from '../checkpoint/variants.ts';

const { texts, cases } = expected.slow;

/** The golden tokenizer without tokenizer.json; objects are files, null takes one away. */
const slow = (files: Readonly<Record<string, unknown>> = {}): Promise<string> =>
  variant({ files: { 'tokenizer.json': null, ...files } });

describe('ids, as transformers has them', () => {
  test.each(Object.entries(cases))('%s', async (_, { files, changes, added, ids }) => {
    const own = files.includes('tokenizer_config.json') || 'tokenizer_config.json' in changes;
    const tokenizer = readTokenizer(await slow({ ...(own ? {} : { 'tokenizer_config.json': null }), ...changes }));
    const special = Object.entries(added).flatMap(([id, [content, is]]) => (is ? [[content, Number(id)]] : []));
    expect(Object.fromEntries(tokenizer.special)).toEqual(Object.fromEntries(special));
    const encoded = texts.map((text) => [...tokenizer.encodeTrusted(text)]);
    expect(encoded).toEqual(ids);
    // Decoding gives the text back but for what normalisation makes of it.
    for (const [i, text] of texts.entries()) expect(tokenizer.decode(ids[i]!)).toBe(text.normalize('NFC'));
  });

  test('a line with the version of merges.txt is none of them, and lines may end as on Windows', async () => {
    const dir = await slow();
    const path = join(dir, 'merges.txt');
    writeFileSync(path, `#version: 0.2\r\n${readFileSync(path, 'utf8').replaceAll('\n', '\r\n')}`);
    const tokenizer = readTokenizer(dir);
    expect(texts.map((text) => [...tokenizer.encodeTrusted(text)])).toEqual(cases.decoder!.ids);
  });
});

test('a model of such a folder encodes prompts', async () => {
  const policy = await openPolicy({ model: await slow(), attnImpl: 'sdpa', trainable: false });
  const { ids } = await policy.template.encode([{ role: 'user', content: 'Hello' }], []);
  expect(policy.template.decode(ids)).toContain('<|im_start|>user\nHello<|im_end|>\n');
  await policy.close();
});

describe('what is refused', () => {
  const at = async (files: Readonly<Record<string, unknown>>): Promise<string> => {
    const dir = await slow(files);
    return shown(await refusal(() => readTokenizer(dir)));
  };

  test('files that are missing', async () => {
    const both = { 'vocab.json': null, 'merges.txt': null };
    expect(await at(both)).toMatch(
      /E_FILE_MISSING.*no tokenizer: neither tokenizer\.json nor vocab\.json with merges\.txt/,
    );
    expect(await at({ 'merges.txt': null })).toMatch(
      /E_FILE_MISSING.*nor a merges\.txt beside vocab\.json.*copy tokenizer\.json/,
    );
    expect(shown(await refusal(() => readTokenizer(folderOf({ 'merges.txt': '' }))))).toMatch(
      /nor a vocab\.json beside/,
    );
  });

  test.each([
    ['three tokens', 'a b c', /a merge is "a b c", expected two tokens.*merges\.txt:645/],
    ['one token', 'ab', /a merge is "ab", expected two tokens.*merges\.txt:645/],
    ['a token that the vocabulary lacks', 'Ġ qqq', /"Ġ qqq" needs the token "qqq", which vocab\.json.*merges\.txt:645/],
  ])('a merge with %s', async (_, line, message) => {
    const dir = await slow();
    appendFileSync(join(dir, 'merges.txt'), `${line}\n`);
    expect(shown(await refusal(() => readTokenizer(dir)))).toMatch(message);
  });

  test('added tokens that are none', async () => {
    expect(await at({ 'tokenizer_config.json': { added_tokens_decoder: { 900: 'x' } } })).toMatch(
      /E_TOKENIZER_INVALID.*added_tokens_decoder\.900 is the string "x", expected an object.*tokenizer_config\.json/,
    );
    expect(await at({ 'tokenizer_config.json': null, 'added_tokens.json': { '<x>': 'y' } })).toMatch(
      /E_TOKENIZER_INVALID.*"<x>"/,
    );
  });

  test('a tokenizer whose control tokens nothing names cannot make prompts', async () => {
    const { files, changes } = cases['no tokenizer_config.json']!;
    expect(files).not.toContain('tokenizer_config.json');
    const model = await slow({ 'tokenizer_config.json': null, ...changes });
    expect(shown(await refusal(() => openPolicy({ model, attnImpl: 'sdpa', trainable: false })))).toMatch(
      /E_TOKENIZER_INVALID.*no special token with image_token_id 906.*tokenizer_config\.json/,
    );
  });
});
