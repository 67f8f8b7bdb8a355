/**
 * How much a completion depends on its image: how its tokens' log-probabilities differ from those under a changed image; and
 * VPPO, which learns from the tokens that depend on it most, and more from completions that do.
 *
 * Source: Huang et al. 2025, "Spotlight on Token Perception for Multimodal Reinforcement Learning" (VPPO);
 * verl/workers/actor/dp_actor.py of its code. Differs from it in one point: scales are computed over a whole rollout; there
 * the extremes are those of an optimizer step and the mean that of a micro-batch.
 */
import { tokenKl } from './kl.ts';
import { mean } from './statistics.ts';

/** Log-probabilities of the tokens of a completion. */
export interface ComparedLogps {
  /** Under the image itself, by the policy that sampled. [T] */
  readonly logps: Float32Array;
  /** Under the changed image. [T] */
  readonly changed: Float32Array;
}

export interface VisualDependence {
  /** k3 of the policy under the changed image against the policy, per token [T]; at least 0, clamped (kl.ts). */
  readonly kls: Float64Array;
  /** Mean of `kls` in nats; null for a completion without tokens. */
  readonly kl: number | null;
  /** Mean of logp - changed in nats: how much less likely its tokens are without the image; null without tokens. */
  readonly drop: number | null;
}

/**
 * @param logps under the policy that sampled [T]
 * @param changed the same under the changed image [T]
 */
export function visualDependence(logps: ArrayLike<number>, changed: ArrayLike<number>): VisualDependence {
  const kls = Float64Array.from({ length: logps.length }, (_, t) => tokenKl(logps[t]!, changed[t]!).value);
  const drops = Array.from({ length: logps.length }, (_, t) => logps[t]! - changed[t]!);
  return { kls, kl: mean([...kls]), drop: mean(drops) };
}

/**
 * VPPO's token selection: weight 1 for the ceil(ratio T) tokens with the largest KL, the earlier one first among equals, 0 for
 * the others. [T]
 */
export function dependentTokens(kls: ArrayLike<number>, ratio: number): Float32Array {
  const order = Array.from({ length: kls.length }, (_, t) => t).sort((a, b) => kls[b]! - kls[a]! || a - b);
  const weights = new Float32Array(kls.length);
  for (const t of order.slice(0, Math.ceil(Math.fround(kls.length * Math.fround(ratio))))) weights[t] = 1;
  return weights;
}

/**
 * VPPO's factors of advantages: mean KLs, mapped linearly from their range to [least, most], with `most` such that the mean
 * factor is 1. All 1 if the KLs do not differ.
 *
 * @param kls mean KL of each completion; null, for which the factor is 1, where there is none [N]
 * @param least factor of the completion that depends on its image least
 */
export function dependenceScales(kls: readonly (number | null)[], least: number): Float64Array {
  const known = kls.filter((kl) => kl !== null);
  const low = known.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = known.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (!(high - low > 1e-6)) return new Float64Array(kls.length).fill(1);
  const normalised = kls.map((kl) => (kl === null ? null : (kl - low) / (high - low)));
  const centre = mean(normalised.filter((value) => value !== null))!;
  const range = (1 - least) / (centre + 1e-8);
  return Float64Array.from(normalised, (value) => (value === null ? 1 : least + value * range));
}
