/** Where a rollout's scores come from, for each way in which it may be learned from. */
import { expect, test } from 'vitest';
import { planBatches } from '../../src/grpo/batching.ts';
import { planScores, type ScorePlan } from '../../src/grpo/score_plan.ts';

const sizes = {
  perDeviceTrainBatchSize: 8,
  gradientAccumulationSteps: 1,
  generationBatchSize: 8,
  stepsPerGeneration: 1,
  numGenerations: 4,
  numIterations: 1,
};
const accumulated = { perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 2, stepsPerGeneration: 2 };
const outlivesUpdate = { perDeviceTrainBatchSize: 4, stepsPerGeneration: 2 };

test.each<[string, Partial<typeof sizes>, boolean, boolean, ScorePlan]>([
  ['one micro-batch, reused', {}, true, false, { from: 'sampling', tape: true, old: false }],
  ['one micro-batch, reused and probed', {}, true, true, { from: 'sampling', tape: true, old: false }],
  ['one micro-batch, not reused', {}, false, false, { from: 'forward', tape: true, old: false }],
  ['several micro-batches of one step', accumulated, true, false, { from: 'learning', tape: false, old: false }],
  ['several micro-batches, probed', accumulated, true, true, { from: 'forward', tape: false, old: false }],
  ['several steps', outlivesUpdate, true, false, { from: 'forward', tape: false, old: true }],
  ['several iterations', { numIterations: 2 }, true, false, { from: 'forward', tape: false, old: true }],
])('%s', (_, changes, reuseRollout, needsScores, expected) => {
  const plan = planBatches({ ...sizes, ...changes });
  expect(planScores(plan, 0, { reuseRollout, needsScores })).toEqual(expected);
});
