import { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, test } from 'vitest';
import { trainBpe } from '../../src/demo/bpe.ts';
import { SYSTEM_PROMPT } from '../../src/demo/questions.ts';
import { demoSample } from '../../src/demo/rows.ts';
import { CHAT_TEMPLATE, SPECIAL_TOKENS, specialId, TOKENIZER_SIZE, tokenizerFiles } from '../../src/demo/tokenizer.ts';

const files = tokenizerFiles(0);
const json = files['tokenizer.json'] as { model: { vocab: Record<string, number>; merges: string[] } };
const tokenizer = new Tokenizer(json, files['tokenizer_config.json'] as object);
const template = new Template(CHAT_TEMPLATE);

const imagePart = { type: 'image' };
const rendered = (question: string, extra: Record<string, unknown> = {}) =>
  template.render({
    messages: [{ role: 'user', content: [imagePart, { type: 'text', text: question }] }],
    add_generation_prompt: true,
    ...extra,
  });

describe('trainBpe', () => {
  test('merges the most frequent pair first, ties by id', () => {
    const { vocab, merges } = trainBpe(['abab', 'abab', 'cd', 'cd', 'cd'], 260);
    // "ab" 4 times, "cd" 3 times, "abab" twice; then nothing is left to merge.
    expect(merges).toEqual(['a b', 'c d', 'ab ab']);
    expect(Object.keys(vocab)).toHaveLength(259);
    expect([vocab['!'], vocab.ab, vocab.cd, vocab.abab]).toEqual([0, 256, 257, 258]);
    expect(trainBpe(['cd ab'], 257).merges).toEqual(['a b']);
  });

  test('words keep their leading space and stop at punctuation and digits', () => {
    expect(trainBpe(['x y1 y1 y1'], 258).merges).toEqual(['Ġ y']);
    expect(trainBpe(["I'M I'M"], 257).merges).toEqual(["' M"]);
  });
});

describe('tokenizer.json', () => {
  test('has 400 entries, the specials last in the order of Qwen', () => {
    expect(Object.keys(json.model.vocab)).toHaveLength(392);
    expect(json.model.merges).toHaveLength(136);
    expect(SPECIAL_TOKENS.map((token) => tokenizer.token_to_id(token))).toEqual([
      392, 393, 394, 395, 396, 397, 398, 399,
    ]);
    expect(tokenizer.get_vocab(true).size).toBe(TOKENIZER_SIZE);
    expect(specialId('<|image_pad|>')).toBe(398);
  });

  test('gives text back, whatever it is', () => {
    const texts = [
      "Ünïcode café 😀\n\n  x  12345 DON'T",
      '<think>a</think>',
      '\u0000\u007f\u00ad\u2028',
      rendered('hi'),
    ];
    for (let i = 0; i < 50; i++) texts.push(...demoSample('sft', 1, i).row.messages.map(({ content }) => content));
    for (const text of texts) {
      expect(tokenizer.decode(tokenizer.encode(text).ids, { skip_special_tokens: false })).toBe(text);
    }
    expect(tokenizer.decode(tokenizer.encode('e\u0301').ids)).toBe('\u00e9');
  });

  test('prompts have the lengths the demo is described with', () => {
    const length = (text: string) => tokenizer.encode(text).ids.length;
    const system = length(`<|im_start|>system\n${SYSTEM_PROMPT}<|im_end|>\n`);
    expect(system).toBe(15);
    // 16 visual tokens stand where the one placeholder is.
    expect(length(rendered('What colour is the circle?')) - 1 - system).toBe(16);
    expect(length(rendered('Most circles are red. What colour is the circle?')) - 1 - system).toBe(21);
    expect(length('<think>I see a circle at the top left. It is green.</think><answer>green</answer><|im_end|>')).toBe(
      22,
    );
    expect(length('<think>Most circles are red. So it is red.</think><answer>red</answer><|im_end|>')).toBe(19);
  });

  test('equal seeds give equal files', () => {
    expect(tokenizerFiles(0)).toEqual(files);
  });
});

describe('chat template', () => {
  test('puts a system block first and a picture between vision marks', () => {
    const question = 'What colour is the circle?';
    const user = `<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>${question}<|im_end|>\n`;
    const block = `<|im_start|>system\n${SYSTEM_PROMPT}<|im_end|>\n`;
    expect(rendered(question)).toBe(`${block}${user}<|im_start|>assistant\n`);
    expect(rendered(question, { add_generation_prompt: false })).toBe(`${block}${user}`);
  });

  test('keeps a given system prompt, several turns and numbered media', () => {
    const messages = [
      { role: 'system', content: 'Be brief. ' },
      {
        role: 'user',
        content: [imagePart, { type: 'video' }, { type: 'image_url', image_url: 'x' }, { type: 'text', text: ' a' }],
      },
      { role: 'assistant', content: 'b' },
      { role: 'user', content: 'c' },
    ];
    const image = '<|vision_start|><|image_pad|><|vision_end|>';
    const video = '<|vision_start|><|video_pad|><|vision_end|>';
    const expected = (one: string, two: string, three: string) =>
      '<|im_start|>system\nBe brief. <|im_end|>\n' +
      `<|im_start|>user\n${one}${image}${two}${video}${three}${image} a<|im_end|>\n` +
      '<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n';
    expect(template.render({ messages })).toBe(expected('', '', ''));
    expect(template.render({ messages, add_vision_id: true })).toBe(
      expected('Picture 1: ', 'Video 1: ', 'Picture 2: '),
    );
  });
});
