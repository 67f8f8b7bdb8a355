import { describe, expect, test } from 'vitest';
import { MathAccuracy } from '../../src/rewards/accuracy/index.ts';
import { Format } from '../../src/rewards/format/index.ts';
import { MultiModalAccuracyORM } from '../../src/rewards/r1v_accuracy/index.ts';
import { rewardKwargs } from '../helpers/reward_kwargs.ts';

describe('format', () => {
  test.each([
    ['<think>a</think><answer>b</answer>', 1],
    ['<think>a\nb</think>\n\n <answer>\nb\n</answer>', 1],
    ['<think></think><answer></answer>', 1],
    ['<think>a</think> so <answer>b</answer>', 0],
    ['<think>a</think><answer>b</answer>\n', 0],
    ['<think>a</think><answer>b</answer>.', 0],
    [' <think>a</think><answer>b</answer>', 0],
    ['x\n<think>a</think><answer>b</answer>', 0],
    ['<think>a<answer>b</answer>', 0],
    ['<answer>b</answer>', 0],
    ['', 0],
    // As in the original: the lazy blocks may swallow another block, if the whole still begins and ends right.
    ['<think>a</think>b</think><answer>c</answer>d</answer>', 1],
  ])('%j -> %d', (text, value) => expect(new Format().call([text])).toEqual([value]));
});

/** One reward value for one completion and solution. */
async function score(orm: MathAccuracy | MultiModalAccuracyORM, completion: string, solution: unknown) {
  const kwargs = rewardKwargs(1, null, { solution: [solution] });
  return (await orm.call([completion], kwargs))[0];
}

describe('accuracy', () => {
  test.each([
    ['<think>7</think><answer>0.5</answer>', '\\frac{1}{2}', 1],
    ['so \\boxed{2\\sqrt{2}}', '$\\sqrt{8}$', 1],
    ['<answer>The answer is 4</answer>', '<answer>4</answer>', 1],
    ['<answer>5</answer>', '4', 0],
    ['it is $x = 4$.', 'x=4', 1],
    ['it is 4', '4', 0], // no tag, no LaTeX: nothing is extracted
    ['<answer>red</answer>', '4', 0],
    ['<answer>3x+</answer>', '7', 0],
    ['<answer>4</answer>', 4, 1],
    ['<answer>red</answer>', 'red', null],
    ['<answer>1</answer>', '\\frac{3}{', null],
    ['<answer>4</answer>', null, null],
  ])('%s for %s -> %s', async (completion, solution, value) => {
    expect(await score(new MathAccuracy(), completion, solution)).toBe(value);
  });

  test('warns once about a solution that is no mathematics', async () => {
    const kwargs = rewardKwargs(3, null, { solution: ['red', 'blue', '4'] });
    const orm = new MathAccuracy();
    expect(await orm.call(['a', 'b', '<answer>4</answer>'], kwargs)).toEqual([null, null, 1]);
    expect(kwargs.lines).toHaveLength(1);
    expect(kwargs.lines[0]).toMatch(/^warn accuracy: the solution "red" .*external_r1v_acc/);
  });
});

describe('external_r1v_acc', () => {
  test.each([
    ['<think>I see a circle.</think><answer>green</answer>', 'green', 1],
    ['<think>green</think><answer>red</answer>', 'green', 0],
    ['<think>a</think><answer>\ngreen\n</answer>', '<answer> green </answer>', 1],
    ['green', 'green', 1],
    ['The answer is 4', '<answer> 4 </answer>', 1],
    ['<answer>\\dfrac{1}{2}</answer>', '0.5', 1],
    ['<think>4</think><answer>5</answer>', '4', 0],
    ['<answer>(x+1)^2</answer>', '$x^2+2x+1$', 1],
    ['<answer>Green</answer>', 'green', 0],
    ['', 'green', 0],
    ['<answer>4</answer>', undefined, null],
  ])('%j for %j -> %s', async (completion, solution, value) => {
    expect(await score(new MultiModalAccuracyORM(), completion, solution)).toBe(value);
  });

  test('a dataset without the column is told so', async () => {
    await expect(new MultiModalAccuracyORM().call(['a'], rewardKwargs(1, null))).rejects.toThrow(/column "solution"/);
    await expect(score(new MathAccuracy(), 'a', ['list'])).rejects.toThrow(/needs text in the column "solution"/);
  });
});
