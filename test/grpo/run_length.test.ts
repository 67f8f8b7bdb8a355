import { describe, expect, test } from 'vitest';
import { SightlineError } from '../../src/errors.ts';
import { planBatches } from '../../src/grpo/batching.ts';
import { promptsOfRun, runLength } from '../../src/grpo/run_length.ts';

const plan = planBatches({
  perDeviceTrainBatchSize: 8,
  gradientAccumulationSteps: 3,
  generationBatchSize: null,
  stepsPerGeneration: null,
  numGenerations: 8,
  numIterations: 1,
});

describe('runLength', () => {
  test('epochs, rounded up to whole steps', () => {
    expect(runLength(plan, 11, { numTrainEpochs: 2, maxSteps: -1 })).toBe(6);
    expect(runLength(plan, 11, { numTrainEpochs: 0.5, maxSteps: -1 })).toBe(2);
    expect(runLength(plan, 11, { numTrainEpochs: 2, maxSteps: 4 })).toBe(4);
  });

  test('thirds of a step add up', () => {
    const third = planBatches({
      perDeviceTrainBatchSize: 8,
      gradientAccumulationSteps: 3,
      generationBatchSize: null,
      stepsPerGeneration: 1,
      numGenerations: 8,
      numIterations: 1,
    });
    expect(runLength(third, 1, { numTrainEpochs: 3, maxSteps: -1 })).toBe(1);
    expect(runLength(third, 1, { numTrainEpochs: 4, maxSteps: -1 })).toBe(2);
  });

  test('a dataset below one rollout is refused with both numbers', () => {
    const act = (): unknown => runLength(plan, 2, { numTrainEpochs: 1, maxSteps: 5 });
    expect(act).toThrow(SightlineError);
    expect(act).toThrow('the dataset has 2 rows, but a rollout takes 3 prompts');
  });
});

test('promptsOfRun: rollouts that were begun, each used for its iterations', () => {
  expect(promptsOfRun(plan, 4)).toBe(12);
  const twice = planBatches({
    perDeviceTrainBatchSize: 16,
    gradientAccumulationSteps: 1,
    generationBatchSize: null,
    stepsPerGeneration: 2,
    numGenerations: 8,
    numIterations: 2,
  });
  // a rollout of 4 prompts lasts 4 steps
  expect(promptsOfRun(twice, 4)).toBe(4);
  expect(promptsOfRun(twice, 5)).toBe(8);
});
