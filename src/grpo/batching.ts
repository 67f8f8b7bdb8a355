/**
 * Batch geometry: how completions flow from rollouts through micro-batches into optimizer steps, as plain numbers.
 * Knows counts, not prompts or tensors; data/sampler.ts decides which rows a rollout takes.
 *
 * Source: ms-swift rlhf_trainers/args_mixin.py (`_init_generation_batch_params`) and TRL trainer/grpo_trainer.py
 * (`_get_train_sampler`, `_prepare_inputs`), for one process.
 * Differs from them in two points. A rollout is not shuffled before it is cut, so groups stay together (TRL shuffles,
 * ms-swift does not). Optimizer steps run across the end of an epoch, so that no step is shorter than the others.
 */

/** Sizes as the flags give them; the two sizes of a rollout may be left out. */
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
}

/** The two sizes of a rollout; generationBatchSize = perDeviceTrainBatchSize * stepsPerGeneration. */
export interface RolloutSizes {
  readonly generationBatchSize: number;
  readonly stepsPerGeneration: number;
}

/** Sizes that fit together. */
export interface BatchSizes extends Omit<BatchOptions, keyof RolloutSizes>, RolloutSizes {
  /** How many times each rollout is learned from. */
  readonly numIterations: number;
}

/** A reason why sizes do not fit together, with the flag that it concerns and a remedy. */
export interface GeometryFault {
  readonly flag: 'generation_batch_size' | 'num_generations';
  readonly message: string;
  readonly fix?: string;
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
  /** A sentence for the user about this geometry; null if there is nothing to say. */
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
  /** Which part of the rollout: below microBatchesPerRollout. */
  readonly slice: number;
  /** No update lies between sampling and this micro-batch: the old log-probabilities are the current ones. */
  readonly onPolicy: boolean;
  /** Its completions, group by group, in order. */
  readonly runs: readonly GroupRun[];
}

/**
 * Most completions, micro-batches or iterations that a flag may ask for: far above any real run, and small enough for the
 * numbers themselves to fit into memory.
 */
export const MAX_BATCH = 65_536;

/**
 * Works out the sizes of a rollout as TRL's GRPOConfig does: either one gives the other, and a rollout must hold whole groups.
 *
 * @returns the sizes, and the first reason why they do not fit together; null where they do
 */
export function rolloutSizes(options: BatchOptions): RolloutSizes & { readonly fault: GeometryFault | null } {
  const { perDeviceTrainBatchSize: size, generationBatchSize: batch, stepsPerGeneration: slices } = options;
  const stepsPerGeneration = slices ?? (batch === null ? options.gradientAccumulationSteps : batch / size);
  const generationBatchSize = batch ?? size * stepsPerGeneration;
  const sizes = { generationBatchSize, stepsPerGeneration };
  return { ...sizes, fault: geometryFault({ ...options, ...sizes }) };
}

/** Derives the plan from sizes in which `rolloutSizes` has found no fault. */
export function planBatches(sizes: BatchSizes): BatchPlan {
  const { perDeviceTrainBatchSize: microBatchSize, gradientAccumulationSteps: microBatchesPerStep } = sizes;
  const { generationBatchSize, stepsPerGeneration, numGenerations, numIterations } = sizes;
  return {
    microBatchSize,
    microBatchesPerStep,
    completionsPerStep: microBatchSize * microBatchesPerStep,
    microBatchesPerRollout: stepsPerGeneration,
    generationBatchSize,
    promptsPerRollout: generationBatchSize / numGenerations,
    numGenerations,
    numIterations,
    notice:
      microBatchSize % numGenerations === 0
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
 * Whether each part of a rollout needs old log-probabilities, because at least one of its uses is off-policy.
 * [microBatchesPerRollout]
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

function geometryFault(sizes: BatchOptions & RolloutSizes): GeometryFault | null {
  const { perDeviceTrainBatchSize: size, generationBatchSize: batch, stepsPerGeneration: slices } = sizes;
  const { numGenerations: group } = sizes;
  const product = `--per_device_train_batch_size ${size} x --steps_per_generation ${slices}`;
  const sampled = `${batch} completions are sampled at once (${product})`;
  if (!Number.isInteger(slices)) {
    const message = `${batch} is not a multiple of --per_device_train_batch_size ${size}`;
    return { flag: 'generation_batch_size', message };
  }
  if (batch !== size * slices) {
    return { flag: 'generation_batch_size', message: `${batch} is not ${product}`, fix: 'give one of the two flags' };
  }
  if (batch > MAX_BATCH) {
    const message = `${sampled}, expected at most ${MAX_BATCH}`;
    return { flag: 'generation_batch_size', message, fix: 'lower one of the two' };
  }
  if (batch % group !== 0) {
    const message = `${sampled}, which is not a multiple of ${group}`;
    const fix = `for one prompt at a time, set --per_device_train_batch_size ${group}`;
    return { flag: 'num_generations', message, fix };
  }
  return null;
}

/** Cuts `count` completions, from `first`, at the borders of their groups. */
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
