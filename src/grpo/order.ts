/**
 * Which dataset rows a rollout takes, and how long a run is, as pure functions of seed and rollout number.
 * Knows row numbers, not rows. Nothing is consumed, so a resumed run needs only the rollout number.
 *
 * Source: TRL trainer/utils.py (`RepeatSampler`): a new permutation each epoch, cut into rollouts, the incomplete rest
 * dropped. The permutation itself is our own generator's, not torch's.
 */
import { SightlineError } from '../errors.ts';
import { createRandom } from '../util/random.ts';
import type { BatchPlan } from './batching.ts';

export interface OrderOptions {
  /** Seed of the order (`data_seed`). */
  readonly seed: number;
  /** False keeps the order of the file in every epoch. */
  readonly shuffle: boolean;
}

export interface RunLength {
  /** Optimizer steps of the run. */
  readonly totalSteps: number;
  readonly rolloutsPerEpoch: number;
  /** Optimizer steps in an epoch; not always a whole number. */
  readonly stepsPerEpoch: number;
  /** Rows that an epoch leaves out because they do not fill a rollout; others each time when shuffling. */
  readonly droppedRows: number;
}

/**
 * Length of a run: `max_steps` if above 0, else the epochs, rounded up to whole optimizer steps.
 *
 * @throws SightlineError E_DATASET_TOO_SMALL: the dataset does not fill one rollout
 */
export function runLength(
  plan: BatchPlan,
  datasetSize: number,
  options: { readonly numTrainEpochs: number; readonly maxSteps: number },
): RunLength {
  const rolloutsPerEpoch = rolloutsIn(plan, datasetSize);
  const microBatches = rolloutsPerEpoch * plan.microBatchesPerRollout * plan.numIterations;
  const stepsPerEpoch = microBatches / plan.microBatchesPerStep;
  // Rounding first: 3 epochs of 1/3 step must not become 2 steps for want of a last digit.
  const wanted = Number((options.numTrainEpochs * stepsPerEpoch).toFixed(9));
  return {
    totalSteps: options.maxSteps > 0 ? options.maxSteps : Math.max(1, Math.ceil(wanted)),
    rolloutsPerEpoch,
    stepsPerEpoch,
    droppedRows: datasetSize - rolloutsPerEpoch * plan.promptsPerRollout,
  };
}

/**
 * Row numbers of a rollout, one per group. [promptsPerRollout]
 *
 * @throws SightlineError E_DATASET_TOO_SMALL: the dataset does not fill one rollout
 */
export function rowsOfRollout(plan: BatchPlan, datasetSize: number, rollout: number, options: OrderOptions): number[] {
  const perEpoch = rolloutsIn(plan, datasetSize);
  const epoch = Math.floor(rollout / perEpoch);
  const order = Array.from({ length: datasetSize }, (_, i) => i);
  if (options.shuffle) createRandom(options.seed).fork(`order of epoch ${epoch}`).shuffle(order);
  const first = (rollout % perEpoch) * plan.promptsPerRollout;
  return order.slice(first, first + plan.promptsPerRollout);
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
