/**
 * A step of GRPO that is made for what it takes, not for what it learns.
 */
import { optimizerStepAt } from '../grpo/batching.ts';
import type { CompletionSampler, RolloutPrompt } from '../grpo/rollout.ts';
import { collect, type Experience, type StepParts } from './experience.ts';
import type { Judged } from './judge.ts';
import { learn } from './learn.ts';
import { dropoutOf } from './policy.ts';
import type { Updater } from './update.ts';

export interface RehearsedStep {
  readonly seconds: number;
  /** Seconds of one rollout, and of the rest of the step. */
  readonly rolloutSeconds: number;
  readonly learnSeconds: number;
  readonly judged: readonly Judged[];
}

/**
 * The first optimizer step of a run, with these prompts. Errors: those of a step.
 *
 * @param more prompts for another batch, for `--dynamic_sample`; null: the first one is used as it is
 */
export async function rehearseStep(
  prompts: readonly RolloutPrompt[],
  parts: StepParts,
  updater: Pick<Updater, 'update'>,
  more: (() => Promise<readonly RolloutPrompt[]>) | null = null,
): Promise<RehearsedStep> {
  const { plan, policy, sampler } = parts;
  const start = performance.now();
  const experiences = new Map<number, Experience>();
  const microBatches = optimizerStepAt(plan, 0);
  for (const { rollout } of microBatches) {
    if (!experiences.has(rollout)) experiences.set(rollout, await collect(prompts, rollout, 0, parts, more));
  }
  const collected = performance.now();
  await learn(microBatches, experiences, parts, (i) => dropoutOf(policy, sampler.random, `rehearsal/${i}`));
  await updater.update();
  const end = performance.now();
  return {
    seconds: (end - start) / 1000,
    rolloutSeconds: (collected - start) / 1000 / experiences.size,
    learnSeconds: (end - collected) / 1000,
    judged: [...experiences.values()].map(({ judged }) => judged),
  };
}

/** A sampler whose completions all have the largest length. */
export const neverStopping = (sampler: CompletionSampler): CompletionSampler => ({
  ...sampler,
  sampling: { ...sampler.sampling, stopIds: [] },
});
