/**
 * How fast a run goes through its dataset: prompts per optimizer step, per epoch and per run.
 * Knows numbers of rows, not rows and not their order.
 */
import { SightlineError } from '../errors.ts';
import type { BatchPlan } from './batching.ts';

export interface Pace {
  /** Rows of the dataset. */
  readonly rows: number;
  /** Rows that fill whole rollouts: they count for the steps of an epoch. */
  readonly rowsPerEpoch: number;
  /** Rows that so many optimizer steps take. May be a fraction: several steps may learn from one row. */
  rowsAfter(steps: number): number;
}

/**
 * The pace of a plan on a dataset. An epoch counts the rollouts that the dataset fills.
 *
 * @throws SightlineError E_DATASET_TOO_SMALL: the dataset does not fill one rollout
 */
export function paceOf(plan: BatchPlan, rows: number): Pace {
  const rollouts = Math.floor(rows / plan.promptsPerRollout);
  if (rollouts === 0) throw tooSmall(plan, rows);
  return {
    rows,
    rowsPerEpoch: rollouts * plan.promptsPerRollout,
    rowsAfter: (steps) => (steps * plan.completionsPerStep) / plan.numGenerations / plan.numIterations,
  };
}

/** Prompts that a run of so many optimizer steps samples from. In a shorter dataset, rows come again. */
export function promptsOfRun(plan: BatchPlan, steps: number): number {
  const microBatches = steps * plan.microBatchesPerStep;
  return Math.ceil(microBatches / (plan.microBatchesPerRollout * plan.numIterations)) * plan.promptsPerRollout;
}

// --- internal ---

function tooSmall(plan: BatchPlan, rows: number): SightlineError {
  return new SightlineError(
    'E_DATASET_TOO_SMALL',
    `the dataset has ${rows} rows, but a rollout takes ${plan.promptsPerRollout} prompts ` +
      `(${plan.generationBatchSize} completions in groups of ${plan.numGenerations})`,
    {
      where: '--dataset',
      hint: 'add rows, or lower per_device_train_batch_size, gradient_accumulation_steps or steps_per_generation',
    },
  );
}
