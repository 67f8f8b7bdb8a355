import { expect, test } from 'vitest';
import { tokensPerRun } from '../../src/engine/decode_cost.ts';

test.each([
  ['none are left over', 63, 4, 3],
  ['the fewest runs, where none are left over', 64, 4, 4],
  ['one left over is less than many more runs', 511, 4, 4],
  ['short completions', 32, 4, 2],
  ['a few tokens: not worth computing any for nothing', 7, 4, 1],
  ['no more than there is room for', 64, 2.9, 2],
  ['one, however little room there is', 64, 0.3, 1],
  ['none wanted', 0, 4, 1],
])('tokens of a run: %s', (_, wanted, most, expected) => {
  expect(tokensPerRun(wanted, most)).toBe(expected);
});
