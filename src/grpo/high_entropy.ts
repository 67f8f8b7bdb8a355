/**
 * Which tokens of an optimizer step are learned from, by their entropy.
 * Knows entropies, not the loss.
 *
 * Source: Wang et al. 2025 (arXiv 2506.01939); ms-swift rlhf_trainers/grpo_trainer.py and TRL trainer/grpo_trainer.py, both
 * `top_entropy_quantile`. Differs from them in the tokens that the quantile is taken over: those of the whole step, not of
 * a micro-batch, so that it does not depend on how the step is split.
 */
import type { FloatArray } from './loss.ts';

export interface HighEntropy {
  /** In nats; null without a token. */
  readonly threshold: number | null;
  /** 1 for a token at or above the threshold, else 0. [N][T_i] */
  readonly weights: readonly Float32Array[];
}

/**
 * The share `quantile` of tokens with the highest entropies. The threshold is the (1 - quantile) quantile, interpolated
 * linearly as by torch.quantile.
 *
 * @param entropies at each token of the step [N][T_i], in nats
 * @param quantile in (0, 1]
 */
export function highEntropyTokens(entropies: readonly FloatArray[], quantile: number): HighEntropy {
  const sorted = Float32Array.from(entropies.flatMap((row) => [...row])).sort();
  if (sorted.length === 0) return { threshold: null, weights: entropies.map(() => new Float32Array(0)) };
  const place = (1 - quantile) * (sorted.length - 1);
  const below = sorted[Math.floor(place)]!;
  const above = sorted[Math.ceil(place)]!;
  // Rounded as the entropies are: a token that is the threshold itself is kept, whatever the place was rounded to.
  const threshold = Math.fround(below + (above - below) * (place - Math.floor(place)));
  return { threshold, weights: entropies.map((row) => Float32Array.from(row, (h) => (h >= threshold ? 1 : 0))) };
}
