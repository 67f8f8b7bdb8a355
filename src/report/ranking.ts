/**
 * Which completion is the best, and which the worst. Knows numbers, not texts.
 */

/**
 * The sum of the rewards by weight, as the advantage is made of it: a reward that is null adds nothing. Null if all are.
 *
 * @param weights in the order of the rewards; null for 1 each
 */
export function totalReward(rewards: readonly (number | null)[], weights: readonly number[] | null): number | null {
  if (rewards.every((reward) => reward === null)) return null;
  return rewards.reduce<number>((sum, reward, i) => sum + (reward ?? 0) * (weights?.[i] ?? 1), 0);
}

/** Places of the totals from the greatest to the least; equal ones stay in their order, and those that are null are left out. */
export function ranked(totals: readonly (number | null)[]): number[] {
  const places = totals.flatMap((total, i) => (total === null ? [] : [i]));
  return places.sort((a, b) => totals[b]! - totals[a]!);
}

/** Argument `reward_weights` as weights of `count` rewards; null if it is none. */
export function weightsOf(argument: unknown, count: number): readonly number[] | null {
  if (!Array.isArray(argument) || argument.length !== count) return null;
  return argument.every((weight) => typeof weight === 'number') ? argument : null;
}
