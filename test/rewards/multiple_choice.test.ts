import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MultipleChoice } from '../../src/rewards/multiple_choice/index.ts';
import { lettersOf, optionsOf } from '../../src/rewards/multiple_choice/letters.ts';
import { rewardKwargs } from '../helpers/reward_kwargs.ts';

const pets = optionsOf(['a cat', 'a dog', 'a bird', 'none of them']);

describe('letters of an answer', () => {
  test.each<[string, string | null]>([
    // one letter
    ['B', 'B'],
    ['b', 'B'],
    ['(B)', 'B'],
    ['[b]', 'B'],
    ['B.', 'B'],
    ['B)', 'B'],
    [' **B** ', 'B'],
    ['"B"', 'B'],
    ['$B$', 'B'],
    ['\\boxed{B}', 'B'],
    ['It is \\boxed{\\text{(B)}}.', 'B'],
    // the text of an option
    ['a dog', 'B'],
    ['A  Dog.', 'B'],
    ['None of them', 'D'],
    // several
    ['A, C', 'AC'],
    ['C and A', 'AC'],
    ['(A), (B) and (D)', 'ABD'],
    ['A,A', 'A'],
    ['ACD', 'ACD'],
    ['CA', null],
    ['A or B', null],
    // a letter in front
    ['B. a dog', 'B'],
    ['(B) a dog', 'B'],
    ['B: it barks', 'B'],
    ['B) because it barks', 'B'],
    ['A horse', null],
    ['A dog', 'B'],
    ['B it barks', null],
    // a sentence
    ['The answer is B', 'B'],
    ['the correct answer is (B).', 'B'],
    ['Answer: B', 'B'],
    ['So I choose option C.', 'C'],
    ['The answer is A because it purrs.', 'A'],
    ['The answer is A cat', null],
    ['The answer is b', null],
    ['The answer is B or C', null],
    ['The answer is not B', null],
    ['First I thought the answer is A. No: the answer is C.', 'C'],
    ['The answer is Bird', null],
    // nothing
    ['', null],
    ['E', null],
    ['The answer is E', null],
    ['I do not know', null],
    ['2', null],
    ['图', null],
  ])('%j -> %s', (text, letters) => expect(lettersOf(text, pets)).toBe(letters));

  test('without options every letter is one, and no text is', () => {
    expect(lettersOf('Z', null)).toBe('Z');
    expect(lettersOf('a dog', null)).toBeNull();
  });

  test('an option that looks like letters is read as the option', () => {
    const blood = optionsOf(['A', 'B', 'AB', 'O']);
    expect(['AB', 'O', 'A', 'C'].map((text) => lettersOf(text, blood))).toEqual(['C', 'D', 'A', 'C']);
    const words = optionsOf(['NO', 'YES']);
    expect(lettersOf('NO', words)).toBe('A');
  });

  test('a text that two options have names neither', () => {
    expect(lettersOf('red', optionsOf(['red', 'Red', 'blue']))).toBeNull();
  });

  test('a letter is found in every dress, alone and in lists', () => {
    const letter = fc.constantFrom('A', 'B', 'C', 'D');
    const dress = fc.constantFrom<(text: string) => string>(
      (text) => text,
      (text) => `(${text})`,
      (text) => `${text}.`,
      (text) => `**${text}**`,
      (text) => `The answer is ${text}.`,
      (text) => `Answer: (${text})`,
      (text) => `\\boxed{${text}}`,
    );
    fc.assert(
      fc.property(letter, dress, (one, wear) => {
        expect(lettersOf(wear(one), pets)).toBe(one);
      }),
    );
    const several = fc.uniqueArray(letter, { minLength: 2 });
    const joint = fc.constantFrom(', ', ',', ' and ', '; ', ', and ', ' & ');
    fc.assert(
      fc.property(several, joint, (letters, between) => {
        expect(lettersOf(letters.join(between), pets)).toBe(letters.toSorted().join(''));
      }),
    );
  });

  test('no text ends in an error, or in a letter that is none', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        expect(lettersOf(text, pets) ?? 'A').toMatch(/^[ABCD]+$/);
      }),
    );
  });

  test.each([
    ['letters', 'A,'.repeat(100_000)],
    ['blanks', `answer${' '.repeat(200_000)}`],
    ['answers', 'answer is '.repeat(30_000)],
    ['boxes', '\\boxed{'.repeat(30_000)],
    ['stars', '*'.repeat(200_000)],
  ])('hostile text (%s) is read in no time', (_, text) => {
    const start = performance.now();
    lettersOf(text, pets);
    expect(performance.now() - start).toBeLessThan(5_000);
  });
});

