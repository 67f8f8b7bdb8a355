/**
 * What the page says of an answer that is not the target.
 */
import { expect, test } from 'vitest';
import { answerFault } from '../../src/ui/answer_fault.ts';

test.each([
  ['<think>x</think><answer>Red</answer>', '<answer>red </answer>', false, null],
  ['<think>x</think>red', 'red', null, null],
  ['<answer>blue</answer>', 'red', false, 'not the target'],
  ['blue', 'red', true, 'not the target'],
  ['<answer>blue</answer>', '<answer>red</answer>', true, 'not the target'],
  ['it is red', '<answer>red</answer>', false, 'no <answer>'],
  ['<think>it may', '<answer>red</answer>', true, 'cut off before its answer'],
  ['<think>it may', '<answer>red</answer>', null, 'no <answer>'],
  ['anything', null, false, null],
])('%s for %s, cut off: %s', (text, solution, isClipped, fault) => {
  expect(answerFault(text, solution, isClipped)).toBe(fault);
});
