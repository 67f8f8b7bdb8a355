/**
 * How long a run is, and at which steps it logs, evaluates and saves.
 * Knows step numbers and epochs only.
 */

export type Strategy = 'no' | 'steps' | 'epoch';

/**
 * Optimizer steps of a run: `maxSteps` if it is above 0, else as many as it takes to visit every row `epochs` times.
 * Rows go on over the end of an epoch, so no step is short but for what the last one takes beyond it.
 */
export function stepsOfRun(
  rows: number,
  rowsPerStep: number,
  length: { readonly maxSteps: number; readonly numTrainEpochs: number },
): number {
  if (length.maxSteps > 0) return length.maxSteps;
  // Rounding first: 1.1 epochs of 10 steps must not become 12 for want of a last digit.
  return Math.max(1, Math.ceil(Number(((length.numTrainEpochs * rows) / rowsPerStep).toFixed(9))));
}

/** A step that has just been done. */
export interface StepDone {
  /** From 1. */
  readonly step: number;
  readonly maxSteps: number;
  /** Epochs before and after it, with fraction. */
  readonly epochBefore: number;
  readonly epoch: number;
}

/** Whether something with a strategy is due after a step; after the last one it is, unless the strategy is `no`. */
export function isDue(strategy: Strategy, every: number, { step, maxSteps, epochBefore, epoch }: StepDone): boolean {
  if (strategy === 'no') return false;
  if (step === maxSteps) return true;
  return strategy === 'steps' ? step % every === 0 : Math.floor(epoch) > Math.floor(epochBefore);
}

/** Whether a log record is due: every `loggingSteps`, after the last step, and after the first one if wanted. */
export function isLogDue(
  { loggingSteps, loggingFirstStep }: { readonly loggingSteps: number; readonly loggingFirstStep: boolean },
  { step, maxSteps }: Pick<StepDone, 'step' | 'maxSteps'>,
): boolean {
  return step % loggingSteps === 0 || step === maxSteps || (step === 1 && loggingFirstStep);
}

/** How many evaluations and saves a whole run makes. `epochOf`: epochs after so many steps. */
export function plannedOf(
  args: {
    readonly evaluates: boolean;
    readonly evalOnStart: boolean;
    readonly evalStrategy: Strategy;
    readonly evalSteps: number;
    readonly saveStrategy: Strategy;
    readonly saveSteps: number;
  },
  maxSteps: number,
  epochOf: (step: number) => number,
): { eval: number; save: number } {
  const count = (strategy: Strategy, every: number): number => {
    let times = 0;
    for (let step = 1; step <= maxSteps; step++) {
      if (isDue(strategy, every, { step, maxSteps, epochBefore: epochOf(step - 1), epoch: epochOf(step) })) times++;
    }
    return times;
  };
  return {
    eval: args.evaluates ? count(args.evalStrategy, args.evalSteps) + (args.evalOnStart ? 1 : 0) : 0,
    save: count(args.saveStrategy, args.saveSteps),
  };
}
