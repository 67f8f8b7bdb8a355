/**
 * How long a run is, and at which steps it logs, evaluates and saves.
 * Knows step numbers and epochs only.
 */
import type { Pace } from '../grpo/epochs.ts';

export type Strategy = 'no' | 'steps' | 'epoch';

/** The number of steps of a run, and the epoch at each of them. */
export interface RunLength {
  /** Optimizer steps of the run. */
  readonly maxSteps: number;
  /** Passes over the data after `step` steps, including the fraction of the current one. */
  epochOf(step: number): number;
}

/**
 * The run has `maxSteps` steps if that is above 0, else as many as the epochs take, rounded up. A step may continue into the
 * next epoch, so all steps have the same number of rows.
 */
export function runLength(
  { rows, rowsPerEpoch, rowsAfter }: Pace,
  { maxSteps, numTrainEpochs }: { readonly maxSteps: number; readonly numTrainEpochs: number },
): RunLength {
  // Rounds away floating-point error first, so that 1.1 epochs of 10 steps do not become 12 steps.
  const wanted = Number(((numTrainEpochs * rowsPerEpoch) / rowsAfter(1)).toFixed(9));
  return {
    maxSteps: maxSteps > 0 ? maxSteps : Math.max(1, Math.ceil(wanted)),
    epochOf: (step) => rowsAfter(step) / rows,
  };
}

/** Whether an evaluation or a save is due after a step. After the last step it is due unless the strategy is `no`. */
export function isDue(strategy: Strategy, every: number, step: number, { maxSteps, epochOf }: RunLength): boolean {
  if (strategy === 'no') return false;
  if (step === maxSteps) return true;
  return strategy === 'steps' ? step % every === 0 : Math.floor(epochOf(step)) > Math.floor(epochOf(step - 1));
}

/** Whether a log record is due: every `loggingSteps`, after the last step, and after the first one if `loggingFirstStep`. */
export function isLogDue(
  { loggingSteps, loggingFirstStep }: { readonly loggingSteps: number; readonly loggingFirstStep: boolean },
  step: number,
  { maxSteps }: Pick<RunLength, 'maxSteps'>,
): boolean {
  return step % loggingSteps === 0 || step === maxSteps || (step === 1 && loggingFirstStep);
}

/** The number of evaluations and saves in the whole run. */
export function plannedOf(
  args: {
    readonly evalOnStart: boolean;
    readonly evalStrategy: Strategy;
    readonly evalSteps: number;
    readonly saveStrategy: Strategy;
    readonly saveSteps: number;
  },
  length: RunLength,
  evaluates: boolean,
): { eval: number; save: number } {
  const count = (strategy: Strategy, every: number): number => {
    let times = 0;
    for (let step = 1; step <= length.maxSteps; step++) if (isDue(strategy, every, step, length)) times++;
    return times;
  };
  return {
    eval: evaluates ? count(args.evalStrategy, args.evalSteps) + (args.evalOnStart ? 1 : 0) : 0,
    save: count(args.saveStrategy, args.saveSteps),
  };
}
