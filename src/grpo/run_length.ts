/**
 * How many optimizer steps a run has, from the batches' plan and the dataset's size.
 * Knows numbers of rows, not rows, and not their order.
 */
import { SightlineError } from '../errors.ts';
import type { BatchPlan } from './batching.ts';

/**
 * Optimizer steps of a run: `max_steps` if above 0, else the epochs, rounded up to whole steps. An epoch counts the
 * rollouts that the dataset fills.
 *
 * @throws SightlineError E_DATASET_TOO_SMALL: the dataset does not fill one rollout
 */
export function runLength(
  plan: BatchPlan,
  datasetSize: number,
  options: { readonly numTrainEpochs: number; readonly maxSteps: number },
): number {
  const microBatches = rolloutsIn(plan, datasetSize) * plan.microBatchesPerRollout * plan.numIterations;
  const stepsPerEpoch = microBatches / plan.microBatchesPerStep;
  // Rounding first: 3 epochs of 1/3 step must not become 2 steps for want of a last digit.
  const wanted = Number((options.numTrainEpochs * stepsPerEpoch).toFixed(9));
  return options.maxSteps > 0 ? options.maxSteps : Math.max(1, Math.ceil(wanted));
}

/** Prompts that a run of so many optimizer steps samples from; rows of a dataset that is shorter come again. */
export function promptsOfRun(plan: BatchPlan, steps: number): number {
  const microBatches = steps * plan.microBatchesPerStep;
  return Math.ceil(microBatches / (plan.microBatchesPerRollout * plan.numIterations)) * plan.promptsPerRollout;
}

// --- internal ---

function rolloutsIn(plan: BatchPlan, datasetSize: number): number {
  const rollouts = Math.floor(datasetSize / plan.promptsPerRollout);
  if (rollouts > 0) return rollouts;
  throw new SightlineError(
    'E_DATASET_TOO_SMALL',
    `the dataset has ${datasetSize} rows, but a rollout takes ${plan.promptsPerRollout} prompts ` +
      `(${plan.generationBatchSize} completions in groups of ${plan.numGenerations})`,
    {
      where: '--dataset',
      hint: 'add rows, or lower per_device_train_batch_size, gradient_accumulation_steps or steps_per_generation',
    },
  );
}
