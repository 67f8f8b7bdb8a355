import { describe, expect, test } from 'vitest';
import { asksForHelp, splitWords } from '../../src/arguments/words.ts';

function flags(...argv: string[]) {
  return Object.fromEntries([...splitWords(argv).flags.values()].map(({ name, words }) => [name, words]));
}

describe('splitWords', () => {
  test('a flag takes every word up to the next flag', () => {
    expect(flags('--reward_funcs', 'a', 'b', '--beta', '0')).toEqual({ reward_funcs: ['a', 'b'], beta: ['0'] });
  });
  test('negative numbers and single dashes are words', () => {
    expect(flags('--top_k', '-1', '--system', '- be brief', '--x', '-1e-3')).toEqual({
      top_k: ['-1'],
      system: ['- be brief'],
      x: ['-1e-3'],
    });
  });
  test('--flag=value is one word, whatever is in it', () => {
    expect(flags('--system=--a=b\nc', '--empty=')).toEqual({ system: ['--a=b\nc'], empty: [''] });
  });
  test('a flag given again replaces the earlier one, lists too', () => {
    const { flags } = splitWords(['--f', 'a', 'b', '--f', 'c']);
    expect(flags.get('f')).toEqual({ name: 'f', words: ['c'] });
  });
  test('dashes in a name are read as underscores', () => {
    expect(flags('--num-generations', '4')).toEqual({ num_generations: ['4'] });
  });
  test('words before the first flag are operands', () => {
    expect(splitWords(['run.json', '--a', '1']).operands).toEqual(['run.json']);
  });
});

test('asksForHelp', () => {
  expect(asksForHelp(['--model', 'x', '--help'])).toBe(true);
  expect(asksForHelp(['-h'])).toBe(true);
  expect(asksForHelp(['--model', 'h'])).toBe(false);
});
