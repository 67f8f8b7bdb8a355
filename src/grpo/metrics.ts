/**
 * The logged numbers of a GRPO step under the names of ms-swift and TRL, as plain records.
 * Knows sums and lists, not when or where a record is written.
 *
 * Names and meanings: ms-swift rlhf_trainers/grpo_trainer.py, rl_core/advantage.py (`compute_reward_metrics`), TRL
 * trainer/grpo_trainer.py. Differs from them in one point: means over tokens are taken over the whole optimizer step, not over
 * the means of micro-batches, so the numbers do not depend on how the step was split.
 */
import type { GroupAdvantages, RewardValue } from './advantages.ts';
import type { FloatArray, LossSums } from './loss.ts';
import { mean, present, sampleStd } from './statistics.ts';

/** Numbers by name. A name is missing where there is no value to average. */
export type Metrics = Record<string, number>;

/** A reward function's values over a rollout. */
export interface NamedRewards {
  /** Class name of the reward, as logged. */
  readonly name: string;
  /** One per completion. [N] */
  readonly values: readonly RewardValue[];
}

/**
 * `reward`, `reward_std`, `frac_reward_zero_std`, and per function `rewards/{name}/mean|std`.
 *
 * A function without any value has no mean and std, as in ms-swift 4.6.0. Where some values are null, their share is logged as
 * `rewards/{name}/null_frac`, a name that the peers do not have.
 *
 * @param rewards combined rewards [N]
 * @param groups the result of groupAdvantages for them
 */
export function rewardMetrics(
  rewards: readonly RewardValue[],
  groups: GroupAdvantages,
  functions: readonly NamedRewards[],
): Metrics {
  const metrics: Metrics = {};
  const reward = mean(present(rewards));
  if (reward !== null) {
    metrics.reward = reward;
    metrics.reward_std = groups.rewardStd;
  }
  metrics.frac_reward_zero_std = groups.fracZeroStd;
  for (const { name, values } of functions) {
    const valid = present(values);
    const average = mean(valid);
    if (average !== null) {
      metrics[`rewards/${name}/mean`] = average;
      metrics[`rewards/${name}/std`] = sampleStd(valid);
    }
    if (valid.length < values.length) {
      metrics[`rewards/${name}/null_frac`] = (values.length - valid.length) / values.length;
    }
  }
  return metrics;
}

/**
 * `completions/mean_length|min_length|max_length|clipped_ratio`, and TRL's lengths of the terminated ones (0 when
 * every completion was cut off, as in TRL).
 *
 * @param lengths completion tokens, the end token included. [N]
 * @param truncated whether the length limit, and not an end token, ended the completion. [N]
 * @throws internal error: no completion, or counts that do not agree
 */
export function completionMetrics(lengths: readonly number[], truncated: readonly boolean[]): Metrics {
  if (lengths.length === 0 || lengths.length !== truncated.length) {
    throw new Error(`internal: ${lengths.length} completion lengths with ${truncated.length} truncation flags`);
  }
  const terminated = lengths.filter((_, i) => !truncated[i]);
  const ended = terminated.length === 0 ? [0] : terminated;
  return {
    'completions/mean_length': mean(lengths)!,
    'completions/min_length': least(lengths),
    'completions/max_length': greatest(lengths),
    'completions/clipped_ratio': truncated.filter(Boolean).length / lengths.length,
    'completions/mean_terminated_length': mean(ended)!,
    'completions/min_terminated_length': least(ended),
    'completions/max_terminated_length': greatest(ended),
  };
}

/**
 * `kl` (only with a reference), and `clip_ratio/*` or, with cispo, `cispo_clip_ratio`, of one optimizer step; with an
 * off-policy mask also `off_policy_masked_frac`, the share of sequences that it left out; with PAPO's term `perception/kl`.
 *
 * The means are over all tokens of the step (sequences, at the sequence level). `low_min` and `high_max` are the
 * extremes over its micro-batches; ms-swift takes them over processes, so on one process they repeat the means there.
 *
 * @param parts the sums of the step's micro-batches
 */
