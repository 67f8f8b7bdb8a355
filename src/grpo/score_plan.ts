/**
 * Where the scores of a rollout's tokens come from: log-probabilities, entropies and attention masses.
 * Knows counts and options; runs nothing.
 *
 * Decoding computes every row of the completions. Where a rollout is one micro-batch of one optimizer step, its own rows
 * are what is learned from, and no training forward is run. A forward right after sampling is run where something has to
 * be known of the weights that sampled, and sampling did not keep it. Otherwise scores come from the forwards of learning.
 */
import { type BatchPlan, oldLogpsNeeded } from './batching.ts';

export interface ScorePlan {
  /** `sampling`: its own rows; `forward`: a forward over the whole rollout, before it is judged; `learning`: later. */
  readonly from: 'sampling' | 'forward' | 'learning';
  /** Backward starts from the rows that are scored. */
  readonly tape: boolean;
  /** The scored log-probabilities are the old ones of off-policy updates. */
  readonly old: boolean;
}

/**
 * @param rollout number of the rollout in the run
 * @param options.reuseRollout learn from the rows that sampling computed, where the plan allows it (`--reuse_rollout`)
 * @param options.hasDropout what is learned from has dropout; what is scored has none
 * @param options.needsScores something has to be known before anything is learned: attention masses, a KL, entropies
 */
export function planScores(
  plan: BatchPlan,
  rollout: number,
  {
    reuseRollout,
    needsScores,
    hasDropout = false,
  }: { readonly reuseRollout: boolean; readonly needsScores: boolean; readonly hasDropout?: boolean },
): ScorePlan {
  const isOne = plan.microBatchesPerStep === 1 && plan.microBatchesPerRollout === 1 && plan.numIterations === 1;
  const tape = isOne && !hasDropout;
  const old = oldLogpsNeeded(plan, rollout).some(Boolean);
  if (tape && reuseRollout) return { from: 'sampling', tape, old };
  return { from: tape || old || needsScores ? 'forward' : 'learning', tape, old };
}
