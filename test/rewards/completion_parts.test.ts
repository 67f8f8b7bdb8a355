import { expect, test } from 'vitest';
import { completionParts } from '../../src/rewards/completion_parts.ts';

test.each<[string, string[], ReturnType<typeof completionParts>]>([
  [
    'both blocks; tags, white space and empty texts of control tokens do not count',
    ['<think>', ' so', ' red', '</think>', '\n<answer>', 'red', ' ball', '</answer>', ''],
    { think: { from: 1, to: 3 }, answer: { from: 5, to: 7 } },
  ],
  [
    'a token that holds a tag and a part of the text',
    ['<think>I', ' see</think>', 'A'],
    { think: { from: 0, to: 2 }, answer: { from: 2, to: 3 } },
  ],
  ['thoughts that do not end', ['<think>', 'and', ' and'], { think: { from: 1, to: 3 }, answer: { from: 0, to: 3 } }],
  [
    'thoughts that end with the answer',
    ['<think>', 'so', '<answer>', 'B', '</answer>'],
    { think: { from: 1, to: 2 }, answer: { from: 3, to: 4 } },
  ],
  ['no block: all of it is the answer', [' red', '', ' '], { think: null, answer: { from: 0, to: 1 } }],
  ['an empty answer', ['<think>', 'x', '</think>', ' '], { think: { from: 1, to: 2 }, answer: null }],
  ['nothing', [], { think: null, answer: null }],
])('%s', (_, texts, expected) => {
  expect(completionParts(texts)).toEqual(expected);
});
