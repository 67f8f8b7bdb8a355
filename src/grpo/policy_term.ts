/**
 * The policy term of one token's loss: what a loss type makes of an importance ratio and an advantage.
 * Knows one token, not how tokens are averaged.
 *
 * Sources: Schulman et al. 2017 (PPO), INTELLECT-2 2025 (delta), MiniMax-M1 2025 (arXiv 2506.13585, CISPO), Gao et al. 2025
 * (arXiv 2511.20347, SAPO); ms-swift rlhf_trainers/grpo_trainer.py `_compute_loss_and_metrics` and TRL
 * trainer/grpo_trainer.py `_compute_loss`, which agree on all three.
 */

/** How token losses become one number. docs/formulas.md compares the denominators. */
export type LossType = 'grpo' | 'bnpo' | 'dr_grpo' | 'dapo' | 'cispo' | 'sapo';

export interface PolicyTermOptions {
  readonly lossType: LossType;
  /** The ratio is clipped to [1 - epsilon, 1 + epsilonHigh]. With cispo, epsilonHigh itself is the cap of the ratio. */
  readonly epsilon: number;
  readonly epsilonHigh: number;
  /** Upper bound of the unclipped ratio (two-sided clipping); null for none. */
  readonly delta: number | null;
  /** Temperatures of sapo's gate for advantages above 0, and for the others. */
  readonly tauPos: number;
  readonly tauNeg: number;
}

export interface PolicyTerm {
  readonly value: number;
  /** Derivative by the ratio. */
  readonly byRatio: number;
  /** Derivative by the token's log-probability, the ratio held fixed. */
  readonly byLogp: number;
}

/** What a loss type does to large ratios, as it is logged: clipping at two bounds, a cap, or nothing. */
export type Clipping = 'bounds' | 'cap' | 'none';

/** `L_t` of one token, and its derivatives. */
export function policyTerm(ratio: number, logp: number, advantage: number, options: PolicyTermOptions): PolicyTerm {
  switch (options.lossType) {
    case 'cispo':
      return cappedTerm(ratio, logp, advantage, options.epsilonHigh);
    case 'sapo':
      return gatedTerm(ratio, advantage, advantage > 0 ? options.tauPos : options.tauNeg);
    default:
      return clippedTerm(ratio, advantage, options);
  }
}

export function clippingOf(lossType: LossType): Clipping {
  if (lossType === 'sapo') return 'none';
  return lossType === 'cispo' ? 'cap' : 'bounds';
}

/** Whether a ratio is below the lower bound with a negative advantage. TRL and ms-swift count after the cap delta. */
export function isClippedLow(ratio: number, advantage: number, options: PolicyTermOptions): boolean {
  return clippingOf(options.lossType) === 'bounds' && advantage < 0 && cap(ratio, options.delta) < 1 - options.epsilon;
}

/** Whether a ratio is above the upper bound, or cispo's cap, with a positive advantage. */
export function isClippedHigh(ratio: number, advantage: number, options: PolicyTermOptions): boolean {
  if (advantage <= 0) return false;
  switch (clippingOf(options.lossType)) {
    case 'bounds':
      return cap(ratio, options.delta) > 1 + options.epsilonHigh;
    case 'cap':
      return ratio > options.epsilonHigh;
    case 'none':
      return false;
  }
}

// --- internal ---

/** `-min(min(rho, delta) A, clip(rho, 1 - eps, 1 + epsHigh) A)`. At a tie each branch gives half, as in torch.min. */
function clippedTerm(ratio: number, advantage: number, options: PolicyTermOptions): PolicyTerm {
  const low = 1 - options.epsilon;
  const high = 1 + options.epsilonHigh;
  const capped = cap(ratio, options.delta) * advantage;
  const clipped = Math.min(Math.max(ratio, low), high) * advantage;
  const cappedSlope = options.delta === null || ratio <= options.delta ? advantage : 0;
  const clippedSlope = ratio >= low && ratio <= high ? advantage : 0;
  const slope = capped < clipped ? cappedSlope : clipped < capped ? clippedSlope : (cappedSlope + clippedSlope) / 2;
  return { value: -Math.min(capped, clipped), byRatio: -slope, byLogp: 0 };
}

/** cispo: `-sg(min(rho, limit)) A logp`. The capped ratio is a constant weight, so every token keeps a gradient. */
function cappedTerm(ratio: number, logp: number, advantage: number, limit: number): PolicyTerm {
  const weight = -Math.min(ratio, limit) * advantage;
  return { value: weight * logp, byRatio: 0, byLogp: weight };
}

/** sapo: `-(4 / tau) sigmoid(tau (rho - 1)) A`. Its slope at ratio 1 is -A, as without a gate. */
function gatedTerm(ratio: number, advantage: number, tau: number): PolicyTerm {
  const gate = 1 / (1 + Math.exp(-tau * (ratio - 1)));
  return { value: (-4 / tau) * gate * advantage, byRatio: -4 * gate * (1 - gate) * advantage, byLogp: 0 };
}

function cap(ratio: number, delta: number | null): number {
  return delta === null ? ratio : Math.min(ratio, delta);
}
