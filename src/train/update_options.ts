/**
 * Derives the optimizer's settings from a training command's arguments.
 */
import type { RlhfArguments, SftArguments } from '../arguments/resolve.ts';
import { createSchedule, warmupStepsOf } from '../optim/schedule.ts';
import { rateFactors } from './learning_rates.ts';
import type { DecayRule, UpdateOptions } from './update.ts';

/**
 * Matrices decay; biases and norm weights, which are vectors, do not. transformers' Trainer excludes norms by patterns of
 * their names, which miss norm1, norm2 and ln_q of the vision tower.
 */
export const matricesDecay: DecayRule = (_name, shape) => shape.length > 1;

export function updateOptions(args: RlhfArguments | SftArguments, totalSteps: number): UpdateOptions {
  return {
    beta1: args.adamBeta1,
    beta2: args.adamBeta2,
    epsilon: args.adamEpsilon,
    weightDecay: args.weightDecay,
    decays: matricesDecay,
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
