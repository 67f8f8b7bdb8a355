/**
 * Importance weights for the difference between sampling and training: the policy that sampled, as its engine computed it, and the
 * same weights in a forward. Where decoding rounds otherwise than a forward (quantised weights), they are not the same
 * distribution. Knows log-probabilities, not what made them differ.
 *
 * Source: Yao et al. 2025, "Your Efficient RL Framework Secretly Brings You Off-Policy RL Training" (truncated importance
 * sampling); ms-swift rlhf_trainers/grpo_trainer.py `_apply_rollout_importance_sampling`, whose four modes these are. Differs from
 * it in the tokens that metrics are means of: those of the whole optimizer step.
 */
import { tokenKl } from './kl.ts';
import { mean } from './statistics.ts';

export type RolloutCorrectionMode = 'token_truncate' | 'token_mask' | 'sequence_truncate' | 'sequence_mask';

export interface RolloutCorrectionOptions {
  readonly mode: RolloutCorrectionMode;
  /** Ratios above it are cut down to it, or left out. */
  readonly threshold: number;
}

type FloatArray = Float32Array | Float64Array;

/** Log-ratios are clamped to plus and minus this before the exponential. */
const LOG_RATIO_LIMIT = 20;

/**
 * Factors of the tokens' losses [N][T_i].
 *
 * - token_truncate: min(r_t, threshold) with r_t = exp(old - sampled)
 * - token_mask: r_t, or 0 above the threshold
 * - sequence_truncate: min(s, threshold) with s the geometric mean of the sequence's r_t
 * - sequence_mask: r_t, or 0 where s is above the threshold
 *
 * @param old log-probabilities under the weights that sampled, by a forward [N][T_i]
 * @param sampled the same as sampling computed them [N][T_i]
 */
export function rolloutWeights(
  old: readonly FloatArray[],
  sampled: readonly FloatArray[],
  { mode, threshold }: RolloutCorrectionOptions,
): Float64Array[] {
  return old.map((row, i) => weightsOf(ratiosOf(row, sampled[i]!), mode, threshold));
}

/**
 * `rollout_correction/kl` and `k3_kl` (of the forward's policy from the sampler's), `is_weight_mean`, `ess` (effective sample size
 * as a share) and `clipped_frac` (of tokens, or of sequences), as ms-swift logs them. Empty without a token.
 *
 * @param weights the result of `rolloutWeights` for the others [N][T_i]
 */
export function rolloutCorrectionMetrics(
  old: readonly FloatArray[],
  sampled: readonly FloatArray[],
  weights: readonly FloatArray[],
  { mode, threshold }: RolloutCorrectionOptions,
): Record<string, number> {
  const all = weights.flatMap((row) => [...row]);
  if (all.length === 0) return {};
  const pairs = old.flatMap((row, i) => Array.from(row, (logp, t) => ({ logp, sampler: sampled[i]![t]! })));
  const bounded = all.map((weight) => Math.min(Math.max(weight, 1 / threshold), threshold));
  const centre = mean(bounded)! + 1e-8;
  const ratios = old.map((row, i) => ratiosOf(row, sampled[i]!));
  const clipped = mode.startsWith('token')
    ? ratios.flatMap((row) => [...row]).map((ratio) => (ratio > threshold ? 1 : 0))
    : ratios.map((row) => (geometricMean(row) > threshold ? 1 : 0));
  return {
    'rollout_correction/kl': mean(pairs.map(({ logp, sampler }) => sampler - logp))!,
    'rollout_correction/k3_kl': mean(pairs.map(({ logp, sampler }) => tokenKl(sampler, logp).value))!,
    'rollout_correction/is_weight_mean': mean(all)!,
    'rollout_correction/ess': 1 / mean(bounded.map((weight) => (weight / centre) ** 2))!,
    'rollout_correction/clipped_frac': mean(clipped)!,
  };
}

// --- internal ---

/** @param ratios of the tokens of a sequence [T] */
function weightsOf(ratios: Float64Array, mode: RolloutCorrectionMode, threshold: number): Float64Array {
  const ofSequence = geometricMean(ratios);
  switch (mode) {
    case 'token_truncate':
      return ratios.map((ratio) => Math.min(ratio, threshold));
    case 'token_mask':
      return ratios.map((ratio) => (ratio <= threshold ? ratio : 0));
    case 'sequence_truncate':
      return ratios.map(() => Math.min(ofSequence, threshold));
    case 'sequence_mask':
      return ratios.map((ratio) => (ofSequence <= threshold ? ratio : 0));
  }
}

const ratiosOf = (old: FloatArray, sampled: FloatArray): Float64Array =>
  Float64Array.from(old, (logp, t) =>
    Math.exp(Math.min(Math.max(logp - sampled[t]!, -LOG_RATIO_LIMIT), LOG_RATIO_LIMIT)),
  );

/** 1 for no ratio. */
const geometricMean = (ratios: Float64Array): number =>
  ratios.length === 0 ? 1 : Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
