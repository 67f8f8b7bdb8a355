/**
 * The perception term of PAPO: rewards the policy for predicting its tokens differently than it would under a changed image,
 * and holds down the entropy of both predictions. Per token, added to the loss:
 *
 *   - coef KL_t + entropyCoef (-logp_t) + entropyCoef (-changed_t)
 *
 * with KL_t the k3 estimate of the KL from the policy under the changed image, held constant, to the policy (kl.ts).
 *
 * Source: Wang et al. 2025, "Perception-Aware Policy Optimization"; verl/workers/actor/dp_actor.py of its code with
 * `RECOMPUTE_AUG_LOG_PROBS=False` (the log-probabilities under the changed image have no gradient, so the last summand is a
 * constant), `kl_prcp_penalty=low_var_kl`, `use_kl_prcp_token_level_mask`, `use_kl_prcp_clipping`. Differs from it in one
 * point: the entropies are averaged as `--loss_type` says, there always over tokens.
 */
import { tokenKl } from './kl.ts';

export interface PerceptionOptions {
  /** Weight of the KL, which is maximised; 0: only the entropies count. */
  readonly klCoef: number;
  /** The KL of a token counts up to this, in nats; null for no limit below that of kl.ts. */
  readonly klMax: number | null;
  /** Share of a completion's tokens whose KL counts: those with the highest. 1 counts all. */
  readonly klTokens: number;
  readonly entropyCoef: number;
}

export interface PerceptionTerm {
  /** Share in each token's loss. [T] */
  readonly values: Float64Array;
  /** Derivative of `values` by the token's log-probability. [T] */
  readonly gradients: Float64Array;
  /** Sum of the KLs that count. */
  readonly kl: number;
}

/**
 * @param logps of the tokens of a completion under the policy [T]
 * @param changed the same under the changed image [T]
 */
export function perceptionTerm(
  logps: ArrayLike<number>,
  changed: ArrayLike<number>,
  { klCoef, klMax, klTokens, entropyCoef }: PerceptionOptions,
): PerceptionTerm {
  const kls = Array.from({ length: logps.length }, (_, t) => tokenKl(logps[t]!, changed[t]!));
  const least =
    klTokens === 1
      ? 0
      : quantile(
          kls.map(({ value }) => value),
          1 - klTokens,
        );
  const limit = klMax ?? Number.POSITIVE_INFINITY;
  const values = new Float64Array(logps.length);
  const gradients = new Float64Array(logps.length);
  let sum = 0;
  for (const [t, { value, gradient }] of kls.entries()) {
    const counts = value >= least;
    const kl = counts ? Math.min(value, limit) : 0;
    sum += kl;
    values[t] = -klCoef * kl - entropyCoef * (logps[t]! + changed[t]!);
    gradients[t] = -klCoef * (counts && value <= limit ? gradient : 0) - entropyCoef;
  }
  return { values, gradients, kl: sum };
}

// --- internal ---

/** With linear interpolation between neighbours, as torch.nanquantile has it. 0 for no value. */
function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return 0;
  const sorted = [...values].sort((a, b) => a - b);
  const place = q * (sorted.length - 1);
  const below = sorted[Math.floor(place)]!;
  return below + (place - Math.floor(place)) * (sorted[Math.ceil(place)]! - below);
}
