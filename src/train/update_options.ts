/**
 * Derives the optimizer's settings from a training command's arguments.
 */
import type { RlhfArguments, SftArguments } from '../arguments/resolve.ts';
import { createSchedule, warmupStepsOf } from '../optim/schedule.ts';
import { rateFactors } from './learning_rates.ts';
import type { UpdateOptions } from './update.ts';

export function updateOptions(args: RlhfArguments | SftArguments, totalSteps: number): UpdateOptions {
  return {
    beta1: args.adamBeta1,
    beta2: args.adamBeta2,
    epsilon: args.adamEpsilon,
    weightDecay: args.weightDecay,
    maxGradNorm: args.maxGradNorm,
    rateFactor: rateFactors(args),
    schedule: createSchedule({
      type: args.lrSchedulerType,
      learningRate: args.learningRate,
      totalSteps,
      warmupSteps: warmupStepsOf(totalSteps, args),
      kwargs: args.lrSchedulerKwargs ?? {},
    }),
  };
}
