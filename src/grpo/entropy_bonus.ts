/**
 * The entropy bonus: coef times the mean entropy of the policy over the completion tokens of an optimizer step, by which the loss
 * is reduced. It is the entropy of the whole distribution with its exact gradient, not an estimate from sampled tokens.
 *
 * Source: Mnih et al. 2016 (arXiv 1602.01783); verl `entropy_coeff` with its default `loss_agg_mode=token-mean`, OpenRLHF
 * `entropy_coef`. Differs from them in the mean, which is over the tokens of the whole step, not of a micro-batch.
 */

export interface EntropyTerm {
  /** What this micro-batch adds to the loss; at most 0. */
  readonly value: number;
  /** Derivative of it by each token's entropy [B][T_i]; null without a bonus. */
  readonly gradients: Float64Array[] | null;
}

/**
 * @param entropies at each token of a micro-batch, in nats [B][T_i]; null only where coef is 0
 * @param counted sequences that the loss counts [B]
 * @param tokens of these sequences in the whole step
 * @throws internal error: a coefficient without entropies
 */
export function entropyTerm(
  entropies: readonly (Float32Array | Float64Array)[] | null,
  counted: readonly boolean[],
  coef: number,
  tokens: number,
): EntropyTerm {
  if (coef === 0) return { value: 0, gradients: null };
  if (entropies === null) throw new Error(`internal: an entropy bonus of ${coef} without entropies`);
  const weights = counted.map((isCounted) => (isCounted ? -coef / tokens : 0));
  let value = 0;
  for (const [i, row] of entropies.entries()) for (const entropy of row) value += weights[i]! * entropy;
  return { value, gradients: entropies.map((row, i) => new Float64Array(row.length).fill(weights[i]!)) };
}
