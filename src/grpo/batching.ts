/**
 * Batch geometry: how completions flow from rollouts through micro-batches into optimizer steps, as plain numbers.
 * Knows counts, not prompts or tensors; which rows a rollout takes says data/sampler.ts.
 *
 * Source: ms-swift rlhf_trainers/args_mixin.py (`_init_generation_batch_params`) and TRL trainer/grpo_trainer.py
 * (`_get_train_sampler`, `_prepare_inputs`), for one process.
 * Leaves them in two points: a rollout is not shuffled before it is cut (TRL does, ms-swift does not), so groups stay
 * together; and optimizer steps run across the end of an epoch instead of ending in a short one.
 */
import { SightlineError } from '../errors.ts';

export interface BatchOptions {
  /** Completions (not prompts) in a micro-batch. */
  readonly perDeviceTrainBatchSize: number;
  /** Micro-batches in an optimizer step. */
  readonly gradientAccumulationSteps: number;
  /** Completions in a rollout; null for perDeviceTrainBatchSize x stepsPerGeneration. */
  readonly generationBatchSize: number | null;
  /** Micro-batches cut from a rollout; null for gradientAccumulationSteps. */
  readonly stepsPerGeneration: number | null;
  /** Completions per prompt, at least 2: a group of one has no baseline. */
  readonly numGenerations: number;
  /** How often a rollout is gone through. */
  readonly numIterations: number;
}

export interface BatchPlan {
  readonly microBatchSize: number;
  readonly microBatchesPerStep: number;
  /** Completions that one optimizer step learns from. */
  readonly completionsPerStep: number;
  /** Distinct micro-batches in a rollout (`steps_per_generation`). */
  readonly microBatchesPerRollout: number;
  /** Completions in a rollout. */
  readonly generationBatchSize: number;
  /** Prompts, i.e. groups, in a rollout. */
  readonly promptsPerRollout: number;
  readonly numGenerations: number;
  readonly numIterations: number;
  /** What the user should know of this geometry; null when nothing. */
  readonly notice: string | null;
}

/** Completions of one group that lie in one micro-batch; they share the prompt. */
export interface GroupRun {
  /** Group, i.e. prompt, within the rollout. */
  readonly group: number;
  /** First completion, counted within the rollout. */
  readonly begin: number;
  /** One past the last. */
  readonly end: number;
}

export interface MicroBatch {
  /** Number of the rollout in the run, from 0. */
  readonly rollout: number;
  /** Which part of the rollout, below microBatchesPerRollout. */
  readonly slice: number;
  /** No update lies between sampling and this micro-batch: the old log-probabilities are the current ones. */
  readonly onPolicy: boolean;
  /** The groups in it, in order; together its completions. */
  readonly runs: readonly GroupRun[];
}

/**
 * Completions, micro-batches or passes that a flag may ask for at once: far above any run, below what would fill memory
 * with numbers alone.
 */
export const MAX_BATCH = 65_536;

/**
 * Checks the sizes and derives the rest.
 *
 * @throws SightlineError E_BATCH_GEOMETRY: a size that is no positive integer, sizes that do not divide, or
 *   generation_batch_size and steps_per_generation that contradict each other
 */
export function planBatches(options: BatchOptions): BatchPlan {
  const microBatchSize = positive('per_device_train_batch_size', options.perDeviceTrainBatchSize);
  const microBatchesPerStep = positive('gradient_accumulation_steps', options.gradientAccumulationSteps);
  const numIterations = positive('num_iterations', options.numIterations);
  const numGenerations = positive('num_generations', options.numGenerations);
  if (numGenerations < 2) {
    throw geometryError('num_generations', `num_generations is ${numGenerations}, expected at least 2`, {
      hint: 'GRPO compares the completions of a prompt with one another; the default is 8',
    });
  }
  const microBatchesPerRollout = sliceCount(options, microBatchSize, microBatchesPerStep);
  const generationBatchSize = microBatchSize * microBatchesPerRollout;
  if (generationBatchSize > MAX_BATCH) {
    throw geometryError(
      'per_device_train_batch_size',
      `a rollout has ${generationBatchSize} completions (per_device_train_batch_size ${microBatchSize} x ` +
        `steps_per_generation ${microBatchesPerRollout}), at most ${MAX_BATCH} are sampled at once`,
      { hint: 'lower one of the two' },
    );
  }
  if (generationBatchSize % numGenerations !== 0) {
    throw geometryError(
      'num_generations',
      `a rollout of ${generationBatchSize} completions (per_device_train_batch_size ${microBatchSize} x ` +
        `steps_per_generation ${microBatchesPerRollout}) cannot be divided into groups of num_generations ${numGenerations}`,
      { hint: divisorHint(generationBatchSize, numGenerations, microBatchesPerRollout) },
    );
  }
  const groupsWhole = microBatchSize % numGenerations === 0;
  return {
    microBatchSize,
    microBatchesPerStep,
    completionsPerStep: microBatchSize * microBatchesPerStep,
    microBatchesPerRollout,
    generationBatchSize,
    promptsPerRollout: generationBatchSize / numGenerations,
    numGenerations,
    numIterations,
    notice: groupsWhole
      ? null
      : `per_device_train_batch_size ${microBatchSize} is not a multiple of num_generations ${numGenerations}: groups ` +
        'are split over micro-batches. Advantages still use the whole group and results do not change, but a split ' +
        'prompt is computed once per part. Use a multiple, with fewer gradient_accumulation_steps, if memory allows.',
  };
}

