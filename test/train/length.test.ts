import { describe, expect, test } from 'vitest';
import { isDue, isLogDue, plannedOf, stepsOfRun } from '../../src/train/length.ts';

describe('stepsOfRun', () => {
  test.each([
    [10, 5, -1, 3, 6],
    [10, 4, -1, 1, 3],
    [10, 4, -1, 0.5, 2],
    [2, 100, -1, 1, 1],
    [10, 4, 7, 3, 7],
    [10, 1, -1, 1.1, 11],
  ])('%d rows, %d a step, max_steps %d, %d epochs: %d', (rows, perStep, maxSteps, numTrainEpochs, expected) => {
    expect(stepsOfRun(rows, perStep, { maxSteps, numTrainEpochs })).toBe(expected);
  });
});

describe('isDue', () => {
  const dueSteps = (strategy: 'no' | 'steps' | 'epoch'): number[] =>
    [1, 2, 3, 4, 5, 6, 7].filter((step) =>
      isDue(strategy, 3, { step, maxSteps: 7, epochBefore: (step - 1) / 2.5, epoch: step / 2.5 }),
    );

  test('never, every few steps, or where an epoch ends; and after the last step', () => {
    expect(dueSteps('no')).toEqual([]);
    expect(dueSteps('steps')).toEqual([3, 6, 7]);
    expect(dueSteps('epoch')).toEqual([3, 5, 7]);
  });
});

test('a log is due at its distance, after the last step, and after the first if wanted', () => {
  const due = (loggingFirstStep: boolean): number[] =>
    [1, 2, 3, 4, 5, 6, 7].filter((step) => isLogDue({ loggingSteps: 3, loggingFirstStep }, { step, maxSteps: 7 }));
  expect(due(true)).toEqual([1, 3, 6, 7]);
  expect(due(false)).toEqual([3, 6, 7]);
});

test.each([
  [
    'before, every 3 of 10 steps, and after the last',
    { evalOnStart: true, evalStrategy: 'steps' },
    { eval: 5, save: 0 },
  ],
  ['after each of 2.5 epochs begun', { evalStrategy: 'epoch' }, { eval: 3, save: 0 }],
  ['saves every 5 steps, without rows to evaluate', { evaluates: false, saveStrategy: 'steps' }, { eval: 0, save: 2 }],
  ['nothing', {}, { eval: 0, save: 0 }],
] as const)('planned: %s', (_, changes, planned) => {
  const args = {
    evaluates: true,
    evalOnStart: false,
    evalStrategy: 'no',
    evalSteps: 3,
    saveStrategy: 'no',
    saveSteps: 5,
  } as const;
  expect(plannedOf({ ...args, ...changes }, 10, (step) => step / 4)).toEqual(planned);
});
