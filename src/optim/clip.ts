/**
 * Gradient clipping by the global norm, from the sums of squares of the gradient tensors.
 * Knows numbers only; the owner of the tensors multiplies them by the coefficient.
 *
 * Source: torch.nn.utils.clip_grad_norm_ (norm type 2).
 */
import { SightlineError } from '../errors.ts';

/** The 2-norm of all gradients together, from the sum of squares of each tensor; logged as `grad_norm`. */
export function globalNorm(sumsOfSquares: Iterable<number>): number {
  let total = 0;
  for (const sum of sumsOfSquares) total += sum;
  return Math.sqrt(total);
}

/**
 * The factor of every gradient: `min(1, maxNorm / (norm + 1e-6))`. A maxNorm of 0 or less turns clipping off, as in
 * transformers' Trainer.
 *
 * @throws SightlineError E_GRADIENT_NOT_FINITE; torch would continue with a coefficient of 0 or NaN and ruin the weights
 */
export function clipCoefficient(norm: number, maxNorm: number): number {
  if (!Number.isFinite(norm)) {
    throw new SightlineError('E_GRADIENT_NOT_FINITE', `the gradient norm is ${norm}, expected a finite number`, {
      hint: 'lower --learning_rate, and look for a NaN in the rewards or log-probabilities of the last logged step',
    });
  }
  return maxNorm > 0 ? Math.min(1, maxNorm / (norm + 1e-6)) : 1;
}
