/**
 * Estimates of the KL between the policy and its reference: per token for the loss ("k3"), with its derivative, and per
 * sequence for the reward ("k1"). Knows log-probabilities of sampled tokens, not the coefficient.
 *
 * Source: Schulman 2020, "Approximating KL divergence" (k3 = r - log r - 1 with r = p_ref / p); Shao et al. 2024, eq. 4.
 * Differs from the paper in the clamps, which are those of ms-swift rlhf_trainers/grpo_trainer.py (verl has the same). TRL
 * has none, and overflows when the policy gives a token a vanishing probability. Within the clamps, for log-ratios between
 * about -11 and 2.61, both agree.
 */

/** The log-ratio ref - policy is clamped to plus and minus this before the exponential, which then cannot overflow. */
const LOG_RATIO_LIMIT = 20;
/** The estimate is clamped to at most this; it is never negative. */
export const KL_LIMIT = 10;

export interface TokenKl {
  /** exp(d) - d - 1 with d = ref - policy, clamped; at least 0. */
  readonly value: number;
  /** Derivative by the policy's log-probability: 1 - exp(d); 0 where a clamp is active. */
  readonly gradient: number;
}

/** k3 of one token from the policy's and the reference's log-probability. */
export function tokenKl(logp: number, refLogp: number): TokenKl {
  const logRatio = Math.min(Math.max(refLogp - logp, -LOG_RATIO_LIMIT), LOG_RATIO_LIMIT);
  const ratio = Math.exp(logRatio);
  const value = ratio - logRatio - 1;
  // A log-ratio at its limit has a value beyond KL_LIMIT, so its gradient is 0 as well.
  return value > KL_LIMIT ? { value: KL_LIMIT, gradient: 0 } : { value, gradient: 1 - ratio };
}

/**
 * k1 of each sequence: the sum of logp - ref over its tokens. May be negative. It is subtracted from the reward with
 * `--kl_in_reward`; ms-swift rlhf_trainers/grpo_trainer.py `_compute_advantages`.
 *
 * @param logps under the policy that sampled [N][T_i]
 * @param refLogps under the reference [N][T_i]
 */
export function sequenceKls(logps: readonly ArrayLike<number>[], refLogps: readonly ArrayLike<number>[]): number[] {
  return logps.map((row, i) => {
    const ref = refLogps[i]!;
    let sum = 0;
    for (let t = 0; t < row.length; t++) sum += row[t]! - ref[t]!;
    return sum;
  });
}