describe('options', () => {
  test.each<[unknown, [string, string][] | null]>([
    [
      ['x', 2],
      [
        ['A', 'x'],
        ['B', '2'],
      ],
    ],
    [
      ['A. x', 'B. y'],
      [
        ['A', 'x'],
        ['B', 'y'],
      ],
    ],
    [
      ['(a) x', '(b) y'],
      [
        ['A', 'x'],
        ['B', 'y'],
      ],
    ],
    [
      ['C: drive', 'D: drive'],
      [
        ['A', 'C: drive'],
        ['B', 'D: drive'],
      ],
    ],
    [
      { B: 'y', A: 'x' },
      [
        ['A', 'x'],
        ['B', 'y'],
      ],
    ],
    [
      '["x", "y"]',
      [
        ['A', 'x'],
        ['B', 'y'],
      ],
    ],
    [{ A: 'x', C: 'y' }, null],
    [[], null],
    [[null], null],
    ['x', null],
    [3, null],
    [Array.from({ length: 27 }, (_, i) => `${i}`), null],
  ])('%j', (column, options) => {
    const read = optionsOf(column);
    expect(read === null ? null : [...read]).toEqual(options);
  });
});

/** The value of one completion, and what was said. */
function judged(completion: string, solution: unknown, options?: unknown) {
  const kwargs = rewardKwargs(1, null, {
    solution: [solution],
    ...(options === undefined ? {} : { options: [options] }),
  });
  return { value: new MultipleChoice().call([completion], kwargs)[0], lines: kwargs.lines };
}

describe('multiple_choice', () => {
  test.each<[string, unknown, unknown, number]>([
    ['<think>It barks.</think><answer>B</answer>', 'B', undefined, 1],
    ['<think>B</think><answer>C</answer>', '<answer>B</answer>', undefined, 0],
    ['<think>C</think> The answer is B', 'B', undefined, 1],
    ['a dog', 'B', ['a cat', 'a dog'], 1],
    ['B', 'a dog', ['a cat', 'a dog'], 1],
    ['a dog', 'B', undefined, 0],
    ['A, C', 'C, A', undefined, 1],
    ['A', 'A, C', undefined, 0],
    ['A, B, C', 'A, C', undefined, 0],
    ['', 'B', undefined, 0],
    ['B', 'B. a dog', null, 1],
  ])('%j for %j with %j -> %d', (completion, solution, options, value) => {
    expect(judged(completion, solution, options)).toEqual({ value, lines: [] });
  });

  test.each<[string, unknown, unknown, string]>([
    ['a solution that names no letter', 'a dog', undefined, 'names no letter of its options'],
    ['a solution beyond the options', 'C', ['x', 'y'], 'names no letter of its options'],
    ['a solution that is a number', 1, ['x', 'y'], '(the first: "1")'],
    ['options that are none', 'A', 'x or y', '"options" of a row is not a list'],
  ])('null with a reason: %s', (_, solution, options, reason) => {
    const { value, lines } = judged('A', solution, options);
    expect(value).toBeNull();
    expect(lines).toEqual([expect.stringContaining(reason)]);
  });

  test('a row without a solution is null', () => {
    expect(judged('A', null)).toEqual({ value: null, lines: [] });
  });
});