/** The micro-batches of one optimizer step, in order. */
export function optimizerStepAt(plan: BatchPlan, step: number): MicroBatch[] {
  const first = step * plan.microBatchesPerStep;
  return Array.from({ length: plan.microBatchesPerStep }, (_, i) => microBatchAt(plan, first + i));
}

/**
 * Which parts of a rollout need old log-probabilities, because at least one of their uses is off-policy. Where the
 * first use is on-policy its own forward gives them; the others need a scoring pass right after the rollout.
 */
export function oldLogpsNeeded(plan: BatchPlan, rollout: number): boolean[] {
  const needed = new Array<boolean>(plan.microBatchesPerRollout).fill(false);
  const uses = plan.microBatchesPerRollout * plan.numIterations;
  for (let i = 0; i < uses; i++) {
    const use = microBatchAt(plan, rollout * uses + i);
    if (!use.onPolicy) needed[use.slice] = true;
  }
  return needed;
}

// --- internal ---

/** The micro-batch number `index` of the run. */
function microBatchAt(plan: BatchPlan, index: number): MicroBatch {
  const uses = plan.microBatchesPerRollout * plan.numIterations;
  const rollout = Math.floor(index / uses);
  const slice = (index % uses) % plan.microBatchesPerRollout;
  const optimizerStep = Math.floor(index / plan.microBatchesPerStep);
  return {
    rollout,
    slice,
    onPolicy: optimizerStep === Math.floor((rollout * uses) / plan.microBatchesPerStep),
    runs: groupRuns(slice * plan.microBatchSize, plan.microBatchSize, plan.numGenerations),
  };
}

function sliceCount(options: BatchOptions, microBatchSize: number, microBatchesPerStep: number): number {
  const given = options.stepsPerGeneration;
  if (given !== null) positive('steps_per_generation', given);
  if (options.generationBatchSize === null) return given ?? microBatchesPerStep;

  const size = positive('generation_batch_size', options.generationBatchSize);
  if (given !== null && size !== microBatchSize * given) {
    throw geometryError(
      'generation_batch_size',
      `generation_batch_size is ${size}, but per_device_train_batch_size ${microBatchSize} x steps_per_generation ` +
        `${given} is ${microBatchSize * given}`,
      { hint: 'give only one of generation_batch_size and steps_per_generation' },
    );
  }
  if (size % microBatchSize !== 0) {
    throw geometryError(
      'generation_batch_size',
      `generation_batch_size is ${size}, expected a multiple of per_device_train_batch_size ${microBatchSize}`,
      { hint: `for example --generation_batch_size ${Math.ceil(size / microBatchSize) * microBatchSize}` },
    );
  }
  return size / microBatchSize;
}

/** Cuts `count` completions from `first` at the borders of the groups. */
function groupRuns(first: number, count: number, numGenerations: number): GroupRun[] {
  const runs: GroupRun[] = [];
  for (let begin = first; begin < first + count; ) {
    const group = Math.floor(begin / numGenerations);
    const end = Math.min((group + 1) * numGenerations, first + count);
    runs.push({ group, begin, end });
    begin = end;
  }
  return runs;
}

function positive(flag: string, value: number): number {
  if (value > MAX_BATCH) {
    throw geometryError(flag, `${flag} is ${value}, expected at most ${MAX_BATCH}`, { hint: `lower --${flag}` });
  }
  if (Number.isInteger(value) && value > 0) return value;
  throw geometryError(flag, `${flag} is ${value}, expected a whole number above 0`, {
    hint: `for example --${flag} ${Math.max(1, Math.round(Math.abs(value) || 1))}`,
  });
}

function divisorHint(completions: number, numGenerations: number, slices: number): string {
  const divisors = Array.from({ length: completions - 1 }, (_, i) => i + 2).filter((n) => completions % n === 0);
  // The smallest micro-batch that makes the rollout a multiple of the group.
  let size = 1;
  while ((size * slices) % numGenerations !== 0) size += 1;
  const batch = `a multiple of ${size} as per_device_train_batch_size`;
  return divisors.length === 0 ? `use ${batch}` : `use ${batch}, or one of ${divisors.join(', ')} as num_generations`;
}

function geometryError(flag: string, message: string, details: { hint: string }): SightlineError {
  return new SightlineError('E_BATCH_GEOMETRY', message, { where: `--${flag}`, hint: details.hint });
}
