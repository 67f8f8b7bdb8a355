/**
 * Rewards to advantages: the weighted sum of reward functions, then each completion against its own group.
 * Knows numbers and nulls, not what a reward measures or how completions were made.
 *
 * Sources: TRL trainer/grpo_trainer.py (`_generate_and_score_completions`), ms-swift rl_core/advantage.py
 * (`compute_advantages`), Shao et al. 2024 (DeepSeekMath, GRPO). Where the two differ: docs/formulas.md.
 */
import { mean, present, sampleStd, ZERO_STD } from './statistics.ts';

/** Added to the deviation before dividing, as in TRL and ms-swift. */
const STD_EPSILON = 1e-4;

export type ScaleRewards = 'group' | 'batch' | 'none';

/** A reward, or null where it cannot be computed for this completion. */
export type RewardValue = number | null;

export interface GroupAdvantages {
  /** One per completion; 0 where the completion's reward is null. [N] */
  readonly advantages: Float64Array;
  /** Mean of the rewards that exist in each group; null for a group without any. [N / numGenerations] */
  readonly groupMean: readonly (number | null)[];
  /** Sample deviation (n - 1) of each group; 0 for a group with fewer than two rewards. [N / numGenerations] */
  readonly groupStd: readonly number[];
  /** Share of groups whose rewards do not differ; these groups have no policy gradient. */
  readonly fracZeroStd: number;
  /** Logged as `reward_std`: the mean of the groups' deviations, or the batch's deviation when scaling by the batch. */
  readonly rewardStd: number;
}

/**
 * The weighted sum of several reward functions, per completion.
 *
 * A function that is null for a whole group does not apply to it, and is left out of the group's sums. A completion that
 * lacks a value which others of its group have cannot be compared with them, so its sum is null. The sum is also null where
 * no function has a value. TRL and ms-swift leave the missing value out of the sum instead (a nansum). That favours the
 * completion whenever the function's values are negative, as -TDR is.
 *
 * @param values per function, one value per completion. [functions][N]
 * @param weights one per function [functions]
 * @param numGenerations completions of a group; they are consecutive
 * @returns [N]
 * @throws internal errors: counts that do not agree
 */
export function combineRewards(
  values: readonly (readonly RewardValue[])[],
  weights: readonly number[],
  numGenerations: number,
): RewardValue[] {
  if (values.length !== weights.length || values.length === 0) {
    throw new Error(`internal: ${values.length} reward functions with ${weights.length} weights`);
  }
  const count = values[0]!.length;
  for (const column of values) {
    if (column.length !== count) throw new Error(`internal: reward columns of ${count} and ${column.length} values`);
  }
  const applies = values.map((column) =>
    groupsOf(column, numGenerations).map((group) => group.some((value) => value !== null)),
  );
  return Array.from({ length: count }, (_, i) => {
    const group = Math.floor(i / numGenerations);
    let sum: RewardValue = null;
    for (const [k, column] of values.entries()) {
      if (!applies[k]![group]) continue;
      const value = column[i]!;
      if (value === null) return null;
      sum = (sum ?? 0) + weights[k]! * value;
    }
    return sum;
  });
}

/**
 * Group-relative advantages: `A_i = (R_i - mean(group)) / (std + 1e-4)`, with the deviation of the group, of the whole
 * batch, or no division. Groups are consecutive runs of `numGenerations` completions.
 *
 * A null reward takes no part in its group's mean and deviation, and its own advantage is 0.
 *
 * @param rewards combined rewards, group after group. [N]
 * @throws internal errors: N not a multiple of numGenerations; a reward that is NaN or infinite
 */
export function groupAdvantages(
  rewards: readonly RewardValue[],
  numGenerations: number,
  options: { readonly scaleRewards: ScaleRewards },
): GroupAdvantages {
  const groups = groupsOf(rewards, numGenerations);
  const bad = rewards.findIndex((reward) => reward !== null && !Number.isFinite(reward));
  if (bad >= 0) throw new Error(`internal: reward ${bad} is ${rewards[bad]}, expected a finite number or null`);

  const groupMean = groups.map((group) => mean(present(group)));
  const groupStd = groups.map((group) => sampleStd(present(group)));
  const batchStd = sampleStd(present(rewards));

  const advantages = new Float64Array(rewards.length);
  for (const [i, reward] of rewards.entries()) {
    const g = Math.floor(i / numGenerations);
    if (reward === null) continue;
    const centred = reward - groupMean[g]!;
    advantages[i] = centred / divisor(options.scaleRewards, groupStd[g]!, batchStd);
  }
  const scored = groups.flatMap((_, g) => (groupMean[g] === null ? [] : [groupStd[g]!]));
  return {
    advantages,
    groupMean,
    groupStd,
    fracZeroStd: groupStd.filter((std) => std <= ZERO_STD).length / groups.length,
    rewardStd: options.scaleRewards === 'batch' ? batchStd : (mean(scored) ?? 0),
  };
}

/** Cuts values into consecutive groups of `size`. @throws internal error: they do not fill whole groups */
export function groupsOf<T>(values: readonly T[], size: number): T[][] {
  if (!Number.isInteger(size) || size < 1 || values.length === 0 || values.length % size !== 0) {
    throw new Error(`internal: ${values.length} values do not make groups of ${size}`);
  }
  return Array.from({ length: values.length / size }, (_, g) => values.slice(g * size, (g + 1) * size));
}

// --- internal ---

function divisor(scale: ScaleRewards, groupStd: number, batchStd: number): number {
  if (scale === 'none') return 1;
  return (scale === 'group' ? groupStd : batchStd) + STD_EPSILON;
}
