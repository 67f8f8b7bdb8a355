import { afterEach, expect, test } from 'vitest';
import { checkRewardNames, nameThere } from '../../src/ms_swift/reward_names.ts';
import { ormFiles, orms } from '../../src/rewards/registry.ts';

const before = { ...orms };
afterEach(() => {
  Object.assign(orms, before);
  ormFiles.clear();
});

const check = (rewardFuncs: string[], externalPlugins: string[] = []) =>
  checkRewardNames({
    args: { rewardFuncs, externalPlugins } as unknown as Parameters<typeof checkRewardNames>[0]['args'],
  });

test('rewards that ms-swift has under the same name get another one there', () => {
  const names = ['accuracy', 'cosine', 'repetition', 'soft_overlong', 'multiple_choice', 'math'];
  const there = ['sightline_accuracy', 'sightline_cosine', 'sightline_repetition', 'sightline_soft_overlong'];
  expect(names.map(nameThere)).toEqual([...there, 'multiple_choice', 'math']);
  ormFiles.set('cosine', 'mine.ts'); // a plugin's reward keeps its name
  expect(nameThere('cosine')).toBe('cosine');
});

test('names of both programs are known, others are refused with the nearest', () => {
  check(['ddapo_attention', 'cosine', 'math', 'toolbench', 'http_judge']);
  expect(() => check(['cosin'])).toThrow(
    expect.objectContaining({ code: 'E_REWARD_UNKNOWN', hint: expect.stringMatching(/^did you mean "cosine"\?/) }),
  );
  check(['cosin'], ['theirs.py']);
});

test('a reward that needs what rewards do not get from ms-swift is refused before the run', () => {
  expect(() => check(['format', 'iou'])).toThrow(expect.objectContaining({ code: 'E_REWARD_NOT_HERE', exitCode: 2 }));
  ormFiles.set('iou', 'mine.ts');
  check(['iou']);
});
