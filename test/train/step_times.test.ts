/**
 * The seconds of a step by part: means over steps add up, and parts that never run are not named.
 */
import { expect, test } from 'vitest';
import { createAverages } from '../../src/train/averages.ts';
import { stepTimes, withoutIdle } from '../../src/train/step_times.ts';

test('the mean over steps counts those in which a part did not run', () => {
  const averages = createAverages();
  const states: Record<string, number>[] = [
    { 'open model': 9, rollout: 4 },
    { 'open model': 9, rollout: 7, 'changed image': 1, update: 0.5, eval: 20 },
    { 'open model': 9, rollout: 7, 'changed image': 1, update: 1, eval: 25, save: 3 },
  ];
  for (const [i, after] of states.slice(1).entries()) averages.add(stepTimes(states[i]!, after));
  const means = withoutIdle({ ...averages.take(), reward: 0, loss: 0.25 });
  expect(means).toEqual({
    'step_time/rollout': 1.5,
    'step_time/changed_image': 0.5,
    'step_time/update': 0.5,
    reward: 0,
    loss: 0.25,
  });
});
