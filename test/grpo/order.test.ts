import { describe, expect, test } from 'vitest';
import { SightlineError } from '../../src/errors.ts';
import { planBatches } from '../../src/grpo/batching.ts';
import { rowsOfRollout, runLength } from '../../src/grpo/order.ts';

const plan = planBatches({
  perDeviceTrainBatchSize: 8,
  gradientAccumulationSteps: 3,
  generationBatchSize: null,
  stepsPerGeneration: null,
  numGenerations: 8,
  numIterations: 1,
});
const order = { seed: 42, shuffle: true };

describe('rowsOfRollout', () => {
  test('an epoch takes each row at most once and drops what does not fill a rollout', () => {
    const epoch = [0, 1, 2].flatMap((r) => rowsOfRollout(plan, 11, r, order));
    expect(epoch).toHaveLength(9);
    expect(new Set(epoch).size).toBe(9);
    expect(epoch.every((row) => row >= 0 && row < 11)).toBe(true);
  });

  test('shuffles anew each epoch and with each seed, and repeats itself for the same', () => {
    const epochOf = (epoch: number, seed: number): number[] =>
      [0, 1, 2].flatMap((r) => rowsOfRollout(plan, 9, 3 * epoch + r, { seed, shuffle: true }));
    expect(epochOf(0, 42)).toEqual(epochOf(0, 42));
    expect(epochOf(0, 42)).not.toEqual(epochOf(1, 42));
    expect(epochOf(0, 42)).not.toEqual(epochOf(0, 43));
    expect(epochOf(1, 42).sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test('keeps the order of the file without shuffling', () => {
    const rows = [0, 1, 2, 3].map((r) => rowsOfRollout(plan, 7, r, { seed: 1, shuffle: false }));
    expect(rows).toEqual([
      [0, 1, 2],
      [3, 4, 5],
      [0, 1, 2],
      [3, 4, 5],
    ]);
  });
});

describe('runLength', () => {
  test('epochs, rounded up to whole steps', () => {
    expect(runLength(plan, 11, { numTrainEpochs: 2, maxSteps: -1 })).toEqual({
      totalSteps: 6,
      rolloutsPerEpoch: 3,
      stepsPerEpoch: 3,
      droppedRows: 2,
    });
    expect(runLength(plan, 11, { numTrainEpochs: 0.5, maxSteps: -1 }).totalSteps).toBe(2);
    expect(runLength(plan, 11, { numTrainEpochs: 2, maxSteps: 4 }).totalSteps).toBe(4);
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
    expect(runLength(third, 1, { numTrainEpochs: 3, maxSteps: -1 }).totalSteps).toBe(1);
    expect(runLength(third, 1, { numTrainEpochs: 4, maxSteps: -1 }).totalSteps).toBe(2);
  });

  test('a dataset below one rollout is refused with both numbers', () => {
    const act = (): unknown => runLength(plan, 2, { numTrainEpochs: 1, maxSteps: 5 });
    expect(act).toThrow(SightlineError);
    expect(act).toThrow('the dataset has 2 rows, but a rollout takes 3 prompts');
    expect(() => rowsOfRollout(plan, 2, 0, order)).toThrow(SightlineError);
  });
});
