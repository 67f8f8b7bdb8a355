import { describe, expect, test } from 'vitest';
import { isDue, isLogDue, plannedOf, type RunLength, runLength } from '../../src/train/run_length.ts';

/** A run that takes so many rows a step. */
const paceOf = (rows: number, rowsPerStep: number, rowsPerEpoch = rows) => ({
  rows,
  rowsPerEpoch,
  rowsAfter: (steps: number) => steps * rowsPerStep,
});

describe('runLength', () => {
  test.each([
    [10, 5, -1, 3, 6],
    [10, 4, -1, 1, 3],
    [10, 4, -1, 0.5, 2],
    [2, 100, -1, 1, 1],
    [10, 4, 7, 3, 7],
    [10, 1, -1, 1.1, 11],
    [1, 3, -1, 3, 1],
    [1, 3, -1, 4, 2],
  ])('%d rows, %d a step, max_steps %d, %d epochs: %d', (rows, perStep, maxSteps, numTrainEpochs, expected) => {
    expect(runLength(paceOf(rows, perStep), { maxSteps, numTrainEpochs }).maxSteps).toBe(expected);
  });

  test('steps are counted by the rows of an epoch, epochs by those of the dataset', () => {
    const length = runLength(paceOf(11, 3, 9), { maxSteps: -1, numTrainEpochs: 2 });
    expect([length.maxSteps, length.epochOf(6)]).toEqual([6, 18 / 11]);
  });
});

describe('isDue', () => {
  const length: RunLength = { maxSteps: 7, epochOf: (step) => step / 2.5 };
  const dueSteps = (strategy: 'no' | 'steps' | 'epoch'): number[] =>
    [1, 2, 3, 4, 5, 6, 7].filter((step) => isDue(strategy, 3, step, length));

  test('never, every few steps, or where an epoch ends; and after the last step', () => {
    expect(dueSteps('no')).toEqual([]);
    expect(dueSteps('steps')).toEqual([3, 6, 7]);
    expect(dueSteps('epoch')).toEqual([3, 5, 7]);
  });
});

test('a log is due at its distance, after the last step, and after the first if wanted', () => {
  const due = (loggingFirstStep: boolean): number[] =>
    [1, 2, 3, 4, 5, 6, 7].filter((step) => isLogDue({ loggingSteps: 3, loggingFirstStep }, step, { maxSteps: 7 }));
  expect(due(true)).toEqual([1, 3, 6, 7]);
  expect(due(false)).toEqual([3, 6, 7]);
});

test.each([
  [
    'before, every 3 of 10 steps, and after the last',
    { evalOnStart: true, evalStrategy: 'steps' },
    true,
    { eval: 5, save: 0 },
  ],
  ['after each of 2.5 epochs begun', { evalStrategy: 'epoch' }, true, { eval: 3, save: 0 }],
  ['saves every 5 steps, without rows to evaluate', { saveStrategy: 'steps' }, false, { eval: 0, save: 2 }],
  ['nothing', {}, true, { eval: 0, save: 0 }],
] as const)('planned: %s', (_, changes, evaluates, planned) => {
  const args = {
    evalOnStart: false,
    evalStrategy: 'no',
    evalSteps: 3,
    saveStrategy: 'no',
    saveSteps: 5,
  } as const;
  const length: RunLength = { maxSteps: 10, epochOf: (step) => step / 4 };
  expect(plannedOf({ ...args, ...changes }, length, evaluates)).toEqual(planned);
});
