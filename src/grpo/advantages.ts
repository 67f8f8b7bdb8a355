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

/** The same for gdpo, whose deviations are those of single rewards; ms-swift's value. */
const GDPO_EPSILON = 1e-8;

/** What a completion is compared with: `--advantage_estimator`. */
export type AdvantageEstimator = 'grpo' | 'rloo' | 'reinforce_plus_plus';

export type ScaleRewards = 'group' | 'batch' | 'none' | 'gdpo';

export interface AdvantageOptions {
  /** Absent: grpo. */
  readonly advantageEstimator?: AdvantageEstimator;
  readonly scaleRewards: ScaleRewards;
}

/** Values of the reward functions and their weights, as `combineRewards` takes them. */
export interface RewardTable {
  /** [functions][N] */
  readonly values: readonly (readonly RewardValue[])[];
  /** [functions] */
  readonly weights: readonly number[];
}

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
 * Advantages of N completions. Groups are consecutive runs of `numGenerations` completions; K is the number of a group's
 * rewards that exist.
 *
 * - grpo, reinforce_plus_plus: `R_i - mean(group)`; rloo: `R_i` minus the mean of the others, `K / (K - 1) (R_i - mean(group))`;
 * - divided by the sample deviation of the rewards in the group or in the batch, plus 1e-4, or not divided;
 *   reinforce_plus_plus divides by the deviation of these differences instead;
 * - gdpo: each reward function is centred and scaled within its group, their weighted sum within the batch (GDPO, Liu et
 *   al. 2026). A function without a value for a completion adds nothing to its sum.
 *
 * A null reward takes no part in its group's mean and deviation, and its own advantage is 0.
 *
 * @param rewards combined rewards, group after group. [N]
 * @param table what they were combined from; only gdpo needs it
 * @throws internal errors: N not a multiple of numGenerations; a reward that is NaN or infinite; gdpo without a table
 */
export function groupAdvantages(
  rewards: readonly RewardValue[],
  numGenerations: number,
  { advantageEstimator = 'grpo', scaleRewards }: AdvantageOptions,
  table?: RewardTable,
): GroupAdvantages {
  const groups = groupsOf(rewards, numGenerations);
  const bad = rewards.findIndex((reward) => reward !== null && !Number.isFinite(reward));
  if (bad >= 0) throw new Error(`internal: reward ${bad} is ${rewards[bad]}, expected a finite number or null`);

  const groupMean = groups.map((group) => mean(present(group)));
  const groupStd = groups.map((group) => sampleStd(present(group)));
  const batchStd = sampleStd(present(rewards));

  const differences = rewards.map((reward, i) => {
    if (reward === null) return null;
    const g = Math.floor(i / numGenerations);
    const count = present(groups[g]!).length;
    const centred = reward - groupMean[g]!;
    return advantageEstimator === 'rloo' && count > 1 ? (centred * count) / (count - 1) : centred;
  });
  const scaled = advantageEstimator === 'reinforce_plus_plus' ? differences : rewards;
  const advantages =
    scaleRewards === 'gdpo'
      ? decoupled(rewards, numGenerations, table)
      : divided(differences, deviations(scaled, numGenerations, scaleRewards));
  const scored = groups.flatMap((_, g) => (groupMean[g] === null ? [] : [groupStd[g]!]));
  return {
    advantages,
    groupMean,
    groupStd,
    fracZeroStd: groupStd.filter((std) => std <= ZERO_STD).length / groups.length,
    rewardStd: scaleRewards === 'batch' ? batchStd : (mean(scored) ?? 0),
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

/** The deviation that each value's difference is divided by [N]; null: not divided. */
function deviations(
  values: readonly RewardValue[],
  numGenerations: number,
  scale: Exclude<ScaleRewards, 'gdpo'>,
): number[] | null {
  if (scale === 'none') return null;
  if (scale === 'batch') return values.map(() => sampleStd(present(values)));
  return groupsOf(values, numGenerations).flatMap((group) => group.map(() => sampleStd(present(group))));
}

/** 0 for a null. [N] */
function divided(differences: readonly RewardValue[], deviation: readonly number[] | null): Float64Array {
  return Float64Array.from(differences, (difference, i) => {
    if (difference === null) return 0;
    return deviation === null ? difference : difference / (deviation[i]! + STD_EPSILON);
  });
}

/** gdpo's advantages. Completions whose combined reward is null take no part. [N] */
function decoupled(
  rewards: readonly RewardValue[],
  numGenerations: number,
  table: RewardTable | undefined,
): Float64Array {
  if (table === undefined) throw new Error('internal: gdpo needs the values of each reward function');
  const sums = rewards.map((reward): RewardValue => (reward === null ? null : 0));
  for (const [k, column] of table.values.entries()) {
    const counted = column.map((value, i) => (rewards[i] === null ? null : value));
    for (const [g, group] of groupsOf(counted, numGenerations).entries()) {
      const centre = mean(present(group));
      const scale = sampleStd(present(group)) + GDPO_EPSILON;
      for (const [j, value] of group.entries()) {
        const i = g * numGenerations + j;
        if (value !== null) sums[i] = sums[i]! + (table.weights[k]! * (value - centre!)) / scale;
      }
    }
  }
  const centre = mean(present(sums)) ?? 0;
  const scale = sampleStd(present(sums)) + GDPO_EPSILON;
  return Float64Array.from(sums, (sum) => (sum === null ? 0 : (sum - centre) / scale));
}
