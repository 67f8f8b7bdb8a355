/**
 * Learning-rate schedules as functions of the optimizer step, equal to those of transformers' get_scheduler.
 * Knows step numbers and factors, not parameters.
 *
 * Source: transformers optimization.py (the `_get_..._lr_lambda` functions) and TrainingArguments.get_warmup_steps.
 */
import { SightlineError } from '../errors.ts';

export const lrSchedulerTypes = ['linear', 'cosine', 'cosine_with_min_lr', 'constant', 'constant_with_warmup'] as const;

export type LrSchedulerType = (typeof lrSchedulerTypes)[number];

export interface ScheduleOptions {
  readonly type: LrSchedulerType;
  /** Peak learning rate: the schedule's factor 1. */
  readonly learningRate: number;
  /** Optimizer steps of the run. */
  readonly totalSteps: number;
  /** See `warmupStepsOf`. Not used by `constant`, as in transformers. */
  readonly warmupSteps: number;
  /** `lr_scheduler_kwargs`: num_cycles (cosine types), min_lr or min_lr_rate (cosine_with_min_lr). */
  readonly kwargs?: Readonly<Record<string, unknown>>;
}

/** The learning rate of update number `step`, counted from 0. */
export type Schedule = (step: number) => number;

/**
 * The schedule as a function of the step.
 *
 * @throws SightlineError E_SCHEDULE if a kwarg is unknown to the type or not a number, or if cosine_with_min_lr gets both or
 * neither of min_lr and min_lr_rate
 */
export function createSchedule(options: ScheduleOptions): Schedule {
  const { type, learningRate, totalSteps, warmupSteps } = options;
  const kwargs = readKwargs(type, options.kwargs ?? {});
  if (type === 'constant') return () => learningRate;
  const after = afterWarmup(type, learningRate, totalSteps, kwargs);
  return (step) => {
    if (step < warmupSteps) return (learningRate * step) / Math.max(1, warmupSteps);
    return learningRate * after(step, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
  };
}

/** Warm-up in optimizer steps: `warmup_steps` if it is above 0, else the share `warmup_ratio` of the run, rounded up. */
export function warmupStepsOf(totalSteps: number, warmup: { warmupSteps: number; warmupRatio: number }): number {
  return warmup.warmupSteps > 0 ? warmup.warmupSteps : Math.ceil(totalSteps * warmup.warmupRatio);
}

// --- internal ---

/** The factor after warm-up, as a function of the step and of the progress since warm-up (0 to 1). */
function afterWarmup(
  type: Exclude<LrSchedulerType, 'constant'>,
  learningRate: number,
  totalSteps: number,
  kwargs: ReadonlyMap<string, number>,
): (step: number, progress: number) => number {
  const cosine = (progress: number): number =>
    0.5 * (1 + Math.cos(Math.PI * (kwargs.get('num_cycles') ?? 0.5) * 2 * progress));
  switch (type) {
    case 'constant_with_warmup':
      return () => 1;
    case 'linear':
      return (step, progress) => (step >= totalSteps ? 0 : 1 - progress);
    case 'cosine':
      return (_step, progress) => Math.max(0, cosine(progress));
    case 'cosine_with_min_lr': {
      const floor = minLrRate(learningRate, kwargs);
      return (_step, progress) => Math.max(0, cosine(progress) * (1 - floor) + floor);
    }
  }
}

function minLrRate(learningRate: number, kwargs: ReadonlyMap<string, number>): number {
  const minLr = kwargs.get('min_lr');
  const rate = kwargs.get('min_lr_rate');
  if ((minLr === undefined) === (rate === undefined)) {
    throw new SightlineError(
      'E_SCHEDULE',
      `cosine_with_min_lr needs one of min_lr and min_lr_rate, got ${rate === undefined ? 'neither' : 'both'}`,
      { where: '--lr_scheduler_kwargs', hint: `for example --lr_scheduler_kwargs '{"min_lr_rate": 0.1}'` },
    );
  }
  if (rate === undefined && learningRate === 0) {
    throw new SightlineError('E_SCHEDULE', 'min_lr is relative to the learning rate, which is 0', {
      where: '--lr_scheduler_kwargs',
      hint: 'give a --learning_rate above 0, or min_lr_rate instead',
    });
  }
  return rate ?? minLr! / learningRate;
}

const kwargNames: Record<LrSchedulerType, readonly string[]> = {
  linear: [],
  cosine: ['num_cycles'],
  cosine_with_min_lr: ['num_cycles', 'min_lr', 'min_lr_rate'],
  constant: [],
  constant_with_warmup: [],
};

function readKwargs(type: LrSchedulerType, kwargs: Readonly<Record<string, unknown>>): Map<string, number> {
  const known = kwargNames[type];
  const read = new Map<string, number>();
  for (const [name, value] of Object.entries(kwargs)) {
    if (!known.includes(name)) {
      throw new SightlineError('E_SCHEDULE', `${type} has no setting "${name}"`, {
        where: '--lr_scheduler_kwargs',
        hint: known.length === 0 ? `${type} takes none` : `${type} takes ${known.join(', ')}`,
      });
    }
    // As in Python, null means that the setting is not given.
    if (value === null) continue;
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      throw new SightlineError('E_SCHEDULE', `"${name}" is ${JSON.stringify(value)}, expected a number`, {
        where: '--lr_scheduler_kwargs',
        hint: `for example --lr_scheduler_kwargs '{"${name}": 0.1}'`,
      });
    }
    read.set(name, value);
  }
  return read;
}