export function lossMetrics(parts: readonly LossSums[]): Metrics {
  const metrics: Metrics = {};
  const sequences = parts.reduce((sum, part) => sum + part.sequences, 0);
  if (parts.length > 0 && parts.every((part) => part.offPolicy !== null)) {
    metrics.off_policy_masked_frac = parts.reduce((sum, part) => sum + part.offPolicy!, 0) / sequences;
  }
  const perceived = parts.reduce((sum, { perception }) => sum + (perception?.tokens ?? 0), 0);
  if (perceived > 0) {
    metrics['perception/kl'] = parts.reduce((sum, { perception }) => sum + (perception?.kl ?? 0), 0) / perceived;
  }
  const counted = parts.filter((part) => part.ratios > 0);
  if (counted.length === 0) return metrics;
  const total = (pick: (part: LossSums) => number): number => counted.reduce((sum, part) => sum + pick(part), 0);
  if (counted.every((part) => part.kl !== null)) metrics.kl = total((part) => part.kl!) / total((part) => part.tokens);

  const ratios = total((part) => part.ratios);
  const { clipping } = counted[0]!;
  if (clipping === 'cap') metrics.cispo_clip_ratio = total((part) => part.highClipped) / ratios;
  if (clipping !== 'bounds') return metrics;
  const low = total((part) => part.lowClipped);
  const high = total((part) => part.highClipped);
  metrics['clip_ratio/low_mean'] = low / ratios;
  metrics['clip_ratio/low_min'] = least(counted.map((part) => part.lowClipped / part.ratios));
  metrics['clip_ratio/high_mean'] = high / ratios;
  metrics['clip_ratio/high_max'] = greatest(counted.map((part) => part.highClipped / part.ratios));
  // A ratio is clipped low for negative and high for positive advantages, so no ratio is counted twice.
  metrics['clip_ratio/region_mean'] = (low + high) / ratios;
  return metrics;
}

/**
 * `entropy`, the mean over tokens (TRL), and `entropy/mean|max|min` over the sequences' means (ms-swift with
 * `log_entropy`). Empty without a token.
 *
 * @param entropies of the policy at each completion token. [N][T_i]
 */
export function entropyMetrics(entropies: readonly FloatArray[]): Metrics {
  let sum = 0;
  let tokens = 0;
  const sequenceMeans: number[] = [];
  for (const row of entropies) {
    let rowSum = 0;
    for (let t = 0; t < row.length; t++) rowSum += row[t]!;
    if (row.length > 0) sequenceMeans.push(rowSum / row.length);
    sum += rowSum;
    tokens += row.length;
  }
  if (tokens === 0) return {};
  return {
    entropy: sum / tokens,
    'entropy/mean': mean(sequenceMeans)!,
    'entropy/max': greatest(sequenceMeans),
    'entropy/min': least(sequenceMeans),
  };
}

/**
 * `sampling/sampling_logp_difference/mean|max` (TRL): how far the log-probabilities of sampling are from those of a forward over
 * the same weights. Empty without a token.
 *
 * @param sampled [N][T_i]
 * @param scored [N][T_i]
 */
export function samplingDifference(sampled: readonly FloatArray[], scored: readonly FloatArray[]): Metrics {
  const differences = sampled.flatMap((row, i) => Array.from(row, (logp, t) => Math.abs(logp - scored[i]![t]!)));
  if (differences.length === 0) return {};
  return {
    'sampling/sampling_logp_difference/mean': mean(differences)!,
    'sampling/sampling_logp_difference/max': greatest(differences),
  };
}

// --- internal ---

/** `Math.min(...list)` would overflow the stack on long lists. */
function least(values: readonly number[]): number {
  return values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
}

function greatest(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
}
