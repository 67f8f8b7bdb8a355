import { describe, expect, test } from 'vitest';
import { SightlineError } from '../../src/errors.ts';
import { planBatches } from '../../src/grpo/batching.ts';
import { paceOf, promptsOfRun } from '../../src/grpo/epochs.ts';

const plan = planBatches({
  perDeviceTrainBatchSize: 8,
  gradientAccumulationSteps: 3,
  generationBatchSize: 24,
  stepsPerGeneration: 3,
  numGenerations: 8,
  numIterations: 1,
});
// A rollout of 4 prompts lasts 4 steps.
const twice = planBatches({
  perDeviceTrainBatchSize: 16,
  gradientAccumulationSteps: 1,
  generationBatchSize: 32,
  stepsPerGeneration: 2,
  numGenerations: 8,
  numIterations: 2,
});

describe('paceOf', () => {
  test('an epoch counts the rollouts that the dataset fills', () => {
    const { rows, rowsPerEpoch, rowsAfter } = paceOf(plan, 11);
    expect([rows, rowsPerEpoch, rowsAfter(1), rowsAfter(4)]).toEqual([11, 9, 3, 12]);
  });

  test('steps that learn from one row share it', () => {
    const { rowsPerEpoch, rowsAfter } = paceOf(twice, 7);
    expect([rowsPerEpoch, rowsAfter(1), rowsAfter(4)]).toEqual([4, 1, 4]);
  });

  test('a dataset below one rollout is refused with both numbers', () => {
    const act = (): unknown => paceOf(plan, 2);
    expect(act).toThrow(SightlineError);
    expect(act).toThrow('the dataset has 2 rows, but a rollout takes 3 prompts');
  });
});

test('promptsOfRun: rollouts that were begun, each used for its iterations', () => {
  expect(promptsOfRun(plan, 4)).toBe(12);
  expect(promptsOfRun(twice, 4)).toBe(4);
  expect(promptsOfRun(twice, 5)).toBe(8);
});
